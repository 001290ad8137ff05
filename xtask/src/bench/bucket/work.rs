//! What is done in each row.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::super::upload::{self, Way};
use super::super::{Scale, load};
use super::contender::{Contender, IMAGES, TAGS};
use super::image::{self, Blob, Image};
use super::rows::{FAR, Measured};
use crate::fault_proxy::tally;
use crate::http::Connection;
use crate::server::Server;

/// The requests of something, after it was done once, so that the repository is known.
fn counting(
    contender: &mut Contender,
    mut act: impl FnMut(&mut Connection, u64) -> Result<()>,
) -> Result<Measured> {
    let number = contender.numbers(2);
    act(&mut Connection::open(&contender.far.address)?, number)?;
    let mut connection = Connection::open(&contender.far.address)?;
    let (until, after) = contender.counted(|_| act(&mut connection, number + 1))?;
    let mut note = tally(&until);
    if after > 0 {
        note += &format!("; {after} more after the answer");
    }
    Ok(Measured {
        value: until.len() as f64,
        cpu: None,
        note,
    })
}

pub(super) fn small(
    contender: &mut Contender,
    push: fn(&Blob, &mut Connection, &str) -> Result<()>,
) -> Result<Measured> {
    counting(contender, |connection, number| {
        push(&Blob::unique(number, 4 << 10), connection, "bench/small")
    })
}

pub(super) fn large(contender: &mut Contender, scale: Scale, way: Way) -> Result<Measured> {
    let contents = [
        contender.unique_large(64 << 20),
        contender.unique_large(scale.large),
    ];
    let mut contents = contents.iter();
    counting(contender, |connection, _| {
        let content = contents.next().context("it is done twice")?;
        upload::push(connection, "bench/large", content, way)
    })
}

pub(super) fn manifest(contender: &mut Contender, _: Scale) -> Result<Measured> {
    let number = contender.numbers(12);
    let images = [Image::new(number), Image::new(number + 6)];
    for (image, tag) in images.iter().zip(["one", "two"]) {
        image.push(&contender.far.address, "bench/tagged", tag)?;
    }
    let mut connection = Connection::open(&contender.far.address)?;
    let (until, after) =
        contender.counted(|_| images[1].name(&mut connection, "bench/tagged", "three"))?;
    Ok(Measured {
        value: until.len() as f64,
        cpu: None,
        note: match after {
            0 => tally(&until),
            after => format!("{}; {after} more after the answer", tally(&until)),
        },
    })
}

/// Does it with the server that is so far from its store.
fn at_distance(
    contender: &mut Contender,
    distance: Duration,
    act: impl FnOnce(&mut Contender, &str) -> Result<(f64, f64)>,
) -> Result<(f64, f64, f64)> {
    let near = distance.is_zero();
    let cpu = |contender: &Contender| server(contender, near).cpu_seconds();
    let address = server(contender, near).address.clone();
    contender.proxy.delay(distance);
    let before = cpu(contender)?;
    let done = act(contender, &address);
    contender.proxy.delay(Duration::ZERO);
    let (done, seconds) = done.inspect_err(|_| server(contender, near).print_log())?;
    Ok((done, seconds, cpu(contender)? - before))
}

fn server(contender: &Contender, near: bool) -> &Server {
    match near {
        true => &contender.near,
        false => &contender.far,
    }
}

pub(super) fn push_image(
    contender: &mut Contender,
    scale: Scale,
    distance: Duration,
) -> Result<Measured> {
    let (done, seconds, cpu) = at_distance(contender, distance, |contender, address| {
        let (mut done, mut spent) = (0.0, Duration::ZERO);
        while spent.as_secs_f64() < scale.seconds {
            // Made and hashed before the clock runs.
            let number = contender.numbers(6);
            let image = Image::new(number);
            let start = Instant::now();
            image.push(address, "bench/push", &format!("t{number}"))?;
            spent += start.elapsed();
            done += 1.0;
        }
        Ok((done, spent.as_secs_f64()))
    })?;
    Ok(Measured {
        value: 1e3 * seconds / done,
        cpu: Some(cpu / done),
        note: String::new(),
    })
}

pub(super) fn pull_images(
    contender: &mut Contender,
    scale: Scale,
    distance: Duration,
) -> Result<Measured> {
    let (done, seconds, cpu) = at_distance(contender, distance, |_, address| {
        let figure = load::closed_loop(64, scale.seconds, |_| {
            let mut connection = Connection::open(address)?;
            Ok(move || image::pull(&mut connection, IMAGES, "latest").map(|_| ()))
        })?;
        Ok((figure.done, figure.seconds))
    })?;
    Ok(Measured {
        value: done / seconds,
        cpu: Some(cpu / done),
        note: String::new(),
    })
}

pub(super) fn push_large(contender: &mut Contender, scale: Scale) -> Result<Measured> {
    let content = contender.unique_large(scale.large.min(256 << 20));
    let (done, seconds, cpu) = at_distance(contender, FAR, |_, address| {
        let mut connection = Connection::open(address)?;
        let start = Instant::now();
        upload::push(&mut connection, "bench/large", &content, Way::Patch)?;
        Ok((content.size as f64 / 1e6, start.elapsed().as_secs_f64()))
    })?;
    Ok(Measured {
        value: done / seconds,
        cpu: Some(cpu / (content.size as f64 / f64::from(1 << 30))),
        note: String::new(),
    })
}

/// From the middle, as someone who pages through all of them would ask.
fn page(connection: &mut Connection, scale: Scale) -> Result<()> {
    let middle = scale.bucket_tags() / 2;
    let target = format!("/v2/{TAGS}/tags/list?n=100&last=t{middle:06}");
    let page = connection.request("GET", &target, &[], b"")?.expect(200)?;
    let page: Value = serde_json::from_slice(&page.body)?;
    let tags = page["tags"].as_array().map(Vec::len);
    ensure!(tags == Some(100), "{tags:?} tags in place of 100");
    Ok(())
}

pub(super) fn tags_page(contender: &mut Contender, scale: Scale) -> Result<Measured> {
    counting(contender, |connection, _| page(connection, scale))
}

pub(super) fn tags(
    contender: &mut Contender,
    scale: Scale,
    distance: Duration,
) -> Result<Measured> {
    let (done, seconds, cpu) = at_distance(contender, distance, |_, address| {
        let figure = load::closed_loop(1, scale.seconds, |_| {
            let mut connection = Connection::open(address)?;
            Ok(move || page(&mut connection, scale))
        })?;
        Ok((figure.done, figure.seconds))
    })?;
    Ok(Measured {
        value: done / seconds,
        cpu: Some(cpu / done),
        note: String::new(),
    })
}

/// The same bytes in all of them, so that the bucket does not grow; each is an upload of its own.
pub(super) fn memory(contender: &mut Contender, scale: Scale) -> Result<Measured> {
    let (pushes, size) = match scale.is_quick() {
        true => (20, 32 << 20),
        false => (100, 112 << 20),
    };
    let content = contender.unique_large(size);
    let server = contender.fresh()?;
    thread::scope(|scope| {
        let push = || -> Result<()> {
            let mut connection = Connection::open(&server.address)?;
            upload::push(&mut connection, "bench/memory", &content, Way::Patch)
        };
        let all: Vec<_> = (0..pushes).map(|_| scope.spawn(push)).collect();
        all.into_iter()
            .try_for_each(|one| one.join().ok().context("a thread panicked")?)
    })
    .inspect_err(|_| server.print_log())?;
    Ok(Measured {
        value: server.peak_memory()? as f64 / f64::from(1 << 20),
        cpu: None,
        note: String::new(),
    })
}
