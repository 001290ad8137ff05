//! Certificates for our keys, for registries that verify by a root.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, date_time_ymd,
};
use registry_core::BoxError;
use rustls_pki_types::PrivatePkcs8KeyDer;

use super::config::KeyKind;
use super::signing::{SigningKey, pem};
use crate::error::OpenError;

/// How long a root lives, and a certificate of a key that is never rotated: in years.
const YEARS: i16 = 20;

/// What signs certificates.
#[derive(Debug)]
pub(super) struct Root {
    params: CertificateParams,
    pair: KeyPair,
}

impl Root {
    pub(super) fn new(name: &str, key: &SigningKey) -> Result<Self, OpenError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(&format!("{name}: root of tokens"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Ok(Self {
            params,
            pair: pair(key)?,
        })
    }

    /// The certificate of the root itself, from this time on.
    pub(super) fn pem(&self, now: i64) -> Result<String, OpenError> {
        let mut params = self.params.clone();
        valid(&mut params, now, None)?;
        let certificate = params.self_signed(&self.pair).map_err(failed)?;
        Ok(pem("CERTIFICATE", certificate.der()))
    }

    /// A certificate for a key, until some time after its end, as DER.
    pub(super) fn certify(&self, key: &SigningKey, end: Option<i64>) -> Result<Vec<u8>, OpenError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(&key.id);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        valid(&mut params, key.born.at, end)?;
        let issuer = Issuer::from_params(&self.params, &self.pair);
        let certificate = params.signed_by(&pair(key)?, &issuer).map_err(failed)?;
        Ok(certificate.der().to_vec())
    }
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn pair(key: &SigningKey) -> Result<KeyPair, OpenError> {
    let der = PrivatePkcs8KeyDer::from(key.pkcs8.expose().as_slice());
    let algorithm = match key.born.kind {
        KeyKind::Es256 => &PKCS_ECDSA_P256_SHA256,
        KeyKind::EdDsa => &PKCS_ED25519,
    };
    KeyPair::from_pkcs8_der_and_sign_algo(&der, algorithm).map_err(failed)
}

/// Whole days, with one more before and a month after, since clocks differ and nothing rests on it.
fn valid(params: &mut CertificateParams, from: i64, end: Option<i64>) -> Result<(), OpenError> {
    const DAY: i64 = 24 * 60 * 60;
    let date = |seconds: i64| {
        let time = jiff::Timestamp::from_second(seconds).map_err(failed);
        time.map(|time| time.to_zoned(jiff::tz::TimeZone::UTC).date())
    };
    let from = date(from.saturating_sub(DAY).max(0))?;
    // The 29th of February is not in every year.
    let until = match end {
        Some(end) => date(end.saturating_add(30 * DAY))?,
        None => jiff::civil::date(from.year().saturating_add(YEARS).min(9990), 1, 1),
    };
    let at = |date: jiff::civil::Date| {
        let unsigned = |number: i8| u8::try_from(number).unwrap_or(1);
        date_time_ymd(
            date.year().into(),
            unsigned(date.month()),
            unsigned(date.day()),
        )
    };
    (params.not_before, params.not_after) = (at(from), at(until));
    Ok(())
}

fn failed(error: impl Into<BoxError>) -> OpenError {
    OpenError::Certificate(error.into())
}
