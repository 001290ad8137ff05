//! Writes and deletes of records, and their conditions.
//!
//! An answer may be lost after the store has done what was asked. Of a write under a condition that
//! leaves open whether it was done: asked again, the store would refuse it because of itself.
//! So each carries a name of its own, which no other ever has, beside its bytes, and after every
//! answer but success the record is looked at: whose it is decides.

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};

use bytes::Bytes;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error, GetOptions, ObjectStore as _, ObjectStoreExt as _,
    PutMode as Condition, PutOptions, PutPayload, UpdateVersion,
};
use registry_core::StorageError;
use registry_core::storage::{Guarantees, Outcome, PutMode, Version};
use tokio::sync::RwLock;

use super::{Held, version};
use crate::error::{broken, fault};
use crate::random;
use crate::store::Store;

/// Metadata of a record that was written under a condition: the name of that write.
const WRITE: &str = "registry-write";

/// What keys share locks.
const STRIPES: usize = 64;

/// Writes and deletes, and what stands between those of this process where the store does not.
#[derive(Debug)]
pub(crate) struct Writers {
    /// Whether the store holds to conditions of writes.
    enforced: bool,
    /// And to those of deletes.
    deletes: bool,
    /// Held alone by who looks before it changes.
    stripes: Box<[RwLock<()>]>,
}

/// Whose record is there.
enum Found {
    Nobody,
    /// Of the write that asks.
    Own(Version),
    Other(Version),
}

impl Writers {
    pub(crate) fn new(held: Held) -> Self {
        let stripes = (0..STRIPES).map(|_| RwLock::default()).collect();
        Self {
            enforced: held.writes,
            deletes: held.deletes,
            stripes,
        }
    }

    pub(crate) fn guarantees(&self) -> Guarantees {
        let mut guarantees = Guarantees::default();
        guarantees.conditional_writes = self.enforced;
        guarantees.distant = true;
        guarantees
    }

    pub(crate) async fn put(
        &self,
        store: &Store,
        key: &Path,
        value: Bytes,
        mode: PutMode,
    ) -> Result<Outcome, StorageError> {
        let stripe = self.stripe(key);
        if !self.enforced {
            let _alone = stripe.write().await;
            return put_after_look(store, key, value, &mode).await;
        }
        let _beside = stripe.read().await;
        match mode {
            PutMode::Replace => replace(store, key, value).await,
            mode => put_if(store, key, value, &mode).await,
        }
    }

    /// Where the store has no delete under a condition that could be relied on, another process may
    /// come between the look and the delete.
    pub(crate) async fn delete(
        &self,
        store: &Store,
        key: &Path,
        if_version: Option<&Version>,
    ) -> Result<Outcome, StorageError> {
        let _alone = self.stripe(key).write().await;
        if let Some(wanted) = if_version {
            if self.deletes {
                return delete_if(store, key, wanted).await;
            }
            match look(store, key, "").await? {
                Found::Other(there) if there != *wanted => return Ok(Outcome::Conflict),
                Found::Nobody => return Ok(Outcome::Done(None)),
                _ => {}
            }
        }
        store.delete(key).await?;
        Ok(Outcome::Done(None))
    }

    fn stripe(&self, key: &Path) -> &RwLock<()> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
        // Less than the number of stripes, so it fits.
        &self.stripes[(hash % STRIPES as u64) as usize]
    }
}

/// Heard twice, it meets its own first attempt, and finds nothing; that is as it should be.
async fn delete_if(store: &Store, key: &Path, wanted: &Version) -> Result<Outcome, StorageError> {
    if store.delete_if(key, wanted.as_str()).await? {
        return Ok(Outcome::Done(None));
    }
    // Some say of what is absent that it has another version.
    match look(store, key, "").await? {
        Found::Nobody => Ok(Outcome::Done(None)),
        _ => Ok(Outcome::Conflict),
    }
}

async fn replace(store: &Store, key: &Path, value: Bytes) -> Result<Outcome, StorageError> {
    let put = store.maker.put(key, PutPayload::from_bytes(value)).await;
    let put = put.map_err(fault("writing a record"))?;
    Ok(Outcome::Done(put.e_tag.map(Version::new)))
}

/// Under the lock of its key.
async fn put_after_look(
    store: &Store,
    key: &Path,
    value: Bytes,
    mode: &PutMode,
) -> Result<Outcome, StorageError> {
    let holds = match mode {
        PutMode::Replace => true,
        PutMode::Create => matches!(look(store, key, "").await?, Found::Nobody),
        PutMode::IfVersion(wanted) => {
            matches!(look(store, key, "").await?, Found::Other(there) if there == *wanted)
        }
    };
    match holds {
        true => replace(store, key, value).await,
        false => Ok(Outcome::Conflict),
    }
}

async fn put_if(
    store: &Store,
    key: &Path,
    value: Bytes,
    mode: &PutMode,
) -> Result<Outcome, StorageError> {
    let write = format!("{:032x}", random::bits()?);
    let payload = PutPayload::from_bytes(value);
    for attempt in 0..=store.retries {
        let options = PutOptions {
            mode: condition(mode),
            attributes: Attributes::from_iter([(Attribute::Metadata(WRITE.into()), write.clone())]),
            ..PutOptions::default()
        };
        let error = match store.once.put_opts(key, payload.clone(), options).await {
            Ok(put) => return Ok(Outcome::Done(put.e_tag.map(Version::new))),
            Err(error) => error,
        };
        match (look(store, key, &write).await?, mode) {
            (Found::Own(version), _) => return Ok(Outcome::Done(Some(version))),
            // Not done, and it may be: another was in the way, or nobody heard it.
            (Found::Nobody, PutMode::Create) => {}
            (Found::Other(there), PutMode::IfVersion(wanted)) if there == *wanted => {}
            _ => return Ok(Outcome::Conflict),
        }
        let refused = matches!(
            error,
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. }
        );
        if refused || attempt == store.retries {
            return Err(fault("writing a record")(error));
        }
        random::pause(attempt).await?;
    }
    // The last attempt has returned.
    Err(broken("writing a record", "there was no attempt"))
}

fn condition(mode: &PutMode) -> Condition {
    match mode {
        PutMode::Create => Condition::Create,
        PutMode::IfVersion(version) => Condition::Update(UpdateVersion {
            e_tag: Some(version.as_str().to_owned()),
            version: None,
        }),
        PutMode::Replace => Condition::Overwrite,
    }
}

/// Whose record is there now; nobody's has the empty name.
async fn look(store: &Store, key: &Path, write: &str) -> Result<Found, StorageError> {
    let options = GetOptions {
        head: true,
        ..GetOptions::default()
    };
    let found = match store.s3.get_opts(key, options).await {
        Err(Error::NotFound { .. }) => return Ok(Found::Nobody),
        found => found.map_err(fault("looking at a record"))?,
    };
    let version = version(&found.meta)?;
    let by = found.attributes.get(&Attribute::Metadata(WRITE.into()));
    Ok(match by.is_some_and(|by| by.as_ref() == write) {
        true => Found::Own(version),
        false => Found::Other(version),
    })
}
