//! `http.tls.letsencrypt`: certificates that are ordered by ACME.

use std::net::IpAddr;
use std::path::PathBuf;

use axum::http::Uri;
use rustls::pki_types::DnsName;
use serde::Deserialize;

use super::super::ConfigError;
use super::super::layers::Layers;

/// Let's Encrypt itself.
const DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// Who issues certificates, for which hosts, and where they are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LetsEncrypt {
    /// `cachefile`, which is a folder.
    pub folder: PathBuf,
    /// Whom the authority may write to, if anyone.
    pub email: Option<String>,
    /// Names in small letters, one at least. Nobody else is ever answered.
    pub hosts: Vec<String>,
    /// The URL of the authority's directory.
    pub directory: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawLetsEncrypt {
    cachefile: String,
    email: String,
    hosts: Vec<String>,
    directoryurl: String,
}

fn path(key: &'static str) -> [&'static str; 4] {
    ["http", "tls", "letsencrypt", key]
}

/// `None` if nothing is said of it. In distribution it counts once `cachefile` is there; whoever has
/// written any of it wants TLS, and is not served without.
pub(super) fn letsencrypt(
    raw: &RawLetsEncrypt,
    layers: &Layers,
) -> Result<Option<LetsEncrypt>, ConfigError> {
    let named = raw.hosts.iter().any(|host| !host.is_empty());
    let given = named || !raw.email.is_empty() || !raw.directoryurl.is_empty();
    match (raw.cachefile.is_empty(), named) {
        (true, _) if !given => return Ok(None),
        (true, _) => {
            let message = "this key is mandatory and missing: the folder where certificates and \
                           keys are kept, such as /var/lib/registry-certificates";
            return Err(layers.refuse(&path("cachefile"), message));
        }
        (false, false) => {
            let message = "this key is mandatory and missing: nothing is issued for hosts that \
                           are not named, so write `hosts: [registry.example.com]`";
            return Err(layers.refuse(&path("hosts"), message));
        }
        (false, true) => {}
    }
    let directory = match raw.directoryurl.as_str() {
        "" => DIRECTORY,
        url if is_https(url) => url,
        url => {
            let message = format!("{url:?} is no URL such as {DIRECTORY}");
            return Err(layers.refuse(&path("directoryurl"), message));
        }
    };
    let hosts = raw.hosts.iter().filter(|host| !host.is_empty());
    let hosts: Result<Vec<_>, _> = hosts.map(|host| name(host)).collect();
    let hosts = hosts.map_err(|message| layers.refuse(&path("hosts"), message))?;
    Ok(Some(LetsEncrypt {
        folder: PathBuf::from(&raw.cachefile),
        email: (!raw.email.is_empty()).then(|| raw.email.clone()),
        hosts,
        directory: directory.to_owned(),
    }))
}

fn is_https(url: &str) -> bool {
    let uri: Option<Uri> = url.parse().ok();
    uri.is_some_and(|uri| uri.scheme_str() == Some("https") && uri.host().is_some())
}

/// A name as certificates have it, and files.
fn name(host: &str) -> Result<String, String> {
    let bare = host.strip_suffix('.').unwrap_or(host);
    let why = if bare.starts_with("*.") {
        "TLS-ALPN-01, which is spoken here, shows nothing of all hosts below a name"
    } else if !bare.is_ascii() {
        "names have letters of ASCII here; others are written as xn--…"
    } else if bare.parse::<IpAddr>().is_ok() {
        "a name is wanted, not an address"
    } else if DnsName::try_from(bare).is_err() {
        "not the name of a host, without scheme, port or path, such as registry.example.com"
    } else {
        return Ok(bare.to_ascii_lowercase());
    };
    Err(format!("{host:?}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(host: &str, expected: Result<&str, &str>) {
        let said = name(host);
        let as_expected = match (&said, expected) {
            (Ok(said), Ok(expected)) => said == expected,
            (Err(said), Err(expected)) => said.contains(expected),
            _ => false,
        };
        assert!(as_expected, "{host}: {said:?}");
    }

    #[test]
    fn hosts_are_names_that_can_be_certified_here() {
        check("registry.example.com", Ok("registry.example.com"));
        check("Registry.Example.COM.", Ok("registry.example.com"));
        check("registry", Ok("registry"));
        check("xn--bcher-kva.example", Ok("xn--bcher-kva.example"));
        check("bücher.example", Err("xn--"));
        check("*.example.com", Err("TLS-ALPN-01"));
        check("192.0.2.1", Err("not an address"));
        check("2001:db8::1", Err("not an address"));
        check("https://registry.example.com", Err("without scheme"));
        check("registry.example.com:443", Err("without scheme"));
        check("../registry", Err("without scheme"));
        check("a/b", Err("without scheme"));
        check(".", Err("without scheme"));
    }
}
