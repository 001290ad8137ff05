//! Three nodes of Garage, of which one fails while images are pushed and pulled.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::json;

use super::{Pulls, clients, launch};
use crate::digest::{Noise, digest};
use crate::http::{Answer, Connection};
use crate::image::MANIFEST;
use crate::integration::fixture::Fixture;
use crate::integration::step;
use crate::s3::Garage;
use crate::server::Server;
use crate::sh;

const BUCKET: &str = "nodes";
const WORKERS: u64 = 4;
/// Images of all before the failure.
const AT_FIRST: usize = 8;
/// Images of each worker after it.
const AFTER: usize = 6;
const LAYER: usize = 300 << 10;
/// How long the store may refuse what it can do without the node.
const PATIENCE: Duration = Duration::from_secs(120);

pub(in crate::integration) fn run(fixture: &Fixture) -> Result<()> {
    let mut garage = Garage::start(&fixture.folder("garage")?)?;
    let ran = scenarios(fixture, &mut garage);
    if ran.is_err() {
        garage.print_log();
    }
    ran
}

fn scenarios(fixture: &Fixture, garage: &mut Garage) -> Result<()> {
    let buckets = garage.endpoint().clone();
    clients(fixture, &buckets, Pulls::Redirected)?;
    buckets.make_bucket(BUCKET)?;
    let section = Pulls::Streamed.section(&buckets, BUCKET);
    let server = launch(fixture, "s3-nodes", &section)?;
    let ran = step("conditions that are passed over are told of", || {
        // If Garage holds to them one day, several servers may have a bucket of it.
        let told = "passes over conditions of writes";
        ensure!(server.log()?.contains(told), "nothing is said of them");
        Ok(())
    })
    .and_then(|()| {
        step("a node is killed, and comes back", || {
            killed(&server, garage)
        })
    })
    .and_then(|()| {
        step("a node stands still, and goes on", || {
            let work = Work::new(&server, "stopped").run(|| garage.signal(1, "STOP"));
            // Whatever came of it: one that stands still does not end, either.
            garage.signal(1, "CONT")?;
            work?.expect_whole(&server)
        })
    });
    if ran.is_err() {
        server.print_log();
    }
    ran
}

fn killed(server: &Server, garage: &mut Garage) -> Result<()> {
    let all = Work::new(server, "killed").run(|| garage.signal(2, "KILL"))?;
    all.expect_whole(server)?;
    garage.restart(2)?;
    all.expect_whole(server)
}

/// Pushes and pulls of several at once.
struct Work<'a> {
    server: &'a Server,
    repository: String,
    /// Images that were acknowledged.
    images: AtomicUsize,
    /// Whether the node has failed.
    failed: AtomicBool,
    /// Whether to end because something went wrong.
    over: AtomicBool,
    /// Answers with 503.
    refused: AtomicUsize,
    all: Mutex<Acknowledged>,
}

/// What was answered with success: paths, with the digests of what is there.
#[derive(Default)]
struct Acknowledged(BTreeMap<String, String>);

impl Acknowledged {
    fn expect_whole(&self, server: &Server) -> Result<()> {
        let mut connection = Connection::open(&server.address)?;
        for (path, wanted) in &self.0 {
            let answer = sh::wait_for("the end of 503", PATIENCE, || {
                let answer = connection.request("GET", path, &[("Accept", MANIFEST)], b"")?;
                Ok((answer.status != 503).then_some(answer))
            })?;
            let answer = answer.expect(200).with_context(|| path.clone())?;
            let found = digest(&answer.body);
            ensure!(found == *wanted, "{path} is {found} in place of {wanted}");
        }
        Ok(())
    }
}

impl<'a> Work<'a> {
    fn new(server: &'a Server, name: &str) -> Self {
        Self {
            server,
            repository: format!("s3/{name}"),
            images: AtomicUsize::new(0),
            failed: AtomicBool::new(false),
            over: AtomicBool::new(false),
            refused: AtomicUsize::new(0),
            all: Mutex::default(),
        }
    }

    /// Lets the failure come while all are at work. Nothing but 503 may be seen of it.
    fn run(self, failure: impl FnOnce() -> Result<()>) -> Result<Acknowledged> {
        let outcome = thread::scope(|scope| {
            let this = &self;
            let workers: Vec<_> = (0..WORKERS)
                .map(|number| scope.spawn(move || this.ended(this.worker(number))))
                .collect();
            let failed = sh::wait_for("the first images", PATIENCE, || {
                let pushed = self.images.load(Ordering::SeqCst);
                let over = self.over.load(Ordering::SeqCst);
                Ok((over || pushed >= AT_FIRST).then_some(()))
            })
            .and_then(|()| failure());
            self.failed.store(true, Ordering::SeqCst);
            if failed.is_err() {
                self.over.store(true, Ordering::SeqCst);
            }
            let mut worked = Ok(());
            for worker in workers {
                let ended = worker.join().map_err(|_| anyhow!("a worker panicked"));
                worked = worked.and(ended.and_then(|ended| ended));
            }
            worked.and(failed)
        });
        outcome?;
        let all = self
            .all
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        println!(
            "  {} answers to look at again, {} times 503",
            all.0.len(),
            self.refused.load(Ordering::SeqCst)
        );
        Ok(all)
    }

    /// Nobody goes on when one has failed.
    fn ended(&self, ended: Result<()>) -> Result<()> {
        if ended.is_err() {
            self.over.store(true, Ordering::SeqCst);
        }
        ended
    }

    /// Pushes images, and pulls each after the next, until enough are pushed after the failure.
    fn worker(&self, number: u64) -> Result<()> {
        let mut connection = Connection::open(&self.server.address)?;
        let (mut turn, mut after) = (0, 0);
        while after < AFTER && !self.over.load(Ordering::SeqCst) {
            let has_failed = self.failed.load(Ordering::SeqCst);
            let tag = format!("worker-{number}-{turn}");
            self.push(&mut connection, number * 10_000 + turn, &tag)
                .with_context(|| format!("pushing {tag}"))?;
            if let Some(before) = turn.checked_sub(1) {
                let tag = format!("worker-{number}-{before}");
                let path = format!("/v2/{}/manifests/{tag}", self.repository);
                self.ask(&mut connection, "GET", &path, &[], b"")?
                    .expect(200)?;
            }
            turn += 1;
            after += usize::from(has_failed);
            self.images.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }

    fn push(&self, connection: &mut Connection, seed: u64, tag: &str) -> Result<()> {
        let mut layer = vec![0; LAYER];
        Noise::new(seed + 1).fill(&mut layer);
        let config = json!({ "architecture": "amd64", "os": "linux", "seed": seed }).to_string();
        let mut blobs = Vec::new();
        for (bytes, media_type) in [
            (
                config.as_bytes(),
                "application/vnd.oci.image.config.v1+json",
            ),
            (&layer, "application/vnd.oci.image.layer.v1.tar"),
        ] {
            let digest = self.blob(connection, bytes)?;
            let size = bytes.len();
            blobs.push(json!({ "mediaType": media_type, "digest": digest, "size": size }));
        }
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": blobs[0],
            "layers": [blobs[1]],
        });
        let bytes = manifest.to_string().into_bytes();
        let path = format!("/v2/{}/manifests/{tag}", self.repository);
        let headers = [("Content-Type", MANIFEST)];
        self.ask(connection, "PUT", &path, &headers, &bytes)?
            .expect(201)?;
        self.acknowledge(path, digest(&bytes));
        Ok(())
    }

    /// As clients do that are refused: from the start.
    fn blob(&self, connection: &mut Connection, bytes: &[u8]) -> Result<String> {
        let digest = digest(bytes);
        let begin = format!("/v2/{}/blobs/uploads/", self.repository);
        sh::wait_for("the end of 503", PATIENCE, || {
            let begun = self
                .ask(connection, "POST", &begin, &[], b"")?
                .expect(202)?;
            let location = begun.location()?;
            let mark = if location.contains('?') { '&' } else { '?' };
            let target = format!("{location}{mark}digest={digest}");
            let answer = connection.request("PUT", &target, &[], bytes)?;
            self.unless_refused(answer)?
                .map(|answer| answer.expect(201))
                .transpose()
        })?;
        self.acknowledge(
            format!("/v2/{}/blobs/{digest}", self.repository),
            digest.clone(),
        );
        Ok(digest)
    }

    /// Asks until it is not refused.
    fn ask(
        &self,
        connection: &mut Connection,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer> {
        sh::wait_for("the end of 503", PATIENCE, || {
            let answer = connection.request(method, path, headers, body)?;
            self.unless_refused(answer)
        })
    }

    /// Nothing for 503, which has to say when to come again.
    fn unless_refused(&self, answer: Answer) -> Result<Option<Answer>> {
        if answer.status != 503 {
            return Ok(Some(answer));
        }
        let again = answer.head.header("retry-after");
        ensure!(again.is_some(), "503 without Retry-After");
        self.refused.fetch_add(1, Ordering::SeqCst);
        Ok(None)
    }

    fn acknowledge(&self, path: String, digest: String) {
        let all = self.all.lock();
        all.unwrap_or_else(PoisonError::into_inner)
            .0
            .insert(path, digest);
    }
}
