//! In which order a push reaches the disk: read from a trace of the server's system calls.
//!
//! Data is synced before it has its name, then the directories of the name bottom up, all of that
//! before the next name is given; the tag comes last, and the answer after everything.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::client::Request;
use crate::server::{Server, Setup, sha256};
use crate::trace::{self, Call};

const V2: &str = "docker/registry/v2/";

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";

/// Calls that give a file a name.
const NAMING: &[&str] = &["rename", "renameat", "renameat2", "link", "linkat"];

/// Calls that make a file where it stands, if its flags say so.
const OPENING: &[&str] = &["open", "openat", "openat2", "creat"];

/// Calls that change the content of a file, or send to a client.
const WRITING: &[&str] = &[
    "write",
    "writev",
    "pwrite64",
    "pwritev",
    "pwritev2",
    "sendto",
    "sendmsg",
    "ftruncate",
    "fallocate",
];

const MAKING: &[&str] = &["mkdir", "mkdirat"];

const SYNCING: &[&str] = &["fsync", "fdatasync"];

/// What happened, as a client or a crash could tell.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Something durable got this name, below the tree.
    Named(String),
    /// An answer with this status was sent.
    Answered(u16),
}

pub(crate) fn a_push_becomes_durable_in_the_promised_order() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("trace");
    let calls = [NAMING, OPENING, WRITING, MAKING, SYNCING].concat();
    let through = match trace::strace(&calls, &file) {
        Ok(through) => through,
        Err(why) => return trace::skip("the order of system calls of a push", why),
    };
    let through: Vec<&str> = through.iter().map(String::as_str).collect();
    let setup = Setup {
        through: &through,
        ..Setup::default()
    };
    let mut server = Server::with("filesystem", setup);
    let pushed = push(&server);
    // The tracer holds the standard error, too: when that is closed the trace is whole.
    server.process.signal("TERM");
    assert!(server.process.end().success());
    let text = std::fs::read_to_string(&file).unwrap();
    let root = server.root.path().canonicalize().unwrap().join("store");
    let trace = Trace {
        calls: trace::calls(&text),
        root,
    };
    let steps = trace.steps();
    let found: Vec<_> = steps.iter().map(|(_, step)| step).collect();
    assert_eq!(found, promised(&pushed).iter().collect::<Vec<_>>());
    for pair in steps.windows(2) {
        if let [(call, Step::Named(name)), (next, then)] = pair {
            trace.content_came_first(call);
            let durable = trace.durable(call);
            assert!(durable < next.begun, "{name} lasts before {then:?}");
        }
    }
    trace.nothing_is_made_in_place();
}

/// The digests of what was pushed.
struct Pushed {
    layer: String,
    config: String,
    image: String,
    artifact: String,
}

/// Pushes an image, one blob in pieces and one at once, and an artifact that refers to it.
fn push(server: &Server) -> Pushed {
    let layer = vec![7; 2 << 20];
    let blobs = "/v2/a/b/blobs/uploads/";
    let begun = server.send(Request::new("POST", blobs));
    let url = begun.header("location").to_owned();
    let patched = server.send(Request::new("PATCH", &url).body(&layer));
    let layer = sha256(&layer);
    let url = format!("{}&digest={layer}", patched.header("location"));
    let put = server.send(Request::new("PUT", &url));
    assert_eq!((begun.status, patched.status, put.status), (202, 202, 201));
    let config = sha256(b"{}");
    let whole = Request::new("POST", &format!("{blobs}?digest={config}")).body(b"{}");
    assert_eq!(server.send(whole).status, 201);
    let describe = |kind: &str, digest: &str, size: usize| json!({"mediaType": kind, "digest": digest, "size": size});
    let config_of = describe("application/vnd.oci.image.config.v1+json", &config, 2);
    let layer_of = describe("application/vnd.oci.image.layer.v1.tar", &layer, 2 << 20);
    let mut manifest =
        json!({"schemaVersion": 2, "mediaType": OCI, "config": config_of, "layers": [layer_of]});
    let body = manifest.to_string();
    let image = server.push_manifest("a/b", "v1", &body);
    manifest["subject"] = describe(OCI, &image, body.len());
    let artifact = server.push_manifest("a/b", "signed", &manifest.to_string());
    Pushed {
        layer,
        config,
        image,
        artifact,
    }
}

/// What must happen, in this order and nothing else.
fn promised(pushed: &Pushed) -> Vec<Step> {
    let mut steps = vec![
        named("uploads/_key"),
        Step::Answered(202),
        Step::Answered(202),
    ];
    for digest in [&pushed.layer, &pushed.config] {
        steps.push(named(&data(digest)));
        steps.push(named(&in_repository("_layers", digest)));
        steps.push(Step::Answered(201));
    }
    for (tag, digest) in [("v1", &pushed.image), ("signed", &pushed.artifact)] {
        steps.push(named(&data(digest)));
        steps.push(named(&in_repository("_manifests/revisions", digest)));
        if digest == &pushed.artifact {
            let subject = pushed.image.replace(':', "/");
            let record = format!("_referrers/{subject}/{}", digest.replace(':', "-"));
            steps.push(named(&format!("repositories/a/b/{record}")));
        }
        let tag = format!("_manifests/tags/{tag}");
        steps.push(named(&in_repository(&format!("{tag}/index"), digest)));
        steps.push(named(&format!("repositories/a/b/{tag}/current/link")));
        steps.push(Step::Answered(201));
    }
    steps
}

fn named(name: &str) -> Step {
    Step::Named(name.to_owned())
}

fn data(digest: &str) -> String {
    let hex = digest.strip_prefix("sha256:").unwrap();
    format!("blobs/sha256/{}/{hex}/data", &hex[..2])
}

fn in_repository(dir: &str, digest: &str) -> String {
    format!("repositories/a/b/{dir}/{}/link", digest.replace(':', "/"))
}

/// Names that need not outlive the machine: what belongs to uploads in progress, temporary files
/// among them, but not the key that all uploads share; and what the scan for referrers has seen.
fn is_volatile(name: &str) -> bool {
    name.starts_with("uploads/") && name != "uploads/_key" || name.ends_with("/_referrers/_scanned")
}

struct Trace {
    calls: Vec<Call>,
    root: PathBuf,
}

impl Trace {
    /// Durable names and answers, in the order in which they began.
    fn steps(&self) -> Vec<(&Call, Step)> {
        let steps = self.calls.iter().filter_map(|call| {
            if call.is(NAMING) {
                let name = self.durable_name(call.paths()[1])?;
                return call.succeeded().then_some((call, Step::Named(name)));
            }
            let (_, head) = call.arguments().split_once("\"HTTP/1.1 ")?;
            let status = head.split(' ').next()?.parse().ok()?;
            let sends = call.is(WRITING) && call.succeeded();
            sends.then_some((call, Step::Answered(status)))
        });
        steps.collect()
    }

    /// The name below the tree that this path is, if it is one that must last.
    fn durable_name(&self, path: &Path) -> Option<String> {
        let path = path.strip_prefix(&self.root).ok()?.to_str()?;
        // One that is outside the tree stays as it is, and no step that is expected.
        let name = path.strip_prefix(V2).unwrap_or(path);
        (!is_volatile(name)).then(|| name.to_owned())
    }

    fn of<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = &'a Call> {
        let good = |call: &&Call| call.is(names) && call.succeeded();
        self.calls.iter().filter(good)
    }

    /// What was written to the file that gets its name here was synced before.
    fn content_came_first(&self, naming: &Call) {
        let staged = naming.paths()[0];
        let of_it = |call: &&Call| Path::new(call.file()) == staged && call.begun < naming.begun;
        let written = self.of(WRITING).filter(of_it).map(|call| call.done).max();
        let written = written.unwrap_or_else(|| panic!("never written: {naming:?}"));
        let synced = self
            .of(SYNCING)
            .filter(of_it)
            .any(|call| written < call.begun && call.done < naming.begun);
        assert!(synced, "its data was not synced before: {naming:?}");
    }

    /// When a name was on stable storage: its directory and all that were made for it were
    /// synced, bottom up. Not the directory that it came from: a rename that lasts on one side
    /// lasts on both, and what an upload leaves is swept.
    fn durable(&self, naming: &Call) -> usize {
        let before = self.of(NAMING).map(|call| call.done);
        let before = before.filter(|done| *done < naming.begun).max();
        let mut dir = above(naming.paths()[1]);
        let mut at = self.synced(dir, naming.done);
        while dir.starts_with(&self.root) {
            if let Some(made) = self.made(dir, naming.begun) {
                // Made for an earlier name, it may have been synced with that.
                let mut syncs = self.syncs(above(dir), made);
                let known = before.is_some_and(|before| made < before)
                    && syncs.any(|sync| sync.done < naming.begun);
                if !known {
                    at = self.synced(above(dir), at);
                }
            }
            dir = above(dir);
        }
        at
    }

    /// When a directory was made, at last, before this moment.
    fn made(&self, dir: &Path, before: usize) -> Option<usize> {
        let made = self.of(MAKING).filter(|call| call.paths()[0] == dir);
        made.map(|call| call.done)
            .filter(|done| *done < before)
            .max()
    }

    fn syncs<'a>(&'a self, dir: &'a Path, after: usize) -> impl Iterator<Item = &'a Call> {
        self.of(&["fsync"])
            .filter(move |call| Path::new(call.file()) == dir && after < call.begun)
    }

    /// When the first sync of a directory that began after this moment was done.
    fn synced(&self, dir: &Path, after: usize) -> usize {
        let synced = self.syncs(dir, after).map(|call| call.done).min();
        synced.unwrap_or_else(|| panic!("{} not synced after line {after}", dir.display()))
    }

    /// Nothing durable is made or written under the name that it keeps.
    fn nothing_is_made_in_place(&self) {
        for call in self.of(OPENING) {
            if call.arguments().contains("O_CREAT") || call.is(&["creat"]) {
                assert_eq!(self.durable_name(call.paths()[0]), None, "{call:?}");
            }
        }
        for call in self.of(WRITING) {
            assert_eq!(self.durable_name(Path::new(call.file())), None, "{call:?}");
        }
    }
}

fn above(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}
