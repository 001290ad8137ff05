//! What the configuration asks of manifests, beyond the rules that each of them keeps.

use serde_json::{Value, json};

use crate::client::Answer;
use crate::manifests::image;
use crate::server::{Server, Setup, sha256};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn start(more: &str) -> Server {
    let setup = Setup {
        more,
        ..Setup::default()
    };
    Server::with("inmemory", setup)
}

/// Pushes an image with a layer that is elsewhere.
fn push_foreign(server: &Server, urls: &[&str]) -> Answer {
    let mut body: Value = serde_json::from_str(&image(server, "a", "layer")).unwrap();
    body["layers"] = json!([{
        "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "digest": sha256(b"elsewhere"),
        "size": 9,
        "urls": urls,
    }]);
    server.put_manifest("a", "t", &body.to_string())
}

pub(crate) fn layers_are_fetched_from_where_the_lists_allow() {
    let server = start(
        "validation: {manifests: {urls: {allow: ['^https://a\\.example/', '^http://b/'], \
         deny: ['secret', 'hidden$']}}}\n",
    );
    let good: [&[&str]; 3] = [
        &["https://a.example/x"],
        &["http://b/x"],
        &["http://b/x", "https://a.example/x"],
    ];
    for urls in good {
        assert_eq!(push_foreign(&server, urls).status, 201, "{urls:?}");
    }
    let bad: [&[&str]; 6] = [
        &["https://axexample/x"],
        &["https://elsewhere/https://a.example/"],
        &["https://a.example/x", "https://b/x"],
        &["https://a.example/secret/x"],
        &["http://b/hidden"],
        &["https://a.example/x#fragment"],
    ];
    for urls in bad {
        let answer = push_foreign(&server, urls);
        answer.expect(400, "MANIFEST_INVALID");
        let detail = answer.json()["errors"][0]["detail"].to_string();
        assert!(detail.contains(urls.last().unwrap()), "{detail}");
    }
}

pub(crate) fn without_lists_or_without_validation_a_layer_may_be_anywhere() {
    let disabled = "validation: {disabled: true, manifests: {urls: {allow: [nowhere]}}}\n";
    for more in ["", disabled] {
        let server = start(more);
        assert_eq!(push_foreign(&server, &["http://x/y"]).status, 201);
        push_foreign(&server, &["ftp://x/y"]).expect(400, "MANIFEST_INVALID");
        push_foreign(&server, &[]).expect(400, "MANIFEST_BLOB_UNKNOWN");
    }
}

/// An index of what is not here, for these platforms; nothing stands for none.
fn index(platforms: &[&str]) -> String {
    let child = |platform: &&str| {
        let mut child = json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": sha256(platform.as_bytes()),
            "size": 1,
        });
        if let Some((os, architecture)) = platform.split_once('/') {
            child["platform"] = json!({"os": os, "architecture": architecture, "variant": "v8"});
        }
        child
    };
    let children: Vec<Value> = platforms.iter().map(child).collect();
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": children}).to_string()
}

pub(crate) fn only_the_listed_platforms_of_an_index_must_be_there() {
    let server = start(
        "validation: {manifests: {indexes: {platforms: list, platformlist: [{os: linux, \
         architecture: amd64}, {os: windows, architecture: arm64}]}}}\n",
    );
    let sparse = index(&["linux/arm64", "windows/amd64", "", "linux/riscv64"]);
    assert_eq!(server.put_manifest("a", "t", &sparse).status, 201);
    let wanted = index(&["linux/arm64", "windows/arm64", "", "linux/amd64"]);
    let refused = server.put_manifest("a", "t", &wanted);
    refused.expect(400, "MANIFEST_BLOB_UNKNOWN");
    let errors = refused.json()["errors"].clone();
    let missing: Vec<&Value> = errors.as_array().unwrap().iter().collect();
    let missing: Vec<&Value> = missing.iter().map(|error| &error["detail"]).collect();
    assert_eq!(
        missing,
        [
            &json!(sha256(b"windows/arm64")),
            &json!(sha256(b"linux/amd64"))
        ]
    );
    for platform in ["windows/arm64", "linux/amd64"] {
        server.push_blob("a", platform.as_bytes());
    }
    assert_eq!(server.put_manifest("a", "t", &wanted).status, 201);
}

pub(crate) fn all_children_or_none_must_be_there_where_that_is_said() {
    let sparse = index(&["linux/amd64"]);
    for (more, status) in [
        ("", 400),
        (
            "validation: {manifests: {indexes: {platforms: ALL}}}\n",
            400,
        ),
        (
            "validation: {manifests: {indexes: {platforms: list}}}\n",
            400,
        ),
        (
            "validation: {manifests: {indexes: {platforms: none}}}\n",
            201,
        ),
        ("validation: {disabled: true}\n", 201),
        ("validation: {disabled: true, enabled: true}\n", 400),
    ] {
        let server = start(more);
        let answer = server.put_manifest("a", "t", &sparse);
        assert_eq!(answer.status, status, "{more}: {answer:?}");
    }
}

/// An image whose manifest and config are of these types.
fn of_class(server: &Server, kind: &str, config: &str) -> String {
    let mut body: Value = serde_json::from_str(&image(server, "a", "layer")).unwrap();
    body["mediaType"] = json!(format!("application/vnd.{kind}+json"));
    body["config"]["mediaType"] = json!(format!("application/vnd.{config}"));
    body.to_string()
}

pub(crate) fn an_image_of_a_class_that_is_not_listed_is_denied() {
    const DOCKER: &str = "docker.distribution.manifest.v2";
    const OCI: &str = "oci.image.manifest.v1";
    let images = [
        (DOCKER, "docker.container.image.v1+json"),
        (OCI, "oci.image.config.v1+json"),
    ];
    let plugin = (DOCKER, "docker.plugin.v1+json");
    let unknown = [
        (OCI, "docker.plugin.v1+json"),
        (OCI, "oci.empty.v1+json"),
        (DOCKER, "oci.image.config.v1+json"),
    ];
    let put = |server: &Server, (kind, config): (&str, &str)| {
        server.put_manifest("a", "t", &of_class(server, kind, config))
    };
    let is_denied = |answer: &Answer, reason: &str| {
        answer.expect(403, "DENIED");
        assert_eq!(answer.json()["errors"][0]["message"], reason);
    };
    let server = start("policy: {repository: {classes: [image]}}\n");
    for of in images {
        assert_eq!(put(&server, of).status, 201, "{of:?}");
    }
    is_denied(
        &put(&server, plugin),
        "registry does not allow plugin manifest",
    );
    for of in unknown {
        let reason = format!("unknown manifest class for application/vnd.{}", of.1);
        is_denied(&put(&server, of), &reason);
    }
    assert_eq!(server.put_manifest("a", "t", &index(&[])).status, 201);

    let server = start("policy: {repository: {classes: [plugin]}}\n");
    assert_eq!(put(&server, plugin).status, 201);
    for of in images {
        is_denied(&put(&server, of), "registry does not allow image manifest");
    }

    let server = start("");
    for of in images.into_iter().chain([plugin]).chain(unknown) {
        assert_eq!(put(&server, of).status, 201, "{of:?}");
    }
}
