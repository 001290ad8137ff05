//! What is asked of the bucket until a client has its answer: a request more is paid for by all.

use storage_s3::testing::Operation;

use crate::client::Request;
use crate::manifests::image;
use crate::server::{Server, sha256};

/// What has been asked since the last look.
fn asked(server: &Server) -> Vec<Operation> {
    let log = server.bucket().take_log();
    log.iter().map(|request| request.operation).collect()
}

/// Where an upload that was just begun goes on.
fn begin(server: &Server) -> String {
    let begun = server.send(Request::new("POST", "/v2/app/blobs/uploads/"));
    assert_eq!(begun.status, 202);
    begun.header("location").to_owned()
}

fn finish(server: &Server, location: &str, digest: &str, rest: &[u8]) {
    let mark = if location.contains('?') { '&' } else { '?' };
    let target = format!("{location}{mark}digest={digest}");
    let finished = server.send(Request::new("PUT", &target).body(rest));
    assert_eq!(finished.status, 201);
}

#[test]
fn a_layer_costs_so_many_requests_and_no_more() {
    let server = Server::start("s3");
    server.push_blob("app", b"so that the repository is known");
    asked(&server);
    for len in [4_096, 1 << 20] {
        let layer = vec![1; len];
        finish(&server, &begin(&server), &sha256(&layer), &layer);
        // Whether it was begun, its bytes, its link.
        let expected = [
            Operation::GetObject,
            Operation::PutObject,
            Operation::PutObject,
        ];
        assert_eq!(asked(&server), expected, "{len}");

        let layer = vec![2; len];
        let sent = Request::new("PATCH", &begin(&server)).body(&layer);
        let sent = server.send(sent);
        assert_eq!(sent.status, 202);
        finish(&server, sent.header("location"), &sha256(&layer), b"");
        let asked = asked(&server);
        assert!(asked.len() <= 8, "{len}: {asked:?}");
    }
}

#[test]
fn a_manifest_and_a_page_cost_so_many_requests_and_no_more() {
    let server = Server::start("s3");
    let manifest = image(&server, "app", "layer");
    server.push_manifest("app", "one", &manifest);
    asked(&server);
    server.push_manifest("app", "two", &manifest);
    // For its layer and its config two looks before, and two after; the bytes, three links, and
    // what the tag was and is.
    let pushed = asked(&server);
    assert!(pushed.len() <= 17, "{pushed:?}");

    for n in 0..30 {
        server.push_manifest("app", &format!("t{n:02}"), &manifest);
    }
    asked(&server);
    let page = server.get("/v2/app/tags/list?n=5&last=t10");
    let expected = br#"{"name":"app","tags":["t11","t12","t13","t14","t15"]}"#;
    assert_eq!(
        String::from_utf8_lossy(&page.body).trim_end(),
        String::from_utf8_lossy(expected)
    );
    assert_eq!(asked(&server), [Operation::ListObjectsV2]);
}
