//! What is in the store of an upload that nobody writes to at the moment.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::multipart::{MultipartStore as _, PartId};
use object_store::path::Path;
use object_store::{Error, ObjectStoreExt as _, PutPayload};
use registry_core::StorageError;
use registry_core::layout::{Dir, Key};
use registry_core::storage::{BlobReader, Checkpoint, UploadHint, UploadId};

use super::Chain;
use super::sweep::stop_at;
use super::token::{Multipart, Tail, Token};
use super::writer::Writer;
use crate::copy;
use crate::error::{broken, fault};
use crate::store::Store;

/// Nothing is asked of the store: bytes that are gone show when they are needed.
pub(crate) fn open(
    store: &Arc<Store>,
    id: &UploadId,
    from: Option<Checkpoint>,
    hint: UploadHint,
) -> Result<Writer, StorageError> {
    let token = match from.filter(|from| from.len > 0) {
        Some(from) => Token::read(&from)?,
        None => {
            let needed = hint.size.unwrap_or_default().div_ceil(store.parts - 1);
            Token::new(store.part.max(needed))
        }
    };
    Ok(Writer::new(Staged::new(store, *id, token), hint.digest))
}

/// Parts can be read only as an object, so they are made one; then the checkpoint is another.
pub(crate) async fn read(
    store: &Arc<Store>,
    id: &UploadId,
    at: &mut Checkpoint,
) -> Result<Box<dyn BlobReader>, StorageError> {
    let token = match at.len {
        0 => Token::new(store.part),
        _ => Token::read(at)?,
    };
    let mut staged = Staged::new(store, *id, token);
    if let Some(multipart) = &staged.token.multipart {
        if multipart.digest.is_some() {
            // They would become the blob, and nobody knows whether they are.
            return Err(StorageError::NotFound);
        }
        staged.join(Vec::new(), true).await?;
        *at = staged.token.checkpoint()?;
    }
    let mut waiting = Vec::new();
    for tail in staged.token.tails.iter().rev() {
        waiting.push((store.key(&tail.path(*id)?)?, tail.len));
    }
    if staged.token.base > 0 {
        waiting.push((store.key(&Key::UploadData(*id).path())?, staged.token.base));
    }
    Ok(Box::new(Chain {
        store: Arc::clone(store),
        waiting,
        current: None,
        len: staged.token.len(),
    }))
}

pub(crate) async fn abort(
    store: &Arc<Store>,
    id: &UploadId,
    at: Option<Checkpoint>,
) -> Result<(), StorageError> {
    let token = at.and_then(|at| Token::read(&at).ok());
    if let Some(multipart) = token.and_then(|token| token.multipart) {
        let key = store.key(&multipart.path(*id)?)?;
        end(store, &key, &multipart.id).await?;
    }
    drop_objects(store, id).await?;
    stop_at(store, store.text(&Key::UploadData(*id).path())).await
}

/// Ends a multipart upload; one that is not there is no error.
pub(super) async fn end(store: &Store, key: &Path, upload: &str) -> Result<(), StorageError> {
    match store.s3.abort_multipart(key, &upload.to_owned()).await {
        Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(fault("ending an upload")(error)),
    }
}

/// Removes the objects with bytes of an upload. Its record is core's.
async fn drop_objects(store: &Store, id: &UploadId) -> Result<(), StorageError> {
    let dir = store.text(&Dir::Upload(*id).path());
    let found = store.list("listing an upload", &dir, None);
    let found = found.try_filter_map(|found| {
        let key = store.path_of(&found.key).and_then(Key::parse);
        let ours = matches!(key, Some(Key::UploadData(_) | Key::UploadPiece { .. }));
        std::future::ready(Ok(found.path().filter(|_| ours)))
    });
    let found: Vec<Path> = found.try_collect().await?;
    store.delete_all(&found).await
}

/// The bytes of an upload that are in the store, and what can be done with them.
pub(super) struct Staged {
    pub(super) store: Arc<Store>,
    pub(super) id: UploadId,
    pub(super) token: Token,
}

impl Staged {
    fn new(store: &Arc<Store>, id: UploadId, token: Token) -> Self {
        Self {
            store: Arc::clone(store),
            id,
            token,
        }
    }

    pub(super) fn staging(&self) -> Result<Path, StorageError> {
        self.store.key(&Key::UploadData(self.id).path())
    }

    /// Puts bytes that fill no part into an object of their own.
    pub(super) async fn put_tail(&mut self, bytes: Vec<Bytes>) -> Result<(), StorageError> {
        let len = bytes.iter().map(|piece| piece.len() as u64).sum();
        let tail = Tail {
            sequence: self.token.tails.len() as u64,
            writer: format!("{:032x}", crate::random::bits()?),
            len,
        };
        let key = self.store.key(&tail.path(self.id)?)?;
        let put = self.store.maker.put(&key, payload(bytes)).await;
        put.map_err(fault("writing to an upload"))?;
        self.token.tails.push(tail);
        Ok(())
    }

    /// The multipart upload; one that begins now has the whole parts of the base.
    pub(super) async fn multipart(
        &mut self,
        digest: Option<String>,
    ) -> Result<(Path, String), StorageError> {
        if let Some(multipart) = &self.token.multipart {
            let key = self.store.key(&multipart.path(self.id)?)?;
            return Ok((key, multipart.id.clone()));
        }
        let mut multipart = Multipart {
            id: String::new(),
            digest,
            parts: Vec::new(),
        };
        let key = self.store.key(&multipart.path(self.id)?)?;
        let begun = self.store.maker.create_multipart(&key).await;
        multipart.id = begun.map_err(fault("beginning an upload"))?;
        let (base, to) = (self.staging()?, (&key, multipart.id.as_str()));
        let copied = 0..self.token.before_front();
        let parts = copy::ranges(&self.store, &base, copied, self.token.part, to).await?;
        multipart.parts = parts.into_iter().map(|part| part.content_id).collect();
        let id = multipart.id.clone();
        // From here on the rest of the base is nobody's unless the caller has read it before.
        self.token.multipart = Some(multipart);
        Ok((key, id))
    }

    /// The bytes that have to be read once more to make a part, and are in the store until then.
    pub(super) async fn front(&self) -> Result<Vec<Bytes>, StorageError> {
        let mut front = Vec::new();
        let rest = self.token.base_rest();
        if rest > 0 {
            let range = self.token.base - rest..self.token.base;
            let read = self.store.s3.get_range(&self.staging()?, range).await;
            front.push(read.map_err(fault("reading an upload"))?);
        }
        for tail in &self.token.tails {
            let key = self.store.key(&tail.path(self.id)?)?;
            let read = async { self.store.s3.get(&key).await?.bytes().await };
            let bytes = read.await.map_err(fault("reading an upload"))?;
            if bytes.len() as u64 != tail.len {
                let why = "a piece of it is of another length";
                return Err(broken("reading an upload", why));
            }
            front.push(bytes);
        }
        Ok(front)
    }

    /// After what was the front has become a part.
    pub(super) fn front_is_part(&mut self) {
        let tails = std::mem::take(&mut self.token.tails);
        self.token.old.extend(tails);
    }

    /// Completes the parts, and `held` behind the front as the last of them, to the object that
    /// they are to become. For the staging object the token says so then; whether the store has made
    /// all of it is looked at, unless what comes next shows that, too.
    pub(super) async fn join(&mut self, held: Vec<Bytes>, look: bool) -> Result<(), StorageError> {
        const JOIN: &str = "completing an upload";
        let mut last = self.front().await?;
        last.extend(held);
        let len = last.iter().map(Bytes::len).sum::<usize>() as u64;
        let (key, id) = self.multipart(None).await?;
        let Some(multipart) = &self.token.multipart else {
            return Err(broken(JOIN, "it has not begun"));
        };
        let mut parts: Vec<PartId> = multipart.parts.iter().map(|e_tag| named(e_tag)).collect();
        let whole = parts.len() as u64 * self.token.part + len;
        let s3 = &self.store.s3;
        let completing = async {
            if len > 0 {
                let part = s3.put_part(&key, &id, parts.len(), payload(last)).await?;
                parts.push(part);
            }
            s3.complete_multipart(&key, &id, parts).await
        };
        if let Err(error) = completing.await
            && !copy::completed_before(&self.store, &key, whole, &error).await?
        {
            if is_replaced(&error) {
                return Err(StorageError::NotFound);
            }
            return Err(fault(JOIN)(error));
        }
        if multipart.digest.is_none() {
            let size = match look {
                true => self.store.s3.head(&key).await.map_err(fault(JOIN))?.size,
                false => whole,
            };
            if size != whole {
                return Err(broken(
                    JOIN,
                    "the store has made something else of the parts",
                ));
            }
            self.front_is_part();
            self.token.multipart = None;
            self.token.base = whole;
        }
        Ok(())
    }

    /// Removes all objects of the upload that the token names. What is left is for the sweep.
    pub(super) async fn clean(&self) {
        let mut keys = self.tails();
        keys.extend(self.staging());
        if let Err(error) = self.store.delete_all(&keys).await {
            tracing::debug!(%error, upload = %self.id, "left for the sweep");
        }
    }

    /// Removes the tails that the token names, for which nobody waits.
    pub(super) fn clean_later(&self) {
        self.store.delete_later(self.tails());
    }

    fn tails(&self) -> Vec<Path> {
        let tails = self.token.tails.iter().chain(&self.token.old);
        tails
            .filter_map(|tail| self.store.key(&tail.path(self.id).ok()?).ok())
            .collect()
    }

    /// Removes objects that only checkpoints named that are dead by now.
    pub(super) async fn forget(&mut self, dead: &[Tail]) {
        let paths = dead.iter().map(|tail| tail.path(self.id));
        let keys = paths.map(|path| path.and_then(|path| self.store.key(&path)));
        let Ok(keys) = keys.collect::<Result<Vec<_>, _>>() else {
            return;
        };
        if self.store.delete_all(&keys).await.is_ok() {
            let is_dead = |tail: &Tail| dead.iter().any(|one| one.writer == tail.writer);
            self.token.old.retain(|tail| !is_dead(tail));
        }
    }
}

/// Whether a part is another by now: a writer who lost the race for the upload's record has sent its
/// own under the same number, and no retry brings back what was there.
fn is_replaced(error: &Error) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(one) = source {
        let text = one.to_string();
        if text.contains("InvalidPart") && !text.contains("InvalidPartOrder") {
            return true;
        }
        source = one.source();
    }
    false
}

fn named(e_tag: &str) -> PartId {
    PartId {
        content_id: e_tag.to_owned(),
    }
}

pub(super) fn payload(bytes: Vec<Bytes>) -> PutPayload {
    bytes.into_iter().collect()
}
