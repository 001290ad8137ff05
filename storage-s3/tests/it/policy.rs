//! The rights that the page of the documentation asks for: enough, and none too many.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use bytes::Bytes;
use registry_core::layout::{Dir, Key};
use registry_core::storage::{
    BlobStore, Durability, OpenMode, Outcome, PutMode, RecordStore, RedirectRequest, Sweep,
    UploadHint,
};
use registry_core::testing::{content, read_to_end, upload_id, verified};
use serde_json::Value;
use storage_s3::S3Driver;
use storage_s3::testing::{Operation, Options, Request, S3Server};

const PART: usize = 20_000;
const TREE: &str = "docker/registry/v2/";

/// The rights by what they are for: the bucket, or what is in the directory.
type Rights = BTreeMap<&'static str, BTreeSet<String>>;

/// Blocks of JSON in the page.
fn blocks() -> Vec<Value> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/s3.md");
    #[allow(clippy::disallowed_methods, reason = "a page of the documentation")]
    let page = std::fs::read_to_string(page).unwrap();
    let blocks = page.split("```json\n").skip(1);
    let texts = blocks.map(|block| block.split_once("```").unwrap().0);
    texts
        .map(|text| serde_json::from_str(text).unwrap())
        .collect()
}

fn rights(policy: &Value) -> Rights {
    let mut rights = Rights::new();
    for statement in policy["Statement"].as_array().unwrap() {
        assert_eq!(statement["Effect"], "Allow");
        let resource = statement["Resource"].as_str().unwrap();
        let on = match resource.strip_prefix("arn:aws:s3:::images").unwrap() {
            "" => "bucket",
            "/docker/registry/v2/*" => "objects",
            other => panic!("{other}"),
        };
        let actions = statement["Action"].as_array().unwrap().iter();
        // The other listing has no such key, so that a condition on it would never hold.
        let bound = statement.get("Condition").is_some();
        assert!(!bound || statement["Action"] == serde_json::json!(["s3:ListBucket"]));
        let actions = actions.map(|action| action.as_str().unwrap().to_owned());
        rights.entry(on).or_default().extend(actions);
    }
    rights
}

/// What AWS asks for, by its reference of the operations.
fn needed(request: &Request) -> (&'static str, Vec<&'static str>) {
    let conditional = request.headers.contains_key("if-match");
    match request.operation {
        Operation::ListObjectsV2 => ("bucket", vec!["s3:ListBucket"]),
        Operation::ListMultipartUploads => ("bucket", vec!["s3:ListBucketMultipartUploads"]),
        Operation::GetObject | Operation::HeadObject => ("objects", vec!["s3:GetObject"]),
        Operation::PutObject
        | Operation::CreateMultipartUpload
        | Operation::UploadPart
        | Operation::CompleteMultipartUpload => ("objects", vec!["s3:PutObject"]),
        Operation::CopyObject | Operation::UploadPartCopy => {
            ("objects", vec!["s3:GetObject", "s3:PutObject"])
        }
        Operation::DeleteObject if conditional => {
            ("objects", vec!["s3:DeleteObject", "s3:GetObject"])
        }
        Operation::DeleteObject | Operation::DeleteObjects => ("objects", vec!["s3:DeleteObject"]),
        Operation::AbortMultipartUpload => ("objects", vec!["s3:AbortMultipartUpload"]),
        other => panic!("nobody said what {other} needs"),
    }
}

/// Whether it stays in the directory of the policy.
fn stays_inside(request: &Request) -> bool {
    match request.operation {
        Operation::ListObjectsV2 | Operation::ListMultipartUploads => {
            let tree = TREE.replace('/', "%2F");
            request.query.contains(&format!("prefix={tree}"))
        }
        // Its keys are in its body; they are those that listings and uploads name.
        Operation::DeleteObjects => true,
        _ => request.key.starts_with(TREE),
    }
}

/// All that a registry does with a store, once.
async fn do_everything(driver: &S3Driver) {
    let bytes = content(1, 5 * PART + 1);
    let digest = *verified(&bytes).digest();
    for known in [Some(digest), None] {
        let (id, hint) = (
            upload_id(),
            UploadHint {
                digest: known,
                size: None,
            },
        );
        let mut upload = driver.open_upload(&id, None, hint).await.unwrap();
        upload.write(vec![bytes.slice(..PART + 1)]).await.unwrap();
        let at = upload.checkpoint().await.unwrap();
        let opened = driver.open_upload(&id, Some(at), hint).await;
        let mut upload = opened.unwrap();
        upload.write(vec![bytes.slice(PART + 1..)]).await.unwrap();
        upload.commit(verified(&bytes)).await.unwrap();
    }
    let mut read = driver.read(&digest, None).await.unwrap();
    assert!(read_to_end(&mut *read, PART).await.unwrap() == bytes);
    let request = RedirectRequest::new(None);
    assert!(driver.redirect(&digest, &request).await.unwrap().is_some());
    let retired = driver.retire(&digest).await.unwrap();
    driver.restore(&digest).await.unwrap();
    driver.purge(&retired).await.unwrap();

    let id = upload_id();
    let hint = UploadHint::default();
    let mut upload = driver.open_upload(&id, None, hint).await.unwrap();
    upload.write(vec![bytes.slice(..PART + 1)]).await.unwrap();
    let at = upload.checkpoint().await.unwrap();
    driver.abort_upload(&id, Some(at)).await.unwrap();
    let later = driver.now().await.unwrap() + Duration::from_secs(60);
    let keep = HashSet::new();
    let swept = driver.sweep_uploads(later, &keep, Sweep::Remove);
    swept.await.unwrap();

    let tag = Key::TagCurrent("app".parse().unwrap(), "v1".parse().unwrap()).path();
    for mode in [PutMode::Create, PutMode::Replace] {
        let value = Bytes::from_static(b"x");
        let put = driver.put(&tag, value, mode, Durability::Durable);
        assert!(matches!(put.await.unwrap(), Outcome::Done(_)));
    }
    let found = RecordStore::get(driver, &tag).await.unwrap().unwrap();
    let deleted = driver.delete(&tag, Some(&found.version)).await.unwrap();
    assert!(matches!(deleted, Outcome::Done(_)));
    driver
        .delete_below(&Dir::Repositories.path())
        .await
        .unwrap();
}

#[tokio::test]
async fn the_rights_of_the_page_are_those_that_are_used() {
    let mut options = Options::default();
    options.part = PART;
    let server = S3Server::with(options);
    let mut config = server.config();
    config.chunksize = PART as u64;
    config.multipartcopychunksize = 2 * PART as u64;
    config.multipartcopythresholdsize = 2 * PART as u64;
    let driver = storage_s3::open(&config, OpenMode::Serve).await.unwrap();
    do_everything(&driver).await;
    driver.survey().await;
    let mut used = Rights::new();
    for request in server.take_log() {
        let (on, actions) = needed(&request);
        let actions = actions.into_iter().map(str::to_owned);
        used.entry(on).or_default().extend(actions);
        assert!(stays_inside(&request), "{request:?}");
    }
    let blocks = blocks();
    let policies = blocks.iter().filter(|one| one.get("Statement").is_some());
    let policies: Vec<Rights> = policies.map(rights).collect();
    assert_eq!(policies, [used.clone(), used]);
}

#[test]
fn the_rules_of_the_page_abort_uploads_and_expire_nothing() {
    let blocks = blocks();
    let rules = blocks.iter().filter_map(|one| one.get("Rules"));
    let rules: Vec<&Value> = rules.flat_map(|all| all.as_array().unwrap()).collect();
    assert_eq!(rules.len(), 1);
    let keys: Vec<&String> = rules[0].as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        ["AbortIncompleteMultipartUpload", "Filter", "ID", "Status"]
    );
    assert_eq!(rules[0]["Filter"]["Prefix"], TREE);
    let days = &rules[0]["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"];
    // `maintenance.uploadpurging.age`, if nothing is said of it.
    assert!(days.as_u64().unwrap() > 7);
}
