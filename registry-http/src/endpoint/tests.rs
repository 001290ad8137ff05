//! Which request is which operation.

use super::*;
use registry_core::storage::UploadId;

const LIMITS: Limits = Limits {
    catalog: 1000,
    tags: 1000,
    read_only: false,
};
const SHA: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

fn parsed(method: &str, path: &str) -> Result<Endpoint, ApiError> {
    parse(&method.parse().unwrap(), &path.parse().unwrap(), LIMITS)
}

fn code(method: &str, path: &str) -> String {
    match parsed(method, path) {
        Ok(endpoint) => format!("{endpoint:?}"),
        Err(error) => format!("{} {}", error.status().as_u16(), error.code().texts().0),
    }
}

fn repo(name: &str) -> RepositoryName {
    name.parse().unwrap()
}

#[test]
fn names_that_contain_words_of_the_api_are_names() {
    for name in [
        "a",
        "a/manifests",
        "tags/list/x",
        "x/blobs/uploads",
        "manifests/manifests",
        "a/tags/list",
    ] {
        let digest: Digest = SHA.parse().unwrap();
        let get = |path: String| parsed("GET", &path).unwrap();
        let (head, tag) = (false, Reference::Tag("t".parse().unwrap()));
        assert_eq!(
            get(format!("/v2/{name}/blobs/{SHA}")),
            Endpoint::GetBlob {
                repo: repo(name),
                digest,
                head
            }
        );
        assert_eq!(
            get(format!("/v2/{name}/manifests/t")),
            Endpoint::GetManifest {
                repo: repo(name),
                reference: tag,
                head
            }
        );
        assert_eq!(
            get(format!("/v2/{name}/tags/list")),
            Endpoint::ListTags {
                repo: repo(name),
                page: PageRequest::default()
            }
        );
    }
}

#[test]
fn what_we_emit_we_also_accept() {
    let (name, digest) = (repo("a/b"), SHA.parse().unwrap());
    let url = UploadUrl {
        id: UploadId::new(1),
        state: Some("x-_0".to_owned()),
    };
    assert_eq!(
        parsed("PATCH", &upload_path(&name, &url)).unwrap(),
        Endpoint::AppendUpload {
            repo: name.clone(),
            url: url.clone()
        }
    );
    let encoded = blob_path(&name, &digest).replace("sha256:", "sha256%3A");
    for path in [blob_path(&name, &digest), encoded] {
        let expected = Endpoint::GetBlob {
            repo: name.clone(),
            digest,
            head: true,
        };
        assert_eq!(parsed("HEAD", &path).unwrap(), expected);
    }
    {
        let path = manifest_path(&name, &digest);
        let reference = Reference::Digest(digest);
        let expected = Endpoint::GetManifest {
            repo: name.clone(),
            reference,
            head: false,
        };
        assert_eq!(parsed("GET", &path).unwrap(), expected);
    }
}

#[test]
fn a_slash_more_or_less_at_the_end_makes_no_difference() {
    assert_eq!(parsed("GET", "/v2").unwrap(), Endpoint::Ping);
    assert_eq!(
        parsed("POST", "/v2/a/blobs/uploads").unwrap(),
        parsed("POST", "/v2/a/blobs/uploads/").unwrap()
    );
}

#[test]
fn what_is_no_request_of_the_api_is_refused_and_never_resolved() {
    for path in ["/v1/x", "/v2x", "/v2/a", "/v2/a/unknown/x", "/metrics"] {
        assert!(code("GET", path).starts_with("404"), "{path}");
    }
    for path in [
        "/v2/../../etc/passwd/manifests/x",
        "/v2/a/../b/manifests/x",
        "/v2/a%2fb/manifests/x",
        "/v2/..%2f..%2fetc/manifests/x",
        "/v2//a/manifests/x",
        "/v2/a/./b/tags/list",
        "/v2/a%00b/manifests/x",
        "/v2/A/manifests/x",
        "/v2/a%5cb/manifests/x",
        "/v2/%ff/manifests/x",
        "/v2/_x/manifests/y",
    ] {
        assert!(
            code("GET", path).starts_with("400"),
            "{path}: {}",
            code("GET", path)
        );
    }
    assert_eq!(
        code("GET", &format!("/v2/{}/tags/list", "a".repeat(256))),
        "400 NAME_INVALID"
    );
}

#[test]
fn references_are_tags_or_digests_and_nothing_between() {
    assert_eq!(
        code("GET", "/v2/a/manifests/sha256:totallywrong"),
        "400 DIGEST_INVALID"
    );
    assert_eq!(
        code("PUT", "/v2/a/manifests/sha256:baddigeststring"),
        "400 DIGEST_INVALID"
    );
    assert_eq!(
        code("GET", "/v2/a/manifests/.INVALID_MANIFEST_NAME"),
        "404 MANIFEST_UNKNOWN"
    );
    assert_eq!(code("PUT", "/v2/a/manifests/.bad"), "400 TAG_INVALID");
    assert_eq!(
        code("PUT", &format!("/v2/a/manifests/{SHA}?tag=ok&tag=.bad")),
        "400 TAG_INVALID"
    );
    assert_eq!(
        code("GET", "/v2/a/referrers/sha256:x"),
        "400 DIGEST_INVALID"
    );
    assert_eq!(code("GET", "/v2/a/blobs/x"), "400 DIGEST_INVALID");
}

#[test]
fn a_wrong_method_says_which_are_right() {
    let allow = |method, path: &str| match parsed(method, path) {
        Err(ApiError::MethodNotAllowed { allow }) | Ok(Endpoint::Options { allow }) => allow,
        other => panic!("{path}: {other:?}"),
    };
    assert_eq!(allow("PUT", "/v2/_catalog"), "GET, HEAD");
    assert_eq!(
        allow("PUT", &format!("/v2/a/blobs/{SHA}")),
        "DELETE, GET, HEAD"
    );
    assert_eq!(allow("POST", "/v2/a/manifests/t"), "DELETE, GET, HEAD, PUT");
    assert_eq!(allow("GET", "/v2/a/blobs/uploads/"), "POST");
    assert_eq!(allow("OPTIONS", "/v2/a/tags/list"), "GET, HEAD");
}

#[test]
fn the_support_check_has_no_wrong_method() {
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
        assert_eq!(parsed(method, "/v2/").unwrap(), Endpoint::Ping, "{method}");
        assert_eq!(parsed(method, "/").unwrap(), Endpoint::Root, "{method}");
    }
    // It would turn the connection into something else.
    assert_eq!(code("CONNECT", "/v2/"), "405 UNSUPPORTED");
}

#[test]
fn where_nothing_may_change_only_reading_is_allowed() {
    let limits = Limits {
        read_only: true,
        ..LIMITS
    };
    let id = UploadId::new(1);
    let blob = format!("/v2/a/blobs/{SHA}");
    let upload = format!("/v2/a/blobs/uploads/{id}");
    for (method, path) in [
        ("POST", "/v2/a/blobs/uploads/"),
        ("POST", "/v2/a/blobs/uploads/?digest=bad"),
        ("PATCH", &upload),
        ("PUT", &upload),
        ("DELETE", &upload),
        ("DELETE", &blob),
        ("PUT", "/v2/a/manifests/t"),
        ("DELETE", "/v2/a/manifests/t"),
        ("POST", "/v2/a/manifests/t"),
        ("OPTIONS", "/v2/a/manifests/t"),
    ] {
        let method = method.parse().unwrap();
        let allow = match parse(&method, &path.parse().unwrap(), limits) {
            Err(ApiError::MethodNotAllowed { allow }) | Ok(Endpoint::Options { allow }) => allow,
            other => panic!("{method} {path}: {other:?}"),
        };
        assert_eq!(allow, "GET, HEAD", "{method} {path}");
    }
    let reading = ["/v2/", &blob, &upload, "/v2/a/manifests/t", "/v2/_catalog"];
    for path in reading {
        assert!(
            parse(&Method::GET, &path.parse().unwrap(), limits).is_ok(),
            "{path}"
        );
    }
    let unknown = parse(&Method::PUT, &"/v1/a".parse().unwrap(), limits);
    assert!(matches!(unknown, Err(ApiError::NotFound)));
}

#[test]
fn a_query_that_is_no_text_harms_nothing_that_does_not_ask_for_it() {
    let referrers = format!("/v2/a/referrers/{SHA}");
    for path in ["/v2/", "/v2/_catalog", "/v2/a/tags/list", &referrers] {
        let plain = parsed("GET", path).unwrap();
        for query in ["x=%ff", "%ff=1", "%ff&%c3%28", "n=", "n=&x=%ff"] {
            let asked = parsed("GET", &format!("{path}?{query}")).unwrap();
            assert_eq!(asked, plain, "{path}?{query}");
        }
    }
    assert_eq!(
        code("GET", "/v2/_catalog?n=%ff"),
        "400 PAGINATION_NUMBER_INVALID"
    );
}

#[test]
fn pages_are_bounded() {
    let page = |path: &str| match parsed("GET", path).unwrap() {
        Endpoint::Catalog { page } | Endpoint::ListTags { page, .. } => page,
        other => panic!("{other:?}"),
    };
    assert_eq!(page("/v2/_catalog").n, Some(100));
    assert_eq!(page("/v2/_catalog?n=0").n, Some(0));
    assert_eq!(page("/v2/a/tags/list").n, None);
    assert_eq!(page("/v2/a/tags/list?n=18446744073709551617").n, Some(1000));
    assert_eq!(
        page("/v2/a/tags/list?last=b%2Bc").last.as_deref(),
        Some("b+c")
    );
    for n in ["-1", "abc", "1001", "1000000000", "18446744073709551617"] {
        assert_eq!(
            code("GET", &format!("/v2/_catalog?n={n}")),
            "400 PAGINATION_NUMBER_INVALID",
            "{n}"
        );
    }
    assert_eq!(
        code("GET", "/v2/a/tags/list?n=-1"),
        "400 PAGINATION_NUMBER_INVALID"
    );
}

#[test]
fn an_upload_begins_in_three_ways() {
    let start = |query: &str| match parsed("POST", &format!("/v2/a/blobs/uploads/{query}")).unwrap()
    {
        Endpoint::StartUpload { start, .. } => start,
        other => panic!("{other:?}"),
    };
    let digest: Digest = SHA.parse().unwrap();
    assert_eq!(start(""), Start::Plain(Algorithm::Sha256));
    assert_eq!(
        start("?digest-algorithm=sha512"),
        Start::Plain(Algorithm::Sha512)
    );
    assert_eq!(start(&format!("?digest={SHA}")), Start::Whole(digest));
    let from = Some(repo("b"));
    assert_eq!(
        start(&format!("?mount={SHA}&from=b&digest={SHA}")),
        Start::Mount { digest, from }
    );
    assert_eq!(
        start(&format!("?mount={SHA}")),
        Start::Mount { digest, from: None }
    );
    assert_eq!(start("?mount=bad&from=b"), Start::Plain(Algorithm::Sha256));
    assert_eq!(
        start(&format!("?mount={SHA}&from=B")),
        Start::Plain(Algorithm::Sha256)
    );
    assert_eq!(
        code("POST", "/v2/a/blobs/uploads/?digest=bad"),
        "400 DIGEST_INVALID"
    );
    assert_eq!(
        code("POST", "/v2/a/blobs/uploads/?digest-algorithm=md5"),
        "400 DIGEST_INVALID"
    );
}

#[test]
fn a_mount_asks_for_its_source_without_requiring_it() {
    let endpoint = parsed("POST", &format!("/v2/a/blobs/uploads/?mount={SHA}&from=b")).unwrap();
    let wanted = endpoint.wanted();
    let access = |name, action| Access::repository(&repo(name), action);
    assert_eq!(
        wanted.required,
        [access("a", Action::Pull), access("a", Action::Push)]
    );
    assert_eq!(wanted.optional, [access("b", Action::Pull)]);
}

#[test]
fn a_plus_that_was_not_encoded_is_put_back() {
    let path = format!("/v2/a/referrers/{SHA}?artifactType=application/x+json&artifactType=b/c");
    let Endpoint::Referrers { types, .. } = parsed("GET", &path).unwrap() else {
        panic!()
    };
    assert_eq!(types, ["application/x+json", "b/c"]);
}
