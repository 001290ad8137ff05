//! The keys that are about lists and manifests.

use serde_json::json;

use super::{proved_by, server};
use crate::manifests::image;
use crate::validation;

proved_by! {
    validation_urls: validation::layers_are_fetched_from_where_the_lists_allow;
    validation_urls_none: validation::without_lists_or_without_validation_a_layer_may_be_anywhere;
    validation_indexes: validation::all_children_or_none_must_be_there_where_that_is_said;
    validation_platformlist: validation::only_the_listed_platforms_of_an_index_must_be_there;
    policy_classes: validation::an_image_of_a_class_that_is_not_listed_is_denied;
}

#[test]
fn catalog_maxentries() {
    let server = server("catalog: {maxentries: 2}\n");
    for repository in ["a", "b", "c"] {
        server.push_blob(repository, b"content");
    }
    let page = server.get("/v2/_catalog?n=2");
    assert_eq!(page.json(), json!({"repositories": ["a", "b"]}));
    let refused = server.get("/v2/_catalog?n=3");
    refused.expect(400, "PAGINATION_NUMBER_INVALID");
}

#[test]
fn tags_maxtags() {
    let server = server("tags: {maxtags: 1}\n");
    let body = image(&server, "a", "layer");
    for tag in ["one", "two"] {
        server.push_manifest("a", tag, &body);
    }
    let page = server.get("/v2/a/tags/list?n=5");
    assert_eq!(page.json()["tags"], json!(["one"]));
    let next = r#"</v2/a/tags/list?last=one&n=1>; rel="next""#;
    assert_eq!(page.header("link"), next);
    let all = server.get("/v2/a/tags/list");
    assert_eq!(all.json()["tags"], json!(["one", "two"]));
}

#[test]
fn validation_disabled() {
    let missing = crate::server::sha256(b"not there");
    let kind = "application/vnd.oci.image.index.v1+json";
    let child = json!({"mediaType": kind, "digest": missing, "size": 1});
    let index = json!({"schemaVersion": 2, "mediaType": kind, "manifests": [child]}).to_string();
    for (keys, status) in [
        ("disabled: true", 201),
        ("disabled: false", 400),
        ("enabled: true", 400),
        ("enabled: true, disabled: true", 400),
    ] {
        let server = server(&format!("validation: {{{keys}}}\n"));
        let answer = server.put_manifest("a", "t", &index);
        assert_eq!(answer.status, status, "{keys}: {answer:?}");
    }
}
