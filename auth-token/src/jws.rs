//! A token as it was sent (RFC 7515, compact): taken apart, and not believed yet.

use std::str::FromStr as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use crate::algorithm::Algorithm;
use crate::error::TokenError;
use crate::json;

/// Longest token in bytes.
pub(crate) const MAX_TOKEN: usize = 16 * 1024;
/// Longest name of a key.
const MAX_ID: usize = 1024;
/// Most certificates of one token.
const MAX_CHAIN: usize = 8;
/// What a header may say a token is (RFC 7519, section 5.1; RFC 9068). Others are tokens for
/// something else, signed by the same key.
const TYPES: [&str; 2] = ["jwt", "at+jwt"];

/// Which key a token says it is signed with. Neither `jku` nor `x5u` is looked at, and a key in the
/// header is never used, only its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hint {
    pub(crate) id: Option<String>,
    /// Certificates as DER, the key's own first.
    pub(crate) chain: Option<Vec<Vec<u8>>>,
}

/// The parts of a token.
#[derive(Debug)]
pub(crate) struct Unverified<'a> {
    pub(crate) algorithm: Algorithm,
    pub(crate) hint: Hint,
    /// What the signature is over.
    pub(crate) signed: &'a [u8],
    pub(crate) payload: Vec<u8>,
    pub(crate) signature: Vec<u8>,
}

impl<'a> Unverified<'a> {
    pub(crate) fn parse(token: &'a str) -> Result<Self, TokenError> {
        if token.len() > MAX_TOKEN {
            return Err(TokenError::Malformed("too long"));
        }
        let parts: Vec<&str> = token.split('.').collect();
        let &[header, payload, signature] = parts.as_slice() else {
            return Err(TokenError::Malformed("not three parts"));
        };
        let signed = &token.as_bytes()[..header.len() + 1 + payload.len()];
        let header = json::object(&decode(header)?)
            .map_err(|_| TokenError::Malformed("its header is no plain JSON object"))?;
        let (algorithm, hint) = read_header(&header)?;
        Ok(Self {
            algorithm,
            hint,
            signed,
            payload: decode(payload)?,
            signature: decode(signature)?,
        })
    }
}

fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    let bytes = URL_SAFE_NO_PAD.decode(part);
    bytes.map_err(|_| TokenError::Malformed("not base64url"))
}

fn read_header(header: &Map<String, Value>) -> Result<(Algorithm, Hint), TokenError> {
    if header.contains_key("crit") || header.contains_key("b64") {
        return Err(TokenError::Critical);
    }
    if let Some(kind) = text(header, "typ")? {
        let kind = kind.to_ascii_lowercase();
        let kind = kind.strip_prefix("application/").unwrap_or(&kind);
        if !TYPES.contains(&kind) {
            return Err(TokenError::Malformed("its type is not that of a token"));
        }
    }
    let algorithm = text(header, "alg")?.and_then(|name| Algorithm::from_str(name).ok());
    let algorithm = algorithm.ok_or(TokenError::Algorithm)?;
    Ok((algorithm, hint(header)?))
}

/// In the order of distribution: `x5c`, then those of `jwk`, then `kid`.
fn hint(header: &Map<String, Value>) -> Result<Hint, TokenError> {
    let own = Hint {
        id: id(header)?,
        chain: chain(header)?,
    };
    if own.chain.is_some() {
        return Ok(own);
    }
    match header.get("jwk") {
        None => Ok(own),
        Some(Value::Object(key)) => Ok(Hint {
            id: id(key)?,
            chain: chain(key)?,
        }),
        Some(_) => Err(TokenError::Malformed("its key is no object")),
    }
}

fn id(members: &Map<String, Value>) -> Result<Option<String>, TokenError> {
    let id = text(members, "kid")?;
    if id.is_some_and(|id| id.len() > MAX_ID) {
        return Err(TokenError::Malformed("a long name of a key"));
    }
    Ok(id.filter(|id| !id.is_empty()).map(str::to_owned))
}

fn chain(members: &Map<String, Value>) -> Result<Option<Vec<Vec<u8>>>, TokenError> {
    let malformed = TokenError::Malformed("its certificates are no list of base64");
    let list = match members.get("x5c") {
        None => return Ok(None),
        Some(Value::Array(list)) if (1..=MAX_CHAIN).contains(&list.len()) => list,
        Some(_) => return Err(malformed),
    };
    let certificates = list
        .iter()
        .map(|one| STANDARD.decode(one.as_str()?).ok())
        .collect::<Option<Vec<_>>>();
    certificates.map(Some).ok_or(malformed)
}

/// A member that is a text if it is there at all.
fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, TokenError> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(TokenError::Malformed("a member of its header is no text")),
    }
}
