//! What a certificate says, as data that rules compare.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::{SystemTime, UNIX_EPOCH};

use registry_core::Algorithm;
use registry_core::access::{
    AlternativeName, Attribute, Certificate, DistinguishedName, Fingerprint,
};
use registry_core::hasher::digest_of;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode as _, Encode as _, Tag, Tagged as _};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{ExtendedKeyUsage, SubjectAltName};
use x509_cert::name::Name;

/// `clientAuth`, and the usage that stands for all (RFC 5280, section 4.2.1.12).
const FOR_CLIENTS: [ObjectIdentifier; 2] = [
    ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2"),
    ObjectIdentifier::new_unwrap("2.5.29.37.0"),
];

/// What is to be known of a certificate that is trusted by itself.
#[derive(Debug)]
pub(super) struct Facts {
    /// In seconds of the epoch.
    pub(super) valid: RangeInclusive<u64>,
    /// Whether a client may show it.
    pub(super) is_for_clients: bool,
}

/// Reads a certificate as it is: numbers and dates that RFC 5280 forbids are no concern of ours.
pub(super) fn facts(der: &[u8]) -> Result<Facts, String> {
    let parsed = parse(der)?;
    let certificate = parsed.tbs_certificate();
    let seconds = |time: SystemTime| match time.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_secs(),
        Err(_) => 0,
    };
    let validity = certificate.validity();
    let from = seconds(validity.not_before.to_system_time());
    let until = seconds(validity.not_after.to_system_time());
    let usages = certificate.get_extension::<ExtendedKeyUsage>();
    let usages = usages.map_err(|_| "its usages cannot be read".to_owned())?;
    let is_for_clients =
        usages.is_none_or(|(_, usages)| usages.0.iter().any(|usage| FOR_CLIENTS.contains(usage)));
    Ok(Facts {
        valid: from..=until,
        is_for_clients,
    })
}

fn parse(der: &[u8]) -> Result<CertificateInner<Raw>, String> {
    CertificateInner::<Raw>::from_der(der).map_err(|_| "it is not a certificate".to_owned())
}

/// Who someone is who has shown this certificate, once it was verified. What of it cannot be read
/// names nobody.
pub(super) fn identity(der: &[u8]) -> Certificate {
    let hash = digest_of(Algorithm::Sha256, der);
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(hash.as_bytes());
    let (subject, names) = match parse(der) {
        Ok(parsed) => {
            let certificate = parsed.tbs_certificate();
            let names = certificate.get_extension::<SubjectAltName>();
            let names = names.ok().flatten().map(|(_, names)| names.0);
            (subject(certificate.subject()), names.unwrap_or_default())
        }
        Err(_) => Default::default(),
    };
    let names = names.iter().filter_map(alternative).collect();
    Certificate::new(subject, names, Fingerprint::from(fingerprint))
}

/// DER begins with what is most general, the text of RFC 4514 with what is most particular.
fn subject(name: &Name) -> DistinguishedName {
    let sets = name
        .iter_rdn()
        .map(|set| set.iter().map(attribute).collect());
    let mut sets: Vec<Vec<Attribute>> = sets.collect();
    sets.reverse();
    DistinguishedName::new(sets)
}

/// The kinds of strings differ in how letters are encoded, and not in what they say.
fn attribute(attribute: &AttributeTypeAndValue) -> Attribute {
    let kind = attribute.oid.to_string();
    let bytes = attribute.value.value();
    let text = match attribute.value.tag() {
        Tag::Utf8String => String::from_utf8(bytes.to_vec()).ok(),
        Tag::PrintableString | Tag::Ia5String | Tag::TeletexString | Tag::NumericString => {
            let ascii = bytes.is_ascii().then(|| bytes.to_vec());
            ascii.and_then(|bytes| String::from_utf8(bytes).ok())
        }
        Tag::BmpString if bytes.len().is_multiple_of(2) => {
            let units = bytes
                .chunks(2)
                .map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            String::from_utf16(&units.collect::<Vec<_>>()).ok()
        }
        _ => None,
    };
    match text {
        Some(text) => Attribute::text(kind, text),
        None => Attribute::der(kind, attribute.value.to_der().unwrap_or_default()),
    }
}

fn alternative(name: &GeneralName) -> Option<AlternativeName> {
    match name {
        GeneralName::DnsName(name) => Some(AlternativeName::dns(name.as_str())),
        GeneralName::Rfc822Name(address) => Some(AlternativeName::email(address.as_str())),
        GeneralName::UniformResourceIdentifier(uri) => Some(AlternativeName::uri(uri.as_str())),
        GeneralName::IpAddress(address) => {
            let bytes = address.as_bytes();
            let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
            let v6 = || <[u8; 16]>::try_from(bytes).map(IpAddr::from);
            v4.or_else(|_| v6()).ok().map(AlternativeName::ip)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName as Dn, DnType, DnValue, KeyPair, SanType};

    use super::*;

    fn der(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = Dn::new();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    fn full() -> Vec<u8> {
        der(|params| {
            let name = &mut params.distinguished_name;
            name.push(
                DnType::CountryName,
                DnValue::PrintableString("DE".try_into().unwrap()),
            );
            name.push(DnType::OrganizationName, "Example, Inc.");
            name.push(
                DnType::CommonName,
                DnValue::BmpString("bäu\n".try_into().unwrap()),
            );
            name.push(DnType::CustomDnType(vec![1, 2, 3]), "x");
            params.subject_alt_names = vec![
                SanType::DnsName("Build.Example.com".try_into().unwrap()),
                SanType::Rfc822Name("ci@example.com".try_into().unwrap()),
                SanType::URI("spiffe://example/ci".try_into().unwrap()),
                SanType::IpAddress("10.0.0.1".parse().unwrap()),
                SanType::IpAddress("::1".parse().unwrap()),
            ];
        })
    }

    #[test]
    fn a_certificate_says_who_it_is_for() {
        let der = full();
        let identity = identity(&der);
        assert_eq!(
            identity.subject.to_string(),
            r"1.2.3=x,CN=bäu\0a,O=Example\, Inc.,C=DE"
        );
        let names: Vec<String> = identity.names.iter().map(ToString::to_string).collect();
        let expected = [
            "dns=build.example.com",
            "email=ci@example.com",
            "uri=spiffe://example/ci",
            "ip=10.0.0.1",
            "ip=::1",
        ];
        assert_eq!(names, expected);
        let print = digest_of(Algorithm::Sha256, &der);
        assert_eq!(identity.fingerprint.unwrap().to_string(), print.hex());
    }

    #[test]
    fn what_cannot_be_read_is_nobody_but_itself() {
        let identity = identity(b"no certificate");
        assert!(identity.subject.is_empty() && identity.names.is_empty());
        let hash = digest_of(Algorithm::Sha256, b"no certificate");
        assert_eq!(identity.fingerprint.unwrap().to_string(), hash.hex());
        assert!(facts(b"no certificate").is_err());
    }

    #[test]
    fn no_damage_makes_a_certificate_panic() {
        let whole = full();
        for at in 0..whole.len() {
            for change in [0, 0xff, 0x80, whole[at].wrapping_add(1)] {
                let mut damaged = whole.clone();
                damaged[at] = change;
                let _ = identity(&damaged);
                let _ = facts(&damaged);
            }
            let _ = identity(&whole[..at]);
        }
    }
}
