//! Sets of JSON Web Keys (RFC 7517): read from others, written for them.

use std::str::FromStr as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use registry_core::access::Secret;
use serde_json::{Map, Value, json};

use crate::algorithm::Algorithm;
use crate::json;
use crate::key::{Curve, KeyError, Parts, PublicKey};

/// Most keys of one set; the rest is not looked at.
const MAX_KEYS: usize = 256;

/// A key of a set.
#[derive(Clone, Debug)]
pub(crate) struct Jwk {
    pub(crate) id: Option<String>,
    /// The one algorithm it is for, if it says so.
    pub(crate) algorithm: Option<Algorithm>,
    pub(crate) key: PublicKey,
}

/// Reads a set. Keys that are of no use to us are told and left out, since issuers publish more
/// than what signs.
pub(crate) fn read_set(bytes: &[u8]) -> Result<Vec<Jwk>, SetError> {
    let set = json::object(bytes)?;
    let Some(Value::Array(keys)) = set.get("keys") else {
        return Err(SetError::NoKeys);
    };
    let mut read = Vec::new();
    for key in keys.iter().take(MAX_KEYS) {
        let Some(members) = key.as_object() else {
            return Err(SetError::NoKeys);
        };
        match read_key(members) {
            Ok(jwk) => read.push(jwk),
            Err(error) => {
                let id = text(members, "kid").unwrap_or_default();
                tracing::debug!(kid = ?id, %error, "a key of the set is left out");
            }
        }
    }
    Ok(read)
}

/// Why a set of keys cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetError {
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error("no list of keys")]
    NoKeys,
}

fn read_key(members: &Map<String, Value>) -> Result<Jwk, KeyError> {
    let signs = text(members, "use").is_none_or(|usage| usage == "sig");
    let operations = members.get("key_ops").and_then(Value::as_array);
    if !signs || operations.is_some_and(|all| !all.iter().any(|one| one == "verify")) {
        return Err(KeyError::Kind);
    }
    let key = PublicKey::new(parts(members)?)?;
    let algorithm = match text(members, "alg") {
        Some(name) => Some(Algorithm::from_str(name).map_err(|_| KeyError::Kind)?),
        None => None,
    };
    if algorithm.is_some_and(|algorithm| !key.suits(algorithm)) {
        return Err(KeyError::Invalid("its algorithm is not one of such a key"));
    }
    Ok(Jwk {
        id: text(members, "kid").map(str::to_owned),
        algorithm,
        key,
    })
}

fn parts(members: &Map<String, Value>) -> Result<Parts, KeyError> {
    let curve = text(members, "crv");
    Ok(match text(members, "kty") {
        Some("RSA") => Parts::Rsa {
            n: bytes(members, "n")?,
            e: bytes(members, "e")?,
        },
        Some("EC") => Parts::Ec {
            curve: curve.and_then(Curve::named).ok_or(KeyError::Kind)?,
            x: bytes(members, "x")?,
            y: bytes(members, "y")?,
        },
        Some("OKP") if curve == Some("Ed25519") => Parts::Ed25519(bytes(members, "x")?),
        Some("oct") => Parts::Shared(Secret::new(bytes(members, "k")?)),
        _ => return Err(KeyError::Kind),
    })
}

fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    members.get(name).and_then(Value::as_str)
}

fn bytes(members: &Map<String, Value>, name: &str) -> Result<Vec<u8>, KeyError> {
    let text = text(members, name).ok_or(KeyError::Invalid("a part is missing"))?;
    let bytes = URL_SAFE_NO_PAD.decode(text);
    bytes.map_err(|_| KeyError::Invalid("a part is not base64url"))
}

/// A key as a member of a set that we publish.
pub(crate) fn write_key(key: &PublicKey, id: &str, algorithm: Algorithm) -> Value {
    let mut written = json!({"alg": algorithm.as_str(), "kid": id, "use": "sig"});
    for (name, value) in key.members() {
        written[name] = Value::String(value);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7638, section 3.1.
    const RSA: &str = concat!(
        r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFx"#,
        r#"uhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65"#,
        r#"YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWh"#,
        r#"AI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","#,
        r#""alg":"RS256","kid":"2011-04-29"}"#
    );
    /// The examples of RFC 8037, appendix A.2, and RFC 7515, appendix A.3.
    const ED25519: &str =
        r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    const P256: &str = concat!(
        r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","#,
        r#""y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#
    );

    fn set(keys: &[&str]) -> Vec<Jwk> {
        read_set(format!("{{\"keys\":[{}]}}", keys.join(",")).as_bytes()).unwrap()
    }

    #[test]
    fn keys_have_the_thumbprints_of_the_rfcs() {
        let keys = set(&[RSA, ED25519]);
        assert_eq!(
            keys[0].key.thumbprint(),
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
        );
        assert_eq!(
            keys[1].key.thumbprint(),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
        assert_eq!(keys[0].id.as_deref(), Some("2011-04-29"));
        assert_eq!(keys[0].algorithm, Some(Algorithm::Rs256));
    }

    #[test]
    fn keys_have_the_names_that_distribution_calls_them_by() {
        let rsa = set(&[RSA]).remove(0).key;
        let libtrust = "VUZD:EDHW:YWLN:RBFQ:KOA3:UVZ2:XKG5:2V2J:WTPI:6SRD:U6PZ:VCO5";
        assert_eq!(rsa.names()[1], libtrust);
        let ec = set(&[P256]).remove(0).key;
        let libtrust = "FPI3:WDCE:VCL4:GCT2:UCMR:ZXRY:3ADC:7ZCB:3ZIN:UD2G:QJJU:J5QC";
        assert_eq!(ec.names()[1..], [libtrust]);
        // Zeros in front are left out by distribution 3, which makes another thumbprint.
        let short = concat!(
            r#"{"kty":"EC","crv":"P-256","x":"AFVDiUrz0A7X10Cr29dclrBod7eH219w7qeLkKjXwAo","#,
            r#""y":"u0yFo9jqKe-q-iRAaRLdhNWxTcMr9lbvbGvVil2UP5I"}"#
        );
        let short = set(&[short]).remove(0).key;
        let right = "7Yxe6c_3bAa6kiaK1G-BZmi9EeNsUmlcbdnrtLeuK4E";
        let theirs = "cqdWPhcnF9DHfVHOTKaBvs582HJ6LmX0fEgRXTtiGFU";
        assert!(short.names().iter().any(|name| name == right));
        assert!(short.names().iter().any(|name| name == theirs));
        assert!(!short.has_one_thumbprint() && rsa.has_one_thumbprint());
    }

    #[test]
    fn keys_of_no_use_are_left_out_and_the_others_stay() {
        let other = [
            r#"{"kty":"OKP","crv":"X25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
            r#"{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"}"#,
            r#"{"kty":"oct","k":"c2hvcnQ"}"#,
            r#"{"kty":"RSA","n":"wQ","e":"AQAB"}"#,
            r#"{"kty":"EC","crv":"P-256","x":"AQ","y":"AQ"}"#,
            &RSA.replace("RS256", "RSA-OAEP"),
            &RSA.replace("RS256", "HS256"),
            &RSA.replace("\"alg\"", "\"use\":\"enc\",\"alg\""),
            &RSA.replace("\"alg\"", "\"key_ops\":[\"encrypt\"],\"alg\""),
            r#"{"kty":"none"}"#,
            "{}",
        ];
        for key in other {
            assert!(set(&[key]).is_empty(), "{key}");
        }
        assert_eq!(set(&[other[0], P256, other[1]]).len(), 1);
        for text in ["[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[1]}"#, "<html>"] {
            assert!(read_set(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_key_is_written_as_it_is_read() {
        for (text, algorithm) in [
            (P256, Algorithm::Es256),
            (ED25519, Algorithm::EdDsa),
            (RSA, Algorithm::Ps256),
        ] {
            let key = set(&[text]).remove(0).key;
            let written = write_key(&key, "me", algorithm);
            let again = set(&[&written.to_string()]).remove(0);
            assert_eq!(again.key.names(), key.names());
            assert_eq!(again.id.as_deref(), Some("me"));
            assert_eq!(again.algorithm, Some(algorithm));
        }
    }

    #[test]
    fn a_shared_secret_has_no_name_and_is_never_shown() {
        let key = set(&[r#"{"kty":"oct","k":"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE"}"#]);
        assert!(key[0].key.is_shared() && key[0].key.names().is_empty());
        assert!(!format!("{key:?}").contains("0123"));
        assert!(key[0].key.suits(Algorithm::Hs256) && !key[0].key.suits(Algorithm::Hs384));
    }
}
