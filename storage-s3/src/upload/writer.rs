//! The one writer of an upload.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use bytes::Bytes;
use object_store::multipart::MultipartStore as _;
use object_store::path::Path;
use object_store::{ObjectStoreExt as _, PutPayload};
use registry_core::StorageError;
use registry_core::digest::{Algorithm, Digest};
use registry_core::layout::Key;
use registry_core::storage::{Checkpoint, CommitFailed, UploadWriter, Verified};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::staged::{Staged, end, payload};
use super::token::Token;
use crate::copy::copy;
use crate::error::{broken, fault};
use crate::store::{LARGEST_PART, Store};

const WRITE: &str = "writing to an upload";
const COMMIT: &str = "committing an upload";

/// Parts of one upload that are under way at once: one is sent while the next one arrives.
const AT_ONCE: usize = 2;

/// How much larger parts become when there may be no more of them.
const GROWTH: u64 = 4;

/// What a part that is under way comes back with: its place, and its entity tag.
type Sent = Result<(usize, String), StorageError>;

pub(crate) struct Writer {
    staged: Staged,
    /// Where it was when it was opened.
    opened: Token,
    /// The blob that it is going to be, if that is known and nothing was staged elsewhere.
    digest: Option<Digest>,
    /// Behind all that is staged or under way.
    held: Vec<Bytes>,
    held_len: u64,
    /// For what is held, of the memory of all uploads.
    permit: Option<OwnedSemaphorePermit>,
    /// Dropped with the writer.
    sending: JoinSet<Sent>,
    /// Entity tags of parts that came back before one that comes before them.
    early: Vec<(usize, String)>,
    next_part: usize,
}

/// A share of the memory of all uploads.
struct Memory {
    of: Arc<Semaphore>,
    bytes: u32,
}

impl Memory {
    /// So many bytes, or all that there is.
    fn of(store: &Store, bytes: u64) -> Self {
        Self {
            of: Arc::clone(&store.memory),
            bytes: u32::try_from(bytes)
                .unwrap_or(u32::MAX)
                .min(store.all_memory),
        }
    }

    fn now(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.of).try_acquire_many_owned(self.bytes).ok()
    }

    async fn wait(self) -> Result<OwnedSemaphorePermit, StorageError> {
        let permit = self.of.acquire_many_owned(self.bytes).await;
        permit.map_err(|error| broken(WRITE, error))
    }
}

impl Writer {
    pub(super) fn new(staged: Staged, digest: Option<Digest>) -> Self {
        let multipart = staged.token.multipart.as_ref();
        let next_part = multipart.map_or(0, |multipart| multipart.parts.len());
        Self {
            opened: staged.token.clone(),
            digest: digest.filter(|_| staged.token.len() == 0),
            staged,
            held: Vec::new(),
            held_len: 0,
            permit: None,
            sending: JoinSet::new(),
            early: Vec::new(),
            next_part,
        }
    }

    /// Bytes behind the last part.
    fn open_part(&self) -> u64 {
        self.staged.token.front() + self.held_len
    }

    /// Takes bytes into memory, if there is room, or else makes some first. Who waits for room
    /// holds nothing, so that nobody waits for one who waits.
    async fn hold(&mut self, bytes: Bytes) -> Result<(), StorageError> {
        let memory = Memory::of(&self.staged.store, bytes.len() as u64);
        let permit = match memory.now() {
            Some(permit) => permit,
            None => {
                self.spill().await?;
                memory.wait().await?
            }
        };
        match &mut self.permit {
            Some(all) => all.merge(permit),
            none => *none = Some(permit),
        }
        self.held_len += bytes.len() as u64;
        self.held.push(bytes);
        Ok(())
    }

    fn take_held(&mut self) -> (Vec<Bytes>, Option<OwnedSemaphorePermit>) {
        self.held_len = 0;
        (std::mem::take(&mut self.held), self.permit.take())
    }

    /// Puts what is held into the store.
    async fn spill(&mut self) -> Result<(), StorageError> {
        if self.held_len == 0 {
            return Ok(());
        }
        // A tail stands behind all parts.
        self.settle(0).await?;
        let (held, _permit) = self.take_held();
        self.staged.put_tail(held).await
    }

    /// Sends the part that is full now, while others are on their way.
    async fn send_part(&mut self) -> Result<(), StorageError> {
        self.settle(AT_ONCE - 1).await?;
        let front = self.staged.token.front();
        let mut permits = Vec::new();
        if front > 0 {
            match Memory::of(&self.staged.store, front).now() {
                Some(permit) => permits.push(permit),
                None => {
                    self.spill().await?;
                    let all = Memory::of(&self.staged.store, self.staged.token.front());
                    permits.push(all.wait().await?);
                }
            }
        }
        let mut part = self.staged.front().await?;
        let digest = self.digest.as_ref().map(ToString::to_string);
        let (key, id) = self.staged.multipart(digest).await?;
        if let Some(multipart) = &self.staged.token.multipart {
            // The base may have become parts by now.
            self.next_part = self.next_part.max(multipart.parts.len());
        }
        self.staged.front_is_part();
        let (held, permit) = self.take_held();
        part.extend(held);
        permits.extend(permit);
        let (store, number) = (Arc::clone(&self.staged.store), self.next_part);
        self.next_part += 1;
        self.sending.spawn(async move {
            let _permits = permits;
            let sent = store.s3.put_part(&key, &id, number, payload(part)).await;
            Ok((number, sent.map_err(fault(WRITE))?.content_id))
        });
        Ok(())
    }

    /// Whether another part would leave no number for the last one.
    fn is_full(&self) -> bool {
        self.next_part as u64 + 1 >= self.staged.store.parts
    }

    /// Makes an object of the parts, which is copied into larger ones as soon as one of those is
    /// full; so all parts but the last are equal, as some stores want them.
    async fn grow(&mut self) -> Result<(), StorageError> {
        let multipart = self.staged.token.multipart.as_ref();
        let known = multipart.is_some_and(|multipart| multipart.digest.is_some());
        let part = self.staged.token.part;
        // Of one whose digest is known, the object would be the blob, and is not yet verified.
        if known || part >= LARGEST_PART {
            return Err(broken(
                WRITE,
                "it has as many parts as there may be: more fits where its length is said at the \
                 beginning, or where `chunksize` is larger",
            ));
        }
        self.settle(0).await?;
        self.staged.join(Vec::new(), true).await?;
        self.staged.token.part = part.saturating_mul(GROWTH).min(LARGEST_PART);
        self.next_part = 0;
        Ok(())
    }

    /// Waits until no more than this many parts are under way.
    async fn settle(&mut self, most: usize) -> Result<(), StorageError> {
        while self.sending.len() > most {
            let Some(sent) = self.sending.join_next().await else {
                break;
            };
            self.early
                .push(sent.map_err(|error| broken(WRITE, error))??);
        }
        let Some(multipart) = &mut self.staged.token.multipart else {
            return Ok(());
        };
        let next =
            |early: &[(usize, String)], at| early.iter().position(|(number, _)| *number == at);
        while let Some(found) = next(&self.early, multipart.parts.len()) {
            multipart.parts.push(self.early.swap_remove(found).1);
        }
        Ok(())
    }

    async fn publish(&mut self, content: &Verified) -> Result<(), StorageError> {
        self.settle(0).await?;
        if self.staged.token.len() + self.held_len != content.len() {
            return Err(broken(COMMIT, "more or less was staged than was verified"));
        }
        let to = self
            .staged
            .store
            .key(&Key::Blob(*content.digest()).path())?;
        let multipart = self.staged.token.multipart.as_ref();
        let direct = multipart.and_then(|multipart| multipart.digest.as_ref());
        if direct.is_some_and(|digest| *digest != content.digest().to_string()) {
            // Its parts can become that one blob and no other.
            return Err(StorageError::NotFound);
        }
        let direct = direct.is_some();
        if self.staged.token.before_front() == 0 {
            let mut whole = self.staged.front().await?;
            whole.extend(self.held.iter().cloned());
            self.put(&to, payload(whole), content.digest()).await?;
            match self.staged.token.base {
                0 => self.staged.clean_later(),
                _ => self.staged.clean().await,
            }
            return Ok(());
        }
        let token = &self.staged.token;
        let behind = token.front() - token.base_rest() + self.held_len;
        if token.multipart.is_some() || behind > 0 {
            // A copy in ranges misses what is not there; one in a single request does not.
            let look = content.len() <= self.staged.store.copying.threshold;
            // What is held stays until it is known to be there.
            self.staged.join(self.held.clone(), look).await?;
            if !direct {
                let (_held, _permit) = self.take_held();
            }
        }
        if !direct {
            let from = self.staged.staging()?;
            copy(&self.staged.store, &from, &to, content.len()).await?;
        }
        match direct {
            true => self.staged.clean_later(),
            false => self.staged.clean().await,
        }
        Ok(())
    }

    /// In one request; what was hashed here is compared there, where the store does that.
    async fn put(&self, to: &Path, bytes: PutPayload, digest: &Digest) -> Result<(), StorageError> {
        let store = &self.staged.store;
        if digest.algorithm() == Algorithm::Sha256 && store.compares.load(Ordering::Relaxed) {
            return store.put_checked(to, bytes, digest.as_bytes()).await;
        }
        let put = store.maker.put(to, bytes).await;
        put.map_err(fault(COMMIT)).map(drop)
    }

    async fn here(&mut self) -> Result<Checkpoint, StorageError> {
        self.settle(0).await?;
        self.spill().await?;
        self.staged.token.checkpoint()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl UploadWriter for Writer {
    async fn write(&mut self, batch: Vec<Bytes>) -> Result<(), StorageError> {
        for mut bytes in batch {
            while !bytes.is_empty() {
                let room = self.staged.token.part - self.open_part();
                let len = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
                self.hold(bytes.split_to(len)).await?;
                if self.open_part() == self.staged.token.part {
                    match self.is_full() {
                        true => self.grow().await?,
                        false => self.send_part().await?,
                    }
                }
            }
        }
        Ok(())
    }

    async fn checkpoint(mut self: Box<Self>) -> Result<Checkpoint, StorageError> {
        self.settle(0).await?;
        self.spill().await?;
        let dead = std::mem::take(&mut self.opened.old);
        if !dead.is_empty() {
            self.staged.forget(&dead).await;
        }
        self.staged.token.checkpoint()
    }

    async fn commit(mut self: Box<Self>, content: Verified) -> Result<(), CommitFailed> {
        let Err(source) = self.publish(&content).await else {
            return Ok(());
        };
        let checkpoint = match &source {
            StorageError::NotFound => None,
            _ => self.here().await.ok(),
        };
        // Where a base was about to become parts, its rest is in none of them yet.
        let checkpoint = checkpoint.filter(|at| at.len == content.len());
        Err(CommitFailed::new(checkpoint, source))
    }

    async fn abort(mut self: Box<Self>) -> Result<(), StorageError> {
        self.sending.shutdown().await;
        let opened = self.opened.multipart.as_ref().map(|one| &one.id);
        let mut multipart = self.staged.token.multipart.take();
        if let Some(begun) = multipart.take_if(|begun| Some(&begun.id) != opened) {
            let key = self.staged.store.key(&begun.path(self.staged.id)?)?;
            end(&self.staged.store, &key, &begun.id).await?;
        }
        let kept = self.opened.tails.iter().chain(&self.opened.old);
        let kept: Vec<&str> = kept.map(|tail| tail.writer.as_str()).collect();
        let all = self.staged.token.tails.iter().chain(&self.staged.token.old);
        let own = all.filter(|tail| !kept.contains(&tail.writer.as_str()));
        let own: Vec<_> = own.cloned().collect();
        self.staged.forget(&own).await;
        Ok(())
    }
}
