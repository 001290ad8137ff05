//! The file on the disk: read when it has changed, kept as it was when it cannot be used.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::num::NonZeroU64;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use hmac::Hmac;
use registry_core::Ambient;
use sha2::{Digest, Sha256};

use crate::file::{self, Malformed};
use crate::users::Users;

/// Looks at the file are this far apart, and what was changed as late may not be all yet.
const INTERVAL: Duration = Duration::from_secs(1);

/// What changes without end is read as it is, after as long.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of a file; that is a hundred thousand users.
const LARGEST: u64 = 16 << 20;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// It is not there, or not for us.
    #[error("reading it")]
    Read(#[from] io::Error),
    /// A directory, a pipe, a device.
    #[error("it is not a regular file")]
    NotAFile,
    /// It changes faster than it can be read.
    #[error("it changes while it is read")]
    Restless,
    /// Nobody has as many users.
    #[error("it is larger than {LARGEST} bytes")]
    TooLarge,
    /// It is no htpasswd file.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// The users of a file, as of late.
pub(crate) struct Watch {
    path: PathBuf,
    ambient: Ambient,
    key: Hmac<Sha256>,
    users: RwLock<Arc<Users>>,
    /// How many versions of them there have been.
    generation: AtomicU64,
    /// When the last look was, in microseconds of the epoch.
    looked: AtomicI64,
    seen: Mutex<Seen>,
    has_warned_of_weak: AtomicBool,
}

/// What was last found.
#[derive(Debug, Default)]
struct Seen {
    /// Of the file whose content is known, if it could not have changed since unseen.
    signature: Option<Signature>,
    content: [u8; 32],
    /// Since when it changes without end.
    restless: Option<SystemTime>,
    /// What was said of it, which is not said again.
    complaint: Option<String>,
}

/// Tells two states of a path apart, whether the file was written, renamed over, or a link to it
/// was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Signature {
    file: (u64, u64, u64),
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Signature {
    fn of(metadata: &Metadata) -> Self {
        Self {
            file: (metadata.dev(), metadata.ino(), metadata.size()),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether it is old enough for a later change to look different, and for whoever wrote it
    /// to have come to an end.
    fn is_settled(&self, now: SystemTime) -> bool {
        let (seconds, nanos) = self.changed;
        let since_epoch = Duration::new(
            u64::try_from(seconds).unwrap_or(0),
            u32::try_from(nanos).unwrap_or(0),
        );
        let changed = SystemTime::UNIX_EPOCH + since_epoch;
        now.duration_since(changed).is_ok_and(|age| age >= INTERVAL)
    }
}

impl Watch {
    /// Reads it for the first time.
    pub(crate) fn open(
        path: &Path,
        ambient: Ambient,
        key: Hmac<Sha256>,
    ) -> Result<Self, FileError> {
        let watch = Self::of_nobody(path, ambient, key);
        watch.read(&mut lock(&watch.seen), (ambient.now)())?;
        Ok(watch)
    }

    /// As if it were there and empty.
    pub(crate) fn of_nobody(path: &Path, ambient: Ambient, key: Hmac<Sha256>) -> Self {
        let empty = Users::new(file::Parsed::default(), key.clone(), ambient.random);
        Self {
            path: path.to_owned(),
            ambient,
            key,
            users: RwLock::new(Arc::new(empty)),
            generation: AtomicU64::new(1),
            looked: AtomicI64::new(micros_of((ambient.now)())),
            seen: Mutex::default(),
            has_warned_of_weak: AtomicBool::new(false),
        }
    }

    /// Those that count now.
    pub(crate) fn users(&self) -> Arc<Users> {
        let users = self.users.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&users)
    }

    /// Which version of the users counts now; `None` when it is time for a look.
    pub(crate) fn generation(&self, now: SystemTime) -> Option<NonZeroU64> {
        let looked = self.looked.load(Ordering::Relaxed);
        let generation = NonZeroU64::new(self.generation.load(Ordering::Acquire));
        generation.filter(|_| is_recent(looked, micros_of(now)))
    }

    /// Whether it is time for a look; if so, it is for the caller to take it. Every request asks,
    /// so that nobody waits for anybody here.
    pub(crate) fn is_due(&self, now: SystemTime) -> bool {
        let now = micros_of(now);
        let looked = self.looked.load(Ordering::Relaxed);
        if is_recent(looked, now) {
            return false;
        }
        let (success, failure) = (Ordering::Relaxed, Ordering::Relaxed);
        self.looked
            .compare_exchange(looked, now, success, failure)
            .is_ok()
    }

    /// Looks at the file, and reads it if it has changed; whether other users count now. What
    /// is wrong with it is logged, and the users stay.
    pub(crate) fn look(&self) -> bool {
        // A disk that does not answer is not to keep more than one thread.
        let Ok(mut seen) = self.seen.try_lock() else {
            return false;
        };
        let now = (self.ambient.now)();
        let signature = match std::fs::metadata(&self.path) {
            Ok(metadata) => Signature::of(&metadata),
            Err(error) => {
                self.complain(&mut seen, &error.into());
                return false;
            }
        };
        if seen.signature == Some(signature) {
            return false;
        }
        if signature.is_settled(now) {
            seen.restless = None;
        } else {
            // A time to come is of a clock that was set back.
            let since = seen.restless.filter(|since| *since <= now).unwrap_or(now);
            seen.restless = Some(since);
            if now
                .duration_since(since)
                .is_ok_and(|since| since < PATIENCE)
            {
                return false;
            }
        }
        self.try_read(&mut seen, now)
    }

    /// Reads it whatever it looks like.
    pub(crate) fn reload(&self) -> bool {
        let now = (self.ambient.now)();
        let mut seen = lock(&self.seen);
        // Whoever asks wants to be told.
        seen.complaint = None;
        self.try_read(&mut seen, now)
    }

    fn try_read(&self, seen: &mut Seen, now: SystemTime) -> bool {
        let was_broken = seen.complaint.is_some();
        match self.read(seen, now) {
            Ok(changed) => {
                seen.complaint = None;
                if changed || was_broken {
                    let (path, users) = (self.path.display(), self.users().len());
                    tracing::info!(%path, users, "read the file of users again");
                }
                changed
            }
            Err(error) => {
                self.complain(seen, &error);
                false
            }
        }
    }

    fn read(&self, seen: &mut Seen, now: SystemTime) -> Result<bool, FileError> {
        let (signature, bytes) = read(&self.path)?;
        // What cannot be used need not be read again, either.
        seen.signature = Some(signature).filter(|signature| signature.is_settled(now));
        let content = Sha256::digest(&bytes).into();
        if content == seen.content {
            return Ok(false);
        }
        let parsed = file::parse(&bytes)?;
        seen.content = content;
        self.tell(&parsed);
        let users = Arc::new(Users::new(parsed, self.key.clone(), self.ambient.random));
        let mut current = self.users.write().unwrap_or_else(PoisonError::into_inner);
        *current = users;
        // Whoever finds the number of these finds these, or later ones.
        self.generation.fetch_add(1, Ordering::Release);
        drop(current);
        Ok(true)
    }

    fn tell(&self, parsed: &file::Parsed) {
        let path = self.path.display();
        for remark in &parsed.remarks {
            tracing::warn!(%path, "{remark}");
        }
        if parsed.users.is_empty() {
            tracing::warn!(%path, "the file of users has none: nobody can log in");
        }
        if parsed.weak > 0 && !self.has_warned_of_weak.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                %path,
                users = parsed.weak,
                "there are bcrypt hashes of a cost below 10, which break soon once they are stolen; \
                 `registry htpasswd` makes better ones"
            );
        }
    }

    /// Says once what is wrong.
    fn complain(&self, seen: &mut Seen, error: &FileError) {
        let complaint = format!("{error:?}");
        if seen.complaint.as_ref() == Some(&complaint) {
            return;
        }
        seen.complaint = Some(complaint);
        tracing::error!(
            path = %self.path.display(),
            error = error as &dyn std::error::Error,
            "the file of users cannot be used; those it had before go on counting"
        );
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// How often it is read before it changes too fast.
const TRIES: usize = 3;

/// All of it, as it was at one time, and its signature then.
fn read(path: &Path) -> Result<(Signature, Vec<u8>), FileError> {
    for _ in 0..TRIES {
        let (before, bytes, after) = read_once(path)?;
        if before == after {
            return Ok((after, bytes));
        }
    }
    Err(FileError::Restless)
}

#[allow(
    clippy::disallowed_methods,
    reason = "the file of users is this crate's own"
)]
fn read_once(path: &Path) -> Result<(Signature, Vec<u8>, Signature), FileError> {
    // To open a pipe would wait for whoever writes into it.
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(FileError::NotAFile);
    }
    if metadata.len() > LARGEST {
        return Err(FileError::TooLarge);
    }
    let mut file = File::open(path)?;
    let before = Signature::of(&file.metadata()?);
    let mut bytes = Vec::new();
    (&mut file).take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(FileError::TooLarge);
    }
    let after = Signature::of(&file.metadata()?);
    Ok((before, bytes, after))
}

/// Whether a look at `looked`, both in microseconds of the epoch, does for now. One in the future
/// was under a clock that was set back.
fn is_recent(looked: i64, now: i64) -> bool {
    let since = now.saturating_sub(looked);
    u64::try_from(since).is_ok_and(|since| Duration::from_micros(since) < INTERVAL)
}

fn micros_of(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
