//! `http.tls.clientcas` and `http.tls.clientauth`: whether clients prove who they are.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::super::ConfigError;
use super::super::layers::Layers;

/// How clients prove who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Clients {
    /// What is asked of them.
    pub auth: ClientAuth,
    /// Files of certificates in PEM, of those who vouch for clients.
    pub authorities: Vec<PathBuf>,
}

/// What is asked of clients, by the words of distribution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientAuth {
    /// A certificate, of which nothing is believed, and which may be missing.
    RequestClientCert,
    /// A certificate, of which nothing is believed.
    RequireAnyClientCert,
    /// A certificate that is vouched for, which may be missing.
    VerifyClientCertIfGiven,
    /// A certificate that is vouched for.
    #[default]
    RequireAndVerifyClientCert,
}

impl ClientAuth {
    const ALL: [Self; 4] = [
        Self::RequestClientCert,
        Self::RequireAnyClientCert,
        Self::VerifyClientCertIfGiven,
        Self::RequireAndVerifyClientCert,
    ];

    /// The word of the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RequestClientCert => "request-client-cert",
            Self::RequireAnyClientCert => "require-any-client-cert",
            Self::VerifyClientCertIfGiven => "verify-client-cert-if-given",
            Self::RequireAndVerifyClientCert => "require-and-verify-client-cert",
        }
    }

    /// Whether somebody has to vouch for a certificate, so that it says who the client is.
    #[must_use]
    pub fn verifies(self) -> bool {
        matches!(
            self,
            Self::VerifyClientCertIfGiven | Self::RequireAndVerifyClientCert
        )
    }

    /// Whether nobody is served who shows no certificate.
    #[must_use]
    pub fn is_mandatory(self) -> bool {
        matches!(
            self,
            Self::RequireAnyClientCert | Self::RequireAndVerifyClientCert
        )
    }
}

impl fmt::Display for ClientAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ClientAuth {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|auth| auth.as_str() == text);
        known.ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            format!("{text:?} is not one of {known}")
        })
    }
}

/// What is asked of clients, if anything is.
pub(super) fn clients(
    authorities: &[String],
    auth: &str,
    layers: &Layers,
) -> Result<Option<Clients>, ConfigError> {
    let path = ["http", "tls", "clientauth"];
    let given: Option<ClientAuth> = match auth {
        "" => None,
        text => Some(text.parse().map_err(|why| layers.refuse(&path, why))?),
    };
    // In distribution it has no effect without the other key. What only asks can be done all the same,
    // and what was to protect is not left out.
    if authorities.is_empty() && given.is_some_and(ClientAuth::verifies) {
        let message = "there is nobody to vouch for clients: `http.tls.clientcas` is wanted \
                       beside it, and is not there";
        return Err(layers.refuse(&path, message));
    }
    if authorities.is_empty() && given.is_none() {
        return Ok(None);
    }
    Ok(Some(Clients {
        auth: given.unwrap_or_default(),
        authorities: authorities.iter().map(PathBuf::from).collect(),
    }))
}
