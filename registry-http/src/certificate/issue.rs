//! What is in a certificate, so that every client takes it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::string::Ia5String;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, SanType, date_time_ymd,
};
use registry_core::Algorithm;
use registry_core::hasher::digest_of;

use super::Failed;
use super::authority::Authority;
use super::host::{Host, Name};

/// Letters of a common name.
const COMMON_NAME: usize = 64;

/// What a certificate is to be for.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) hosts: Vec<Host>,
    pub(super) rsa: bool,
    /// Both since 1970.
    pub(super) since: Duration,
    pub(super) until: Duration,
}

/// A certificate and its key.
pub(super) struct Issued {
    pub(super) der: Vec<u8>,
    /// PKCS#8, as PEM.
    pub(super) key: String,
}

/// Signed by the authority, or else by itself.
pub(super) fn issue(order: &Order, authority: Option<&Authority>) -> Result<Issued, Failed> {
    let pair = pair(order.rsa)?;
    let mut params = params(order)?;
    let signed = match authority {
        Some(authority) => {
            params.use_authority_key_identifier_extension = true;
            params.signed_by(&pair, &authority.issuer)
        }
        None => params.self_signed(&pair),
    };
    let der = signed.map_err(failed)?.der().to_vec();
    if let Some(authority) = authority {
        authority.has_signed(&der)?;
    }
    Ok(Issued {
        der,
        key: pem("PRIVATE KEY", &pair.serialize_der()),
    })
}

pub(super) fn pair(rsa: bool) -> Result<KeyPair, Failed> {
    let algorithm = match rsa {
        true => &PKCS_RSA_SHA256,
        false => &PKCS_ECDSA_P256_SHA256,
    };
    KeyPair::generate_for(algorithm).map_err(failed)
}

fn params(order: &Order) -> Result<CertificateParams, Failed> {
    let mut params = CertificateParams::default();
    let mut names: Vec<SanType> = Vec::new();
    for host in &order.hosts {
        let name = match &host.name {
            Name::Dns(name) => {
                SanType::DnsName(Ia5String::try_from(name.as_str()).map_err(failed)?)
            }
            Name::Address(address) => SanType::IpAddress(*address),
        };
        // The same one may be reached at several ports.
        if !names.contains(&name) {
            names.push(name);
        }
    }
    params.subject_alt_names = names;
    let first = order.hosts.first().map(|host| host.name.to_string());
    let first = first.filter(|name| name.len() <= COMMON_NAME);
    params.distinguished_name = common_name(first.as_deref().unwrap_or("registry"));
    // Also where it signs itself: rustls takes no authority for a server, and everyone takes a
    // server's certificate that is trusted by itself.
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    if order.rsa {
        // Without forward secrecy, as old clients do it.
        params.key_usages.push(KeyUsagePurpose::KeyEncipherment);
    }
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    set_validity(&mut params, order.since, order.until);
    Ok(params)
}

pub(super) fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

pub(super) fn set_validity(params: &mut CertificateParams, since: Duration, until: Duration) {
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + since;
    params.not_after = epoch + until;
}

/// As OpenSSL writes it.
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, next) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = next;
    }
    text + &format!("-----END {label}-----\n")
}

/// SHA-256 of a certificate, in hexadecimal digits.
pub(super) fn fingerprint(der: &[u8]) -> String {
    digest_of(Algorithm::Sha256, der).hex().to_string()
}

pub(super) fn failed(error: rcgen::Error) -> Failed {
    Failed::Issue(error.into())
}
