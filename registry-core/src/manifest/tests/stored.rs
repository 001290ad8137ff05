//! What distribution has accepted, as we read it from its store.

use super::*;

fn load(body: &[u8]) -> Result<Manifest, ManifestError> {
    let digest = digest_of(Algorithm::Sha256, body);
    Manifest::load(Bytes::copy_from_slice(body), digest)
}

fn type_of(body: &[u8]) -> Option<String> {
    let BodyTypes { named, shape } = BodyTypes::of(body);
    named.or(shape).map(|found| found.as_str().to_owned())
}

/// Bodies that distribution answers with 201, whatever stands in `named`.
fn accepted(named: &str) -> Vec<Vec<u8>> {
    let deep = format!(r#","x":{}{}"#, "[".repeat(100), "]".repeat(100));
    let extras = [
        r#","annotations":{"a":null}"#,
        r#","subject":{}"#,
        r#","subject":[1]"#,
        r#","layers":[]"#,
        r#","Layers":null"#,
        r#","a":"\ud800""#,
        r#","\ud800":1"#,
        r#","annotations":{"\ud800":"a"}"#,
        r#","a":1e400"#,
        &deep,
        r#","artifactType":5"#,
        r#","fsLayers":"junk""#,
        r#","manifests":null"#,
        r#","mediaType":"""#,
    ];
    let mut bodies: Vec<Vec<u8>> = extras
        .iter()
        .map(|extra| image(&format!("{extra}{named}")).into_bytes())
        .collect();
    let [before, after] = [&b",\"a\":\"\xff\xfe\""[..], named.as_bytes()];
    let mut broken = image("").into_bytes();
    broken.pop();
    bodies.push([&broken[..], before, after, b"}"].concat());
    bodies
}

#[test]
fn what_distribution_accepted_has_its_type_and_what_it_needs() {
    let docker = media_type::DOCKER_MANIFEST;
    let named = format!(r#","mediaType":"{docker}""#);
    for (named, expected) in [("", media_type::OCI_MANIFEST), (&named, docker)] {
        for body in accepted(named) {
            let text = String::from_utf8_lossy(&body).into_owned();
            assert_eq!(type_of(&body).as_deref(), Some(expected), "{text}");
            let manifest = load(&body).unwrap();
            assert_eq!(manifest.kind(), Kind::of(expected).unwrap(), "{text}");
            assert_eq!(manifest.names_its_type(), !named.is_empty(), "{text}");
            assert_eq!(manifest.needs().len(), 1, "{text}");
            assert!(manifest.is_complete(), "{text}");
        }
    }
}

#[test]
fn an_index_without_a_list_is_one_still() {
    for list in [
        "",
        r#","manifests":null"#,
        r#","layers":null,"config":null"#,
    ] {
        let body = format!(r#"{{"schemaVersion":2{list}}}"#);
        let expected = Some(media_type::OCI_INDEX);
        assert_eq!(type_of(body.as_bytes()).as_deref(), expected, "{body}");
        assert!(load(body.as_bytes()).unwrap().is_complete(), "{body}");
    }
}

#[test]
fn of_two_types_the_last_counts_as_in_go() {
    let (docker, oci) = (media_type::DOCKER_MANIFEST, media_type::OCI_MANIFEST);
    let two = |first: &str, second: &str| {
        let extra = format!(r#","mediaType":"{first}","MEDIATYPE":{second}"#);
        type_of(image(&extra).as_bytes()).unwrap()
    };
    assert_eq!(two(docker, &format!("\"{oci}\"")), oci);
    assert_eq!(two(oci, &format!("\"{docker}\"")), docker);
    assert_eq!(two(docker, r#""""#), oci);
    assert_eq!(two(docker, "null"), docker);
}

#[test]
fn a_type_that_no_header_can_carry_is_none() {
    for named in [r"a/b\nX: y", "a/é", " ", ";a=b", "a\u{7f}"] {
        let body = image(&format!(r#","mediaType":"{named}""#));
        let expected = Some(media_type::OCI_MANIFEST);
        assert_eq!(type_of(body.as_bytes()).as_deref(), expected, "{named:?}");
    }
}

#[test]
fn nothing_is_lost_of_what_stands_twice() {
    let other = digest_of(Algorithm::Sha256, b"other");
    let layer = descriptor("a/b").replace(SHA, &other.to_string());
    for second in [r#","Layers":[]"#, r#","layers":null"#] {
        let body = image(second).replacen("[]", &format!("[{layer}]"), 1);
        assert_eq!(load(body.as_bytes()).unwrap().needs().len(), 2, "{body}");
    }
}

#[test]
fn what_cannot_be_read_is_told() {
    for layers in [
        "5",
        "[null]",
        "[5]",
        "[{}]",
        r#"[{"digest":5}]"#,
        r#"[{"digest":"sha256:x"}]"#,
    ] {
        let manifest = load(image("").replace("[]", layers).as_bytes()).unwrap();
        assert_eq!(manifest.needs().len(), 1, "{layers}");
        assert!(!manifest.is_complete(), "{layers}");
    }
    let terse = format!(r#"[{{"digest":"{SHA}","size":"large"}}]"#);
    assert!(
        load(image("").replace("[]", &terse).as_bytes())
            .unwrap()
            .is_complete()
    );
    for garbage in ["", "garbage", "{", "[]", "5", "{}"] {
        assert!(load(garbage.as_bytes()).is_err(), "{garbage}");
        assert_eq!(type_of(garbage.as_bytes()), None, "{garbage}");
    }
}

#[test]
fn schema_1_needs_its_layers() {
    for extra in ["", r#","manifests":[]"#, r#","config":{}"#] {
        let body = format!(r#"{{"schemaVersion":1,"fsLayers":[{{"blobSum":"{SHA}"}}]{extra}}}"#);
        let manifest = load(body.as_bytes()).unwrap();
        assert_eq!(manifest.needs().len(), 1, "{body}");
        assert_eq!(
            type_of(body.as_bytes()).as_deref(),
            Some(media_type::SCHEMA1)
        );
    }
    let broken = r#"{"schemaVersion":1,"fsLayers":[{"blobSum":""}]}"#;
    assert!(!load(broken.as_bytes()).unwrap().is_complete());
}
