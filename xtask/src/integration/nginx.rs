//! nginx in front, with the configuration of `docs/behind-a-proxy.md`: TLS ends there, or here.

mod client;
mod front;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use self::client::{PASSWORD, Trusting, USER};
pub(crate) use self::front::Front;
pub(super) use self::front::has_streams;
use super::fixture::Fixture;
use super::step;
use crate::image::Layout;
use crate::server::{Server, free_address, is_stand_in};
use crate::sh;

/// A layer that nobody should keep on its way.
const LARGE: u64 = 200 << 20;

/// Where curl says it comes from, which is no proxy.
const CLIENT: &str = "127.0.0.2";

pub(super) fn run(fixture: &Fixture) -> Result<()> {
    if is_stand_in() {
        sh::skip("nginx", "the server in place of ours believes everyone");
        return Ok(());
    }
    let folder = fixture.folder("nginx")?;
    let page = std::fs::read_to_string(sh::root().join("docs/behind-a-proxy.md"))?;
    let pair = Pair::make(&folder)?;
    let mut large = Layout::create(folder.join("large"))?;
    let image = large.image(70, "amd64", &[LARGE])?;
    large.name("large", &image)?;
    for (name, tokens) in [("htpasswd", false), ("tokens", true)] {
        let scene = Scene::start(fixture, name, &page, &pair, tokens)?;
        let played = scene.play(fixture, &large, tokens);
        scene.print_unless(&played);
        played?;
    }
    if !has_streams()? {
        ensure!(!sh::in_ci(), "nginx is without its module for streams");
        sh::skip(
            "nginx: PROXY protocol",
            "nginx is without its module for streams",
        );
        return Ok(());
    }
    let scene = Scene::stream(fixture, &page, &pair)?;
    let played = scene.play_stream(fixture);
    scene.print_unless(&played);
    played
}

/// What the outer server proves itself by, signed by itself.
struct Pair {
    certificate: PathBuf,
    key: PathBuf,
}

impl Pair {
    fn make(folder: &Path) -> Result<Self> {
        let pair = Self {
            certificate: folder.join("ca.crt"),
            key: folder.join("registry.key"),
        };
        let mut openssl = sh::command("openssl");
        openssl.args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
        ]);
        openssl.args([
            "-subj",
            "/CN=registry",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
        ]);
        openssl.arg("-keyout").arg(&pair.key);
        sh::output(openssl.arg("-out").arg(&pair.certificate))?;
        Ok(pair)
    }
}

struct Scene {
    name: String,
    server: Server,
    front: Front,
    client: Trusting,
}

impl Scene {
    /// TLS ends in nginx.
    fn start(fixture: &Fixture, name: &str, page: &str, pair: &Pair, tokens: bool) -> Result<Self> {
        let settings = block(page, "yaml", 0)?;
        let more = match tokens {
            true => "  token: {service: here}\n",
            false => "",
        };
        let more = format!("{}{settings}{more}", users(fixture, name)?);
        let template = format!("http {{\nTEMPORARY\n{}}}\n", block(page, "nginx", 0)?);
        let absolute = "  relativeurls: false\n";
        Self::with(fixture, name, &format!("{absolute}{more}"), &template, pair)
    }

    /// It ends here, and nginx hands on connections.
    fn stream(fixture: &Fixture, page: &str, pair: &Pair) -> Result<Self> {
        let settings = block(page, "yaml", 1)?;
        let tls = format!(
            "  tls: {{certificate: {:?}, key: {:?}}}\n",
            pair.certificate.display().to_string(),
            pair.key.display().to_string()
        );
        let more = format!("{tls}{}{settings}", users(fixture, "stream")?);
        Self::with(fixture, "stream", &more, &block(page, "nginx", 1)?, pair)
    }

    /// `more` begins with keys of `http`.
    fn with(
        fixture: &Fixture,
        name: &str,
        more: &str,
        template: &str,
        pair: &Pair,
    ) -> Result<Self> {
        let folder = fixture.folder(&format!("nginx-{name}"))?;
        let address = free_address()?;
        // Lines of requests are there with it.
        let server = Server::start_with(&fixture.binary, &folder, &address, "debug", more)?;
        let front = Front::start(&folder, template, &address, &pair.certificate, &pair.key)?;
        let client = Trusting::new(&folder, &pair.certificate)?;
        Ok(Self {
            name: format!("nginx, {name}"),
            server,
            front,
            client,
        })
    }

    fn play(&self, fixture: &Fixture, large: &Layout, tokens: bool) -> Result<()> {
        let host = &self.front.address;
        step(&format!("{}: URLs are those of clients", self.name), || {
            let asked = self.client.curl(&["-i", &format!("https://{host}/v2/")])?;
            let realm = format!("realm=\"https://{host}/auth/token\"");
            ensure!(asked.contains(&realm) == tokens, "no {realm}: {asked}");
            let url = format!("https://{host}/v2/{USER}/a/blobs/uploads/");
            let login = format!("{USER}:{PASSWORD}");
            for version in ["--http1.1", "--http2"] {
                let begun = self
                    .client
                    .curl(&["-i", version, "-u", &login, "-X", "POST", &url])?;
                ensure!(begun.contains(&format!("ocation: {url}")), "{begun}");
            }
            Ok(())
        })?;
        self.look_at_clients()?;
        self.push_and_pull(fixture)?;
        step(
            &format!(
                "{}: a layer of 200 MiB, of which nothing is kept",
                self.name
            ),
            || {
                let name = format!("{host}/{USER}/large:one");
                self.client.skopeo_there_and_back(large, "large", &name)?;
                let log = self.front.log()?;
                ensure!(!log.contains("buffered to a temporary file"), "{log}");
                Ok(())
            },
        )
    }

    fn play_stream(&self, fixture: &Fixture) -> Result<()> {
        self.look_at_clients()?;
        self.push_and_pull(fixture)
    }

    /// Who asks is who asks, whatever it says of itself.
    fn look_at_clients(&self) -> Result<()> {
        let host = &self.front.address;
        step(
            &format!("{}: lines of requests have the client", self.name),
            || {
                for (path, header) in [
                    ("plain", "Accept: */*"),
                    ("for", "X-Forwarded-For: 192.0.2.1"),
                    ("real", "X-Real-Ip: 192.0.2.1"),
                    ("forwarded", "Forwarded: for=192.0.2.1"),
                ] {
                    let url = format!("https://{host}/{path}");
                    self.client
                        .curl(&["--interface", CLIENT, "-H", header, &url])?;
                    let line = self.line(&format!("\"GET /{path} "))?;
                    ensure!(line.starts_with(&format!("{CLIENT} - ")), "{line}");
                }
                Ok(())
            },
        )
    }

    /// The line of a request, which may come after the answer.
    fn line(&self, what: &str) -> Result<String> {
        sh::wait_for("the line of a request", Duration::from_secs(20), || {
            let log = self.server.log()?;
            let line = log.lines().find(|line| line.contains(what));
            Ok(line.map(str::to_owned))
        })
    }

    fn push_and_pull(&self, fixture: &Fixture) -> Result<()> {
        let name = |client: &str| format!("{}/{USER}/{client}:one", self.front.address);
        step(&format!("{}: skopeo", self.name), || {
            self.client.skopeo_login(&self.front.address)?;
            self.client
                .skopeo_there_and_back(&fixture.images, "one", &name("skopeo"))
        })?;
        step(&format!("{}: podman", self.name), || {
            self.client
                .podman_there_and_back(fixture, &self.front.address, &name("podman"))
        })?;
        match sh::which("crane") {
            Some(crane) => step(&format!("{}: crane", self.name), || {
                self.client
                    .crane_there_and_back(&crane, &self.front.address, &name("crane"))
            }),
            None => {
                sh::skip(&format!("{}: crane", self.name), "it is not installed");
                Ok(())
            }
        }
    }

    fn print_unless(&self, played: &Result<()>) {
        if played.is_err() {
            self.server.print_log();
            println!("-- log of nginx\n{}", self.front.log().unwrap_or_default());
        }
    }
}

/// The file of users, and what names it.
fn users(fixture: &Fixture, name: &str) -> Result<String> {
    let file = fixture.folder(&format!("nginx-{name}"))?.join("htpasswd");
    let mut line = sh::command(&fixture.binary);
    let line = sh::output(line.args(["htpasswd", "-nbBC", "5", USER, PASSWORD]))?;
    std::fs::write(&file, line + "\n")?;
    let file = file.display().to_string();
    Ok(format!(
        "auth:\n  htpasswd: {{realm: users, path: {file:?}}}\n"
    ))
}

/// A block of the page, by its language and its number.
fn block(page: &str, language: &str, number: usize) -> Result<String> {
    let begin = format!("```{language}\n");
    let block = page.split(&begin).nth(number + 1);
    let block = block.and_then(|rest| rest.split("```").next());
    let block = block.with_context(|| format!("the page has no block {number} of {language}"))?;
    Ok(block.to_owned())
}
