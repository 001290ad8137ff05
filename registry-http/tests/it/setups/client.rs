//! What docker and curl ask for, in their order: first nothing is shown, and then what the answer wants.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::PASSWORD;
use crate::client::{Answer, Request};
use crate::server::sha256;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Keeps a login for each registry.
#[derive(Default)]
pub(super) struct Client {
    logins: Vec<(String, String)>,
}

/// The status of what was refused.
type Done<T = ()> = Result<T, u16>;

/// A request that can be sent again.
struct Ask<'a> {
    method: &'a str,
    path: String,
    body: Vec<u8>,
}

fn ask(method: &str, path: impl Into<String>) -> Ask<'_> {
    let (path, body) = (path.into(), Vec::new());
    Ask { method, path, body }
}

impl Client {
    /// A command of docker or curl, by its words.
    pub(super) fn run(&mut self, words: &[&str]) -> Done {
        match *words {
            ["docker", "login", "-u", user, host] => self.login(user, host),
            // What is tagged is made when it is pushed.
            ["docker", "tag", "alpine", _] => Ok(()),
            ["docker", "logout", host] => {
                self.logins.retain(|(known, _)| known != host);
                Ok(())
            }
            ["docker", "push", name] => self.push(name),
            ["docker", "pull", name] => self.pull(name),
            ["curl", url] => self.get(url).map(drop),
            _ => panic!("nobody knows {words:?}"),
        }
    }

    /// Without a login, whatever docker keeps.
    fn get(&self, url: &str) -> Done<Answer> {
        let (host, path) = split(url.strip_prefix("http://").unwrap());
        accepted(Request::new("GET", path).host(host).send(address(host)))
    }

    fn login(&mut self, user: &str, host: &str) -> Done {
        let login = STANDARD.encode(format!("{user}:{PASSWORD}"));
        self.logins.retain(|(known, _)| known != host);
        self.logins
            .push((host.to_owned(), format!("Basic {login}")));
        let entered = self.send(host, &ask("GET", "/v2/")).map(drop);
        if entered.is_err() {
            self.logins.retain(|(known, _)| known != host);
        }
        entered
    }

    /// An image of one layer, with nothing in it but its name.
    fn push(&self, name: &str) -> Done {
        let (host, repo, tag) = image(name);
        let mut parts = Vec::new();
        for content in ["{}", name] {
            let digest = sha256(content.as_bytes());
            let path = format!("/v2/{repo}/blobs/uploads/?digest={digest}");
            let body = content.as_bytes().to_vec();
            let ask = Ask {
                body,
                ..ask("POST", path)
            };
            self.send(host, &ask)?;
            let kind = "application/vnd.oci.image.layer.v1.tar";
            parts.push(json!({"mediaType": kind, "digest": digest, "size": content.len()}));
        }
        let layers = parts.split_off(1);
        parts[0]["mediaType"] = json!("application/vnd.oci.image.config.v1+json");
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": parts[0], "layers": layers});
        let path = format!("/v2/{repo}/manifests/{tag}");
        let body = manifest.to_string().into_bytes();
        let ask = Ask {
            body,
            ..ask("PUT", path)
        };
        self.send(host, &ask).map(drop)
    }

    fn pull(&self, name: &str) -> Done {
        let (host, repo, tag) = image(name);
        let manifest = self.send(host, &ask("GET", format!("/v2/{repo}/manifests/{tag}")))?;
        let layer = manifest.json()["layers"][0]["digest"].clone();
        let path = format!("/v2/{repo}/blobs/{}", layer.as_str().unwrap());
        let layer = self.send(host, &ask("GET", path))?;
        assert!(layer.body.ends_with(format!("/{repo}:{tag}").as_bytes()));
        Ok(())
    }

    /// With what the challenge wants, once there is one.
    fn send(&self, host: &str, ask: &Ask<'_>) -> Done<Answer> {
        let send = |shown: Option<&str>| {
            let request = Request::new(ask.method, &ask.path).host(host);
            let request = request.header("Content-Type", MANIFEST);
            let request = match shown {
                Some(shown) => request.header("Authorization", shown),
                None => request,
            };
            request.body(&ask.body).send(address(host))
        };
        let first = send(None);
        if first.status != 401 {
            return accepted(first);
        }
        let login = self.logins.iter().find(|(known, _)| known == host);
        let login = login.map(|(_, login)| login.as_str());
        let challenge = first.header("www-authenticate");
        let shown = match challenge.starts_with("Bearer ") {
            true => Some(token(challenge, login)?),
            false => login.map(str::to_owned),
        };
        let shown = shown.ok_or(401_u16)?;
        accepted(send(Some(&shown)))
    }
}

/// What the service of the challenge gives for this login, or for none.
fn token(challenge: &str, login: Option<&str>) -> Done<String> {
    let value = |name: &str| {
        let (_, rest) = challenge.split_once(&format!("{name}=\""))?;
        rest.split_once('"').map(|(value, _)| value)
    };
    let realm = value("realm").unwrap().strip_prefix("http://").unwrap();
    let (host, path) = split(realm);
    let scope = value("scope").map(|scope| format!("&scope={}", scope.replace(' ', "%20")));
    let service = value("service").unwrap();
    let path = format!("{path}?service={service}{}", scope.unwrap_or_default());
    let request = Request::new("GET", &path).host(host);
    let request = match login {
        Some(login) => request.header("Authorization", login),
        None => request,
    };
    let answer = accepted(request.send(address(host)))?;
    let token = answer.json()["token"].as_str().unwrap().to_owned();
    Ok(format!("Bearer {token}"))
}

fn accepted(answer: Answer) -> Done<Answer> {
    match answer.status {
        200..=299 => Ok(answer),
        status => Err(status),
    }
}

fn address(host: &str) -> SocketAddr {
    host.parse().unwrap_or_else(|_| panic!("{host}"))
}

/// Host and path of a URL without its scheme.
fn split(url: &str) -> (&str, &str) {
    url.split_at(url.find('/').unwrap())
}

/// Registry, repository and tag.
fn image(name: &str) -> (&str, &str, &str) {
    let (host, rest) = name.split_once('/').unwrap();
    let (repo, tag) = rest.split_once(':').unwrap();
    (host, repo, tag)
}
