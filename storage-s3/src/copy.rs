//! Copies within the store: in one request, or in ranges side by side.

use std::ops::Range;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::multipart::{MultipartStore as _, PartId};
use object_store::path::Path;
use object_store::{Error, ObjectStoreExt as _};
use registry_core::StorageError;

use crate::error::{fault, is_absent, unclear};
use crate::store::Store;

const COPY: &str = "copying a blob";

/// Copies an object of this length, over whatever is there.
pub(crate) async fn copy(
    store: &Store,
    from: &Path,
    to: &Path,
    len: u64,
) -> Result<(), StorageError> {
    if len <= store.copying.threshold {
        return store.copy_object(from, to).await;
    }
    let upload = store
        .maker
        .create_multipart(to)
        .await
        .map_err(fault(COPY))?;
    let copied = async {
        let part = store.copying.part.max(len.div_ceil(store.parts));
        let parts = ranges(store, from, 0..len, part, (to, &upload)).await?;
        match store.s3.complete_multipart(to, &upload, parts).await {
            Ok(_) => Ok(()),
            Err(error) if completed_before(store, to, len, &error).await? => Ok(()),
            // There is something to be copied, whatever has become of this copy.
            Err(Error::NotFound { source, .. }) => Err(unclear(COPY, source)),
            Err(error) => Err(fault(COPY)(error)),
        }
    };
    match copied.await {
        Ok(()) => Ok(()),
        Err(error) => {
            // What cannot be removed now, the sweep removes.
            let _ = store.s3.abort_multipart(to, &upload).await;
            Err(error)
        }
    }
}

/// Whether an upload that is not there any more has become an object of this length: by an attempt
/// of which only the answer was lost.
pub(crate) async fn completed_before(
    store: &Store,
    key: &Path,
    len: u64,
    error: &Error,
) -> Result<bool, StorageError> {
    if !matches!(error, Error::NotFound { .. }) {
        return Ok(false);
    }
    match store.s3.head(key).await {
        Ok(there) => Ok(there.size == len),
        Err(error) if is_absent(&error) => Ok(false),
        Err(error) => Err(fault("looking at what was completed")(error)),
    }
}

/// Copies a range into parts of this length, the first ones of an upload; the last may be shorter.
pub(crate) async fn ranges(
    store: &Store,
    from: &Path,
    range: Range<u64>,
    part: u64,
    to: (&Path, &str),
) -> Result<Vec<PartId>, StorageError> {
    let starts = (range.start..range.end).step_by(usize::try_from(part).unwrap_or(usize::MAX));
    let copies = (1..).zip(starts).map(|(number, start)| {
        let range = start..range.end.min(start + part);
        async move {
            let e_tag = store.copy_part(from, range, to, number).await?;
            Ok(PartId { content_id: e_tag })
        }
    });
    stream::iter(copies)
        .buffered(store.copying.at_once)
        .try_collect()
        .await
}
