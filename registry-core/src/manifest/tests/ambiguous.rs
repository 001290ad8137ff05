//! What one parser reads so and another otherwise, and what only looks like that.

use super::*;

#[test]
fn what_is_no_object_is_refused() {
    let oci = media_type::OCI_MANIFEST;
    // As a sequence would be read of which each place were a member.
    let descriptor = format!(r#"["application/vnd.oci.empty.v1+json","{SHA}",2,null]"#);
    let body = format!(r#"[2,"{oci}",null,{descriptor},[],null,null,null,null]"#);
    refused(&body, oci, "expected an object");
    refused(
        &image("").replace("[]", &format!("[{descriptor}]")),
        oci,
        "is no object",
    );
    refused(&image("").replace("[]", "[null]"), oci, "is no object");
    let subject = format!(r#","subject":{descriptor}"#);
    refused(&image(&subject), oci, "is no object");
    refused(&image(r#","subject":{}"#), oci, "no digest");
}

#[test]
fn members_that_another_parser_takes_for_one_are_refused() {
    let oci = media_type::OCI_MANIFEST;
    for member in ["Layers", "LAYERS", "layer\u{17f}", r"\u004cayers"] {
        let twice = image(&format!(r#","{member}":[]"#));
        refused(&twice, oci, "differs from layers only in case");
    }
    let index = r#"{"schemaVersion":2,"Manifests":[],"manifests":[]}"#;
    refused(index, media_type::OCI_INDEX, "differs from manifests");
    refused(&image(r#","layers":[]"#), oci, "layers stands twice");
    refused(&image(r#","\u006cayers":[]"#), oci, "layers stands twice");
    for (extra, reason) in [
        (r#","DIGEST":"x""#, "differs from digest"),
        (r#","digest":"x""#, "digest stands twice"),
        (",\"url\u{17f}\":[]", "differs from urls"),
    ] {
        let descriptor = descriptor("a/b").replace('}', &format!("{extra}}}"));
        let layer = image("").replace("[]", &format!("[{descriptor}]"));
        refused(&layer, oci, reason);
        refused(&image(&format!(r#","subject":{descriptor}"#)), oci, reason);
    }
    let unknown = r#","a":1,"a":2,"A":3,"\u212aey":4,"fsLayers":1,"FSLayers":2"#;
    assert!(parse(&image(unknown), oci).is_ok());
}

#[test]
fn what_go_takes_for_nothing_is_nothing() {
    let oci = media_type::OCI_MANIFEST;
    let nulls = r#","mediaType":"","artifactType":null,"manifests":null,"subject":null"#;
    let body = image(nulls).replace("[]", "null");
    let manifest = parse(&body, oci).unwrap();
    assert_eq!(
        (manifest.names_its_type(), manifest.needs().len()),
        (false, 1)
    );
    let index = r#"{"schemaVersion":2,"manifests":null,"config":null,"layers":null}"#;
    assert!(parse(index, media_type::OCI_INDEX).is_ok());
    assert_eq!(parse(index, "").unwrap().kind(), Kind::OciIndex);
    refused(
        &image("").replace(r#","layers":[]"#, ""),
        oci,
        "config and layers",
    );
    let config = r#"{"schemaVersion":2,"config":null,"layers":[]}"#;
    refused(config, oci, "config and layers");
    let empty = image(r#","mediaType":"""#);
    refused(&empty, media_type::DOCKER_MANIFEST, "mediaType must be");
    let annotations = format!(
        r#","subject":{},"annotations":{{"a":null,"b":"c"}}"#,
        descriptor(oci)
    );
    let referrer = parse(&image(&annotations), oci).unwrap().referrer();
    assert_eq!(referrer.annotations["a"], "");
    assert_eq!(referrer.annotations["b"], "c");
    refused(&image(r#","annotations":{"a":1}"#), oci, "annotations");
}

#[test]
fn what_docker_does_not_know_is_passed_over_in_its_manifests() {
    for (kind, list) in [
        (media_type::DOCKER_MANIFEST, "layers"),
        (media_type::DOCKER_LIST, "manifests"),
    ] {
        let config = if list == "layers" {
            format!(r#""config":{},"#, descriptor("a/b"))
        } else {
            String::new()
        };
        let subject = descriptor(media_type::OCI_MANIFEST);
        for subject in [subject.as_str(), "5", "{}"] {
            let body = format!(
                r#"{{"schemaVersion":2,"mediaType":"{kind}",{config}"{list}":[],"subject":{subject},
                "annotations":5,"artifactType":5,"fsLayers":[{{"blobSum":"{SHA}"}}]}}"#
            );
            let pushed = parse(&body, kind).unwrap();
            let stored = Manifest::load(body.clone().into(), *pushed.digest()).unwrap();
            for manifest in [pushed, stored] {
                assert_eq!(manifest.subject(), None, "{body}");
                assert_eq!(manifest.needs().len(), usize::from(list == "layers"));
                assert!(manifest.is_complete());
            }
        }
    }
}

#[test]
fn the_layers_of_schema_1_mean_nothing_elsewhere() {
    let other = digest_of(Algorithm::Sha256, b"other");
    for layers in [format!(r#"[{{"blobSum":"{other}"}}]"#), r#""junk""#.into()] {
        let body = image(&format!(r#","fsLayers":{layers}"#));
        let manifest = parse(&body, media_type::OCI_MANIFEST).unwrap();
        assert_eq!(manifest.needs().len(), 1);
        assert_eq!(parse(&body, "").unwrap().kind(), Kind::OciManifest);
        let stored = Manifest::load(body.into(), *manifest.digest()).unwrap();
        assert_eq!((stored.needs().len(), stored.is_complete()), (1, true));
    }
}

#[test]
fn what_distribution_could_not_read_back_is_refused() {
    let body = |extra: &str| {
        let layer = descriptor("a/b").replace('}', &format!(",{extra}}}"));
        image("").replace("[]", &format!("[{layer}]"))
    };
    for extra in [
        r#""platform":5"#,
        r#""platform":{"os":5}"#,
        r#""platform":{"OS.Features":"a"}"#,
        r#""annotations":{"a":5}"#,
        r#""annotations":[]"#,
        r#""artifactType":5"#,
        r#""data":5"#,
        r#""data":"!""#,
        r#""urls":"x""#,
        r#""urls":[5]"#,
    ] {
        let error = parse(&body(extra), media_type::OCI_MANIFEST).unwrap_err();
        assert!(
            matches!(error, ManifestError::Invalid(_)),
            "{extra}: {error}"
        );
    }
    for extra in [
        r#""platform":null"#,
        r#""platform":{"os":null,"os.features":["a",null],"more":5}"#,
        r#""annotations":{"a":null},"artifactType":null"#,
        r#""data":null,"urls":null"#,
        r#""data":"e30=","urls":[null]"#,
        r#""data":"e3\n0=","more":5"#,
    ] {
        assert!(
            parse(&body(extra), media_type::OCI_MANIFEST).is_ok(),
            "{extra}"
        );
    }
}
