//! The private authority, which lives in a folder with its key.

use std::path::PathBuf;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    PublicKeyData,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::pkix;

use super::files::{AUTHORITY as NAME, Kind, Output};
use super::{AUTHORITY as DAYS, Failed, days, issue};
use crate::ambient::ambient;

type Parsed = CertificateInner<Raw>;

/// What signs certificates.
pub(super) struct Authority {
    pub(super) issuer: Issuer<'static, KeyPair>,
    /// The file that clients are told of.
    pub(super) certificate: PathBuf,
    /// Since 1970.
    pub(super) until: Duration,
    pub(super) der: Vec<u8>,
    key: PathBuf,
}

impl Authority {
    /// That of the folder, or else a new one, which is not written yet; and whether it is new.
    pub(super) fn of(output: &Output, since: Duration) -> Result<(Self, bool), Failed> {
        let at = |extension: &str| output.at(&format!("{NAME}.{extension}"));
        let (certificate, key) = (at("crt"), at("key"));
        match (output.read(&certificate)?, output.read(&key)?) {
            (None, None) => Ok((Self::new(certificate, key, since)?, true)),
            (Some(text), Some(secret)) => {
                let found = Self::parse(certificate, key, &text, &secret, since)?;
                Ok((found, false))
            }
            (Some(_), None) => Err(Failed::HalfAuthority {
                there: certificate,
                missing: key,
            }),
            (None, Some(_)) => Err(Failed::HalfAuthority {
                there: key,
                missing: certificate,
            }),
        }
    }

    fn new(certificate: PathBuf, key: PathBuf, since: Duration) -> Result<Self, Failed> {
        let pair = issue::pair(false)?;
        // Two of one name, with different keys, would confuse clients.
        let id = ambient().random_u128() >> 96;
        let mut params = CertificateParams::default();
        params.distinguished_name = issue::common_name(&format!("registry authority {id:08x}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let until = since + days(DAYS);
        issue::set_validity(&mut params, since, until);
        let der = params.self_signed(&pair).map_err(issue::failed)?;
        let der = der.der().to_vec();
        Ok(Self {
            issuer: Issuer::new(params, pair),
            certificate,
            until,
            key,
            der,
        })
    }

    fn parse(
        certificate: PathBuf,
        key: PathBuf,
        text: &[u8],
        secret: &[u8],
        now: Duration,
    ) -> Result<Self, Failed> {
        let refused = |path: &PathBuf, why| Failed::Authority {
            path: path.clone(),
            why,
        };
        let of_certificate = |why| refused(&certificate, why);
        let pair = PrivateKeyDer::from_pem_slice(secret).ok();
        let pair = pair.and_then(|secret| KeyPair::try_from(&secret).ok());
        let pair = pair.ok_or_else(|| refused(&key, "it has no key in PEM that we know"))?;
        let der = CertificateDer::from_pem_slice(text);
        let der = der.map_err(|_| of_certificate("it has no certificate in PEM"))?;
        let parsed = Parsed::from_der(&der);
        let parsed = parsed.map_err(|_| of_certificate("it is not a certificate"))?;
        let facts = parsed.tbs_certificate();
        let of = facts.subject_public_key_info().to_der().unwrap_or_default();
        if of != pair.subject_public_key_info() {
            return Err(of_certificate("it is for another key"));
        }
        match facts.get_extension::<pkix::BasicConstraints>() {
            Ok(Some((_, constraints))) if constraints.ca => {}
            _ => return Err(of_certificate("it is not that of an authority")),
        }
        let until = facts.validity().not_after.to_unix_duration();
        if until <= now + super::BEFORE {
            return Err(of_certificate("it has expired"));
        }
        let name = facts.subject().common_name().ok().flatten();
        let name = name.map_or_else(String::new, |name| name.value().into_owned());
        let mut params = CertificateParams::default();
        params.distinguished_name = issue::common_name(&name);
        if let Ok(Some((_, id))) = facts.get_extension::<pkix::SubjectKeyIdentifier>() {
            params.key_identifier_method = KeyIdMethod::PreSpecified(id.0.into_bytes().to_vec());
        }
        Ok(Self {
            issuer: Issuer::new(params, pair),
            certificate,
            until,
            key,
            der: der.to_vec(),
        })
    }

    /// Whether what it has signed leads back to it: where it has a name that is not as ours are,
    /// that would not be found.
    pub(super) fn has_signed(&self, der: &[u8]) -> Result<(), Failed> {
        let issuer =
            |der| Parsed::from_der(der).map(|parsed| parsed.tbs_certificate().issuer().clone());
        let subject =
            Parsed::from_der(&self.der).map(|own| own.tbs_certificate().subject().clone());
        match (issuer(der), subject) {
            (Ok(issuer), Ok(subject)) if issuer == subject => Ok(()),
            _ => Err(Failed::Authority {
                path: self.certificate.clone(),
                why: "it has a name of more than one part, which this command cannot write",
            }),
        }
    }

    /// The paths of the files that were written, which nothing has had before.
    pub(super) fn write(&self, output: &Output) -> Result<[PathBuf; 2], Failed> {
        let key = issue::pem("PRIVATE KEY", &self.issuer.key().serialize_der());
        let text = issue::pem("CERTIFICATE", &self.der);
        output.write(&self.key, &key, Kind::Key, false)?;
        output.write(&self.certificate, &text, Kind::Certificate, false)?;
        Ok([self.key.clone(), self.certificate.clone()])
    }
}
