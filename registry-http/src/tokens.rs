//! Our own token service: what is asked of it, and what it answers.
//!
//! <https://distribution.github.io/distribution/spec/auth/token/> has the way by GET,
//! <https://distribution.github.io/distribution/spec/auth/oauth/> that by POST.

#[cfg(feature = "token")]
mod fetch;
#[cfg(feature = "token")]
mod own;
#[cfg(feature = "token")]
mod section;

use std::fmt;
use std::net::IpAddr;

use async_trait::async_trait;
use registry_core::access::{Caller, Credentials, Secret};

#[cfg(feature = "token")]
pub(crate) use self::own::Own;
#[cfg(feature = "token")]
pub(crate) use self::section::Section;
use crate::endpoint::Query;
use crate::error::ApiError;

/// Bytes of a form.
pub(crate) const FORM: usize = 64 << 10;

/// Hands out tokens.
#[async_trait]
pub(crate) trait Tokens: fmt::Debug + Send + Sync + 'static {
    /// The path of the endpoint, and of the keys below it.
    fn path(&self) -> &str;

    /// The document that has the token.
    async fn issue(&self, asked: Asked) -> Result<Secret<String>, ApiError>;

    /// The public keys.
    async fn keys(&self) -> String;
}

/// A request for a token.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) holder: Holder,
    /// None for that of this registry.
    pub(crate) service: Option<String>,
    pub(crate) client: String,
    pub(crate) scopes: Vec<String>,
    /// Whether a token is wanted that outlives the login.
    pub(crate) offline: bool,
}

/// Whom a token is for, and how that is proved.
#[derive(Debug)]
pub(crate) enum Holder {
    /// A user with a password, or nobody in particular.
    Caller(Caller),
    /// Whoever has had a token before.
    Refresh {
        token: Secret<String>,
        address: Option<IpAddr>,
    },
}

impl Asked {
    /// By GET: credentials are in the header.
    pub(crate) fn by_query(query: &Query, caller: Caller) -> Self {
        Self {
            holder: Holder::Caller(caller),
            offline: query.first("offline_token") == Some("true"),
            ..Self::common(query)
        }
    }

    /// By POST: credentials are in the form; if it has none, in the header.
    pub(crate) fn by_form(form: &Query, caller: Caller) -> Result<Self, ApiError> {
        let text = |name| form.first(name).map(str::to_owned);
        let address = caller.address;
        let holder = match form.first("grant_type") {
            Some("password") => match (text("username"), text("password")) {
                (Some(user), Some(password)) => {
                    let password = Secret::new(password);
                    Holder::Caller(Caller::new(Credentials::Basic { user, password }, address))
                }
                (None, None) => Holder::Caller(caller),
                _ => return Err(ApiError::BadToken("a username and a password go together")),
            },
            Some("refresh_token") => {
                let token = text("refresh_token");
                let token = token.ok_or(ApiError::BadToken("there is no refresh_token"))?;
                let token = Secret::new(token);
                Holder::Refresh { token, address }
            }
            _ => {
                return Err(ApiError::BadToken(
                    "grant_type is neither password nor refresh_token",
                ));
            }
        };
        Ok(Self {
            holder,
            offline: form.first("access_type") == Some("offline"),
            ..Self::common(form)
        })
    }

    fn common(parameters: &Query) -> Self {
        let text = |name| parameters.first(name).map(str::to_owned);
        Self {
            holder: Holder::Caller(Caller::new(Credentials::Anonymous, None)),
            service: text("service").filter(|service| !service.is_empty()),
            client: text("client_id").unwrap_or_default(),
            scopes: parameters.all("scope").map(str::to_owned).collect(),
            offline: false,
        }
    }
}
