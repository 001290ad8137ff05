//! Multipart uploads that nobody will complete, and listings of them.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use http::response::Parts;
use registry_core::storage::{BlobStore, Sweep, UploadHint};
use registry_core::testing::{content, upload_id, verified};
use storage_s3::testing::{Failure, Fault, Operation, Options, S3Server, When};

use crate::answers::{PART, is_temporary, open, server, staged};

#[tokio::test]
async fn an_upload_that_was_begun_and_never_heard_of_is_swept_wherever_it_leads() {
    let server = server();
    let driver = open(&server, 1).await;
    let bytes = content(1, 5 * PART + 10);
    let lost = Failure::new(When::After, Fault::Reset).of(Operation::CreateMultipartUpload);
    // To the staging object, to the blob, and to the trash.
    for below in ["/uploads/", "/blobs/", "/gc/"] {
        server.fail(lost.clone().at(below));
    }
    let writer = staged(&driver, &bytes).await;
    writer.commit(verified(&bytes)).await.unwrap();
    driver.retire(verified(&bytes).digest()).await.unwrap();
    assert_eq!(server.stop_failing(), 0);
    assert_eq!(server.pending().len(), 3, "{:?}", server.pending());
    let kept = server.keys();

    // Another process, later.
    let driver = open(&server, 1).await;
    let (now, keep) = (driver.now().await.unwrap(), HashSet::new());
    let sweep = async |before| {
        let swept = driver.sweep_uploads(before, &keep, Sweep::Remove).await;
        swept.unwrap()
    };
    let hour = Duration::from_secs(3_600);
    assert_eq!(sweep(now - hour).await, 0, "they may be under way");
    // An abort that is not heard is sent again by the next sweep.
    let fails = Failure::new(When::Before, Fault::INTERNAL).of(Operation::AbortMultipartUpload);
    server.fail(fails.times(2));
    let failed = driver.sweep_uploads(now + hour, &keep, Sweep::Remove).await;
    assert!(is_temporary(&failed.unwrap_err()));
    assert_eq!(sweep(now + hour).await, 3);
    assert!(server.pending().is_empty());
    assert_eq!(server.keys(), kept);
}

#[tokio::test]
async fn an_abort_that_is_heard_late_takes_nothing() {
    let server = server();
    let driver = open(&server, 0).await;
    let bytes = content(1, 2 * PART + 10);
    let id = upload_id();
    let mut writer = driver
        .open_upload(&id, None, UploadHint::default())
        .await
        .unwrap();
    writer.write(vec![bytes.clone()]).await.unwrap();
    let at = writer.checkpoint().await.unwrap();
    // It is done, and nobody hears of that; whoever asks again finds nothing to end.
    let lost = Failure::new(When::After, Fault::Reset).of(Operation::AbortMultipartUpload);
    server.fail(lost);
    assert!(driver.abort_upload(&id, Some(at.clone())).await.is_err());
    assert_eq!(server.stop_failing(), 0);
    let driver = open(&server, 0).await;
    driver.abort_upload(&id, Some(at)).await.unwrap();
    assert!(server.pending().is_empty());
    assert_eq!(server.keys(), [""; 0]);
}

fn without_next(_: &mut Parts, body: &mut Bytes) {
    let text = String::from_utf8_lossy(body);
    let (Some(begin), Some(end)) = (
        text.find("<NextKeyMarker>"),
        text.find("</NextUploadIdMarker>"),
    ) else {
        panic!("no page: {text}");
    };
    *body = format!("{}{}", &text[..begin], &text[end + 21..]).into();
}

#[tokio::test]
async fn a_listing_of_uploads_that_does_not_go_on_is_an_error() {
    let mut options = Options::default();
    (options.part, options.page) = (PART, 1);
    let server = S3Server::with(options);
    let driver = open(&server, 0).await;
    for seed in 0..3 {
        drop(staged(&driver, &content(seed, PART)).await);
    }
    let changed = Failure::new(When::After, Fault::Changed(without_next));
    server.fail(changed.of(Operation::ListMultipartUploads));
    let (now, keep) = (driver.now().await.unwrap(), HashSet::new());
    let swept = driver.sweep_uploads(now, &keep, Sweep::Remove).await;
    assert!(is_temporary(&swept.unwrap_err()));
    assert_eq!(server.stop_failing(), 0);
    assert_eq!(server.pending().len(), 3);
}
