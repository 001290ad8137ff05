//! Servers that want a login, each with an image of its own to read, and what is shown to them.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::store::{IMAGES, image};
use crate::http::Connection;
use crate::server::{Server, free_address};

/// A user with a password of bcrypt's cost 10, which distribution compares with every request.
const USERS: &str = "alice:$2y$10$Gs5TQ3a..YkM7eTkmmvPF.2teiggYJCs0I.ymz9Dq.m5FIYN41WNa\n";
const BASIC: &str = "Basic YWxpY2U6c2VjcmV0";

/// How a request says who asks.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scheme {
    Basic,
    Bearer,
}

/// What gives tokens: ours.
#[derive(Debug)]
pub(super) struct Issuer {
    server: Server,
}

/// Where a contender wants a login.
#[derive(Debug)]
pub(super) struct Login {
    users: Server,
    /// Who believes tokens, if `users` is another.
    believer: Option<Server>,
    /// The address of who gives tokens, and for which service.
    tokens: Option<(String, &'static str)>,
}

impl Issuer {
    /// A token service whose tokens distribution of any version believes.
    pub(super) fn start(binary: &Path, folder: &Path) -> Result<Self> {
        let more = "extensions:\n  token: {service: here, others: [there], certificates: true}\n";
        let auth = users(folder)? + more;
        let server = Server::start_with(binary, folder, &free_address()?, "error", &auth)?;
        Ok(Self { server })
    }
}

impl Login {
    /// One server for users and for tokens of its own.
    pub(super) fn ours(binary: &Path, folder: &Path) -> Result<Self> {
        let folder = folder.join("users");
        let more = "extensions:\n  token: {service: here}\n";
        let users = filled(binary, &folder, &(users(&folder)? + more))?;
        let tokens = Some((users.address.clone(), "here"));
        Ok(Self {
            users,
            believer: None,
            tokens,
        })
    }

    /// One for users, and another that believes the tokens of `issuer`.
    pub(super) fn theirs(binary: &Path, folder: &Path, issuer: Option<&Issuer>) -> Result<Self> {
        let at = folder.join("users");
        let users = filled(binary, &at, &users(&at)?)?;
        let mut login = Self {
            users,
            believer: None,
            tokens: None,
        };
        if let Some(Issuer { server }) = issuer {
            let auth = format!(
                "auth:\n  token:\n    realm: http://{}/auth/token\n    service: there\n    \
                 issuer: here\n    rootcertbundle: {}\n",
                server.address,
                server.root.join("token-keys/root.crt").display()
            );
            login.believer = Some(filled(binary, &folder.join("tokens"), &auth)?);
            login.tokens = Some((server.address.clone(), "there"));
        }
        Ok(login)
    }

    /// Who is asked, and the header that lets a request in. A token is a new one each time.
    pub(super) fn with(&self, scheme: Scheme) -> Result<(&Server, String)> {
        match scheme {
            Scheme::Basic => Ok((&self.users, BASIC.to_owned())),
            Scheme::Bearer => {
                let token = self.token().context("a token")?;
                let server = self.believer.as_ref().unwrap_or(&self.users);
                Ok((server, format!("Bearer {token}")))
            }
        }
    }

    fn token(&self) -> Result<String> {
        let (address, service) = self.tokens.as_ref().context("nobody gives any")?;
        let target = format!("/auth/token?service={service}&scope=repository:{IMAGES}:pull");
        let answer = Connection::open(address)?
            .request("GET", &target, &[("Authorization", BASIC)], b"")?
            .expect(200)?;
        let document: Value = serde_json::from_slice(&answer.body)?;
        let token = document["token"].as_str();
        Ok(token.context("the answer has none")?.to_owned())
    }
}

/// A server with an image, which was pushed before it wanted a login.
fn filled(binary: &Path, folder: &Path, auth: &str) -> Result<Server> {
    fs::create_dir_all(folder)?;
    let open = Server::start(binary, folder, "error")?;
    image(&mut Connection::open(&open.address)?, IMAGES, "latest")?;
    drop(open);
    Server::start_with(binary, folder, &free_address()?, "error", auth)
}

/// The lines about a file of users, which is written.
fn users(folder: &Path) -> Result<String> {
    fs::create_dir_all(folder)?;
    let file = folder.join("htpasswd");
    fs::write(&file, USERS).with_context(|| file.display().to_string())?;
    let file = file.display().to_string();
    Ok(format!(
        "auth:\n  htpasswd: {{realm: users, path: {file:?}}}\n"
    ))
}
