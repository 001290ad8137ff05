//! What is accepted as a manifest, and what is not.

use super::*;
use crate::digest::Algorithm;
use crate::hasher::digest_of;

const SHA: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

fn descriptor(kind: &str) -> String {
    format!(r#"{{"mediaType":"{kind}","digest":"{SHA}","size":2}}"#)
}

fn image(extra: &str) -> String {
    let config = descriptor("application/vnd.oci.empty.v1+json");
    format!(r#"{{"schemaVersion":2,"config":{config},"layers":[]{extra}}}"#)
}

fn parse(body: &str, content_type: &str) -> Result<Manifest, ManifestError> {
    let content_type = MediaType::new(content_type);
    Manifest::parse(
        Bytes::copy_from_slice(body.as_bytes()),
        Some(&content_type),
        digest_of(Algorithm::Sha256, body.as_bytes()),
        &Demands::default(),
    )
}

fn refused(body: &str, content_type: &str, reason: &str) {
    let error = parse(body, content_type).unwrap_err().to_string();
    assert!(error.contains(reason), "{body}: {error}");
}

#[test]
fn the_type_comes_from_the_header_the_member_or_the_shape() {
    let kind = |body: &str, content_type| parse(body, content_type).unwrap().kind();
    assert_eq!(
        kind(&image(""), media_type::OCI_MANIFEST),
        Kind::OciManifest
    );
    assert_eq!(
        kind(
            &image(""),
            "application/vnd.oci.image.manifest.v1+json; charset=utf-8"
        ),
        Kind::OciManifest
    );
    assert_eq!(kind(&image(""), ""), Kind::OciManifest);
    assert_eq!(kind(&image(""), "application/json"), Kind::OciManifest);
    assert_eq!(
        kind(r#"{"schemaVersion":2,"manifests":[]}"#, ""),
        Kind::OciIndex
    );
    let docker = image(&format!(
        r#","mediaType":"{}""#,
        media_type::DOCKER_MANIFEST
    ));
    assert_eq!(kind(&docker, ""), Kind::DockerManifest);
    assert_eq!(
        kind(&docker, media_type::DOCKER_MANIFEST),
        Kind::DockerManifest
    );
}

#[test]
fn a_document_that_reads_two_ways_is_refused() {
    refused(
        &image(r#","manifests":[]"#),
        media_type::OCI_MANIFEST,
        "must not have manifests",
    );
    refused(
        &image(r#","manifests":[]"#),
        media_type::OCI_INDEX,
        "must not have config or layers",
    );
    let named = image(&format!(r#","mediaType":"{}""#, media_type::OCI_MANIFEST));
    refused(&named, media_type::DOCKER_MANIFEST, "but mediaType is");
    refused(
        &image(r#","layers":[]"#),
        media_type::OCI_MANIFEST,
        "layers stands twice",
    );
}

#[test]
fn what_is_not_sound_json_is_refused() {
    let oci = media_type::OCI_MANIFEST;
    for body in [
        "",
        "{",
        "[]",
        "NaN",
        "\u{feff}{}",
        r#"{"a":"\ud800"}"#,
        "{} {}",
    ] {
        assert!(parse(body, oci).is_err(), "{body:?}");
    }
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    refused(&image(&format!(r#","x":{deep}"#)), oci, "nested deeper");
    let padded = |len: usize| image("") + &" ".repeat(len - image("").len());
    assert!(parse(&padded(MAX_BYTES), oci).is_ok());
    refused(&padded(MAX_BYTES + 1), oci, "larger than");
    let brackets = format!(r#","x":"{}""#, "[".repeat(1000));
    assert!(parse(&image(&brackets), oci).is_ok());
}

#[test]
fn schema_1_is_refused_with_the_reason() {
    let body = r#"{"schemaVersion":1,"name":"a","tag":"b","fsLayers":[]}"#;
    refused(
        body,
        media_type::SCHEMA1_SIGNED,
        "schema 1 is no longer accepted",
    );
    refused(body, "application/json", "schema 1 is no longer accepted");
    refused(body, "", "schema 1 is no longer accepted");
}

#[test]
fn required_members_are_required() {
    let oci = media_type::OCI_MANIFEST;
    refused(
        r#"{"schemaVersion":2,"layers":[]}"#,
        oci,
        "must have config",
    );
    refused(
        r#"{"schemaVersion":2}"#,
        media_type::OCI_INDEX,
        "must have manifests",
    );
    refused(
        r#"{"schemaVersion":1,"manifests":[]}"#,
        media_type::OCI_INDEX,
        "schemaVersion",
    );
    refused(
        r#"{"manifests":[]}"#,
        media_type::OCI_INDEX,
        "schemaVersion",
    );
    refused(&image(""), media_type::DOCKER_MANIFEST, "mediaType must be");
    refused(&image(""), "text/plain", "unsupported manifest media type");
    refused(r#"{"schemaVersion":2}"#, "", "must have manifests");
    refused("{}", "", "neither");
    let bad =
        r#"{"schemaVersion":2,"manifests":[{"mediaType":"a/b","digest":"sha256:x","size":1}]}"#;
    assert_eq!(
        parse(bad, "").unwrap_err(),
        ManifestError::Digest("sha256:x".to_owned())
    );
    let other = parse(&bad.replace("sha256:x", "foo+bar:abc_DEF="), "").unwrap();
    assert_eq!(other.needs()[0].digest.known(), None);
    let negative = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"a/b","digest":"{SHA}","size":-1}}]}}"#
    );
    refused(&negative, "", "no valid size");
}

#[test]
fn a_layer_that_says_where_else_it_is_need_not_be_here() {
    let body = |kind: &str, urls: &str| {
        let config = descriptor("a/b").replace(SHA, &digest_of(Algorithm::Sha256, b"").to_string());
        let layer = descriptor(kind).replace('}', &format!(r#","urls":{urls}}}"#));
        format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layer}]}}"#)
    };
    let role = |kind: &str, urls: &str| {
        let manifest = parse(&body(kind, urls), media_type::OCI_MANIFEST).unwrap();
        assert_eq!(manifest.needs()[0].role, Role::Blob);
        manifest.needs()[1].role
    };
    let (good, bad) = (r#"["HTTPS://example.com/layer"]"#, r#"["https:///layer"]"#);
    for kind in media_type::ELSEWHERE {
        assert_eq!(role(kind, good), Role::Foreign, "{kind}");
        assert_eq!(role(kind, "[]"), Role::Blob, "{kind}");
        assert_eq!(role(kind, "null"), Role::Blob, "{kind}");
        refused(&body(kind, bad), media_type::OCI_MANIFEST, "bad URL");
    }
    for kind in media_type::PLAIN_LAYERS {
        assert_eq!(role(kind, good), Role::Blob, "{kind}");
        refused(&body(kind, bad), media_type::OCI_MANIFEST, "bad URL");
    }
    let others = [
        "a/b",
        "application/vnd.oci.image.layer.nondistributable.v1.tarball",
    ];
    for kind in others {
        assert_eq!(role(kind, good), Role::Blob, "{kind}");
        assert_eq!(role(kind, bad), Role::Blob, "{kind}");
    }
    // A config and a child are what they are, however they are called.
    let foreign = descriptor(media_type::ELSEWHERE[0]).replace('}', r#","urls":["x"]}"#);
    let config = image("").replace(&descriptor("application/vnd.oci.empty.v1+json"), &foreign);
    let index = format!(r#"{{"schemaVersion":2,"manifests":[{foreign}]}}"#);
    for (body, role) in [(config, Role::Blob), (index, Role::Child)] {
        assert_eq!(parse(&body, "").unwrap().needs()[0].role, role, "{body}");
    }
}

#[test]
fn a_referrer_is_described_by_its_artifact_type_or_its_config() {
    let subject = format!(
        r#","subject":{},"annotations":{{"a":"b"}}"#,
        descriptor(media_type::OCI_MANIFEST)
    );
    let manifest = parse(&image(&subject), media_type::OCI_MANIFEST).unwrap();
    assert_eq!(
        manifest.subject().map(ToString::to_string).as_deref(),
        Some(SHA)
    );
    let referrer = manifest.referrer();
    assert_eq!(
        referrer.artifact_type.as_deref(),
        Some("application/vnd.oci.empty.v1+json")
    );
    assert_eq!(referrer.annotations["a"], "b");
    let own = parse(&image(r#","artifactType":"x/y""#), media_type::OCI_MANIFEST).unwrap();
    assert_eq!(own.referrer().artifact_type.as_deref(), Some("x/y"));
    let index = parse(
        r#"{"schemaVersion":2,"manifests":[]}"#,
        media_type::OCI_INDEX,
    )
    .unwrap();
    assert_eq!(index.referrer().artifact_type, None);
}

mod ambiguous;
mod stored;
