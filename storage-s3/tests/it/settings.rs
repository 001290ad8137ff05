//! What the settings come to on the wire.

use bytes::Bytes;
use http::StatusCode;
use registry_core::layout::Dir;
use registry_core::storage::{
    BlobStore, Durability, OpenMode, Outcome, PutMode, RecordStore, RedirectRequest, UploadHint,
};
use registry_core::testing::{content, upload_id, verified};
use storage_s3::testing::{Failure, Fault, Operation, Options, Request, S3Server, When};
use storage_s3::{Config, S3Driver};

const PART: usize = 100_000;

fn server() -> S3Server {
    let mut options = Options::default();
    options.part = PART;
    S3Server::with(options)
}

async fn open(config: &Config) -> S3Driver {
    storage_s3::open(config, OpenMode::Serve).await.unwrap()
}

/// Why it does not open, all of it.
async fn refused(config: &Config, mode: OpenMode) -> String {
    let error = storage_s3::open(config, mode).await.unwrap_err();
    let mut causes = vec![error.to_string()];
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        causes.push(error.to_string());
        cause = error.source();
    }
    causes.join(": ")
}

/// A blob in parts at a key of its own, then one that is copied, and a record.
async fn push(driver: &S3Driver) {
    let bytes = content(1, 3 * PART + 1);
    for digest in [Some(*verified(&bytes).digest()), None] {
        let hint = UploadHint { digest, size: None };
        let opened = driver.open_upload(&upload_id(), None, hint).await;
        let mut upload = opened.unwrap();
        upload.write(vec![bytes.clone()]).await.unwrap();
        upload.commit(verified(&bytes)).await.unwrap();
    }
    let path = Dir::Uploads.path();
    let value = Bytes::from_static(b"a record");
    let put = driver.put(&path, value, PutMode::Create, Durability::Durable);
    assert!(matches!(put.await.unwrap(), Outcome::Done(_)));
}

fn makes(request: &Request) -> bool {
    matches!(
        request.operation,
        Operation::PutObject | Operation::CreateMultipartUpload | Operation::CopyObject
    )
}

#[tokio::test]
async fn what_is_made_is_kept_as_the_settings_say_and_nothing_else_speaks_of_it() {
    let server = server();
    let mut config = server.config();
    config.chunksize = PART as u64;
    config.encrypt = true;
    config.keyid = Some("the key".to_owned());
    config.storageclass = Some("STANDARD_IA".to_owned());
    config.objectacl = Some("bucket-owner-full-control".to_owned());
    let driver = open(&config).await;
    push(&driver).await;
    let expected = [
        ("x-amz-server-side-encryption", "aws:kms"),
        ("x-amz-server-side-encryption-aws-kms-key-id", "the key"),
        ("x-amz-storage-class", "STANDARD_IA"),
        ("x-amz-acl", "bucket-owner-full-control"),
    ];
    let mut seen = std::collections::BTreeSet::new();
    for request in server.take_log() {
        for (name, value) in expected {
            let found = request.headers.get(name);
            let expected = makes(&request).then_some(value);
            let operation = request.operation;
            assert_eq!(
                found.map(|it| it.to_str().unwrap()),
                expected,
                "{operation}"
            );
            let signed = request.headers.get("authorization");
            let signed = signed.is_some_and(|it| it.to_str().unwrap().contains(name));
            // Some are signed in their URLs.
            let signed = signed || request.query.contains(&format!("%3B{name}"));
            assert_eq!(signed, expected.is_some(), "{operation}");
        }
        seen.insert(request.operation);
    }
    for operation in [
        Operation::PutObject,
        Operation::CreateMultipartUpload,
        Operation::CopyObject,
        Operation::UploadPart,
        Operation::CompleteMultipartUpload,
    ] {
        assert!(seen.contains(&operation), "{operation}");
    }
}

#[tokio::test]
async fn what_a_bucket_does_by_itself_is_not_asked_for() {
    let server = server();
    let mut config = server.config();
    config.chunksize = PART as u64;
    config.keyid = Some("the key".to_owned());
    config.useragent = Some("somebody".to_owned());
    let driver = open(&config).await;
    push(&driver).await;
    for request in server.take_log() {
        let names = request.headers.keys().map(|name| name.as_str());
        let more: Vec<_> = names
            .filter(|name| name.starts_with("x-amz-server") || name.ends_with("-acl"))
            .collect();
        assert_eq!(more, [""; 0], "{}", request.operation);
        assert!(!request.headers.contains_key("x-amz-storage-class"));
        assert_eq!(request.headers["user-agent"], "somebody");
    }
}

#[tokio::test]
async fn a_token_goes_with_keys_that_have_one() {
    let server = server();
    let mut config = server.config();
    config.sessiontoken = Some("for a while".to_owned());
    let _driver = open(&config).await;
    let log = server.take_log();
    assert!(!log.is_empty());
    for request in log.iter().filter(|one| !one.query.contains("X-Amz-")) {
        assert_eq!(request.headers["x-amz-security-token"], "for a while");
    }
}

#[tokio::test]
async fn clients_are_sent_to_another_host_with_a_signature_for_it() {
    let server = server();
    let port = server.address().port();
    let mut config = server.config();
    config.redirectendpoint = Some(format!("http://localhost:{port}"));
    let driver = open(&config).await;
    let bytes = content(1, 1_000);
    let digest = *verified(&bytes).digest();
    server.put(
        registry_core::layout::Key::Blob(digest).path().as_str(),
        bytes.clone(),
    );
    let request = RedirectRequest::new(None);
    let url = driver.redirect(&digest, &request).await.unwrap().unwrap();
    let host = format!("http://localhost:{port}/registry/");
    assert!(url.as_str().starts_with(&host), "{}", url.as_str());
    let url = url.as_str().replace("localhost", "127.0.0.1");
    let headers = [("host", format!("localhost:{port}"))];
    let headers = headers
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let answer = crate::server::send(http::Method::GET, &url, &headers, &Bytes::new()).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.body, bytes);
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_said_to_be_so() {
    let server = server();
    let mut config = server.config();
    config.bucket = "another".to_owned();
    for mode in [OpenMode::Serve, OpenMode::ReadOnly, OpenMode::Check] {
        let error = refused(&config, mode).await;
        let expected = "asking the bucket another, with credentials of the configuration: there is \
                        no such bucket";
        assert_eq!(error, expected);
    }
}

#[tokio::test]
async fn who_may_not_ask_is_told_so_and_shown_no_secret() {
    let server = server();
    let mut config = server.config();
    config.secretkey = Some("hush".to_owned());
    config.sessiontoken = Some("hush hush".to_owned());
    let error = refused(&config, OpenMode::Serve).await;
    assert!(error.contains("SignatureDoesNotMatch"), "{error}");
    assert!(!error.contains("hush") && !error.contains('<'), "{error}");
}

#[tokio::test]
async fn what_the_store_holds_to_is_told_and_nothing_is_left_of_the_trial() {
    for (conditions, told) in [(true, "held to"), (false, "passed over")] {
        let mut options = Options::default();
        options.conditions = conditions;
        let server = S3Server::with(options);
        let driver = storage_s3::open(&server.config(), OpenMode::Check).await;
        let survey = driver.unwrap().survey().await;
        let facts = survey.facts.iter();
        let mut facts = facts.filter(|(name, _)| *name == "conditions of writes");
        assert!(facts.next().unwrap().1.starts_with(told), "{survey:?}");
        assert!(survey.serve.is_none() && survey.read_only.is_none());
        assert_eq!(server.keys(), [""; 0]);
    }
}

#[tokio::test]
async fn who_may_not_write_may_look_but_not_serve() {
    let server = server();
    let forbidden = Fault::Status(StatusCode::FORBIDDEN, "AccessDenied");
    server.fail(
        Failure::new(When::Before, forbidden)
            .of(Operation::PutObject)
            .times(100),
    );
    let config = server.config();
    let driver = storage_s3::open(&config, OpenMode::Check).await.unwrap();
    let survey = driver.survey().await;
    let why = survey.serve.unwrap();
    assert!(why.to_string().starts_with("trying the bucket"), "{why}");
    assert!(survey.read_only.is_none());
    storage_s3::open(&config, OpenMode::ReadOnly).await.unwrap();
    let error = refused(&config, OpenMode::Serve).await;
    assert!(error.contains("AccessDenied"), "{error}");
}
