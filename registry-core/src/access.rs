//! Who asks, what for, and how one may prove who one is. Plain data in, a decision out.

mod certificate;
mod distinguished;

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use self::certificate::{
    AlternativeName, Certificate, CertificateName, CertificateNameError, Fingerprint,
};
pub use self::distinguished::{Attribute, DistinguishedName, NameError};

use crate::BoxError;
use crate::name::RepositoryName;

/// What may be done with a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Read anything under it.
    Pull,
    /// Write blobs, manifests and tags.
    Push,
    /// Delete blobs, manifests and tags.
    Delete,
}

impl Action {
    /// The word in a token's scope.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
        }
    }
}

/// Something that a request needs, or that a token grants.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Access {
    /// An action on a repository.
    Repository {
        /// Which.
        name: RepositoryName,
        /// What.
        action: Action,
    },
    /// To list all repositories.
    Catalog,
}

impl Access {
    /// An action on a repository.
    #[must_use]
    pub fn repository(name: &RepositoryName, action: Action) -> Self {
        Self::Repository {
            name: name.clone(),
            action,
        }
    }
}

/// A text that is never printed.
#[derive(Clone)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Hides it.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// Shows it: at the one place that needs it.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What a request shows of its sender.
#[derive(Debug)]
#[non_exhaustive]
pub struct Caller {
    /// What it sent to prove who it is.
    pub credentials: Credentials,
    /// Where it comes from, if that is an address at all.
    pub address: Option<IpAddr>,
    /// What its connection proved, if it did; the rules look at it, whoever the scheme says this is.
    pub certificate: Option<Arc<Certificate>>,
}

impl Caller {
    /// A caller with these credentials.
    #[must_use]
    pub fn new(credentials: Credentials, address: Option<IpAddr>) -> Self {
        Self {
            credentials,
            address,
            certificate: None,
        }
    }
}

/// What a request carries in its `Authorization` header.
#[derive(Debug)]
#[non_exhaustive]
pub enum Credentials {
    /// Nothing.
    Anonymous,
    /// Something that nobody can read, or of a scheme that is not known: never the same as nothing.
    Unreadable,
    /// User and password (RFC 7617).
    Basic {
        /// Before the first colon.
        user: String,
        /// After it.
        password: Secret<String>,
    },
    /// A token (RFC 6750).
    Bearer(Secret<String>),
}

/// Who is it, and how may it prove that?
///
/// # Contract
/// * A caller without credentials is no error where the scheme knows anonymous callers.
/// * [`AuthError::Unavailable`] whenever the question could not be decided; never "allowed".
/// * Hash work runs off the async workers.
/// * What it was opened from may change meanwhile: what cannot be used then is told, and what
///   counted before goes on counting.
#[async_trait]
pub trait Authenticator: fmt::Debug + Send + Sync + 'static {
    /// Who this is.
    async fn authenticate(&self, caller: &Caller) -> Result<Identity, AuthError>;

    /// What to ask of a caller who is known and lacks a right.
    fn challenge(&self) -> Challenge;

    /// What a user is known by at present: bytes that change with the password. `None` for a user
    /// who is not there, or where that cannot be told. Tokens that outlive a login hang on it.
    async fn credential(&self, user: &str) -> Option<Secret<Vec<u8>>> {
        let _ = user;
        None
    }

    /// Which state the answers of [`credential`](Self::credential) are of at present: while it is
    /// the same, so are they, and it never comes back. `None` where that cannot be told, or where
    /// it is time to look again: then `credential` has to be asked.
    fn generation(&self) -> Option<NonZeroU64> {
        None
    }

    /// Looks again at what it was opened from, at once, since someone says that it has changed.
    async fn reload(&self) {}

    /// Whether everyone is let in, as the line at start says.
    fn is_open(&self) -> bool {
        false
    }
}

/// Who someone turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// `None` for an anonymous caller.
    pub name: Option<String>,
    /// Groups the user is in.
    pub groups: Vec<String>,
    /// How it was proved.
    pub scheme: Scheme,
    /// What a token carries; without one the rules alone decide.
    pub granted: Option<Vec<Access>>,
    /// A certificate that the same client has proved to have. It is not the user's: each has what
    /// the rules give to it, and a token limits what its user has.
    pub certificate: Option<Arc<Certificate>>,
}

impl Identity {
    /// Nobody in particular.
    #[must_use]
    pub fn anonymous() -> Self {
        Self {
            name: None,
            groups: Vec::new(),
            scheme: Scheme::Anonymous,
            granted: None,
            certificate: None,
        }
    }

    /// A user known by name.
    #[must_use]
    pub fn named(name: impl Into<String>, scheme: Scheme) -> Self {
        Self {
            name: Some(name.into()),
            groups: Vec::new(),
            scheme,
            granted: None,
            certificate: None,
        }
    }

    /// The same, with a certificate beside it, which says who it is if nothing else does.
    #[must_use]
    pub fn with_certificate(mut self, certificate: Arc<Certificate>) -> Self {
        if self.scheme == Scheme::Anonymous {
            self.scheme = Scheme::Certificate;
        }
        self.certificate = Some(certificate);
        self
    }

    /// Who it is, for people to read: the user, or else the certificate as a rule names it.
    #[must_use]
    pub fn actor(&self) -> Option<String> {
        let certificate = || Some(self.certificate.as_ref()?.to_string());
        self.name.clone().or_else(certificate)
    }

    /// What stays the same from one request to the next, also when a certificate was renewed or a
    /// token took the place of a password, and is no other's: of the user, and then of the
    /// certificate. Nobody in particular has none.
    pub fn principals(&self) -> impl Iterator<Item = String> {
        let kind = match self.scheme {
            Scheme::Anonymous => None,
            Scheme::Basic | Scheme::Bearer => Some("user"),
            Scheme::Certificate => Some("named"),
        };
        let name = self.name.as_deref().filter(|name| !name.is_empty());
        let user = kind.zip(name).map(|(kind, name)| format!("{kind} {name}"));
        let certificate = self.certificate.as_deref().and_then(Certificate::id);
        let certificate = certificate.map(|id| format!("certificate {id}"));
        user.into_iter().chain(certificate)
    }
}

/// How an identity was proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scheme {
    /// Not at all.
    Anonymous,
    /// By user and password.
    Basic,
    /// By a token.
    Bearer,
    /// By a client certificate.
    Certificate,
}

/// What a 401 asks for. The scope is not in it: it is what the request wanted, and the HTTP
/// crate adds it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Challenge {
    /// `WWW-Authenticate: Basic`.
    Basic {
        /// What the password is for.
        realm: String,
    },
    /// `WWW-Authenticate: Bearer`.
    Bearer {
        /// Where to fetch a token.
        realm: Realm,
        /// For whom.
        service: String,
        /// What was wrong with the token that was sent.
        error: Option<BearerError>,
    },
}

/// Where tokens are to be had.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Realm {
    /// At this URL.
    Fixed(String),
    /// On this registry itself, by whatever name and scheme it was asked.
    Here {
        /// Path of the token endpoint, below the prefix of the API.
        path: String,
    },
    /// On the host that was asked, over TLS unless a proxy says otherwise.
    SameHost {
        /// Path of the token endpoint there.
        path: String,
    },
}

/// What was wrong with a token (RFC 6750, section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BearerError {
    /// Not to be read, not signed by whom we trust, not for us, or expired.
    InvalidToken,
    /// Valid, and lacks an access.
    InsufficientScope,
}

/// Why nobody could be named.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// Not known, or not well enough: answer 401 and say how to authenticate.
    #[error("authentication required")]
    Challenge(Challenge),
    /// The question could not be decided: answer 503, never "allowed".
    #[error("authentication is not available")]
    Unavailable(#[source] BoxError),
    /// Nobody looked: too much was tried, or too many are asking. Answer 429 and say when it may
    /// be tried again.
    #[error("too many logins")]
    Throttled {
        /// After how long.
        retry_after: Duration,
    },
}

/// The bytes of a text in hexadecimal; there is at least one.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |digit: &u8| char::from(*digit).to_digit(16);
    let pairs = text.as_bytes().chunks(2);
    let bytes = pairs.map(|pair| match pair {
        [high, low] => u8::try_from(digit(high)? << 4 | digit(low)?).ok(),
        _ => None,
    });
    bytes
        .collect::<Option<Vec<_>>>()
        .filter(|bytes| !bytes.is_empty())
}

/// The authenticator of a registry without `auth`: everyone is anonymous, credentials are not
/// looked at.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::exhaustive_structs)]
pub struct Anyone;

#[async_trait]
impl Authenticator for Anyone {
    async fn authenticate(&self, _caller: &Caller) -> Result<Identity, AuthError> {
        Ok(Identity::anonymous())
    }

    fn challenge(&self) -> Challenge {
        Challenge::Basic {
            realm: "registry".to_owned(),
        }
    }

    fn is_open(&self) -> bool {
        true
    }
}
