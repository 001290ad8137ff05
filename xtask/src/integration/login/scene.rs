//! What is logged in to.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::super::fixture::Fixture;
use super::{PASSWORD, USER};
use crate::http::Connection;
use crate::server::{Server, free_address};
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
    other: Option<Server>,
    file: PathBuf,
    /// The line of the user, which a refresh token hangs on.
    line: String,
    /// Whether there are, so that `public/` may be pulled from by everyone.
    pub(super) has_rules: bool,
}

impl Scene {
    /// `auth.htpasswd`, and nothing else.
    pub(super) fn users(fixture: &Fixture) -> Result<Self> {
        Self::start(fixture, "htpasswd", "")
    }

    /// Our own token service beside it, and rules.
    pub(super) fn tokens(fixture: &Fixture) -> Result<Self> {
        Self::start(fixture, "own tokens", &rules(""))
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
        let mut scene = Self::start(fixture, &name, &rules(more))?;
        let folder = fixture.folder(&format!("{}-there", folder_of(&name)))?;
        let file = match keys {
            "jwks" => {
                let file = folder.join("jwks.json");
                let answer = scene.get("/auth/token/keys", &[])?.expect(200)?;
                fs::write(&file, answer.body)?;
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

    fn start(fixture: &Fixture, name: &str, more: &str) -> Result<Self> {
        let folder = fixture.folder(&folder_of(name))?;
        let file = folder.join("htpasswd");
        let mut line = sh::command(&fixture.binary);
        line.args(["htpasswd", "-nbBC", "5", USER, PASSWORD]);
        let line = sh::output(&mut line)? + "\n";
        write(&file, &line)?;
        let auth = format!(
            "auth:\n  htpasswd: {{realm: users, path: {:?}, failures: 0}}\n",
            file.display().to_string()
        );
        let address = free_address()?;
        let more = format!("{auth}{more}");
        Ok(Self {
            name: name.to_owned(),
            users: Server::start_with(&fixture.binary, &folder, &address, "info", &more)?,
            other: None,
            file,
            line,
            has_rules: more.contains("rules:"),
        })
    }

    /// Where clients log in.
    pub(super) fn host(&self) -> &str {
        &self.other.as_ref().unwrap_or(&self.users).address
    }

    pub(super) fn print_logs(&self) {
        self.users.print_log();
        if let Some(other) = &self.other {
            other.print_log();
        }
    }

    fn get(&self, path: &str, headers: &[(&str, &str)]) -> Result<crate::http::Answer> {
        Connection::open(&self.users.address)?.request("GET", path, headers, b"")
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
            let answer = self.get("/v2/", &[("Authorization", BASIC)])?;
            Ok((answer.status == status).then_some(()))
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
