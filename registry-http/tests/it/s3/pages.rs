//! Pages of listings that are cut short, repeated, out of order or thinned out: clients hear the
//! truth or are told to come back, nothing goes on for ever, and a collection takes nothing.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use http::response::Parts;
use registry_core::{RegistryError, StorageError};
use storage_s3::testing::{Failure, Fault, Operation, When};

use super::lane::{Lane, Running};
use crate::client::{Answer, Request};
use crate::server::sha256;

type Change = fn(&mut Parts, &mut Bytes);

/// Where the elements of these names are.
fn elements(text: &str, names: &[&str]) -> Vec<Range<usize>> {
    let mut all = Vec::new();
    for name in names {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let mut from = 0;
        while let Some(begin) = text[from..].find(&open).map(|at| from + at) {
            from = text[begin..].find(&close).unwrap() + begin + close.len();
            all.push(begin..from);
        }
    }
    all
}

fn entries(text: &str) -> Vec<Range<usize>> {
    elements(text, &["Contents", "CommonPrefixes"])
}

fn change(body: &mut Bytes, what: impl Fn(&mut String)) {
    let mut text = String::from_utf8(body.to_vec()).unwrap();
    what(&mut text);
    *body = text.into();
}

fn without_token(_: &mut Parts, body: &mut Bytes) {
    change(body, |text| {
        if let [token] = &elements(text, &["NextContinuationToken"])[..] {
            text.replace_range(token.clone(), "");
        }
    });
}

/// Leads back to the first page.
fn from_the_start(_: &mut Parts, body: &mut Bytes) {
    change(body, |text| {
        let token = "<NextContinuationToken>token/</NextContinuationToken>";
        if let [old] = &elements(text, &["NextContinuationToken"])[..] {
            text.replace_range(old.clone(), token);
        }
    });
}

fn with_one_twice(_: &mut Parts, body: &mut Bytes) {
    change(body, |text| {
        if let Some(first) = entries(text).first() {
            let again = text[first.clone()].to_owned();
            text.insert_str(first.end, &again);
        }
    });
}

fn out_of_order(_: &mut Parts, body: &mut Bytes) {
    change(body, |text| {
        if let [first, second, ..] = &entries(text)[..] {
            let moved = text[first.clone()].to_owned();
            text.insert_str(second.end, &moved);
            text.replace_range(first.clone(), "");
        }
    });
}

fn without_the_first(_: &mut Parts, body: &mut Bytes) {
    change(body, |text| {
        if let Some(first) = entries(text).first() {
            text.replace_range(first.clone(), "");
        }
    });
}

fn without_any(_: &mut Parts, body: &mut Bytes) {
    change(body, |text| {
        for one in entries(text).into_iter().rev() {
            text.replace_range(one, "");
        }
    });
}

fn half_of_it(_: &mut Parts, body: &mut Bytes) {
    body.truncate(body.len() / 2);
}

const CHANGES: [(&str, Change); 7] = [
    ("without token", without_token),
    ("from the start", from_the_start),
    ("with one twice", with_one_twice),
    ("out of order", out_of_order),
    ("without the first", without_the_first),
    ("without any", without_any),
    ("half of it", half_of_it),
];

const TAGS: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];

fn manifest(repository: &str) -> String {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[],"annotations":{{"of":"{repository}"}}}}"#
    )
}

fn ask(running: &Running, path: &str) -> Answer {
    Request::new("GET", path).send(running.address)
}

/// Repositories of a few tags each.
fn fill(running: &Running) {
    for repository in ["one", "two", "three"] {
        for tag in TAGS {
            let path = format!("/v2/{repository}/manifests/{tag}");
            let kind = "application/vnd.oci.image.index.v1+json";
            let put = Request::new("PUT", &path).header("Content-Type", kind);
            let put = put.body(manifest(repository).as_bytes());
            assert_eq!(put.send(running.address).status, 201);
        }
    }
}

/// What clients ask that is answered from listings, and what they hear.
fn truth() -> BTreeMap<&'static str, serde_json::Value> {
    BTreeMap::from([
        (
            "/v2/one/tags/list",
            serde_json::json!({"name": "one", "tags": TAGS}),
        ),
        (
            "/v2/two/tags/list?n=3&last=b",
            serde_json::json!({"name": "two", "tags": ["c", "d", "e"]}),
        ),
        (
            "/v2/_catalog",
            serde_json::json!({"repositories": ["one", "three", "two"]}),
        ),
    ])
}

/// Of a bucket that gives three entries a page.
fn lane() -> Lane {
    Lane::with(|limits| limits.page = 3, |config| config.retries = 0)
}

fn assert_whole(lane: &Lane, context: &str) {
    let running = lane.serve();
    for repository in ["one", "two", "three"] {
        let digest = sha256(manifest(repository).as_bytes());
        for reference in ["a", "g", &digest] {
            let found = ask(&running, &format!("/v2/{repository}/manifests/{reference}"));
            assert_eq!(found.status, 200, "{context}: {found:?}");
            assert_eq!(found.body, manifest(repository).as_bytes(), "{context}");
        }
    }
}

#[test]
fn a_page_that_is_wrong_is_no_answer_and_no_reason_to_remove_anything() {
    let lane = lane();
    fill(&lane.serve());
    let filled = lane.bucket.snapshot();
    let mut told = 0;
    for (path, right) in truth() {
        lane.bucket.take_log();
        assert_eq!(ask(&lane.serve(), path).json(), right);
        let pages = lane.bucket.count(Operation::ListObjectsV2);
        assert!(pages > 1, "{path}: {pages}");
        for (name, change) in CHANGES {
            for page in 0..pages {
                for times in [1, usize::MAX] {
                    let wrong = Failure::new(When::After, Fault::Changed(change));
                    let wrong = wrong.of(Operation::ListObjectsV2).skip(page);
                    lane.bucket.fail(wrong.times(times));
                    let answer = ask(&lane.serve(), path);
                    lane.bucket.stop_failing();
                    let context = format!("{path}, page {page} {name}");
                    if answer.status == 503 {
                        assert_eq!(answer.header("retry-after"), "5", "{context}");
                        told += 1;
                    } else {
                        assert_eq!(answer.json(), right, "{context}");
                    }
                }
            }
        }
    }
    assert!(told > 20, "{told}");
    collect_from_wrong_pages(&lane, || lane.bucket.restore(&filled));
}

fn collect_from_wrong_pages(lane: &Lane, restore: impl Fn()) {
    lane.bucket.take_log();
    lane.serve().collect().unwrap();
    let pages = lane.bucket.count(Operation::ListObjectsV2);
    let mut ended = 0;
    for (name, change) in CHANGES {
        for page in 0..pages {
            restore();
            let wrong = Failure::new(When::After, Fault::Changed(change));
            lane.bucket
                .fail(wrong.of(Operation::ListObjectsV2).skip(page));
            let collected = lane.serve().collect();
            lane.bucket.stop_failing();
            let context = format!("a collection, page {page} {name}");
            match collected {
                Ok(_) => {}
                Err(RegistryError::Storage(StorageError::Backend { .. })) => ended += 1,
                Err(error) => panic!("{context}: {error:?}"),
            }
            assert_whole(lane, &context);
        }
    }
    assert!(ended > pages, "{ended} of {pages}");
}
