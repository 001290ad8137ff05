use crate::registry::{Append, UploadUrl};
use crate::storage::{Checkpoint, MemoryDriver, Storage, UploadHint, UploadId};
use crate::testing::ambient;
use crate::{Algorithm, RegistryError};
use bytes::Bytes;

use crate::testing::image::{body, repository, sha256};

/// Writes to an upload as another process on the same store would.
async fn write_beside(storage: &Storage, id: &UploadId, at: u64) {
    let at = (at > 0).then(|| Checkpoint {
        len: at,
        token: Bytes::new(),
    });
    let hint = UploadHint::default();
    let mut writer = storage.blobs.open_upload(id, at, hint).await.unwrap();
    let batch = vec![Bytes::from_static(b"beside")];
    writer.write(batch).await.unwrap();
    let _ = writer.checkpoint().await.unwrap();
}

#[tokio::test]
async fn a_writer_that_only_the_store_sees_is_a_range_that_is_taken() {
    let storage = Storage::from_driver(MemoryDriver::new(ambient()));
    let repository = repository(&storage).await;
    let new = repository.start_upload(Algorithm::Sha256).await.unwrap();
    let url = UploadUrl {
        id: new.id,
        state: Some(new.state),
    };
    let (first, whole) = (
        Bytes::from_static(b"first"),
        Bytes::from_static(b"firstmore"),
    );
    let begun = repository.append_upload(&url, Append::default(), body(&first));
    assert_eq!(begun.await.unwrap().len, 5);
    let more = || {
        // Between the opening of the writer and its first byte, someone else writes.
        let (storage, id) = (storage.clone(), new.id);
        let piece = async move {
            write_beside(&storage, &id, 5).await;
            Ok(Bytes::from_static(b"more"))
        };
        futures_util::StreamExt::boxed(futures_util::stream::once(piece))
    };
    let stands_at_5 = |error: RegistryError| match error {
        RegistryError::RangeInvalid(at) => assert_eq!((at.id, at.len), (new.id, 5)),
        other => panic!("{other:?}"),
    };
    let appended = repository.append_upload(&url, Append::default(), more());
    stands_at_5(appended.await.unwrap_err());
    let digest = sha256(&whole);
    let finished = repository.finish_upload(&url, Append::default(), more(), &digest);
    stands_at_5(finished.await.unwrap_err());
    assert_eq!(repository.upload_status(&url).await.unwrap().len, 5);
    let more = Bytes::from_static(b"more");
    let finished = repository.finish_upload(&url, Append::default(), body(&more), &digest);
    finished.await.unwrap();
}
