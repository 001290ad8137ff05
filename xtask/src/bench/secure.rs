//! TLS beside nginx, which serves the same file: the same certificate, version and suite for all.
//!
//! The clients are curl and openssl, which offer X25519 alone before they are asked for more; so
//! nobody here agrees on a key of another kind.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};
use std::{fs, iter};

use anyhow::{Context as _, Result, bail, ensure};

use super::Scale;
use super::rows::{Figure, Row, Sample, Work};
use super::store::{IMAGES, block, data_of};
use super::upload::{self, Content, Way};
use crate::http::Connection;
use crate::server::{Daemon, Server, free_address};
use crate::sh;

const SUITE: &str = "TLS_AES_128_GCM_SHA256";

/// Clients that do nothing but handshakes, one after the other.
const SHAKERS: usize = 4;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// One stream of one connection.
    Pull(Version),
    /// Whole ones, and nothing after them.
    Handshakes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Http1,
    Http2,
}

impl Version {
    /// How curl is told, and how it tells.
    fn words(self) -> [&'static str; 2] {
        match self {
            Self::Http1 => ["--http1.1", "1.1"],
            Self::Http2 => ["--http2", "2"],
        }
    }
}

/// A contender that speaks TLS.
#[derive(Debug)]
pub(super) struct Front {
    pub(super) name: String,
    process: Process,
    address: String,
    /// The path of the large blob.
    target: String,
    pair: Pair,
}

#[derive(Debug)]
enum Process {
    Registry(Server),
    Nginx(Daemon),
}

/// What all of them prove themselves by.
#[derive(Clone, Debug)]
struct Pair {
    certificate: PathBuf,
    key: PathBuf,
}

/// Leaves out, visibly, what there are no tools for.
pub(super) fn keep_possible(rows: &mut Vec<&Row>) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    if sh::which("openssl").is_none() {
        sh::skip("rows with TLS", "there is no openssl");
        rows.clear();
    }
    let curl = match sh::which("curl") {
        Some(curl) => sh::output(sh::command(curl).arg("--version"))?,
        None => String::new(),
    };
    for (version, feature) in [(Version::Http1, "SSL"), (Version::Http2, "HTTP2")] {
        let is_it = |row: &&Row| matches!(row.work, Work::Secure(Task::Pull(it)) if it == version);
        if !curl.split_whitespace().any(|word| word == feature) && rows.iter().any(is_it) {
            sh::skip("a pull over TLS", &format!("no curl with {feature}"));
            rows.retain(|row| !is_it(row));
        }
    }
    Ok(())
}

/// Every contender with a certificate, and nginx in front of what the first of them has stored.
pub(super) fn open(all: &[(String, PathBuf)], folder: &Path, scale: Scale) -> Result<Vec<Front>> {
    let folder = folder.join("tls");
    fs::create_dir_all(&folder)?;
    let pair = Pair::make(&folder)?;
    let content = Content::new(block(), 1, scale.large);
    let mut fronts = Vec::new();
    for (number, (name, binary)) in all.iter().enumerate() {
        println!("filling {name}, for TLS");
        let folder = folder.join(number.to_string());
        let front = Front::registry(name, binary, &folder, &content, &pair);
        fronts.push(front.with_context(|| name.clone())?);
    }
    match (sh::which("nginx"), fronts.first()) {
        (
            Some(nginx),
            Some(Front {
                process: Process::Registry(server),
                ..
            }),
        ) => {
            let files = data_of(&server.root, &content.digest)?;
            let file = files.first().context("the blob is nowhere")?;
            let nginx = Front::nginx(&nginx, &folder, file, &pair).context("nginx")?;
            // Beside ours, before those who are no measure for this.
            fronts.insert(1, nginx);
        }
        _ => sh::skip("nginx", "it is not installed, so that TLS has no measure"),
    }
    Ok(fronts)
}

impl Pair {
    fn make(folder: &Path) -> Result<Self> {
        let pair = Self {
            certificate: folder.join("localhost.crt"),
            key: folder.join("localhost.key"),
        };
        let mut openssl = sh::command("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "7"]);
        openssl.args(["-pkeyopt", "ec_paramgen_curve:prime256v1"]);
        openssl.args(["-subj", "/CN=localhost"]);
        openssl.args(["-addext", "subjectAltName=IP:127.0.0.1"]);
        openssl.arg("-keyout").arg(&pair.key);
        openssl.arg("-out").arg(&pair.certificate);
        sh::output(&mut openssl)?;
        Ok(pair)
    }
}

impl Front {
    fn registry(
        name: &str,
        binary: &Path,
        folder: &Path,
        content: &Content,
        pair: &Pair,
    ) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let open = Server::start(binary, folder, "error")?;
        let mut connection = Connection::open(&open.address)?;
        upload::push(&mut connection, IMAGES, content, Way::Put)?;
        upload::verify(&mut connection, IMAGES, &content.digest)?;
        drop((connection, open));
        let tls = format!(
            "  tls:\n    certificate: {}\n    key: {}\n",
            pair.certificate.display(),
            pair.key.display()
        );
        let server = Server::start_with(binary, folder, &free_address()?, "error", &tls)?;
        Ok(Self {
            name: name.to_owned(),
            address: server.address.clone(),
            process: Process::Registry(server),
            target: format!("/v2/{IMAGES}/blobs/{}", content.digest),
            pair: pair.clone(),
        })
    }

    /// As many workers as the others have, and else what it does when nobody says anything.
    fn nginx(binary: &Path, folder: &Path, file: &Path, pair: &Pair) -> Result<Self> {
        let address = free_address()?;
        let config = folder.join("nginx.conf");
        fs::write(&config, nginx_conf(&address, folder, file, pair))?;
        let log = folder.join("nginx.log");
        let mut nginx = sh::command(binary);
        nginx.arg("-e").arg("stderr").arg("-c").arg(&config);
        let mut daemon = Daemon::spawn(nginx, &log)?;
        sh::wait_for("nginx", Duration::from_secs(20), || {
            daemon.expect_alive()?;
            Ok(TcpStream::connect(&address).ok().map(|_| ()))
        })
        .inspect_err(|_| println!("{}", fs::read_to_string(&log).unwrap_or_default()))?;
        let mut version = sh::command("sh");
        version.args(["-c", "exec \"$0\" -v 2>&1"]).arg(binary);
        let version = sh::output(&mut version)?;
        let version = version.rsplit('/').next().unwrap_or_default();
        Ok(Self {
            name: format!("nginx {version}"),
            process: Process::Nginx(daemon),
            address,
            target: "/blob".to_owned(),
            pair: pair.clone(),
        })
    }

    fn cpu_seconds(&self) -> Result<f64> {
        match &self.process {
            Process::Registry(server) => server.cpu_seconds(),
            Process::Nginx(daemon) => daemon.cpu_seconds(),
        }
    }

    pub(super) fn measure(&self, row: &Row, scale: Scale) -> Result<Sample> {
        let Work::Secure(task) = row.work else {
            bail!("it is for those who speak without TLS");
        };
        let before = self.cpu_seconds()?;
        let figure = match task {
            Task::Pull(version) => self.pull(version, scale.large)?,
            Task::Handshakes => self.handshakes(scale.seconds)?,
        };
        let cpu = self.cpu_seconds()? - before;
        Ok(Sample { figure, cpu })
    }

    fn pull(&self, version: Version, size: u64) -> Result<Figure> {
        let [option, expected] = version.words();
        let mut curl = sh::command("curl");
        curl.args(["-q", "-sS", option, "--tlsv1.3", "--tls13-ciphers", SUITE]);
        curl.args(["--noproxy", "*", "-o", "/dev/null"])
            .arg("--cacert")
            .arg(&self.pair.certificate);
        curl.args([
            "-w",
            "%{http_version} %{http_code} %{size_download} %{time_total}",
        ]);
        let said = sh::output(curl.arg(format!("https://{}{}", self.address, self.target)))?;
        let (what, seconds) = said.rsplit_once(' ').context("what curl says")?;
        ensure!(what == format!("{expected} 200 {size}"), "curl says {said}");
        Ok(Figure {
            done: size as f64,
            seconds: seconds.parse().context("what curl says of time")?,
        })
    }

    /// openssl ends at the turn of a second, so that it is our clock that counts.
    fn handshakes(&self, seconds: f64) -> Result<Figure> {
        let start = Instant::now();
        let shake = || -> Result<u64> {
            let mut openssl = sh::command("openssl");
            openssl.args(["s_time", "-connect", &self.address, "-new", "-tls1_3"]);
            openssl.args(["-ciphersuites", SUITE, "-time"]);
            shaken(&sh::output(openssl.arg(format!("{:.0}", seconds.ceil())))?)
        };
        let done: u64 = thread::scope(|scope| {
            let all: Vec<_> = iter::repeat_with(|| scope.spawn(shake))
                .take(SHAKERS)
                .collect();
            let all = all.into_iter();
            all.map(|shaker| shaker.join().ok().context("a thread panicked")?)
                .sum::<Result<u64>>()
        })?;
        Ok(Figure {
            done: done as f64,
            seconds: start.elapsed().as_secs_f64(),
        })
    }
}

/// How many there were. It prints a sign for each: a star for one that was new, of TLS 1.3.
fn shaken(said: &str) -> Result<u64> {
    let line = said.lines().find(|line| line.contains(" connections in "));
    let count = line.and_then(|line| line.split(' ').next()?.parse().ok());
    let count: u64 = count.with_context(|| format!("openssl says {said:?}"))?;
    let stars = said.bytes().filter(|sign| *sign == b'*').count();
    ensure!(
        stars as u64 == count && count > 0,
        "{stars} of {count} are new"
    );
    Ok(count)
}

fn nginx_conf(address: &str, folder: &Path, file: &Path, pair: &Pair) -> String {
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {}/nginx-{name};\n", folder.display()));
    format!(
        "daemon off;\nuser root;\nworker_processes {workers};\npid {}/nginx.pid;\n\
         error_log stderr error;\nevents {{}}\nhttp {{\n{}access_log off;\nsendfile on;\n\
         server {{\nlisten {address} ssl http2;\nssl_certificate {};\nssl_certificate_key {};\n\
         ssl_protocols TLSv1.3;\nssl_conf_command Ciphersuites {SUITE};\n\
         location = /blob {{ alias {}; }}\n}}\n}}\n",
        folder.display(),
        temporary.concat(),
        pair.certificate.display(),
        pair.key.display(),
        file.display(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_new_handshakes_count() {
        let said =
            |signs: &str| format!("{signs}\n\n3 connections in 0.58s; 5 connections/user sec\n");
        assert_eq!(shaken(&said("***")).unwrap(), 3);
        for signs in ["**r", "**", "", "tt*"] {
            assert!(shaken(&said(signs)).is_err(), "{signs}");
        }
        assert!(shaken("3\n").is_err());
    }
}
