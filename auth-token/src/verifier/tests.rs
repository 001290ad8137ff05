//! Every way to have a token believed that should not be, by name, and why it is not.

mod anything;
mod claims;
mod header;

use registry_core::access::{Access, Action};
use serde_json::{Value, json};

use super::*;
use crate::keys::Trusted;
use crate::testing::{self, NOW, Signer};

/// What a registry trusts: one key, called `trusted`.
struct Registry {
    signer: Signer,
    keys: Keys,
    verifier: Verifier,
}

impl Registry {
    fn trusting(signer: Signer) -> Self {
        let mut keys = Keys::default();
        keys.put("trusted".to_owned(), Trusted::new(signer.public(), None));
        Self {
            signer,
            keys,
            verifier: Verifier {
                issuer: "issuer".to_owned(),
                service: "service".to_owned(),
                max_lifetime: Some(Duration::from_secs(24 * 60 * 60)),
                algorithms: Algorithm::all(),
            },
        }
    }

    fn verify(&self, token: &str) -> Result<Known, TokenError> {
        self.verifier.verify(token, &self.keys, NOW)
    }

    /// What comes of a token with this header.
    fn header(&self, header: &Value) -> Result<Known, TokenError> {
        self.verify(&self.signer.token(header, &testing::claims()))
    }

    /// What comes of a token with this claim, or without it.
    fn claim(&self, name: &str, value: Option<Value>) -> Result<Known, TokenError> {
        let mut claims = testing::claims();
        let members = claims.as_object_mut().unwrap();
        match value {
            Some(value) => members.insert(name.to_owned(), value),
            None => members.remove(name),
        };
        self.verify(&self.signer.token(&header(), &claims))
    }

    fn granted(&self, access: Value) -> Vec<Access> {
        let verified = self.claim("access", Some(access)).unwrap();
        verified.identity.granted.unwrap()
    }
}

fn header() -> Value {
    json!({"alg": "RS256", "kid": "trusted", "typ": "JWT"})
}

fn pull() -> Access {
    Access::repository(&"a/b".parse().unwrap(), Action::Pull)
}

#[test]
fn a_good_token_names_its_holder_and_what_it_grants() {
    let registry = Registry::trusting(Signer::rsa());
    let verified = registry.header(&header()).unwrap();
    assert_eq!(verified.identity.name.as_deref(), Some("alice"));
    assert_eq!(verified.identity.scheme, Scheme::Bearer);
    assert_eq!(verified.identity.granted, Some(vec![pull()]));
    assert_eq!((verified.from, verified.until), (NOW - 60, NOW + 360));
    let nobody = registry.claim("sub", Some(json!(""))).unwrap();
    assert_eq!(nobody.identity.name, None);
    assert_eq!(registry.claim("sub", None).unwrap().identity.name, None);
}
