//! Large layers, of which the server is killed in the middle; another goes on.

use anyhow::{Context as _, Result, ensure};

use super::{Pulls, launch};
use crate::digest::{Hasher, Noise, digest};
use crate::http::Connection;
use crate::integration::fixture::Fixture;
use crate::integration::step;
use crate::s3::Endpoint;
use crate::server::Server;

const BUCKET: &str = "killed";
const REPOSITORY: &str = "s3/killed";
/// Many parts of what the driver makes of it.
const SIZE: usize = 300 << 20;
/// What one PATCH has.
const CHUNK: usize = 100 << 20;

pub(super) fn run(fixture: &Fixture, buckets: &Endpoint) -> Result<()> {
    buckets.make_bucket(BUCKET)?;
    let section = Pulls::Streamed.section(buckets, BUCKET);
    let start = |name: &str| launch(fixture, name, &section);
    step(
        "a layer of 300 MiB by PATCH, gone on with after a kill",
        || patched(&start),
    )?;
    step(
        "a layer of 300 MiB by PUT, gone on with after a kill",
        || put(&start),
    )?;
    step("nothing is left of them but the layers", || {
        let keys = buckets.keys(BUCKET, "")?;
        let left = keys.iter().filter(|key| key.contains("/uploads/"));
        // What signs the state of uploads stays, and that some are over.
        let left = left.filter(|key| !key.ends_with("/_key") && !key.ends_with("/record"));
        let left: Vec<_> = left.collect();
        ensure!(left.is_empty(), "{left:?}");
        for record in keys.iter().filter(|key| key.ends_with("/record")) {
            let staging = record.replace("/record", "/data");
            ensure!(
                !buckets.is_begun(BUCKET, &staging)?,
                "{staging} is not over"
            );
        }
        let blobs = keys.iter().filter(|key| key.ends_with("/data")).count();
        ensure!(blobs == 2, "{blobs} blobs among {keys:?}");
        Ok(())
    })
}

fn patched(start: &dyn Fn(&str) -> Result<Server>) -> Result<()> {
    let layer = layer(90);
    let first = start("s3-killed-1")?;
    let mut location = begin(&first)?;
    let mut connection = Connection::open(&first.address)?;
    let headers = [("Content-Type", "application/octet-stream")];
    let answer = connection.request("PATCH", &location, &headers, &layer[..CHUNK])?;
    location = answer.expect(202)?.location()?.to_owned();
    cut(&first, "PATCH", &location, &layer[CHUNK..2 * CHUNK])?;
    drop(first);

    let second = start("s3-killed-2")?;
    let (mut at, mut location) = status(&second, &location)?;
    ensure!(
        at >= CHUNK,
        "{at} bytes are left of {CHUNK} that were acknowledged"
    );
    let mut connection = Connection::open(&second.address)?;
    while at < SIZE {
        let to = SIZE.min(at + CHUNK);
        let answer = connection.request("PATCH", &location, &headers, &layer[at..to])?;
        location = answer.expect(202)?.location()?.to_owned();
        at = to;
    }
    finish(&second, &location, &layer, SIZE)
}

fn put(start: &dyn Fn(&str) -> Result<Server>) -> Result<()> {
    let layer = layer(91);
    let digest = digest(&layer);
    let first = start("s3-killed-3")?;
    let location = begin(&first)?;
    let target = with_digest(&location, &digest);
    cut(&first, "PUT", &target, &layer)?;
    drop(first);

    let second = start("s3-killed-4")?;
    let mut connection = Connection::open(&second.address)?;
    let blob = format!("/v2/{REPOSITORY}/blobs/{digest}");
    connection.request("HEAD", &blob, &[], b"")?.expect(404)?;
    let (at, location) = status(&second, &location)?;
    finish(&second, &location, &layer, at)
}

/// Sends the rest with the end, and reads all of it.
fn finish(server: &Server, location: &str, layer: &[u8], at: usize) -> Result<()> {
    let digest = digest(layer);
    let mut connection = Connection::open(&server.address)?;
    let target = with_digest(location, &digest);
    connection
        .request("PUT", &target, &[], &layer[at..])?
        .expect(201)?;
    let blob = format!("/v2/{REPOSITORY}/blobs/{digest}");
    let request = connection.format("GET", &blob, &[], None);
    let mut hasher = Hasher::default();
    let head = connection.exchange(request.as_bytes(), false, |piece| hasher.update(piece))?;
    ensure!(head.status == 200, "status {}", head.status);
    let found = hasher.finish();
    ensure!(found == digest, "it is {found} in place of {digest}");
    Ok(())
}

/// Kills the server when it has taken half of a request.
fn cut(server: &Server, method: &str, target: &str, body: &[u8]) -> Result<()> {
    let mut connection = Connection::open(&server.address)?;
    let headers = [("Content-Type", "application/octet-stream")];
    let head = connection.format(method, target, &headers, Some(body.len()));
    connection.send(head.as_bytes())?;
    // What fits no buffer between us is taken when all of it is sent.
    connection.send(&body[..body.len() / 2])?;
    server.signal("KILL")
}

fn begin(server: &Server) -> Result<String> {
    let mut connection = Connection::open(&server.address)?;
    let target = format!("/v2/{REPOSITORY}/blobs/uploads/");
    let begun = connection.request("POST", &target, &[], b"")?.expect(202)?;
    Ok(begun.location()?.to_owned())
}

/// How many bytes it has, and where to go on.
fn status(server: &Server, location: &str) -> Result<(usize, String)> {
    let mut connection = Connection::open(&server.address)?;
    let answer = connection.request("GET", location, &[], b"")?.expect(204)?;
    let range = answer.head.header("range").context("no Range")?;
    let last = range.strip_prefix("0-").context("not a Range")?;
    let last: usize = last.parse()?;
    let at = if last == 0 { 0 } else { last + 1 };
    Ok((at, answer.location()?.to_owned()))
}

fn with_digest(location: &str, digest: &str) -> String {
    let mark = if location.contains('?') { '&' } else { '?' };
    format!("{location}{mark}digest={digest}")
}

fn layer(seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; SIZE];
    Noise::new(seed).fill(&mut bytes);
    bytes
}
