//! Who is it, and what may it do, by a signed bearer token: distribution's `auth.token`, and the
//! half of a token service that needs no HTTP.
//!
//! [`TokenAuth`] implements core's `Authenticator` and verifies the tokens of another issuer, or of
//! an [`Issuer`] of ours, which keeps its keys in a folder, rotates them and mints tokens that
//! distribution believes, too. It depends on [`registry_core`] alone. It does not speak HTTP: keys
//! at a URL are fetched by what the caller brings ([`FetchKeys`]), and the endpoint that hands out
//! tokens is the caller's. It knows no users and no rules: what someone may do is asked of the
//! caller when a token is minted, and what a token carries is all that it grants.
//!
//! ```no_run
//! # fn open(ambient: registry_core::Ambient) -> Result<(), auth_token::OpenError> {
//! use auth_token::{Config, Jwks, TokenAuth};
//! use registry_core::access::Realm;
//!
//! let realm = Realm::Fixed("https://auth.example.com/token".to_owned());
//! let mut config = Config::new(realm, "registry.example.com", "auth.example.com");
//! config.jwks = Some(Jwks::File("/etc/registry/jwks.json".into()));
//! let authenticator = TokenAuth::open(config, ambient)?;
//! # Ok(())
//! # }
//! ```
#![warn(missing_docs)]

mod algorithm;
mod authenticator;
mod cache;
mod chain;
mod claims;
mod config;
mod error;
mod files;
pub mod issuer;
mod json;
mod jwk;
mod jws;
mod key;
mod keyring;
mod keys;
mod remote;
pub mod scope;
#[cfg(test)]
mod testing;
mod verifier;

#[doc(no_inline)]
pub use registry_core;

pub use self::algorithm::{Algorithm, UnknownAlgorithm};
pub use self::authenticator::{TokenAuth, WithBasic};
pub use self::config::{Config, FetchKeys, Jwks};
pub use self::error::OpenError;
pub use self::issuer::Issuer;
