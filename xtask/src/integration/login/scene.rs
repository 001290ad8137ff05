//! What is logged in to.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::super::fixture::Fixture;
use super::super::nginx::Front;
use super::{PASSWORD, USER};
use crate::http::Connection;
use crate::server::{Server, Start, Tls, free_address, free_address_of};
use crate::sh;

/// The user and the password, as they go over the wire.
const BASIC: &str = "Basic YWxpY2U6c2VjcmV0";

const RULES: &str = "\
extensions:
  access:
    rules:
      - {who: [anonymous], repositories: ['public/**'], actions: [pull]}
      - {who: [authenticated], repositories: ['${user}/**', 'public/**'], actions: [pull, push, delete]}
  token: {service: here, others: [there]MORE}
";

pub(super) struct Scene {
    pub(super) name: String,
    /// Where tokens are had, too, unless another believes them.
    users: Server,
    /// What clients reach it by.
    relay: Option<Front>,
    other: Option<Server>,
    file: PathBuf,
    /// The line of the user, which a refresh token hangs on.
    line: String,
    /// Whether there are, so that `public/` may be pulled from by everyone.
    pub(super) has_rules: bool,
}

/// What starts it.
type Relay<'a> = dyn Fn(&Path, &str) -> Result<Front> + 'a;

/// Where a scene plays.
#[derive(Clone, Copy)]
pub(in super::super) struct Place<'a> {
    pub(in super::super) fixture: &'a Fixture,
    /// The address of the machine that it listens at.
    pub(in super::super) host: &'a str,
    pub(in super::super) tls: Option<&'a Tls>,
    /// Stands before a server at this address, in a folder of its own.
    pub(in super::super) relay: Option<&'a Relay<'a>>,
}

impl<'a> Place<'a> {
    /// Without TLS, and for this machine alone.
    pub(super) fn here(fixture: &'a Fixture) -> Self {
        Self {
            fixture,
            host: "127.0.0.1",
            tls: None,
            relay: None,
        }
    }
}

impl Scene {
    /// `auth.htpasswd`, and nothing else.
    pub(super) fn users(place: Place<'_>) -> Result<Self> {
        Self::start(place, "htpasswd", "")
    }

    /// Our own token service beside it, and rules.
    pub(super) fn tokens(place: Place<'_>) -> Result<Self> {
        Self::start(place, "own tokens", &rules(""))
    }

    /// Another registry of ours, which believes the tokens of the first.
    pub(super) fn ours(fixture: &Fixture) -> Result<Self> {
        Self::theirs(fixture, "ours", &fixture.binary, "jwks")
    }

    /// Any registry that believes our tokens, by a file of `jwks` or `rootcertbundle`.
    pub(super) fn theirs(
        fixture: &Fixture,
        program: &str,
        binary: &Path,
        keys: &str,
    ) -> Result<Self> {
        let name = format!("tokens for {program} by {keys}");
        // Where a token has a certificate, distribution looks at no other key.
        let more = match keys {
            "jwks" => "",
            _ => ", certificates: true",
        };
        let mut scene = Self::start(Place::here(fixture), &name, &rules(more))?;
        let folder = fixture.folder(&format!("{}-there", folder_of(&name)))?;
        let file = match keys {
            "jwks" => {
                let file = folder.join("jwks.json");
                let mut connection = Connection::open(&scene.users.address)?;
                let answer = connection.request("GET", "/auth/token/keys", &[], b"")?;
                fs::write(&file, answer.expect(200)?.body)?;
                file
            }
            _ => scene.users.root.join("token-keys/root.crt"),
        };
        ensure!(file.is_file(), "there is no {}", file.display());
        // Some clients believe no token service at an address that is private, but by a name.
        let port = scene.host().rsplit(':').next().unwrap_or_default();
        let auth = format!(
            "auth:\n  token:\n    realm: http://localhost:{port}/auth/token\n    \
             service: there\n    issuer: here\n    {keys}: {}\n",
            file.display()
        );
        let address = free_address()?;
        scene.other = Some(Server::start_with(
            binary, &folder, &address, "info", &auth,
        )?);
        Ok(scene)
    }

    fn start(place: Place<'_>, name: &str, more: &str) -> Result<Self> {
        let folder = place.fixture.folder(&folder_of(name))?;
        let binary = &place.fixture.binary;
        let file = folder.join("htpasswd");
        let mut line = sh::command(binary);
        line.args(["htpasswd", "-nbBC", "5", USER, PASSWORD]);
        let line = sh::output(&mut line)? + "\n";
        write(&file, &line)?;
        let auth = format!(
            "auth:\n  htpasswd: {{realm: users, path: {:?}, failures: 0}}\n",
            file.display().to_string()
        );
        let more = format!("{auth}{more}");
        let users = Server::launch(Start {
            binary,
            folder: &folder,
            address: &free_address_of(place.host)?,
            level: "info",
            driver: None,
            more: &more,
            tls: place.tls,
        })?;
        let relay = place.relay.map(|start| start(&folder, &users.address));
        Ok(Self {
            name: name.to_owned(),
            users,
            relay: relay.transpose()?,
            other: None,
            file,
            line,
            has_rules: more.contains("rules:"),
        })
    }

    /// Where clients log in.
    pub(super) fn host(&self) -> &str {
        match (&self.relay, &self.other) {
            (Some(relay), _) => &relay.address,
            (None, Some(other)) => &other.address,
            (None, None) => &self.users.address,
        }
    }

    pub(super) fn print_logs(&self) {
        self.users.print_log();
        if let Some(other) = &self.other {
            other.print_log();
        }
    }

    /// Takes the user away.
    pub(super) fn revoke(&self) -> Result<()> {
        self.rewrite("", 401)
    }

    /// And back.
    pub(super) fn restore(&self) -> Result<()> {
        self.rewrite(&self.line, 200)
    }

    fn rewrite(&self, text: &str, status: u16) -> Result<()> {
        write(&self.file, text)?;
        self.users.signal("HUP")?;
        sh::wait_for("the users", Duration::from_secs(20), || {
            let found = self.users.status("/v2/", &[("Authorization", BASIC)])?;
            Ok((found == status).then_some(()))
        })
    }
}

/// The file of users, in one step.
fn write(file: &Path, text: &str) -> Result<()> {
    let next = file.with_extension("next");
    fs::write(&next, text).with_context(|| next.display().to_string())?;
    Ok(fs::rename(next, file)?)
}

/// The rules, and a token service with these settings.
fn rules(more: &str) -> String {
    RULES.replace("MORE", more)
}

fn folder_of(name: &str) -> String {
    format!("login-{}", name.replace(' ', "-"))
}
