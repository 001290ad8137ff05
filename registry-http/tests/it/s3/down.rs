//! A store that is down: clients are told to come back, at once and without anything waiting, and
//! it is found again as soon as it is there.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use registry_core::testing::content;
use storage_s3::testing::{Failure, Fault, Operation, When};

use super::lane::Lane;
use crate::client::{Answer, Request};
use crate::manifests::image;
use crate::process::wait_for;
use crate::server::{Server, sha256};

/// Who pushes meanwhile.
const CLIENTS: u64 = 16;

/// More than the memory of all uploads, and less than what is refused would take together.
const GROWTH: usize = 320 << 20;

/// `REGISTRY_TEST_OUTAGE` is how many seconds more the store is down.
fn outage() -> Duration {
    let seconds = std::env::var("REGISTRY_TEST_OUTAGE").ok();
    Duration::from_secs(seconds.map_or(0, |seconds| seconds.parse().unwrap()))
}

fn is_refusal(answer: &Answer) -> bool {
    let refused = answer.status == 503;
    assert!(
        !refused || answer.header("retry-after") == "5",
        "{answer:?}"
    );
    refused
}

/// Pushes that go on for as long as this is there.
#[derive(Default)]
struct Load {
    ended: AtomicBool,
    refused: AtomicUsize,
    pushed: Mutex<Vec<String>>,
}

/// Whatever becomes of the test, its clients come to an end.
struct End<'a>(&'a Load);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::Relaxed);
    }
}

impl Load {
    fn push(&self, server: &Server, client: u64) {
        for n in 0.. {
            if self.ended.load(Ordering::Relaxed) {
                return;
            }
            let bytes = content(client << 32 | n, 1 << 20);
            let begun = server.send(Request::new("POST", "/v2/app/blobs/uploads/"));
            if is_refusal(&begun) {
                self.refused.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            assert_eq!(begun.status, 202, "{begun:?}");
            let digest = sha256(&bytes);
            let url = format!("{}&digest={digest}", begun.header("location"));
            let put = server.send(Request::new("PUT", &url).body(&bytes));
            if is_refusal(&put) {
                self.refused.fetch_add(1, Ordering::Relaxed);
            } else {
                assert_eq!(put.status, 201, "{put:?}");
                self.pushed.lock().unwrap().push(digest);
            }
        }
    }

    fn pushed(&self) -> usize {
        self.pushed.lock().unwrap().len()
    }

    fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }
}

/// Bytes that a process has in memory.
#[cfg(target_os = "linux")]
fn memory(process: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: String = line.unwrap().chars().filter(char::is_ascii_digit).collect();
    kib.parse::<usize>().unwrap() << 10
}

#[cfg(not(target_os = "linux"))]
fn memory(_: u32) -> usize {
    0
}

#[test]
fn pushes_to_a_store_that_is_gone_for_a_while_are_refused_and_none_is_lost() {
    let server = Server::start("s3");
    server.push_manifest("app", "latest", &image(&server, "app", "layer"));
    let load = Load::default();
    thread::scope(|scope| {
        let end = End(&load);
        for client in 0..CLIENTS {
            let (load, server) = (&load, &server);
            scope.spawn(move || load.push(server, client));
        }
        let id = server.process.id();
        wait_for(|| (load.pushed() >= CLIENTS as usize).then_some(()));
        let before = memory(id);
        server.bucket().shut();
        let (down, least) = (Instant::now(), load.refused() + 10 * CLIENTS as usize);
        let mut most = 0;
        wait_for(|| {
            most = most.max(memory(id));
            (load.refused() >= least).then_some(())
        });
        while down.elapsed() < outage() {
            most = most.max(memory(id));
            thread::yield_now();
        }
        assert!(most < before + GROWTH, "from {before} to {most} bytes");
        // What needs no store is answered as ever.
        assert_eq!(server.get("/v2/").status, 200);
        assert!(is_refusal(&server.get("/v2/app/manifests/latest")));
        let pushed = load.pushed();
        server.bucket().reopen();
        wait_for(|| (load.pushed() > pushed + CLIENTS as usize).then_some(()));
        drop(end);
    });
    for digest in load.pushed.into_inner().unwrap() {
        let found = server.get(&format!("/v2/app/blobs/{digest}"));
        assert_eq!((found.status, sha256(&found.body)), (200, digest));
    }
    assert_eq!(server.get("/v2/app/manifests/latest").status, 200);
}

fn silence() -> Failure {
    Failure::new(When::Before, Fault::Silence).times(usize::MAX)
}

fn get(path: &str) -> Request {
    Request::new("GET", path)
}

#[test]
fn a_store_that_takes_requests_and_answers_none_is_left_alone() {
    let lane = Lane::start(|config| {
        config.patience = Duration::from_millis(300);
        config.despair = Duration::from_millis(300);
        config.retries = 3;
    });
    let running = lane.serve();
    let paths = ["/v2/app/manifests/latest", "/v2/app/tags/list"];
    let asked = || (!is_refusal(&get(paths[0]).send(running.address))).then_some(());
    wait_for(asked);
    lane.bucket.fail(silence());
    // Only this one finds out.
    assert!(is_refusal(&get(paths[0]).send(running.address)));
    let begun = Instant::now();
    lane.bucket.take_log();
    for path in paths.iter().cycle().take(200) {
        assert!(is_refusal(&get(path).send(running.address)));
        assert_eq!(get("/v2/").send(running.address).status, 200);
    }
    let heard = lane.bucket.take_log().len() as u64;
    // One each second may see whether it is back.
    let most = begun.elapsed().as_secs() + 2;
    assert!(heard <= most, "{heard} of 200 requests, and not {most}");
    lane.bucket.stop_failing();
    wait_for(asked);
    let first = lane
        .bucket
        .take_log()
        .into_iter()
        .find(|one| one.status.is_some());
    assert_eq!(first.map(|one| one.operation), Some(Operation::GetObject));
}

#[test]
fn who_waits_for_the_store_keeps_nobody_else_waiting() {
    let lane = Lane::start(|config| config.patience = Duration::from_secs(3_600));
    let running = lane.serve();
    lane.bucket.fail(silence());
    lane.bucket.take_log();
    thread::scope(|scope| {
        // Ends what waits, whatever becomes of the test.
        struct Reopened<'a>(&'a Lane);
        impl Drop for Reopened<'_> {
            fn drop(&mut self) {
                self.0.bucket.stop_failing();
                self.0.bucket.shut();
                self.0.bucket.reopen();
            }
        }
        let reopened = Reopened(&lane);
        let waiting: Vec<_> = (0..50)
            .map(|n| {
                let path = format!("/v2/app/manifests/tag-{n}");
                scope.spawn(move || get(&path).send(running.address))
            })
            .collect();
        wait_for(|| (lane.bucket.count(Operation::GetObject) >= 50).then_some(()));
        for _ in 0..50 {
            assert_eq!(get("/v2/").send(running.address).status, 200);
        }
        assert!(waiting.iter().all(|one| !one.is_finished()));
        // It starts again, which is not noticed, or a fault.
        drop(reopened);
        for one in waiting {
            let answer = one.join().unwrap();
            assert!(answer.status == 404 || is_refusal(&answer), "{answer:?}");
        }
    });
}
