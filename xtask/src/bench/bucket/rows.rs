//! What is measured on a bucket, and what ours is to reach.

use std::time::Duration;

use anyhow::Result;

use super::super::Scale;
use super::super::upload::Way;
use super::contender::Contender;
use super::image::Blob;
use super::work::{
    large, manifest, memory, pull_images, push_image, push_large, small, tags, tags_page,
};

/// What each request waits for that is sent far away.
pub(super) const FAR: Duration = Duration::from_millis(30);

/// Bytes of a part and of a range of a copy, as both have them unless told otherwise.
const PART: u64 = 10 << 20;
const COPY: u64 = 32 << 20;

/// What all uploads of ours may hold, unless told otherwise, and what all else may take.
const MEMORY: u64 = 256 + 64;

/// What ours is to reach.
#[derive(Clone, Copy, Debug)]
pub(super) enum Goal {
    /// By itself, or the run fails.
    AtMost(f64),
    /// So many times what the other does.
    Times(f64),
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Requests to the store.
    Requests,
    /// Of something in a second.
    Rate,
    Milliseconds,
    MegabytesPerSecond,
    /// Of memory.
    Mebibytes,
}

/// A figure, the processor time of the server for each unit of it, and what else there is to say.
#[derive(Clone, Debug, Default)]
pub(super) struct Measured {
    pub(super) value: f64,
    pub(super) cpu: Option<f64>,
    pub(super) note: String,
}

#[derive(Debug)]
pub(in crate::bench) struct Row {
    pub(super) name: &'static str,
    pub(super) unit: Unit,
    pub(super) goal: fn(Scale) -> Goal,
    /// Of something that takes long and comes out the same.
    pub(super) once: bool,
    pub(super) run: fn(&mut Contender, Scale) -> Result<Measured>,
}

const fn requests(
    name: &'static str,
    goal: fn(Scale) -> Goal,
    run: fn(&mut Contender, Scale) -> Result<Measured>,
) -> Row {
    Row {
        name,
        unit: Unit::Requests,
        goal,
        once: true,
        run,
    }
}

const fn speed(
    name: &'static str,
    unit: Unit,
    goal: fn(Scale) -> Goal,
    run: fn(&mut Contender, Scale) -> Result<Measured>,
) -> Row {
    Row {
        name,
        unit,
        goal,
        once: false,
        run,
    }
}

pub(super) static ROWS: &[Row] = &[
    requests(
        "bucket: requests, 4 KiB layer by POST+PUT",
        |_| Goal::AtMost(3.0),
        |contender, _| small(contender, Blob::put),
    ),
    requests(
        "bucket: requests, 4 KiB layer by POST+PATCH+PUT",
        |_| Goal::AtMost(8.0),
        |contender, _| small(contender, Blob::patch),
    ),
    requests(
        "bucket: requests, large layer by POST+PUT",
        |scale| Goal::AtMost((parts(scale, PART) + 4) as f64),
        |contender, scale| large(contender, scale, Way::Put),
    ),
    requests(
        "bucket: requests, large layer by POST+PATCH+PUT",
        |scale| Goal::AtMost((parts(scale, PART) + 10 + parts(scale, COPY) + 2) as f64),
        |contender, scale| large(contender, scale, Way::Patch),
    ),
    requests("bucket: requests, manifest by tag", no_goal, manifest),
    requests("bucket: requests, tags page n=100", no_goal, tags_page),
    speed(
        "bucket: push of an image of six layers",
        Unit::Milliseconds,
        |_| Goal::Times(2.0),
        |contender, scale| push_image(contender, scale, Duration::ZERO),
    ),
    speed(
        "bucket: push of an image of six layers, +30 ms",
        Unit::Milliseconds,
        |_| Goal::Times(2.0),
        |contender, scale| push_image(contender, scale, FAR),
    ),
    speed(
        "bucket: pull of an image, streamed, c=64",
        Unit::Rate,
        |_| Goal::Times(1.5),
        |contender, scale| pull_images(contender, scale, Duration::ZERO),
    ),
    speed(
        "bucket: pull of an image, streamed, c=64, +30 ms",
        Unit::Rate,
        |_| Goal::Times(1.5),
        |contender, scale| pull_images(contender, scale, FAR),
    ),
    speed(
        "bucket: push of a large layer by PATCH, +30 ms",
        Unit::MegabytesPerSecond,
        no_goal,
        push_large,
    ),
    speed(
        "bucket: tags page n=100, c=1",
        Unit::Rate,
        |_| Goal::Times(10.0),
        |contender, scale| tags(contender, scale, Duration::ZERO),
    ),
    speed(
        "bucket: tags page n=100, c=1, +30 ms",
        Unit::Rate,
        |_| Goal::Times(10.0),
        |contender, scale| tags(contender, scale, FAR),
    ),
    Row {
        name: "bucket: memory at its peak, 100 pushes of 112 MiB",
        unit: Unit::Mebibytes,
        goal: |_| Goal::AtMost(MEMORY as f64),
        once: true,
        run: memory,
    },
];

fn no_goal(_: Scale) -> Goal {
    Goal::Nothing
}

/// How many of this size a large blob comes to.
fn parts(scale: Scale, part: u64) -> u64 {
    scale.large.div_ceil(part)
}
