//! The work that is measured, one row each.

use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use super::login::Scheme;
use super::secure::{Task, Version};
use super::store::{ACCEPT, IMAGES, Store, TAGS};
use super::upload::{self, Way};
use super::{Scale, load};
use crate::http::Connection;
use crate::server::Server;

/// Reads with a login and without one take turns of so many seconds.
const SLICE: f64 = 0.5;

/// What a row counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Requests or pushes per second, and processor time of each.
    Operations,
    /// Bytes per second, and processor time of each GiB.
    Bytes,
}

/// How much was done in what time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figure {
    pub(super) done: f64,
    pub(super) seconds: f64,
}

/// What was done in a round, and the processor seconds that it cost the server.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sample {
    pub(super) figure: Figure,
    pub(super) cpu: f64,
}

impl Sample {
    fn add(&mut self, more: &Self) {
        self.figure.done += more.figure.done;
        self.figure.seconds += more.figure.seconds;
        self.cpu += more.cpu;
    }
}

#[derive(Debug)]
pub(super) enum Work {
    /// Something that the server does that takes everybody.
    Open(fn(&mut Store, Scale) -> Result<Figure>),
    /// A read, of the server that takes everybody and of the one that wants this login.
    Login(Scheme),
    /// Something over TLS, of servers that are there for that alone.
    Secure(Task),
}

#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) unit: Unit,
    pub(super) work: Work,
}

impl Row {
    /// Of a round: what the row is about, and the same work without a login, if it is about one.
    pub(super) fn measure(
        &self,
        store: &mut Store,
        scale: Scale,
    ) -> Result<(Sample, Option<Sample>)> {
        match self.work {
            Work::Open(run) => {
                let before = store.server.cpu_seconds()?;
                let figure = run(store, scale).inspect_err(|_| store.server.print_log())?;
                let cpu = store.server.cpu_seconds()? - before;
                Ok((Sample { figure, cpu }, None))
            }
            Work::Login(scheme) => {
                let login = store.login.as_ref().context("nobody wants a login")?;
                let (server, who) = login.with(scheme)?;
                let slice = Scale {
                    seconds: scale.seconds.min(SLICE),
                    ..scale
                };
                let (mut with, mut without) = (Sample::default(), Sample::default());
                // What else the machine does meets both alike.
                while without.figure.seconds < scale.seconds {
                    without.add(&latest(&store.server, slice, &[])?);
                    with.add(&latest(server, slice, &[("Authorization", &who)])?);
                }
                Ok((with, Some(without)))
            }
            Work::Secure(_) => bail!("it is for those who speak TLS"),
        }
    }
}

/// The manifest of every pull, from 32 connections.
fn latest(server: &Server, scale: Scale, headers: &[(&str, &str)]) -> Result<Sample> {
    let target = format!("/v2/{IMAGES}/manifests/latest");
    let before = server.cpu_seconds()?;
    let figure = read(server, scale, 32, "GET", &target, headers);
    let figure = figure.inspect_err(|_| server.print_log())?;
    let cpu = server.cpu_seconds()? - before;
    Ok(Sample { figure, cpu })
}

const fn operations(name: &'static str, run: fn(&mut Store, Scale) -> Result<Figure>) -> Row {
    Row {
        name,
        unit: Unit::Operations,
        work: Work::Open(run),
    }
}

const fn bytes(name: &'static str, run: fn(&mut Store, Scale) -> Result<Figure>) -> Row {
    Row {
        name,
        unit: Unit::Bytes,
        work: Work::Open(run),
    }
}

const fn login(name: &'static str, scheme: Scheme) -> Row {
    Row {
        name,
        unit: Unit::Operations,
        work: Work::Login(scheme),
    }
}

const fn secure(name: &'static str, unit: Unit, task: Task) -> Row {
    Row {
        name,
        unit,
        work: Work::Secure(task),
    }
}

pub(super) static ROWS: &[Row] = &[
    operations("manifest GET by tag, c=32", |store, scale| {
        read(
            &store.server,
            scale,
            32,
            "GET",
            &format!("/v2/{IMAGES}/manifests/latest"),
            &[],
        )
    }),
    login("manifest GET by tag, Basic, c=32", Scheme::Basic),
    login("manifest GET by tag, Bearer, c=32", Scheme::Bearer),
    operations("manifest GET by digest, c=32", |store, scale| {
        let target = format!("/v2/{IMAGES}/manifests/{}", store.manifest);
        read(&store.server, scale, 32, "GET", &target, &[])
    }),
    operations("manifest HEAD by tag, c=32", |store, scale| {
        read(
            &store.server,
            scale,
            32,
            "HEAD",
            &format!("/v2/{IMAGES}/manifests/latest"),
            &[],
        )
    }),
    operations("blob HEAD, c=32", |store, scale| {
        let target = format!("/v2/{IMAGES}/blobs/{}", store.small);
        read(&store.server, scale, 32, "HEAD", &target, &[])
    }),
    operations("tags page n=100, c=8", |store, scale| {
        // From the middle, as someone who pages through all of them would ask.
        let middle = scale.tags / 2;
        read(
            &store.server,
            scale,
            8,
            "GET",
            &format!("/v2/{TAGS}/tags/list?n=100&last=t{middle:06}"),
            &[],
        )
    }),
    bytes("pull of a large blob, one stream", pull),
    bytes("push of a large blob, PATCH in chunks", |store, scale| {
        push(store, scale, Way::Patch)
    }),
    bytes("push of a large blob, one PUT", |store, scale| {
        push(store, scale, Way::Put)
    }),
    operations("push of unique 4 KiB blobs, c=1", |store, scale| {
        push_small(store, scale, 1)
    }),
    operations("push of unique 4 KiB blobs, c=64", |store, scale| {
        push_small(store, scale, 64)
    }),
    secure(
        "TLS 1.3 pull of a large blob over HTTP/1.1",
        Unit::Bytes,
        Task::Pull(Version::Http1),
    ),
    secure(
        "TLS 1.3 pull of a large blob over HTTP/2",
        Unit::Bytes,
        Task::Pull(Version::Http2),
    ),
    secure(
        "new TLS 1.3 handshakes (X25519, ECDSA P-256), c=4",
        Unit::Operations,
        Task::Handshakes,
    ),
];

fn read(
    server: &Server,
    scale: Scale,
    connections: usize,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
) -> Result<Figure> {
    let address = &server.address;
    let headers = [&[("Accept", ACCEPT)], headers].concat();
    let text = Connection::open(address)?.format(method, target, &headers, None);
    load::closed_loop(connections, scale.seconds, |_| {
        let mut connection = Connection::open(address)?;
        let text = text.clone().into_bytes();
        let headless = method == "HEAD";
        Ok(move || {
            let head = connection.exchange(&text, headless, |_| {})?;
            anyhow::ensure!(head.status == 200, "status {}", head.status);
            Ok(())
        })
    })
}

fn pull(store: &mut Store, _: Scale) -> Result<Figure> {
    let mut connection = Connection::open(&store.server.address)?;
    let target = format!("/v2/{IMAGES}/blobs/{}", store.large);
    let text = connection.format("GET", &target, &[], None);
    let mut done = 0;
    let start = Instant::now();
    let head = connection.exchange(text.as_bytes(), false, |piece| done += piece.len())?;
    let seconds = start.elapsed().as_secs_f64();
    anyhow::ensure!(head.status == 200, "status {}", head.status);
    Ok(Figure {
        done: done as f64,
        seconds,
    })
}

fn push(store: &mut Store, scale: Scale, way: Way) -> Result<Figure> {
    // Made and hashed before the clock runs.
    let content = store.unique_large(scale.large);
    let mut connection = Connection::open(&store.server.address)?;
    let start = Instant::now();
    upload::push(&mut connection, "bench/push", &content, way)?;
    let seconds = start.elapsed().as_secs_f64();
    store.forget(&content.digest);
    Ok(Figure {
        done: content.size as f64,
        seconds,
    })
}

fn push_small(store: &mut Store, scale: Scale, connections: usize) -> Result<Figure> {
    let starts: Vec<u64> = (0..connections).map(|_| store.fresh_range()).collect();
    let address = &store.server.address;
    load::closed_loop(connections, scale.seconds, |who| {
        let mut connection = Connection::open(address)?;
        let mut number = starts[who];
        Ok(move || {
            let blob = upload::unique_small(number);
            number += 1;
            upload::push_small(&mut connection, "bench/small", &blob)
        })
    })
}
