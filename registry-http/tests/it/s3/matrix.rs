//! Every request that the registry makes of its bucket goes wrong once, in each way and before or
//! after the bucket has done what was asked: what clients are told is true, and coming back as they
//! are told to ends well.

mod client;
mod image;

use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime};

use registry_core::testing::content;
use registry_core::{RegistryError, StorageError};
use storage_s3::testing::{Failure, Fault, Operation, Snapshot, When};

use self::client::Client;
use self::image::{Image, assert_blob};
use super::lane::{Lane, PART, Running};
use crate::server::sha256;

const FAULTS: [Fault; 6] = [
    Fault::Silence,
    Fault::Reset,
    Fault::INTERNAL,
    Fault::SLOW_DOWN,
    Fault::CONFLICT,
    Fault::PRECONDITION,
];

/// Longer than anything takes here, even if others keep the machine busy; if not, it is one fault
/// more.
const PATIENCE: Duration = Duration::from_secs(1);

/// So many side by side: most of the time they wait.
const LANES: usize = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    SmallInPieces,
    LargeInPieces,
    SmallAtOnce,
    LargeAtOnce,
    Tag,
    MoveTag,
    CreateOnlyTag,
    Untag,
    DeleteManifest,
    DeleteBlob,
    Collect,
}

const STEPS: [Step; 9] = [
    Step::SmallAtOnce,
    Step::LargeAtOnce,
    Step::Tag,
    Step::MoveTag,
    Step::CreateOnlyTag,
    Step::Untag,
    Step::DeleteManifest,
    Step::DeleteBlob,
    Step::Collect,
];

/// They leave pieces, which are removed later, while something else is going on.
const IN_PIECES: [Step; 2] = [Step::SmallInPieces, Step::LargeInPieces];

fn old() -> Image {
    Image::new(10)
}

fn new() -> Image {
    Image::new(20)
}

fn small() -> Vec<u8> {
    content(1, 1_000).to_vec()
}

/// Two parts and a half.
fn large() -> Vec<u8> {
    content(2, 2 * PART + PART / 2).to_vec()
}

/// What a tag points to, which is whole.
fn tagged(client: &Client, tag: &str) -> Option<String> {
    let found = client.get(&format!("manifests/{tag}"));
    let listed = client.get("tags/list").json()["tags"].clone();
    let listed: Vec<String> = serde_json::from_value(listed).unwrap_or_default();
    let there = match found.status {
        200 => Some(sha256(&found.body)),
        404 => None,
        _ => panic!("{}: {found:?}", client.context),
    };
    let times = listed.iter().filter(|one| *one == tag).count();
    assert_eq!(
        times,
        usize::from(there.is_some()),
        "{}: {listed:?}",
        client.context
    );
    for image in [old(), new()] {
        if there == Some(image.digest()) {
            image.assert_whole(client);
        }
    }
    there
}

impl Step {
    fn repository(self) -> &'static str {
        match self {
            Self::CreateOnlyTag => "fixed/app",
            _ => "app",
        }
    }

    fn prepare(self, client: &Client) {
        match self {
            Self::Tag | Self::CreateOnlyTag => new().push_blobs(client),
            Self::MoveTag => {
                old().push(client, "latest");
                new().push_blobs(client);
            }
            // With a history.
            Self::Untag | Self::DeleteManifest => {
                new().push(client, "latest");
                old().push(client, "latest");
            }
            Self::DeleteBlob => client.push_at_once(&small()),
            Self::Collect => {
                new().push(client, "latest");
                client.push_at_once(&large());
            }
            _ => {}
        }
    }

    fn run(self, client: &Client, running: &Running) {
        match self {
            Self::SmallInPieces => client.push_in_pieces(&small(), 600),
            Self::LargeInPieces => client.push_in_pieces(&large(), PART + PART / 3),
            Self::SmallAtOnce => client.push_at_once(&small()),
            Self::LargeAtOnce => client.push_at_once(&large()),
            Self::Tag | Self::MoveTag | Self::CreateOnlyTag => {
                client.put_manifest("latest", &new().manifest);
            }
            Self::Untag => client.delete("manifests/latest"),
            Self::DeleteManifest => client.delete(&format!("manifests/{}", old().digest())),
            Self::DeleteBlob => client.delete(&format!("blobs/{}", sha256(&small()))),
            Self::Collect => self.collect(client, running),
        }
    }

    /// A cycle that fails is followed by another.
    fn collect(self, client: &Client, running: &Running) {
        loop {
            match running.collect() {
                Ok(_) => return,
                Err(RegistryError::Storage(StorageError::Backend {
                    temporary: true, ..
                })) => {
                    client.refused.set(client.refused.get() + 1);
                    // Whatever has become of it, nothing that is needed is gone.
                    new().assert_whole(client);
                    assert!(client.refused.get() < 10, "{}", client.context);
                }
                Err(error) => panic!("{}: {error:?}", client.context),
            }
        }
    }

    fn check(self, client: &Client, lane: &Lane) {
        let context = &client.context;
        match self {
            Self::SmallInPieces | Self::SmallAtOnce => assert_blob(client, &small()),
            Self::LargeInPieces | Self::LargeAtOnce => assert_blob(client, &large()),
            Self::Tag | Self::MoveTag | Self::CreateOnlyTag => {
                assert_eq!(tagged(client, "latest"), Some(new().digest()), "{context}");
            }
            Self::Untag => {
                assert_eq!(tagged(client, "latest"), None, "{context}");
                old().assert_whole(client);
            }
            Self::DeleteManifest => {
                assert_eq!(tagged(client, "latest"), None, "{context}");
                let gone = client.get(&format!("manifests/{}", old().digest()));
                assert_eq!(gone.status, 404, "{context}");
                new().assert_whole(client);
            }
            Self::DeleteBlob => {
                let gone = client.get(&format!("blobs/{}", sha256(&small())));
                assert_eq!(gone.status, 404, "{context}");
            }
            Self::Collect => {
                assert_eq!(tagged(client, "latest"), Some(new().digest()), "{context}");
                let keys = lane.bucket.keys();
                let left = keys.iter().filter(|key| key.ends_with("/data"));
                assert_eq!(left.count(), 3, "{context}: {keys:?}");
                assert!(!keys.iter().any(|key| key.contains("/gc/")), "{context}");
            }
        }
        assert_no_poison(lane, context);
    }
}

/// Each blob in the bucket is what its name says.
fn assert_no_poison(lane: &Lane, context: &str) {
    for key in lane.bucket.keys() {
        let name = key
            .strip_suffix("/data")
            .and_then(|dir| dir.rsplit('/').next());
        if let Some(name) = name.filter(|_| key.contains("/blobs/")) {
            let bytes = lane.bucket.object(&key).unwrap().bytes;
            assert_eq!(sha256(&bytes), format!("sha256:{name}"), "{context}");
        }
    }
}

/// What goes wrong, and with which request of a step.
#[derive(Clone, Debug)]
struct Trial {
    step: Step,
    call: usize,
    when: When,
    fault: Fault,
    prepared: Arc<Snapshot>,
}

fn client(running: &Running, step: Step, context: String) -> Client {
    Client {
        address: running.address,
        repository: step.repository(),
        refused: Cell::new(0),
        context,
    }
}

impl Trial {
    /// How often the client was told to come back.
    fn run(&self, lane: &Lane) -> usize {
        let (call, when, fault) = (self.call, self.when, &self.fault);
        let context = format!("{:?}, {fault:?} {when:?} request {call}", self.step);
        lane.bucket.restore(&self.prepared);
        let running = lane.serve();
        let client = client(&running, self.step, context);
        let failure = Failure::new(when, fault.clone()).skip(call);
        lane.bucket.fail(match IN_PIECES.contains(&self.step) {
            true => failure.but_of(Operation::DeleteObjects),
            false => failure,
        });
        self.step.run(&client, &running);
        let missed = lane.bucket.stop_failing();
        assert_eq!(missed, 0, "{}: it did not happen", client.context);
        self.step.check(&client, lane);
        client.refused.get()
    }
}

/// A step without any fault: where it begins, and how many requests it makes.
fn rehearse(lane: &Lane, step: Step) -> (Arc<Snapshot>, usize) {
    let running = lane.serve();
    let client = client(&running, step, format!("{step:?} without a fault"));
    step.prepare(&client);
    for key in lane.bucket.keys() {
        // Older than any grace.
        lane.bucket.set_modified(
            &key,
            SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        );
    }
    drop(running);
    let prepared = lane.bucket.snapshot();
    let running = lane.serve();
    let client = self::client(&running, step, client.context);
    lane.bucket.take_log();
    step.run(&client, &running);
    let mut asked = lane.bucket.take_log();
    asked.retain(|one| !IN_PIECES.contains(&step) || one.operation != Operation::DeleteObjects);
    step.check(&client, lane);
    assert_eq!(client.refused.get(), 0);
    (Arc::new(prepared), asked.len())
}

fn start(retries: usize, patience: Duration) -> Lane {
    Lane::start(|config| {
        config.retries = retries;
        config.patience = patience;
        // What times out on a busy machine is no store that is down.
        config.despair = Duration::from_secs(3_600);
    })
}

fn trials(steps: &[Step], retries: usize, faults: &[Fault], whens: &[When]) -> VecDeque<Trial> {
    let mut trials = VecDeque::new();
    for &step in steps {
        let lane = start(retries, 10 * PATIENCE);
        let (prepared, requests) = rehearse(&lane, step);
        assert!(requests > 1, "{step:?}: {requests} requests");
        for call in 0..requests {
            for fault in faults {
                for &when in whens {
                    trials.push_back(Trial {
                        step,
                        call,
                        when,
                        fault: fault.clone(),
                        prepared: Arc::clone(&prepared),
                    });
                }
            }
        }
    }
    trials
}

/// How often clients were told to come back, and in how many trials.
fn run(retries: usize, faults: &[Fault], whens: &[When]) -> (usize, usize) {
    let (refused, all) = run_steps(trials(&STEPS, retries, faults, whens), retries);
    let in_pieces = run_steps(trials(&IN_PIECES, retries, faults, whens), retries);
    (refused + in_pieces.0, all + in_pieces.1)
}

/// All of them, on lanes side by side.
fn run_steps(trials: VecDeque<Trial>, retries: usize) -> (usize, usize) {
    let all = trials.len();
    let trials = Mutex::new(trials);
    let go = || {
        let lane = start(retries, PATIENCE);
        let mut refused = 0;
        loop {
            let next = trials.lock().unwrap().pop_front();
            match next {
                Some(trial) => refused += trial.run(&lane),
                None => return refused,
            }
        }
    };
    let refused = thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES).map(|_| scope.spawn(go)).collect();
        let refused = lanes.into_iter().map(thread::ScopedJoinHandle::join);
        let refused = refused.map(|one| one.unwrap_or_else(|panic| resume_unwind(panic)));
        refused.sum()
    });
    (refused, all)
}

#[test]
fn any_request_to_the_bucket_may_fail_once() {
    let (refused, all) = run(0, &FAULTS, &[When::Before, When::After]);
    // Nothing is repeated by the driver but what has a condition, so clients are to come back.
    assert!(refused > all / 2, "{refused} refusals in {all} trials");
}

#[test]
fn a_request_that_is_repeated_after_it_was_done_does_no_harm() {
    let (refused, all) = run(2, &[Fault::INTERNAL, Fault::Reset], &[When::After]);
    assert!(refused < all / 4, "{refused} refusals in {all} trials");
}
