//! What the store holds to, tried out.

use bytes::Bytes;
use object_store::path::Path;
use object_store::{
    Error, ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions, UpdateVersion,
};
use registry_core::StorageError;
use registry_core::layout::Key;
use registry_core::storage::UploadId;

use crate::error::{broken, fault};
use crate::listing::Wanted;
use crate::random;
use crate::store::Store;

/// What a store holds to beyond what all do.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Held {
    /// Writes under conditions are refused when those do not hold. Without that the store is used all
    /// the same, by one process.
    pub(crate) writes: bool,
    /// And so are deletes.
    pub(crate) deletes: bool,
    /// What came is compared with the checksum that came along.
    pub(crate) checksums: bool,
}

const TRY: &str = "trying what the store holds to";

/// An entity tag that no object has.
const STALE: &str = "\"00000000000000000000000000000000\"";

/// Tries it. A store whose listing lacks what was just written is not used: a collection would take
/// what is needed for garbage.
pub(crate) async fn probe(store: &Store) -> Result<Held, StorageError> {
    // Of an upload that never was: what a crash leaves of it is swept as others are.
    let key = Key::UploadPiece {
        upload: UploadId::new(random::bits()?),
        sequence: 0,
        writer: random::bits()?,
    };
    let key = store.key(&key.path())?;
    let checksums = compares(store, &key).await?;
    let writes = holds(store, &key).await.map_err(fault(TRY))?;
    let mut wanted = Wanted {
        prefix: key.to_string(),
        ..Wanted::default()
    };
    let listed = store.page(TRY, &mut wanted).await?;
    // Who does not know the condition may say so, and then nothing can be relied on, either.
    let deletes = matches!(store.delete_if_once(&key, STALE).await, Ok(false));
    store.delete(&key).await?;
    if listed.objects.is_empty() {
        return Err(broken(TRY, "its listing lacks what was written before"));
    }
    Ok(Held {
        writes,
        deletes,
        checksums,
    })
}

/// Puts something there, with checksums of it: one that is right, and one that is not.
async fn compares(store: &Store, key: &Path) -> Result<bool, StorageError> {
    let put = async |sum: &[u8]| {
        let bytes = Bytes::from_static(b"!");
        store.put_checked_once(key, bytes.into(), sum).await
    };
    if put(&SUM).await.is_ok() {
        return Ok(put(&[0; 32]).await.is_err());
    }
    // It does not know the header, or takes nothing at all.
    let put = store.maker.put(key, Bytes::from_static(b"!").into()).await;
    put.map_err(fault(TRY)).map(|_| false)
}

async fn holds(store: &Store, key: &Path) -> object_store::Result<bool> {
    let put = async |mode: PutMode| {
        let options = PutOptions::from(mode);
        let bytes = Bytes::from_static(b"?");
        match store.once.put_opts(key, bytes.into(), options).await {
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(true),
            // It does not know the header, and says so.
            Err(Error::NotImplemented { .. }) => Ok(true),
            Ok(_) => Ok(false),
            Err(error) => Err(error),
        }
    };
    let stale = UpdateVersion {
        e_tag: Some(STALE.to_owned()),
        version: None,
    };
    let created = put(PutMode::Create).await?;
    Ok(put(PutMode::Update(stale)).await? && created)
}

/// The SHA-256 of an exclamation mark.
const SUM: [u8; 32] = [
    0xbb, 0x72, 0x08, 0xbc, 0x9b, 0x5d, 0x7c, 0x04, 0xf1, 0x23, 0x6a, 0x82, 0xa0, 0x09, 0x3a, 0x5e,
    0x33, 0xf4, 0x04, 0x23, 0xd5, 0xba, 0x8d, 0x42, 0x66, 0xf7, 0x09, 0x2c, 0x3b, 0xa4, 0x3b, 0x62,
];
