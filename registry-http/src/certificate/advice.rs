//! What was made, and what is to be done with it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::host::Host;
use super::issue::Order;

/// Hosts for which everything is spelt out; of the others it is the same.
const SPELT_OUT: usize = 3;

/// The files, by their absolute paths.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    /// What clients are to be told of.
    pub(super) trust: PathBuf,
    pub(super) wrote: Vec<PathBuf>,
    pub(super) fingerprint: String,
    /// The fingerprint of that, which stays when an authority signs again.
    pub(super) trusted: String,
    pub(super) order: Order,
}

impl Made {
    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for path in &self.wrote {
            let _ = writeln!(text, "wrote {}", path.display());
        }
        let _ = write!(
            text,
            "valid until {}, SHA-256 {}\n\n{}\n{}",
            time(self.order.until),
            self.fingerprint,
            self.for_the_registry(),
            self.for_clients(),
        );
        text
    }

    fn for_the_registry(&self) -> String {
        let (certificate, key) = (&self.certificate, &self.key);
        let (yaml, yaml_key) = (quoted(certificate, "''"), quoted(key, "''"));
        let (shell, shell_key) = (quoted(certificate, SHELL), quoted(key, SHELL));
        format!(
            "The registry, which has to be able to read both, in its configuration or by variables:\n\
             \x20 http:\n    tls:\n      certificate: {yaml}\n      key: {yaml_key}\n\
             \x20 REGISTRY_HTTP_TLS_CERTIFICATE={shell}\n\
             \x20 REGISTRY_HTTP_TLS_KEY={shell_key}\n"
        )
    }

    fn for_clients(&self) -> String {
        let trust = quoted(&self.trust, SHELL);
        let mut text = format!("Each client, which has to be told of {trust}:\n");
        let hosts = &self.order.hosts;
        for host in hosts.iter().take(SPELT_OUT) {
            let _ = write!(
                text,
                "\x20 docker, at once:\n    install -D -m 644 {trust} {docker}\n\
                 \x20 podman, skopeo, buildah, at once:\n    install -D -m 644 {trust} {podman}\n\
                 \x20 containerd, in {containerd}:\n{toml}",
                docker = docker(host),
                podman = podman(host),
                containerd = containerd(host),
                toml = indented(&self.toml(host)),
            );
        }
        if hosts.len() > SPELT_OUT {
            let more = hosts.len() - SPELT_OUT;
            let _ = writeln!(text, "  and so for {more} more hosts");
        }
        if hosts.iter().any(Host::is_wildcard) {
            text.push_str("  NAME is each name that is used of those that * stands for\n");
        }
        if hosts.iter().any(|host| host.port.is_none()) {
            text.push_str("  at a port other than 443, folders and hosts are called HOST:PORT\n");
        }
        let store = format!("registry-{}.crt", &self.trusted[..8]);
        let _ = write!(
            text,
            "\x20 everything of a system, crane and helm among it; docker and containerd once they are restarted:\n\
             \x20   Debian, Ubuntu, Alpine: cp {trust} /usr/local/share/ca-certificates/{store} && update-ca-certificates\n\
             \x20   Fedora, RHEL: cp {trust} /etc/pki/ca-trust/source/anchors/{store} && update-ca-trust\n\
             \x20   macOS: security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain {trust}\n\
             \x20 curl: --cacert {trust}\n"
        );
        text
    }

    fn toml(&self, host: &Host) -> String {
        let trust = self.trust.display().to_string();
        let host = shown(host);
        format!(
            "server = \"https://{host}\"\n\
             [host.\"https://{host}\"]\n  ca = {trust:?}\n"
        )
    }

    /// For machines.
    pub(super) fn json(&self) -> Value {
        let hosts = self.order.hosts.iter().map(|host| {
            json!({
                "host": host.to_string(),
                "docker": docker(host),
                "containers": podman(host),
                "containerd": {"path": containerd(host), "text": self.toml(host)},
            })
        });
        json!({
            "certificate": self.certificate,
            "key": self.key,
            "trust": self.trust,
            "wrote": self.wrote,
            "sha256": self.fingerprint,
            "from": time(self.order.since),
            "until": time(self.order.until),
            "hosts": hosts.collect::<Vec<_>>(),
            "variables": {
                "REGISTRY_HTTP_TLS_CERTIFICATE": self.certificate,
                "REGISTRY_HTTP_TLS_KEY": self.key,
            },
        })
    }
}

fn docker(host: &Host) -> String {
    format!("/etc/docker/certs.d/{}/ca.crt", shown(host))
}

fn podman(host: &Host) -> String {
    format!("/etc/containers/certs.d/{}/ca.crt", shown(host))
}

fn containerd(host: &Host) -> String {
    format!("/etc/containerd/certs.d/{}/hosts.toml", shown(host))
}

/// No client has a folder for all names of a kind.
fn shown(host: &Host) -> String {
    host.to_string().replace('*', "NAME")
}

/// An apostrophe between others, in the words of a shell.
const SHELL: &str = r"'\''";

/// As it is, if that is plain; else between apostrophes, with `apostrophe` for one within.
fn quoted(path: &Path, apostrophe: &str) -> String {
    let text = path.display().to_string();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-".contains(letter);
    match text.chars().all(plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', apostrophe)),
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

fn time(since: Duration) -> String {
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).map_or_else(|_| String::new(), |time| time.to_string())
}
