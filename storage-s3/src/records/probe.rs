//! What the store holds to, tried out.

use bytes::Bytes;
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

/// Whether writes under conditions are refused when those do not hold. Without that the store is
/// used all the same, by one process. A store whose listing lacks what was just written is not: a
/// collection would take what is needed for garbage.
pub(crate) async fn probe(store: &Store) -> Result<bool, StorageError> {
    let trying = fault("trying what the store holds to");
    // Of an upload that never was: what a crash leaves of it is swept as others are.
    let key = Key::UploadPiece {
        upload: UploadId::new(random::bits()?),
        sequence: 0,
        writer: random::bits()?,
    };
    let key = store.key(&key.path())?;
    let put = async |mode: PutMode| {
        let options = PutOptions::from(mode);
        store
            .once
            .put_opts(&key, Bytes::from_static(b"?").into(), options)
            .await
    };
    let refused = |put: Result<_, Error>| match put {
        Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(true),
        // It does not know the header, and says so.
        Err(Error::NotImplemented { .. }) => Ok(true),
        Ok(_) => Ok(false),
        Err(error) => Err(error),
    };
    store
        .maker
        .put(&key, Bytes::from_static(b"!").into())
        .await
        .map_err(trying)?;
    let created = refused(put(PutMode::Create).await).map_err(trying)?;
    let stale = UpdateVersion {
        e_tag: Some("\"00000000000000000000000000000000\"".to_owned()),
        version: None,
    };
    let updated = refused(put(PutMode::Update(stale)).await).map_err(trying)?;
    let mut wanted = Wanted {
        prefix: key.to_string(),
        ..Wanted::default()
    };
    let listed = store
        .page("trying what the store holds to", &mut wanted)
        .await?;
    store.delete(&key).await?;
    if listed.objects.is_empty() {
        let why = "its listing lacks what was written before";
        return Err(broken("trying what the store holds to", why));
    }
    if !(created && updated) {
        tracing::warn!(
            "the store passes over conditions of writes: one process may write, not several"
        );
    }
    Ok(created && updated)
}
