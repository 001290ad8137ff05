//! A registry with repositories that are the same before each request.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::model::{Setting, beginner};
use super::routes::{Body, Route};
use crate::client::{Answer, Request};
use crate::client_certificates::shown::{Shown, World};
use crate::client_certificates::try_send;
use crate::htpasswd::lines;
use crate::server::{Server, Setup, sha256};
use crate::tls::Version;

const USERS: &[(&str, &str)] = &[
    ("alice", "a"),
    ("bob", "b"),
    ("carol", "c"),
    ("dave", "d"),
    ("erin", "e"),
    ("root", "r"),
    ("other", "o"),
];

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A blob that no repository has, unless someone was allowed to push it.
const BLOB: &[u8] = b"blob";
const LAYER: &[u8] = b"layer";

pub(super) struct Shelf {
    pub(super) server: Server,
    setting: Setting,
    tokens: HashMap<&'static str, String>,
    certificates: Option<Certificates>,
    /// Uploads that nobody has sent anything to, by their repository and who has begun them.
    uploads: RefCell<HashMap<(String, &'static str), String>>,
}

/// What clients show, and who vouches for them.
struct Certificates {
    world: World,
    shown: HashMap<&'static str, Shown>,
}

impl Certificates {
    fn new() -> Self {
        let world = World::new();
        let one = |name| (name, world.client(name, vec![]));
        let shown = ["c", "x", "root", "other"].map(one).into();
        Self { world, shown }
    }

    /// The section `http`.
    fn section(&self) -> String {
        let tls = self.world.keys("verify-client-cert-if-given");
        self.world.files.section("", &tls)
    }

    fn send(&self, server: &Server, who: &str, request: &Request) -> Answer {
        let names = who.split('+');
        let mut shown = names.filter_map(|name| self.shown.get(name.strip_suffix('*')?));
        let shown = shown.next_back().cloned().unwrap_or_default();
        let config = shown.client(&self.world.files, Version::Tls13, &["http/1.1"]);
        try_send(server, config, request).unwrap()
    }
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

fn launch(setting: Setting, more: &str) -> Server {
    let mut server = Server::start("inmemory");
    fs::write(server.root.path().join("htpasswd"), lines(USERS)).unwrap();
    server.restart_with(Setup {
        more: &format!("{more}{}", setting.config()),
        ..Setup::default()
    });
    server
}

impl Shelf {
    pub(super) fn start(setting: Setting) -> Self {
        let certificates = setting.has_certificates().then(Certificates::new);
        let section = certificates.as_ref().map(Certificates::section);
        let server = launch(setting, &section.unwrap_or_default());
        // Of one that has the same settings, and other keys.
        let foreign = launch(Setting::Tokens, "");
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
            setting,
            tokens,
            certificates,
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
        let who = who.split('+').next().unwrap_or_default();
        let known = USERS.iter().find(|(user, _)| *user == who);
        match (who, known) {
            ("none", _) => request,
            (certificate, _) if certificate.ends_with('*') => request,
            ("wrong", _) => request.header("Authorization", &basic("alice", "wrong")),
            (_, Some((user, password))) => request.header("Authorization", &basic(user, password)),
            _ => request.header("Authorization", &format!("Bearer {}", self.tokens[who])),
        }
    }

    fn send(&self, who: &str, request: Request) -> Answer {
        let request = self.by(who, request);
        match &self.certificates {
            Some(certificates) => certificates.send(&self.server, who, &request),
            None => self.server.send(request),
        }
    }

    fn by_root(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        let request = Request::new(method, path).header("Content-Type", MANIFEST);
        self.send(self.setting.root(), request.body(body))
    }

    pub(super) fn push(&self, repo: &str, blob: &[u8]) {
        let path = format!("/v2/{repo}/blobs/uploads/?digest={}", sha256(blob));
        let pushed = self.by_root("POST", &path, blob);
        assert_eq!(pushed.status, 201, "{pushed:?}");
    }

    /// Makes it as it was: one manifest with one tag, and uploads to be begun.
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
        let mut uploads = self.uploads.borrow_mut();
        uploads.retain(|(of, _), _| of != repo);
    }

    /// The URL of an upload that this one has begun.
    fn upload(&self, repo: &str, who: &'static str) -> String {
        let begin = || {
            let begin = Request::new("POST", &format!("/v2/{repo}/blobs/uploads/"));
            let begun = self.send(who, begin);
            assert_eq!(begun.status, 202, "{begun:?}");
            begun.header("location").to_owned()
        };
        let mut uploads = self.uploads.borrow_mut();
        let url = uploads.entry((repo.to_owned(), who)).or_insert_with(begin);
        url.clone()
    }

    /// The path of a route in this repository, for someone.
    pub(super) fn path(&self, repo: &str, template: &str, who: &'static str) -> String {
        let upload = if template.contains("{upload}") {
            self.upload(repo, beginner(self.setting, who, repo))
        } else if template.contains("{others}") {
            self.upload(repo, self.setting.other())
        } else {
            String::new()
        };
        let first = sha256(manifest("first").as_bytes());
        let second = sha256(manifest("second").as_bytes());
        template
            .replace("{upload}", &upload)
            .replace("{others}", &upload)
            .replace("{repo}", repo)
            .replace("{first}", &first)
            .replace("{second}", &second)
            .replace("{layer}", &sha256(LAYER))
            .replace("{blob}", &sha256(BLOB))
            .replace("{team}", &sha256(b"team"))
            .replace("{alice}", &sha256(b"alice"))
    }

    /// The status of the answer; all is as before after it.
    pub(super) fn ask(&self, repo: &str, route: &Route, method: &str, who: &'static str) -> u16 {
        let request = Request::new(method, &self.path(repo, route.path, who));
        let changes = ["PUT", "POST", "PATCH", "DELETE"].contains(&method);
        let request = match route.body {
            _ if !changes || method == "DELETE" => request,
            Body::Nothing => request,
            Body::Blob => request.body(BLOB),
            Body::First => request.body(manifest("first").as_bytes()),
            Body::Second => request.body(manifest("second").as_bytes()),
        };
        let request = request.header("Content-Type", MANIFEST);
        let status = self.send(who, request).status;
        // An upload that was begun is in nobody's way.
        let begun = method == "POST" && status == 202;
        if changes && status < 300 && !begun && route.path.contains("{repo}") {
            self.repair(repo);
        }
        status
    }
}
