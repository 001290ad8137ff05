//! What a client certificate says of who shows it, and how rules name that.

use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::str::FromStr;

use super::DistinguishedName;
use crate::digest::Algorithm;
use crate::hasher::digest_of;

/// A client certificate that was verified: signed by an authority that the registry trusts for
/// that, in force, and shown by who has its key. Only the server makes one of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Certificate {
    /// Whom it is for; it may be empty.
    pub subject: DistinguishedName,
    /// By what other names that one is known.
    pub names: Vec<AlternativeName>,
    /// Which certificate it is; `None` where a question is about any.
    pub fingerprint: Option<Fingerprint>,
}

impl Certificate {
    /// A certificate that says this.
    #[must_use]
    pub fn new(
        subject: DistinguishedName,
        names: Vec<AlternativeName>,
        fingerprint: Fingerprint,
    ) -> Self {
        Self {
            subject,
            names,
            fingerprint: Some(fingerprint),
        }
    }

    /// The same, which also says this.
    #[must_use]
    pub fn with(mut self, name: CertificateName) -> Self {
        match name {
            CertificateName::Subject(subject) => self.subject = subject,
            CertificateName::Name(name) => self.names.push(name),
            CertificateName::Fingerprint(print) => self.fingerprint = Some(print),
        }
        self
    }

    /// In hexadecimal, a hash of all that it says; of one that says nothing, its fingerprint.
    pub(super) fn id(&self) -> Option<String> {
        if self.subject.is_empty() && self.names.is_empty() {
            return self.fingerprint.map(|print| print.to_string());
        }
        let mut names: Vec<String> = self.names.iter().map(ToString::to_string).collect();
        names.sort();
        let said = format!("{}\n{}", self.subject, names.join("\n"));
        Some(digest_of(Algorithm::Sha256, said.as_bytes()).hex())
    }
}

/// By its subject, or else by its first name, or else by its fingerprint: as a rule would name it.
impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = if self.subject.is_empty() {
            let name = self.names.first().cloned().map(CertificateName::Name);
            name.or(self.fingerprint.map(CertificateName::Fingerprint))
        } else {
            Some(CertificateName::Subject(self.subject.clone()))
        };
        match by {
            Some(by) => by.fmt(f),
            None => f.write_str("certificate"),
        }
    }
}

/// SHA-256 of a whole certificate, as it was sent (DER).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl From<[u8; 32]> for Fingerprint {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Fingerprint {
    type Err = CertificateNameError;

    /// Hexadecimal, with a colon between all bytes, as openssl writes it, or with none.
    fn from_str(text: &str) -> Result<Self, CertificateNameError> {
        let wrong = || CertificateNameError::Fingerprint(text.to_owned());
        let digits = match text.contains(':') {
            false => text.to_owned(),
            true if text.split(':').all(|byte| byte.len() == 2) => text.replace(':', ""),
            true => return Err(wrong()),
        };
        let bytes = super::unhex(&digits).ok_or_else(wrong)?;
        bytes.try_into().map(Self).map_err(|_| wrong())
    }
}

/// A subject alternative name (RFC 5280, section 4.2.1.6).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AlternativeName(Kind);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Dns(String),
    Email(String),
    Uri(String),
    Ip(IpAddr),
}

impl AlternativeName {
    /// The name of a machine, whatever the case of its letters.
    #[must_use]
    pub fn dns(name: &str) -> Self {
        Self(Kind::Dns(name.to_ascii_lowercase()))
    }

    /// The address of a mailbox; the case of its domain does not matter.
    #[must_use]
    pub fn email(address: &str) -> Self {
        Self(Kind::Email(match address.rsplit_once('@') {
            Some((mailbox, domain)) => format!("{mailbox}@{}", domain.to_ascii_lowercase()),
            None => address.to_owned(),
        }))
    }

    /// A URI, as it is spelled.
    #[must_use]
    pub fn uri(uri: &str) -> Self {
        Self(Kind::Uri(uri.to_owned()))
    }

    /// The address of a machine.
    #[must_use]
    pub fn ip(address: IpAddr) -> Self {
        Self(Kind::Ip(address))
    }
}

/// What is in a certificate is nobody's choice but its authority's: what does not print is escaped.
impl fmt::Display for AlternativeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, text) = match &self.0 {
            Kind::Dns(name) => ("dns", name),
            Kind::Email(address) => ("email", address),
            Kind::Uri(uri) => ("uri", uri),
            Kind::Ip(address) => return write!(f, "ip={address}"),
        };
        write!(f, "{kind}=")?;
        text.chars().try_for_each(|c| match c {
            '\\' => f.write_str("\\\\"),
            ' '..='~' => f.write_char(c),
            c => write!(f, "{}", c.escape_default()),
        })
    }
}

/// How a rule names a certificate: by one thing that it says, letter by letter. There are no
/// patterns, since what an authority would certify beside the meant one is not to be seen here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateName {
    /// Whole, in its order.
    Subject(DistinguishedName),
    /// It is among the names.
    Name(AlternativeName),
    /// This certificate and no other.
    Fingerprint(Fingerprint),
}

impl CertificateName {
    /// What its text begins with.
    pub const PREFIX: &str = "certificate:";

    /// Whether that certificate is meant.
    #[must_use]
    pub fn is(&self, certificate: &Certificate) -> bool {
        match self {
            // Whoever is not named at all is not to be taken for another one.
            Self::Subject(subject) => !subject.is_empty() && *subject == certificate.subject,
            Self::Name(name) => certificate.names.contains(name),
            Self::Fingerprint(print) => certificate.fingerprint == Some(*print),
        }
    }
}

impl FromStr for CertificateName {
    type Err = CertificateNameError;

    /// `certificate:KIND=VALUE`.
    fn from_str(text: &str) -> Result<Self, CertificateNameError> {
        use CertificateNameError as Wrong;
        let kind = || Wrong::Kind(text.to_owned());
        let rest = text.strip_prefix(Self::PREFIX).ok_or_else(kind)?;
        let (name, value) = rest.split_once('=').ok_or_else(kind)?;
        if value.is_empty() {
            return Err(Wrong::Empty(text.to_owned()));
        }
        match name {
            "subject" => value.parse().map(Self::Subject).map_err(Wrong::Subject),
            "fingerprint" => value.parse().map(Self::Fingerprint),
            "dns" | "email" if value.contains('*') => Err(Wrong::Pattern(value.to_owned())),
            "dns" => Ok(Self::Name(AlternativeName::dns(value))),
            "email" => Ok(Self::Name(AlternativeName::email(value))),
            "uri" => Ok(Self::Name(AlternativeName::uri(value))),
            "ip" => {
                let address = value.parse().map_err(|_| Wrong::Ip(value.to_owned()))?;
                Ok(Self::Name(AlternativeName::ip(address)))
            }
            _ => Err(kind()),
        }
    }
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::PREFIX)?;
        match self {
            Self::Subject(subject) => write!(f, "subject={subject}"),
            Self::Name(name) => name.fmt(f),
            Self::Fingerprint(print) => write!(f, "fingerprint={print}"),
        }
    }
}

/// Why a text names no certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateNameError {
    /// It does not say by what.
    #[error(
        "{0:?} is none of certificate:subject=…, certificate:dns=…, certificate:email=…, \
         certificate:uri=…, certificate:ip=…, certificate:fingerprint=…"
    )]
    Kind(String),
    /// There is nothing after the sign.
    #[error("{0:?} has no value")]
    Empty(String),
    /// It looks like a pattern.
    #[error("{0:?} has a *, and there are no patterns here: names are compared letter by letter")]
    Pattern(String),
    /// It is no address.
    #[error("{0:?} is no address of a machine")]
    Ip(String),
    /// It is no fingerprint.
    #[error("{0:?} is no SHA-256 in hexadecimal, with or without colons")]
    Fingerprint(String),
    /// It is no distinguished name.
    #[error(transparent)]
    Subject(super::NameError),
}

#[cfg(test)]
mod tests;
