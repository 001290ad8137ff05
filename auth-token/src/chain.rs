//! Certificates: the roots that were configured, and chains that lead to them.

use std::time::{Duration, SystemTime};

use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{
    ALL_VERIFICATION_ALGS, EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter,
    anchor_from_trusted_cert,
};
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::Decode as _;

use crate::key::PublicKey;

/// A certificate of the bundle.
#[derive(Debug)]
struct Root {
    der: Vec<u8>,
    anchor: TrustAnchor<'static>,
    from: i64,
    until: i64,
}

impl Root {
    fn is_valid(&self, now: i64) -> bool {
        (self.from..=self.until).contains(&now)
    }
}

/// The certificates that a chain may end in, and no others: the system's are not asked.
#[derive(Debug, Default)]
pub(crate) struct Roots(Vec<Root>);

/// A key that a chain vouches for, and until when it does, in seconds of the epoch.
#[derive(Debug)]
pub(crate) struct Vouched {
    pub(crate) key: PublicKey,
    pub(crate) until: i64,
}

impl Roots {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a certificate, and says which key it is for.
    pub(crate) fn add(&mut self, der: &[u8]) -> Result<PublicKey, String> {
        let facts = certificate(der)?;
        let key = facts.key?;
        let lent = CertificateDer::from(der);
        let anchor = anchor_from_trusted_cert(&lent).map_err(|error| error.to_string())?;
        self.0.push(Root {
            der: der.to_vec(),
            anchor: anchor.to_owned(),
            from: facts.from,
            until: facts.until,
        });
        Ok(key)
    }

    /// Has `chain`, its first certificate the key's own, lead to a root at this time, for any
    /// extended key usage.
    pub(crate) fn verify(&self, chain: &[Vec<u8>], now: i64) -> Result<Vouched, String> {
        let [leaf, between @ ..] = chain else {
            return Err("there is none".to_owned());
        };
        let first = certificate(leaf)?;
        let mut vouched = Vouched {
            key: first.key?,
            until: first.until,
        };
        // A root may sign tokens itself, as in many a tutorial; a path would have to begin and to
        // end with it.
        if let Some(root) = self.0.iter().find(|root| root.der == *leaf) {
            return match root.is_valid(now) {
                true => Ok(vouched),
                false => Err("it has expired, or is not valid yet".to_owned()),
            };
        }
        let anchors: Vec<&Root> = self.0.iter().filter(|root| root.is_valid(now)).collect();
        for root in &anchors {
            vouched.until = vouched.until.min(root.until);
        }
        for der in between {
            vouched.until = vouched.until.min(certificate(der)?.until);
        }
        path(&anchors, leaf, between, now).map_err(|error| error.to_string())?;
        Ok(vouched)
    }
}

fn path(
    anchors: &[&Root],
    leaf: &[u8],
    between: &[Vec<u8>],
    now: i64,
) -> Result<(), webpki::Error> {
    let leaf = CertificateDer::from(leaf);
    let leaf = EndEntityCert::try_from(&leaf)?;
    let between: Vec<_> = between
        .iter()
        .map(|der| CertificateDer::from(der.as_slice()))
        .collect();
    let anchors: Vec<_> = anchors.iter().map(|root| root.anchor.clone()).collect();
    let since = Duration::from_secs(u64::try_from(now).unwrap_or(0));
    leaf.verify_for_usage(
        ALL_VERIFICATION_ALGS,
        &anchors,
        &between,
        UnixTime::since_unix_epoch(since),
        AnyUsage,
        None,
        None,
    )?;
    Ok(())
}

/// Tokens have no usage of their own; distribution asks for none.
struct AnyUsage;

impl ExtendedKeyUsageValidator for AnyUsage {
    fn validate(&self, _usages: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        Ok(())
    }
}

/// What the path does not tell of a certificate.
struct Facts {
    key: Result<PublicKey, String>,
    from: i64,
    until: i64,
}

/// Reads a certificate as it is: numbers and dates that RFC 5280 forbids are no concern of ours.
fn certificate(der: &[u8]) -> Result<Facts, String> {
    let parsed = CertificateInner::<Raw>::from_der(der);
    let parsed = parsed.map_err(|_| "not a certificate".to_owned())?;
    let certificate = parsed.tbs_certificate();
    let seconds = |time: SystemTime| crate::claims::seconds_of(time);
    let validity = certificate.validity();
    let key = PublicKey::from_spki(certificate.subject_public_key_info());
    Ok(Facts {
        key: key.map_err(|error| error.to_string()),
        from: seconds(validity.not_before.to_system_time()),
        until: seconds(validity.not_after.to_system_time()),
    })
}

#[cfg(test)]
mod tests;
