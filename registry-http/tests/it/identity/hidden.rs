//! What must look alike: what is there and may not be seen, and what is not there. Answers are
//! compared whole.

use regex::Regex;

use super::model::Setting;
use super::shelf::Shelf;
use crate::client::{Request, exchange};
use crate::server::sha256;

/// An answer as it went over the wire, but for what differs from one answer to the next.
fn whole(shelf: &Shelf, who: &str, method: &str, path: &str) -> String {
    let request = shelf.by(who, Request::new(method, path));
    let answer = exchange(shelf.server.address, &request.wire());
    let text = String::from_utf8(answer).unwrap();
    let varying = r"(?i)date: [^\r]*\r\n|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|_state=[^\r]*";
    let same = Regex::new(varying).unwrap().replace_all(&text, "");
    // A repository that is asked for by another name is named in the answer.
    same.replace("alice/not", "alice/app")
}

/// Existing first, then what is none.
const PAIRS: [(&str, &str); 9] = [
    ("/v2/alice/app/tags/list", "/v2/alice/not/tags/list"),
    ("/v2/alice/app/tags/list?n=1", "/v2/alice/not/tags/list?n=1"),
    ("/v2/alice/app/manifests/t", "/v2/alice/not/manifests/t"),
    ("/v2/alice/app/manifests/t", "/v2/alice/app/manifests/u"),
    (
        "/v2/alice/app/manifests/{first}",
        "/v2/alice/app/manifests/{second}",
    ),
    (
        "/v2/alice/app/referrers/{first}",
        "/v2/alice/not/referrers/{first}",
    ),
    ("/v2/alice/app/blobs/{layer}", "/v2/alice/not/blobs/{layer}"),
    ("/v2/alice/app/blobs/{layer}", "/v2/alice/app/blobs/{blob}"),
    (
        "/v2/alice/app/blobs/uploads/",
        "/v2/alice/not/blobs/uploads/",
    ),
];

#[test]
fn what_may_not_be_seen_looks_like_what_is_not_there() {
    let table: [(Setting, &[&str]); 2] = [
        (Setting::Rules, &["none", "wrong", "bob", "erin", "foreign"]),
        (
            Setting::Tokens,
            &[
                "none", "wrong", "bob", "erin", "root'", "nobody'", "foreign",
            ],
        ),
    ];
    for (setting, all) in table {
        let shelf = Shelf::start(setting);
        let upload = shelf.path("alice/app", "{upload}", "root");
        let moved = upload.replace("alice/app", "alice/not");
        let pairs = PAIRS.map(|(one, other)| {
            let of = |path| shelf.path("alice/app", path, "root");
            (of(one), of(other))
        });
        for (one, other) in pairs.iter().chain([&(upload, moved)]) {
            for method in ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"] {
                for who in all {
                    let [there, absent] = [one, other].map(|path| whole(&shelf, who, method, path));
                    assert!(!there.is_empty());
                    assert_eq!(there, absent, "{method} {one} {other} by {who}");
                }
            }
        }
    }
}

#[test]
fn a_mount_tells_nothing_of_what_may_not_be_pulled() {
    for (setting, who) in [
        (Setting::Rules, "carol"),
        (Setting::Rules, "dave"),
        (Setting::Tokens, "dave"),
        (Setting::Tokens, "carol'"),
    ] {
        let shelf = Shelf::start(setting);
        let (private, absent) = (sha256(b"alice"), sha256(b"absent"));
        let mount = |digest: &str, from: &str| {
            let path = format!("/v2/team/app/blobs/uploads/?mount={digest}{from}");
            whole(&shelf, who, "POST", &path)
        };
        let nothing = mount(&absent, "&from=team/none");
        assert!(nothing.starts_with("HTTP/1.1 202 "), "{nothing}");
        for (digest, from) in [
            (&private, "&from=alice/lib"),
            (&private, "&from=alice/not"),
            (&absent, "&from=alice/lib"),
            (&private, "&from=team/lib"),
            (&private, ""),
            (&absent, ""),
        ] {
            assert_eq!(mount(digest, from), nothing, "{digest} {from} by {who}");
        }
        // And is none that helps to see it, by any name.
        for repo in ["team/app", "team/lib"] {
            let path = format!("/v2/{repo}/blobs/{private}");
            let answer = whole(&shelf, "dave", "HEAD", &path);
            assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
        }
    }
}
