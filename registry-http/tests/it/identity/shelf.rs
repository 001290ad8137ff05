//! A registry with repositories that are the same before each request.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::model::Setting;
use super::routes::{Body, Route};
use crate::client::{Answer, Request};
use crate::htpasswd::lines;
use crate::server::{Server, Setup, sha256};

const USERS: &[(&str, &str)] = &[
    ("alice", "a"),
    ("bob", "b"),
    ("carol", "c"),
    ("dave", "d"),
    ("erin", "e"),
    ("root", "r"),
];

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A blob that no repository has, unless someone was allowed to push it.
const BLOB: &[u8] = b"blob";
const LAYER: &[u8] = b"layer";

pub(super) struct Shelf {
    pub(super) server: Server,
    tokens: HashMap<&'static str, String>,
    /// Of each repository an upload that nobody has sent anything to.
    uploads: RefCell<HashMap<String, String>>,
}

pub(super) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn manifest(mark: &str) -> String {
    let config = json!({"mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha256(b"{}"), "size": 2});
    let layer = json!({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": sha256(LAYER), "size": LAYER.len()});
    let mark = json!({"mark": mark});
    json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer], "annotations": mark})
        .to_string()
}

/// A token for these scopes.
fn token(server: &Server, user: Option<(&str, &str)>, scopes: &[&str]) -> String {
    let path = format!("/auth/token?service=here&scope={}", scopes.join("%20"));
    let request = Request::new("GET", &path);
    let request = match user {
        Some((user, password)) => request.header("Authorization", &basic(user, password)),
        None => request,
    };
    let answer = server.send(request);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["token"].as_str().unwrap().to_owned()
}

fn launch(setting: Setting) -> Server {
    let mut server = Server::start("inmemory");
    fs::write(server.root.path().join("htpasswd"), lines(USERS)).unwrap();
    server.restart_with(Setup {
        more: &setting.config(),
        ..Setup::default()
    });
    server
}

impl Shelf {
    pub(super) fn start(setting: Setting) -> Self {
        let server = launch(setting);
        // Of one that has the same settings, and other keys.
        let foreign = launch(Setting::Tokens);
        let all = [
            "repository:alice/app:pull,push,delete",
            "repository:alice/lib:pull,push,delete",
        ];
        let mut tokens = HashMap::from([("foreign", token(&foreign, Some(("alice", "a")), &all))]);
        if setting == Setting::Tokens {
            let root = token(&server, Some(("root", "r")), &["repository:team/app:pull"]);
            let carol = ["repository:team/app:pull,push,delete"];
            tokens.insert("alice'", token(&server, Some(("alice", "a")), &all));
            tokens.insert("carol'", token(&server, Some(("carol", "c")), &carol));
            tokens.insert("root'", root);
            let public = ["repository:public/app:pull,push"];
            tokens.insert("nobody'", token(&server, None, &public));
        }
        let uploads = RefCell::default();
        let shelf = Self {
            server,
            tokens,
            uploads,
        };
        for (repo, blob) in [("team/lib", b"team".as_slice()), ("alice/lib", b"alice")] {
            shelf.push(repo, blob);
        }
        for repo in ["team/app", "alice/app", "public/app"] {
            shelf.repair(repo);
        }
        shelf
    }

    /// A request of someone's.
    pub(super) fn by(&self, who: &str, request: Request) -> Request {
        let known = USERS.iter().find(|(user, _)| *user == who);
        match (who, known) {
            ("none", _) => request,
            ("wrong", _) => request.header("Authorization", &basic("alice", "wrong")),
            (_, Some((user, password))) => request.header("Authorization", &basic(user, password)),
            _ => request.header("Authorization", &format!("Bearer {}", self.tokens[who])),
        }
    }

    fn by_root(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        let request = Request::new(method, path).header("Content-Type", MANIFEST);
        self.server.send(self.by("root", request.body(body)))
    }

    pub(super) fn push(&self, repo: &str, blob: &[u8]) {
        let path = format!("/v2/{repo}/blobs/uploads/?digest={}", sha256(blob));
        let pushed = self.by_root("POST", &path, blob);
        assert_eq!(pushed.status, 201, "{pushed:?}");
    }

    /// Makes it as it was: one manifest with one tag, and an upload.
    fn repair(&self, repo: &str) {
        self.push(repo, b"{}");
        self.push(repo, LAYER);
        let path = format!("/v2/{repo}/manifests/t");
        let pushed = self.by_root("PUT", &path, manifest("first").as_bytes());
        assert_eq!(pushed.status, 201, "{pushed:?}");
        let second = sha256(manifest("second").as_bytes());
        let blobs = [BLOB, b"team", b"alice"].map(sha256);
        let gone = [
            "manifests/new".to_owned(),
            format!("manifests/{second}"),
            format!("blobs/{}", blobs[0]),
            format!("blobs/{}", blobs[1]),
            format!("blobs/{}", blobs[2]),
        ];
        for path in gone {
            let gone = self.by_root("DELETE", &format!("/v2/{repo}/{path}"), b"");
            assert!([202, 404].contains(&gone.status), "{path}: {gone:?}");
        }
        let begun = self.by_root("POST", &format!("/v2/{repo}/blobs/uploads/"), b"");
        assert_eq!(begun.status, 202, "{begun:?}");
        let url = begun.header("location").to_owned();
        self.uploads.borrow_mut().insert(repo.to_owned(), url);
    }

    /// The path of a route in this repository.
    pub(super) fn path(&self, repo: &str, template: &str) -> String {
        let first = sha256(manifest("first").as_bytes());
        let second = sha256(manifest("second").as_bytes());
        template
            .replace("{upload}", &self.uploads.borrow()[repo])
            .replace("{repo}", repo)
            .replace("{first}", &first)
            .replace("{second}", &second)
            .replace("{layer}", &sha256(LAYER))
            .replace("{blob}", &sha256(BLOB))
            .replace("{team}", &sha256(b"team"))
            .replace("{alice}", &sha256(b"alice"))
    }

    /// The status of the answer; all is as before after it.
    pub(super) fn ask(&self, repo: &str, route: &Route, method: &str, who: &str) -> u16 {
        let request = Request::new(method, &self.path(repo, route.path));
        let changes = ["PUT", "POST", "PATCH", "DELETE"].contains(&method);
        let request = match route.body {
            _ if !changes || method == "DELETE" => request,
            Body::Nothing => request,
            Body::Blob => request.body(BLOB),
            Body::First => request.body(manifest("first").as_bytes()),
            Body::Second => request.body(manifest("second").as_bytes()),
        };
        let request = request.header("Content-Type", MANIFEST);
        let status = self.server.send(self.by(who, request)).status;
        // An upload that was begun is in nobody's way.
        let begun = method == "POST" && status == 202;
        if changes && status < 300 && !begun && route.path.contains("{repo}") {
            self.repair(repo);
        }
        status
    }
}
