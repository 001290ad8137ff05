//! What distribution accepted, served from the store that it left.

use std::fs;

use serde_json::json;

use crate::client::Request;
use crate::server::{Server, sha256, sha512};

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// Writes a manifest where distribution does, before anything was asked of the repository.
fn store(server: &Server, body: &[u8]) -> String {
    let digest = sha256(body);
    let hex = digest.trim_start_matches("sha256:");
    let data = format!("blobs/sha256/{}/{hex}", &hex[..2]);
    let link = format!("repositories/a/_manifests/revisions/sha256/{hex}");
    for (dir, file, content) in [(data, "data", body), (link, "link", digest.as_bytes())] {
        fs::create_dir_all(server.at(&dir)).unwrap();
        fs::write(server.at(&dir).join(file), content).unwrap();
    }
    digest
}

pub(crate) fn what_distribution_accepted_is_served_as_what_it_is() {
    let server = Server::start("filesystem");
    let config = json!({"mediaType": "a/b", "digest": sha256(b"{}"), "size": 2});
    let image =
        |extra: &str| format!(r#"{{"schemaVersion":2,"config":{config},"layers":[]{extra}}}"#);
    let named = |kind: &str| format!(r#","mediaType":"{kind}""#);
    let deep = format!(r#","x":{}{}"#, "[".repeat(100), "]".repeat(100));
    let bodies = [
        (image(r#","subject":{}"#), OCI),
        (image(&deep), OCI),
        (
            image(r#","a":1e400,"artifactType":5,"fsLayers":"junk""#),
            OCI,
        ),
        (image(r#","mediaType":"","a":"\ud800""#), OCI),
        (image(&(named(DOCKER) + &named(DOCKER))), DOCKER),
        (image(&(named(DOCKER) + &deep)), DOCKER),
        (
            r#"{"schemaVersion":2,"manifests":[],"a":1e400}"#.to_owned(),
            INDEX,
        ),
    ];
    let mut bodies = bodies
        .map(|(body, kind)| (body.into_bytes(), kind))
        .to_vec();
    let broken = image(&(named(DOCKER) + r#","a":"?""#));
    let broken = broken
        .bytes()
        .map(|byte| if byte == b'?' { 0xff } else { byte });
    bodies.push((broken.collect(), DOCKER));
    for (body, kind) in bodies {
        let digest = store(&server, &body);
        // The second time from memory.
        for _ in 0..2 {
            let answer = server.get(&format!("/v2/a/manifests/{digest}"));
            let text = String::from_utf8_lossy(&body);
            assert_eq!(answer.status, 200, "{text}");
            assert_eq!(answer.header("content-type"), kind, "{text}");
            assert_eq!(answer.body, body);
        }
    }
}

pub(crate) fn a_subject_counts_whatever_stands_beside_it_and_only_where_it_is_one() {
    let server = Server::start("filesystem");
    let digest = sha256(b"subject");
    let subject = json!({"mediaType": OCI, "digest": digest, "size": 1});
    let body = |kind: &str, extra: &str| {
        let config = json!({"mediaType": "a/b", "digest": sha256(b"{}"), "size": 2});
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{kind}","config":{config},"layers":[],"subject":{subject}{extra}}}"#
        )
    };
    let odd = r#","annotations":{"a":null,"b":"c","d":5},"artifactType":5,"x":1e400,"y":"\ud800""#;
    let referrer = store(&server, body(OCI, odd).as_bytes());
    store(&server, body(DOCKER, "").as_bytes());
    let listed = server.get(&format!("/v2/a/referrers/{digest}")).json();
    let listed = listed["manifests"].as_array().unwrap().clone();
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(listed[0]["digest"], referrer);
    assert_eq!(listed[0]["artifactType"], "a/b");
    assert_eq!(listed[0]["annotations"], json!({"a": "", "b": "c"}));

    // Nor is one of Docker's listed that is pushed here.
    server.push_blob("a", b"{}");
    let answer = server.put_manifest("a", "docker", &body(DOCKER, ""));
    assert_eq!((answer.status, answer.header("oci-subject")), (201, ""));
    let answer = server.put_manifest("a", "oci", &body(OCI, ""));
    assert_eq!(
        (answer.status, answer.header("oci-subject")),
        (201, &*digest)
    );
    let listed = server.get(&format!("/v2/a/referrers/{digest}")).json();
    assert_eq!(listed["manifests"].as_array().unwrap().len(), 2, "{listed}");
}

pub(crate) fn a_blob_under_two_digests_is_mounted_with_both_links() {
    let server = Server::start("filesystem");
    let digest = server.push_blob("source", b"mounted");
    // As distribution keeps what it takes under a sha512 digest.
    let wide = sha512(b"mounted");
    let link = |repository: &str, digest: &str| {
        let digest = digest.replacen(':', "/", 1);
        server.at(&format!("repositories/{repository}/_layers/{digest}/link"))
    };
    let alias = link("source", &wide);
    fs::create_dir_all(alias.parent().unwrap()).unwrap();
    fs::write(alias, &digest).unwrap();
    let target = format!("/v2/target/blobs/uploads/?mount={wide}&from=source");
    assert_eq!(server.send(Request::new("POST", &target)).status, 201);
    // distribution reads the one and asks for the other.
    for named in [&wide, &digest] {
        let held = fs::read_to_string(link("target", named)).unwrap();
        assert_eq!(held, digest, "{named}");
        let got = server.get(&format!("/v2/target/blobs/{named}"));
        assert_eq!((got.status, &got.body[..]), (200, &b"mounted"[..]));
    }
}
