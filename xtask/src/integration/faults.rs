//! A store that fails: whatever was acknowledged is whole, and who could not be served is told to
//! come back.

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;

use super::fixture::Fixture;
use super::step;
use crate::digest::{Noise, digest};
use crate::fault_proxy::{Failure, Fault, FaultProxy, When, tally};
use crate::http::{Answer, Connection};
use crate::image::MANIFEST;
use crate::s3::{Endpoint, Minio};
use crate::server::{Server, Start, free_address};

const REPOSITORY: &str = "faults/image";

/// What passes, sooner or later: a store that does not answer takes the most time, and has a step of
/// its own.
const PASSING: [Fault; 5] = [
    Fault::INTERNAL,
    Fault::SLOW_DOWN,
    Fault::CONFLICT,
    Fault::PRECONDITION,
    Fault::Reset,
];

/// A registry whose store is behind a proxy.
struct Site {
    // Ends first.
    server: Server,
    proxy: FaultProxy,
    pushes: u64,
}

/// What a push has come to.
#[derive(Default)]
struct Pushed {
    /// Content that was acknowledged.
    blobs: Vec<Vec<u8>>,
    manifest: Option<Vec<u8>>,
    tag: String,
    /// Whether it was told to come back later.
    refused: bool,
}

pub(super) fn run(fixture: &Fixture) -> Result<()> {
    let folder = fixture.folder("faults")?;
    let minio = Minio::start(&folder.join("minio"))?;
    minio.endpoint.make_bucket("faults")?;
    let proxy = FaultProxy::start(&minio.endpoint.address)?;
    let there = Endpoint {
        address: proxy.address.clone(),
        ..minio.endpoint.clone()
    };
    let driver = there.section("faults") + "\n  redirect: {disable: true}";
    let server = Server::launch(Start {
        binary: &fixture.binary,
        folder: &folder,
        address: &free_address()?,
        level: "info",
        driver: Some(&driver),
        more: "",
        tls: None,
    })?;
    let mut site = Site {
        server,
        proxy,
        pushes: 0,
    };
    let all = steps(&mut site);
    if all.is_err() {
        site.server.print_log();
    }
    all
}

fn steps(site: &mut Site) -> Result<()> {
    for when in [When::Before, When::After] {
        for fault in PASSING {
            let what = format!("{fault:?} {when:?} any request of a push");
            step(&what, || site.fail_each_once(when, fault))?;
        }
    }
    step("a store that is down for a while", || site.down())?;
    step("a request that is never answered", || site.silent())?;
    step("errors behind a good status", || site.error_in_body())?;
    step("bodies that are cut", || site.cut())?;
    step("pages that are cut, or lack a tag, or repeat it", || {
        site.pages()
    })
}

impl Site {
    fn connect(&self) -> Result<Connection> {
        Connection::open(&self.server.address)
    }

    /// Two layers, one by POST and PUT and one by POST, PATCH and PUT, and a manifest with a tag.
    /// It ends where the registry says that its store is not there.
    fn push(&mut self) -> Result<Pushed> {
        self.pushes += 1;
        let mut pushed = Pushed {
            tag: format!("t{}", self.pushes),
            ..Pushed::default()
        };
        let mut connection = self.connect()?;
        for patch in [false, true] {
            let mut bytes = vec![0; 50_000];
            Noise::new(2 * self.pushes + u64::from(patch)).fill(&mut bytes);
            if !put_blob(&mut connection, &bytes, patch)? {
                pushed.refused = true;
                return Ok(pushed);
            }
            pushed.blobs.push(bytes);
        }
        let described = |bytes: &[u8]| {
            json!({
                "mediaType": "application/octet-stream",
                "digest": digest(bytes),
                "size": bytes.len(),
            })
        };
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": described(&pushed.blobs[0]),
            "layers": [described(&pushed.blobs[1])],
        });
        let manifest = manifest.to_string().into_bytes();
        let target = format!("/v2/{REPOSITORY}/manifests/{}", pushed.tag);
        let headers = [("Content-Type", MANIFEST)];
        let answer = connection.request("PUT", &target, &headers, &manifest)?;
        match done(answer, 201)? {
            Some(_) => pushed.manifest = Some(manifest),
            None => pushed.refused = true,
        }
        Ok(pushed)
    }

    /// Fails unless all that was acknowledged is there.
    fn expect_whole(&self, pushed: &Pushed) -> Result<()> {
        let mut connection = self.connect()?;
        for blob in &pushed.blobs {
            let target = format!("/v2/{REPOSITORY}/blobs/{}", digest(blob));
            let found = connection.request("GET", &target, &[], b"")?.expect(200)?;
            ensure!(
                found.body == *blob,
                "a blob that was acknowledged is another"
            );
        }
        if let Some(manifest) = &pushed.manifest {
            let target = format!("/v2/{REPOSITORY}/manifests/{}", pushed.tag);
            let headers = [("Accept", MANIFEST)];
            let found = connection
                .request("GET", &target, &headers, b"")?
                .expect(200)?;
            ensure!(
                found.body == *manifest,
                "a tag that was acknowledged is another"
            );
        }
        Ok(())
    }

    /// One request of each push, the first one, then the second one, until none fails any more.
    fn fail_each_once(&mut self, when: When, fault: Fault) -> Result<()> {
        for request in 0..1_000 {
            self.proxy.take_log();
            let failure = Failure::new(when, fault).skip(request);
            self.proxy.fail(match fault {
                // Of reads no store says that something was in the way.
                Fault::CONFLICT | Fault::PRECONDITION => failure.of("PutObject"),
                _ => failure,
            });
            let pushed = self.push().with_context(|| {
                let log = self.proxy.take_log();
                let failed = log.iter().find(|seen| seen.failed);
                let what =
                    failed.map(|seen| format!("{} {}?{}", seen.operation, seen.key, seen.query));
                format!("request {request}: {what:?}")
            })?;
            let met = self.proxy.stop_failing() == 0;
            self.expect_whole(&pushed)
                .with_context(|| format!("request {request}"))?;
            if !met {
                ensure!(
                    request > 0,
                    "no request failed: {}",
                    tally(&self.proxy.take_log())
                );
                ensure!(!pushed.refused, "nothing failed, and it was refused");
                return Ok(());
            }
        }
        bail!("a push has no end");
    }

    fn down(&mut self) -> Result<()> {
        let before = self.push()?;
        self.proxy
            .fail(Failure::new(When::Before, Fault::SLOW_DOWN).times(usize::MAX));
        let mut connection = self.connect()?;
        let blob = digest(&before.blobs[0]);
        for target in [
            format!("/v2/{REPOSITORY}/blobs/{blob}"),
            format!("/v2/{REPOSITORY}/manifests/{}", before.tag),
            format!("/v2/{REPOSITORY}/tags/list"),
        ] {
            let answer = connection.request("GET", &target, &[("Accept", MANIFEST)], b"")?;
            ensure!(done(answer, 200)?.is_none(), "{target} is answered");
        }
        let meanwhile = self.push()?;
        ensure!(meanwhile.refused, "a push is taken");
        ensure!(self.proxy.stop_failing() == 1);
        for pushed in [before, meanwhile, self.push()?] {
            self.expect_whole(&pushed)?;
        }
        Ok(())
    }

    /// It takes as long as the registry waits.
    fn silent(&mut self) -> Result<()> {
        self.proxy
            .fail(Failure::new(When::After, Fault::Silence).of("PutObject"));
        let pushed = self.push()?;
        ensure!(self.proxy.stop_failing() == 0, "nothing was silent");
        self.expect_whole(&pushed)
    }

    /// Of what takes so long that stores begin to answer before they know.
    fn error_in_body(&mut self) -> Result<()> {
        let mut bytes = vec![0; 36 << 20];
        for (number, operation) in ["CompleteMultipartUpload", "UploadPartCopy"]
            .into_iter()
            .enumerate()
        {
            Noise::new(u64::MAX - number as u64).fill(&mut bytes);
            let fault = Fault::ErrorInBody("InternalError");
            self.proxy
                .fail(Failure::new(When::Before, fault).of(operation));
            let done = put_blob(&mut self.connect()?, &bytes, true)?;
            ensure!(self.proxy.stop_failing() == 0, "no {operation}");
            let blobs = if done {
                vec![bytes.clone()]
            } else {
                Vec::new()
            };
            let pushed = Pushed {
                blobs,
                ..Pushed::default()
            };
            self.expect_whole(&pushed).context(operation)?;
        }
        Ok(())
    }

    fn cut(&mut self) -> Result<()> {
        let mut bytes = vec![0; 3 << 20];
        Noise::new(0).fill(&mut bytes);
        ensure!(
            put_blob(&mut self.connect()?, &bytes, false)?,
            "it is refused"
        );
        let pushed = Pushed {
            blobs: vec![bytes],
            ..Pushed::default()
        };
        for after in [0, 1, 1 << 20, (3 << 20) - 1] {
            let cut = Failure::new(When::After, Fault::Cut(after)).of("GetObject");
            // The first one is the link.
            self.proxy.fail(cut.skip(1).times(2));
            self.expect_whole(&pushed)
                .with_context(|| format!("after {after} bytes"))?;
            ensure!(self.proxy.stop_failing() == 0, "nothing was cut");
        }
        Ok(())
    }

    fn pages(&mut self) -> Result<()> {
        let target = format!("/v2/{REPOSITORY}/tags/list?n=3");
        let page = |site: &Self| -> Result<Vec<u8>> {
            let answer = site.connect()?.request("GET", &target, &[], b"")?;
            Ok(answer.expect(200)?.body)
        };
        let expected = page(self)?;
        for fault in [Fault::Cut(0), Fault::Cut(100), Fault::Repeat] {
            self.proxy
                .fail(Failure::new(When::After, fault).of("ListObjectsV2"));
            let found = page(self)?;
            ensure!(self.proxy.stop_failing() == 0, "nothing was listed");
            ensure!(found == expected, "{fault:?}: another page");
        }
        // Nobody can know, but it is not remembered either.
        self.proxy
            .fail(Failure::new(When::After, Fault::Drop).of("ListObjectsV2"));
        page(self)?;
        ensure!(self.proxy.stop_failing() == 0, "nothing was listed");
        ensure!(page(self)? == expected, "a tag stays away");
        Ok(())
    }
}

/// Whether the registry has taken it; if not, its store is not there.
fn put_blob(connection: &mut Connection, bytes: &[u8], patch: bool) -> Result<bool> {
    let target = format!("/v2/{REPOSITORY}/blobs/uploads/");
    let begun = connection.request("POST", &target, &[], b"")?;
    let Some(begun) = done(begun, 202)? else {
        return Ok(false);
    };
    let mut location = begun.location()?.to_owned();
    let mut rest = bytes;
    if patch {
        let appended = connection.request("PATCH", &location, &[], bytes)?;
        let Some(appended) = done(appended, 202)? else {
            return Ok(false);
        };
        location = appended.location()?.to_owned();
        rest = b"";
    }
    let mark = if location.contains('?') { '&' } else { '?' };
    let target = format!("{location}{mark}digest={}", digest(bytes));
    let finished = connection.request("PUT", &target, &[], rest)?;
    Ok(done(finished, 201)?.is_some())
}

/// The answer, if it is the wanted one; `None` if it says when to come back, and an error for
/// whatever else there is.
fn done(answer: Answer, status: u16) -> Result<Option<Answer>> {
    if answer.status == 503 && answer.head.header("retry-after").is_some() {
        return Ok(None);
    }
    answer.expect(status).map(Some)
}
