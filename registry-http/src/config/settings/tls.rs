//! `http.tls`: whether TLS is spoken, and how.

use std::path::PathBuf;

use rustls::CipherSuite;
use serde::Deserialize;

use super::super::layers::Layers;
use super::super::{ConfigError, Notes};
use super::clients::{Clients, clients};
use super::letsencrypt::{LetsEncrypt, RawLetsEncrypt, letsencrypt};
use crate::tls::suites::{self, Named};

/// How TLS is spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tls {
    /// What the server proves itself by.
    pub identity: Identity,
    /// The oldest version that is spoken.
    pub minimum: TlsVersion,
    /// Whether HTTP/2 is offered, beside HTTP/1.1.
    pub http2: bool,
    /// The suites that are spoken, all if there is none.
    pub suites: Vec<CipherSuite>,
    /// Whether clients prove who they are.
    pub clients: Option<Clients>,
}

/// What a server proves itself by.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Identity {
    /// A certificate, with those between it and its root after it, and its key: files in PEM.
    #[non_exhaustive]
    Files {
        /// Of the certificates.
        certificate: PathBuf,
        /// Of the key.
        key: PathBuf,
    },
    /// What an authority has issued.
    LetsEncrypt(LetsEncrypt),
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TlsVersion {
    /// RFC 5246.
    #[default]
    Tls12,
    /// RFC 8446.
    Tls13,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawTls {
    certificate: String,
    key: String,
    minimumtls: String,
    ciphersuites: Vec<String>,
    clientcas: Vec<String>,
    clientauth: String,
    letsencrypt: RawLetsEncrypt,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawHttp2 {
    pub(super) disabled: bool,
}

impl Tls {
    /// The files that it is made of.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let pair = match &self.identity {
            Identity::Files { certificate, key } => vec![certificate, key],
            Identity::LetsEncrypt(_) => Vec::new(),
        };
        let authorities = self.clients.iter().flat_map(|clients| &clients.authorities);
        pair.into_iter().chain(authorities).cloned().collect()
    }

    /// Whether it is known of clients who they are, by certificates that somebody vouches for.
    #[must_use]
    pub fn verifies_clients(&self) -> bool {
        let clients = self.clients.as_ref();
        clients.is_some_and(|clients| clients.auth.verifies())
    }
}

fn path(key: &'static str) -> [&'static str; 3] {
    ["http", "tls", key]
}

pub(super) fn tls(
    raw: &RawTls,
    http2: bool,
    layers: &Layers,
    notes: &mut Notes,
) -> Result<Option<Tls>, ConfigError> {
    let minimum = minimum(&raw.minimumtls, layers, notes)?;
    let suites = ciphersuites(&raw.ciphersuites, minimum, layers, notes)?;
    let clients = clients(&raw.clientcas, &raw.clientauth, layers)?;
    let ordered = letsencrypt(&raw.letsencrypt, layers)?;
    let identity = match (raw.certificate.as_str(), raw.key.as_str(), ordered) {
        ("", "", Some(ordered)) => Identity::LetsEncrypt(ordered),
        (certificate, _, Some(_)) => {
            let other = match certificate {
                "" => "key",
                _ => "certificate",
            };
            let message = format!(
                "`http.tls.{other}` ({}) is there as well, and only one of them can count",
                layers.origin(&path(other))
            );
            return Err(layers.refuse(&path("letsencrypt"), message));
        }
        ("", "", None) => {
            if clients.is_some() {
                return Err(unasked(raw, layers));
            }
            if minimum > TlsVersion::default() {
                notes.warn(format!(
                    "`http.tls.minimumtls` ({}) has no effect: without `http.tls.certificate` \
                     there is no TLS",
                    layers.origin(&path("minimumtls"))
                ));
            }
            return Ok(None);
        }
        (_, "", None) => return Err(lonely("certificate", "key", layers)),
        ("", _, None) => return Err(lonely("key", "certificate", layers)),
        (certificate, key, None) => Identity::Files {
            certificate: certificate.into(),
            key: key.into(),
        },
    };
    Ok(Some(Tls {
        identity,
        minimum,
        http2,
        suites,
        clients,
    }))
}

/// A suite that is not spoken is left out, which lets fewer in and not more.
fn ciphersuites(
    names: &[String],
    minimum: TlsVersion,
    layers: &Layers,
    notes: &mut Notes,
) -> Result<Vec<CipherSuite>, ConfigError> {
    let path = path("ciphersuites");
    let spoken = || suites::spoken().collect::<Vec<_>>().join(", ");
    let mut kept = Vec::new();
    for name in names {
        match suites::named(name) {
            Named::Spoken(suite) => kept.push(suite),
            Named::Unspoken => notes.warn(format!(
                "{name} of `http.tls.ciphersuites` ({}) is not spoken, as it is not secure",
                layers.origin(&path)
            )),
            Named::Unknown => {
                let message = format!("{name:?} is no suite; those that are spoken: {}", spoken());
                return Err(layers.refuse(&path, message));
            }
        }
    }
    if kept.is_empty() && !names.is_empty() {
        let message = format!("none of these is spoken; those that are: {}", spoken());
        return Err(layers.refuse(&path, message));
    }
    if !names.is_empty() && minimum == TlsVersion::Tls13 {
        notes.warn(format!(
            "`http.tls.ciphersuites` ({}) has no effect with TLS 1.3 alone, as in distribution",
            layers.origin(&path)
        ));
        kept.clear();
    }
    Ok(kept)
}

/// Without TLS nobody is asked for a certificate, and everyone would be let in.
fn unasked(raw: &RawTls, layers: &Layers) -> ConfigError {
    let key = match raw.clientcas.is_empty() {
        true => "clientauth",
        false => "clientcas",
    };
    let message = "no client can be asked for a certificate: without `http.tls.certificate` there \
                   is no TLS";
    layers.refuse(&path(key), message)
}

/// Half a pair serves nobody, and to serve without TLS would be less than was asked for.
fn lonely(given: &'static str, missing: &'static str, layers: &Layers) -> ConfigError {
    let message = format!("`http.tls.{missing}` is wanted beside it, and is not there");
    layers.refuse(&path(given), message)
}

fn minimum(given: &str, layers: &Layers, notes: &mut Notes) -> Result<TlsVersion, ConfigError> {
    match given {
        "" | "tls1.2" => Ok(TlsVersion::Tls12),
        "tls1.3" => Ok(TlsVersion::Tls13),
        // Who allows what is broken is served with what is not.
        "tls1.0" | "tls1.1" => {
            notes.warn(format!(
                "`http.tls.minimumtls` ({}) is {given}, which is not spoken any more: TLS 1.2 is \
                 the oldest",
                layers.origin(&path("minimumtls"))
            ));
            Ok(TlsVersion::Tls12)
        }
        other => {
            let message = format!("{other:?} is not one of tls1.2, tls1.3");
            Err(layers.refuse(&path("minimumtls"), message))
        }
    }
}
