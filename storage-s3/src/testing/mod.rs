//! What this driver, and whatever is built on it, is tested with (feature `testing`): an S3 in
//! memory on a real port, that checks signatures, holds to conditions, can be told to fail and
//! tells what it was asked.
//!
//! It is as strict as AWS where the driver relies on it, and has what an emulator of its own kind
//! mostly lacks: atomic conditions (`If-None-Match: *`, `If-Match`) of `PutObject`,
//! `CompleteMultipartUpload`, `CopyObject` and `DeleteObject`, and listings of multipart uploads.
//! Requests name the bucket in the path; there are no versions.
//!
//! Everything in here is made for tests and panics when it is used wrongly.

mod bucket;
mod conditions;
mod door;
mod faults;
mod listing;
mod multipart;
mod objects;
mod operation;
mod service;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::SystemTime;

use bytes::Bytes;
use object_store::aws::AmazonS3;
use tokio::net::TcpSocket;
use tokio::sync::oneshot;

pub use self::faults::{Failure, Fault, When};
pub use self::operation::{Operation, Request};

use self::bucket::{Upload, World};
use self::faults::Faults;
use crate::Config;
use crate::store::Store;

/// What a server is started with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The bucket that is there from the start.
    pub bucket: String,
    /// Where it says to be.
    pub region: String,
    /// Entries of a page of any listing, at most; AWS gives 1,000.
    pub page: usize,
    /// Bytes of every part but the last, at least; AWS asks for 5 MiB.
    pub part: usize,
    /// Bytes that one copy may take, at most; with AWS 5 GiB.
    pub copy: usize,
    /// Bytes that one request may bring, at most; with AWS 5 GiB.
    pub put: usize,
    /// Parts that an object may be made of, at most; with AWS 10,000.
    pub parts: u32,
    /// Whether all parts of an object but the last must be of one size, and the last no larger, as
    /// Cloudflare R2 has it.
    pub equal_parts: bool,
    /// Whether conditions are looked at. Some of those that call themselves compatible pass over
    /// them without a word.
    pub conditions: bool,
    /// Whether those of deletes are, too.
    pub conditional_deletes: bool,
    /// What becomes of `x-amz-checksum-` headers.
    pub checksums: Checksums,
    /// Whether multipart uploads are listed by whatever their keys begin with. MinIO lists those
    /// whose key is the prefix, and no others.
    pub uploads_by_prefix: bool,
}

/// What a store does with checksums that come with what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Checksums {
    /// What has another is refused.
    Compared,
    /// They are passed over.
    Ignored,
    /// Whatever comes with one is refused, as by some that are old.
    Refused,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bucket: "registry".to_owned(),
            region: "us-east-1".to_owned(),
            page: 1_000,
            part: 5 * 1024 * 1024,
            copy: 5 * 1024 * 1024 * 1024,
            put: 5 * 1024 * 1024 * 1024,
            parts: 10_000,
            equal_parts: false,
            conditions: true,
            conditional_deletes: true,
            checksums: Checksums::Compared,
            uploads_by_prefix: true,
        }
    }
}

/// An object as it lies there.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stored {
    /// Its content.
    pub bytes: Bytes,
    /// As the header spells it, without quotes.
    pub e_tag: String,
    /// When it was written.
    pub modified: SystemTime,
    /// What `x-amz-meta-` headers said of it, by the rest of their names.
    pub metadata: Vec<(String, String)>,
}

/// A multipart upload that was neither completed nor aborted.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Pending {
    /// Of the object that it would become.
    pub key: String,
    /// As `CreateMultipartUpload` named it.
    pub id: String,
    /// Numbers and sizes of its parts.
    pub parts: Vec<(u32, u64)>,
}

/// All that a bucket held at some time.
#[derive(Clone)]
pub struct Snapshot(bucket::Bucket);

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Snapshot")
            .field(&self.0.objects.keys())
            .finish()
    }
}

/// A running server. It has a thread of its own, so that tests of any kind may use it, and ends
/// when it is dropped.
pub struct S3Server {
    address: SocketAddr,
    options: Options,
    shared: Arc<Shared>,
    door: Mutex<Option<Door>>,
}

enum Door {
    Open {
        stop: oneshot::Sender<()>,
        thread: JoinHandle<()>,
    },
    /// The port stays taken, and whoever connects is refused.
    Shut(TcpSocket),
}

/// What the connections and whoever looks on have in common.
struct Shared {
    world: Mutex<World>,
    faults: Mutex<Faults>,
    log: Mutex<Vec<Request>>,
}

impl S3Server {
    /// Who may ask.
    pub const ACCESS_KEY: &str = "AKIDTEST";
    /// What requests are signed with.
    pub const SECRET_KEY: &str = "secret of the tests";

    /// One with an empty bucket, on a port of the loopback that is free.
    #[must_use]
    pub fn start() -> Self {
        Self::with(Options::default())
    }

    /// The same, with other limits or names.
    #[must_use]
    pub fn with(options: Options) -> Self {
        let shared = Arc::new(Shared {
            world: Mutex::new(World::new(options.clone())),
            faults: Mutex::default(),
            log: Mutex::default(),
        });
        let socket = socket((Ipv4Addr::LOCALHOST, 0).into());
        Self {
            address: socket.local_addr().expect("an address"),
            options,
            door: Mutex::new(Some(open(socket, &shared))),
            shared,
        }
    }

    /// Ends every connection, and refuses others from now on. What it holds stays.
    pub fn shut(&self) {
        let mut door = lock(&self.door);
        *door = match door.take() {
            Some(Door::Open { stop, thread }) => {
                drop(stop);
                // What went wrong in there, some request has shown.
                let _ = thread.join();
                Some(Door::Shut(socket(self.address)))
            }
            shut => shut,
        };
    }

    /// Goes on at the same address after it was shut.
    pub fn reopen(&self) {
        let mut door = lock(&self.door);
        *door = match door.take() {
            Some(Door::Shut(socket)) => Some(open(socket, &self.shared)),
            open => open,
        };
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The bucket that was there from the start, which all of the following is about.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.options.bucket
    }

    /// Where it says to be.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.options.region
    }

    /// What the driver is to be opened with. It does not wait long, and repeats soon.
    #[must_use]
    pub fn config(&self) -> Config {
        let mut config = Config::new(self.bucket());
        config.accesskey = Some(Self::ACCESS_KEY.to_owned());
        config.secretkey = Some(Self::SECRET_KEY.to_owned());
        config.region = Some(self.region().to_owned());
        config.regionendpoint = Some(self.endpoint());
        config.forcepathstyle = Some(true);
        config
    }

    /// The bucket as `object_store` has it, over the connections of the driver; nothing is
    /// repeated.
    #[must_use]
    pub fn object_store(&self) -> AmazonS3 {
        let store = Store::new(&self.config());
        store.expect("a store").once
    }

    /// The same, with the repetitions that `object_store` makes by itself.
    #[must_use]
    pub fn object_store_that_repeats(&self) -> AmazonS3 {
        let store = Store::new(&self.config());
        store.expect("a store").maker
    }

    /// The names of all objects, in order.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        self.world()
            .bucket(self.bucket())
            .objects
            .keys()
            .cloned()
            .collect()
    }

    /// An object, if it is there.
    #[must_use]
    pub fn object(&self, key: &str) -> Option<Stored> {
        self.world().bucket(self.bucket()).objects.get(key).cloned()
    }

    /// Puts an object there, as another writer would; one that is there is replaced.
    pub fn put(&self, key: &str, bytes: impl Into<Bytes>) {
        let stored = bucket::stored(bytes.into(), Vec::new());
        let mut world = self.world();
        world
            .bucket(self.bucket())
            .objects
            .insert(key.to_owned(), stored);
    }

    /// Takes an object away, as another writer would. Says whether it was there.
    pub fn remove(&self, key: &str) -> bool {
        let mut world = self.world();
        world.bucket(self.bucket()).objects.remove(key).is_some()
    }

    /// Makes an object as old as if it had been written then.
    pub fn set_modified(&self, key: &str, modified: SystemTime) {
        let mut world = self.world();
        let object = world.bucket(self.bucket()).objects.get_mut(key);
        object.expect("no such object").modified = modified;
    }

    /// All that is there, of this or of another server, to begin from more than once.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.world().bucket(self.bucket()).clone())
    }

    /// Has what was there then, and nothing else.
    pub fn restore(&self, snapshot: &Snapshot) {
        *self.world().bucket(self.bucket()) = snapshot.0.clone();
    }

    /// The multipart uploads that are under way, by key.
    #[must_use]
    pub fn pending(&self) -> Vec<Pending> {
        self.world().bucket(self.bucket()).pending()
    }

    /// Begins a multipart upload, as another writer would.
    pub fn begin(&self, key: &str) {
        let mut world = self.world();
        world.uploads += 1;
        let id = format!("upload-{:08}", world.uploads);
        let uploads = &mut world.bucket(self.bucket()).uploads;
        uploads.insert((key.to_owned(), id), Upload::begun(Vec::new()));
    }

    /// Fails as told, until all of that has happened. What was told first is tried first.
    pub fn fail(&self, failure: Failure) {
        lock(&self.shared.faults).add(failure);
    }

    /// Forgets what it was told to fail with, and says how much of it has not happened.
    pub fn stop_failing(&self) -> usize {
        lock(&self.shared.faults).clear()
    }

    /// All that it was asked since the last look, in the order of the answers.
    pub fn take_log(&self) -> Vec<Request> {
        std::mem::take(&mut *lock(&self.shared.log))
    }

    /// How often this was asked since the log was last taken, whatever the answer.
    #[must_use]
    pub fn count(&self, operation: Operation) -> usize {
        let log = lock(&self.shared.log);
        log.iter().filter(|one| one.operation == operation).count()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.shared.world)
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        let door = lock(&self.door).take();
        if let Some(Door::Open { stop, thread }) = door {
            drop(stop);
            let _ = thread.join();
        }
    }
}

/// One that has a port, and does not listen yet.
fn socket(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    // Connections of before may not have ended.
    socket.set_reuseaddr(true).expect("a port that was used");
    socket.bind(address).expect("a port");
    socket
}

/// It listens when this returns.
fn open(socket: TcpSocket, shared: &Arc<Shared>) -> Door {
    let (stop, stopped) = oneshot::channel();
    let (listening, listens) = std::sync::mpsc::channel();
    let inside = Arc::clone(shared);
    let thread = std::thread::Builder::new().name("s3".into());
    let thread = thread.spawn(move || door::serve(socket, inside, &listening, stopped));
    listens.recv().expect("a listener");
    Door::Open {
        stop,
        thread: thread.expect("a thread"),
    }
}

impl fmt::Debug for S3Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Server")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// A test that failed while it held one shows that itself.
fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// As every time of the server.
#[allow(
    clippy::disallowed_methods,
    reason = "this is the store, whose clock the driver asks"
)]
fn now() -> SystemTime {
    SystemTime::now()
}
