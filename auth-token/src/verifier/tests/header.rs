//! Headers, keys and signatures.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::*;
use crate::testing::{claims, encoded};

#[test]
fn each_kind_of_key_verifies_its_algorithm_and_no_other() {
    for (signer, good) in [
        (Signer::rsa(), ["RS256", "PS512"].as_slice()),
        (Signer::p384(), &["ES384"]),
        (Signer::p521(), &["ES512"]),
        (Signer::Shared(vec![9; 32]), &["HS256"]),
    ] {
        let registry = Registry::trusting(signer);
        for algorithm in Algorithm::all() {
            let header = json!({"alg": algorithm.as_str(), "kid": "trusted"});
            if good.contains(&algorithm.as_str()) {
                assert!(registry.header(&header).is_ok(), "{algorithm}");
            } else if !registry.signer.public().suits(algorithm) {
                let token = format!("{}.{}.AAAA", encoded(header.to_string()), encoded("{}"));
                let refused = registry.verify(&token).unwrap_err();
                assert_eq!(refused, TokenError::KeyMismatch, "{algorithm}");
            }
        }
    }
}

#[test]
fn a_token_without_a_signature_is_refused() {
    let registry = Registry::trusting(Signer::rsa());
    for algorithm in ["none", "None", "NONE", "nOnE", ""] {
        let header = json!({"alg": algorithm, "kid": "trusted"}).to_string();
        for signature in ["", "AAAA"] {
            let token = format!(
                "{}.{}.{signature}",
                encoded(&header),
                encoded(claims().to_string())
            );
            let refused = registry.verify(&token).unwrap_err();
            assert_eq!(refused, TokenError::Algorithm, "{algorithm}");
        }
    }
    for header in [
        json!({"kid": "trusted"}),
        json!({"alg": null}),
        json!({"alg": 5}),
    ] {
        assert!(registry.header(&header).is_err(), "{header}");
    }
}

/// The oldest trick: the public key, which everyone has, taken for a secret.
#[test]
fn a_public_key_is_no_shared_secret() {
    let registry = Registry::trusting(Signer::rsa());
    let header = json!({"alg": "HS256", "kid": "trusted"});
    let public = registry.signer.public();
    let n = public.members().pop().unwrap().1;
    let der = registry.signer.public_der();
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        STANDARD.encode(&der)
    );
    let texts = [n, pem.trim_end().to_owned(), pem].map(String::into_bytes);
    for secret in texts.into_iter().chain([der, b"trusted".to_vec()]) {
        let token = Signer::Shared(secret).token(&header, &claims());
        assert_eq!(
            registry.verify(&token).unwrap_err(),
            TokenError::KeyMismatch
        );
    }
}

#[test]
fn only_the_configured_algorithms_are_taken() {
    let mut registry = Registry::trusting(Signer::rsa());
    registry.verifier.algorithms = vec![Algorithm::Ps512];
    assert_eq!(
        registry.header(&header()).unwrap_err(),
        TokenError::Algorithm
    );
    assert!(
        registry
            .header(&json!({"alg": "PS512", "kid": "trusted"}))
            .is_ok()
    );
}

/// A JWK may say which algorithm it is for.
#[test]
fn a_key_for_one_algorithm_verifies_no_other() {
    let mut registry = Registry::trusting(Signer::rsa());
    registry.keys = Keys::default();
    let bound = Trusted::new(registry.signer.public(), Some(Algorithm::Ps512));
    registry.keys.put("trusted".to_owned(), bound);
    assert_eq!(
        registry.header(&header()).unwrap_err(),
        TokenError::KeyMismatch
    );
}

#[test]
fn a_wrong_signature_is_refused() {
    let registry = Registry::trusting(Signer::rsa());
    let token = registry.signer.token(&header(), &claims());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let other = Signer::other_rsa().token(&header(), &claims());
    let mut claims = claims();
    claims["sub"] = json!("admin");
    let parts: Vec<&str> = token.split('.').collect();
    let changed = format!("{}.{}.{}", parts[0], encoded(claims.to_string()), parts[2]);
    let cut = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let cut = format!("{signed}.{}", encoded(&cut[1..]));
    for token in [&other, &changed, &cut, &format!("{signed}.")] {
        assert_eq!(registry.verify(token).unwrap_err(), TokenError::Signature);
    }
}

/// CVE-2022-21449: zeros verified as a signature of anything.
#[test]
fn a_signature_of_zeros_is_refused() {
    let registry = Registry::trusting(Signer::p384());
    let header = json!({"alg": "ES384", "kid": "trusted"}).to_string();
    let signed = format!("{}.{}", encoded(header), encoded(claims().to_string()));
    for zeros in [vec![0_u8; 96], vec![0; 48], vec![]] {
        let token = format!("{signed}.{}", encoded(zeros));
        assert_eq!(registry.verify(&token).unwrap_err(), TokenError::Signature);
    }
}

#[test]
fn extensions_that_must_be_understood_are_not() {
    let registry = Registry::trusting(Signer::rsa());
    for (name, value) in [
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("crit", Value::Null),
        ("b64", json!(false)),
    ] {
        let mut header = header();
        header[name] = value;
        assert_eq!(registry.header(&header).unwrap_err(), TokenError::Critical);
    }
}

#[test]
fn a_key_in_the_header_is_never_used() {
    let registry = Registry::trusting(Signer::rsa());
    let other = Signer::other_rsa();
    let mut jwk = json!({});
    for (name, value) in other.public().members() {
        jwk[name] = json!(value);
    }
    let refused = |header: &Value| {
        let token = other.token(header, &claims());
        registry.verify(&token).unwrap_err()
    };
    let bare = json!({"alg": "RS256", "jwk": jwk});
    assert_eq!(refused(&bare), TokenError::NoKey);
    let with_kid = json!({"alg": "RS256", "kid": "trusted", "jwk": jwk});
    assert_eq!(refused(&with_kid), TokenError::NoKey);
    // Its name may select a key that is trusted, and then that one is used.
    jwk["kid"] = json!("trusted");
    let named = json!({"alg": "RS256", "jwk": jwk});
    assert_eq!(refused(&named), TokenError::Signature);
    assert!(registry.header(&named).is_ok());
}

#[test]
fn addresses_in_the_header_are_not_looked_at() {
    let registry = Registry::trusting(Signer::rsa());
    let other = json!({"alg": "RS256", "jku": "http://127.0.0.1:1/", "x5u": "http://127.0.0.1:1/"});
    assert_eq!(registry.header(&other).unwrap_err(), TokenError::NoKey);
    let mut known = header();
    known["jku"] = json!("http://127.0.0.1:1/");
    assert!(registry.header(&known).is_ok());
}

#[test]
fn the_name_of_a_key_is_a_name_and_nothing_else() {
    let registry = Registry::trusting(Signer::rsa());
    for id in [
        "../../dev/null",
        "/etc/passwd",
        "http://127.0.0.1:1/key",
        "' OR 1=1 --",
        "trusted\0",
        "Trusted",
        "trusted ",
    ] {
        let refused = registry.header(&json!({"alg": "RS256", "kid": id}));
        assert_eq!(refused.unwrap_err(), TokenError::UnknownKey, "{id}");
    }
    let empty = registry.header(&json!({"alg": "RS256", "kid": ""}));
    assert_eq!(empty.unwrap_err(), TokenError::NoKey);
    for id in [json!("x".repeat(10_000)), json!(5), json!(["trusted"])] {
        let refused = registry.header(&json!({"alg": "RS256", "kid": id}));
        assert!(matches!(refused, Err(TokenError::Malformed(_))), "{id}");
    }
}

/// Certificates lead nowhere without roots, and the name decides as if there were none.
#[test]
fn certificates_are_not_looked_at_without_roots() {
    let registry = Registry::trusting(Signer::rsa());
    let mut with = header();
    with["x5c"] = json!([STANDARD.encode("no certificate")]);
    assert!(registry.header(&with).is_ok());
    with.as_object_mut().unwrap().remove("kid");
    assert_eq!(registry.header(&with).unwrap_err(), TokenError::NoKey);
    for wrong in [
        json!([]),
        json!("x"),
        json!([5]),
        json!(["%"]),
        json!(vec!["AA"; 9]),
    ] {
        with["x5c"] = wrong;
        let refused = registry.header(&with);
        assert!(matches!(refused, Err(TokenError::Malformed(_))));
    }
}

#[test]
fn a_token_for_something_else_is_refused() {
    let registry = Registry::trusting(Signer::rsa());
    for (kind, good) in [
        (json!("JWT"), true),
        (json!("jwt"), true),
        (json!("application/JWT"), true),
        (json!("at+jwt"), true),
        (json!("dpop+jwt"), false),
        (json!("logout+jwt"), false),
        (json!(""), false),
        (json!(1), false),
    ] {
        let mut header = header();
        header["typ"] = kind.clone();
        assert_eq!(registry.header(&header).is_ok(), good, "{kind}");
    }
    let without = json!({"alg": "RS256", "kid": "trusted"});
    assert!(registry.header(&without).is_ok());
}

#[test]
fn what_is_no_token_is_refused() {
    let registry = Registry::trusting(Signer::rsa());
    let token = registry.signer.token(&header(), &claims());
    let parts: Vec<&str> = token.split('.').collect();
    let padded = format!("{}=.{}.{}", parts[0], parts[1], parts[2]);
    let long = format!("{token}{}", "A".repeat(64 * 1024));
    for text in [
        "",
        "junk",
        "..",
        "a.b.c",
        "é.é.é",
        &format!("{token}."),
        &format!("{token}.AAAA"),
        &format!(".{token}"),
        &format!("{token} "),
        &format!("{}\n", parts.join(".")),
        &padded,
        &token.replace('.', ".."),
        &long,
    ] {
        let refused = registry.verify(text);
        assert!(matches!(refused, Err(TokenError::Malformed(_))), "{text}");
    }
}

#[test]
fn json_that_can_be_read_two_ways_is_refused() {
    let registry = Registry::trusting(Signer::rsa());
    let (header, claims) = (header().to_string(), claims().to_string());
    let twice = |text: &str, member: &str| format!("{{{member},{}", &text[1..]);
    let deep = format!("{}{}", "[".repeat(20), "]".repeat(20));
    for (header, claims) in [
        (twice(&header, r#""alg":"none""#), claims.clone()),
        (twice(&header, r#""kid":"other""#), claims.clone()),
        (header.clone(), twice(&claims, r#""exp":9999999999"#)),
        (header.clone(), twice(&claims, r#""\u0073ub":"admin""#)),
        (header.clone(), twice(&claims, &format!("\"x\":{deep}"))),
        (header.clone(), "[]".to_owned()),
        ("[]".to_owned(), claims.clone()),
        (header.clone(), format!("{claims}{claims}")),
    ] {
        let refused = registry.verify(&registry.signer.token_of(&header, &claims));
        assert!(matches!(refused, Err(TokenError::Malformed(_))), "{claims}");
    }
}

/// A key that a chain vouches for, and until when it does.
#[test]
fn a_token_is_good_no_longer_than_the_certificate_of_its_key() {
    let mut registry = Registry::trusting(Signer::rsa());
    let root = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::default();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let certificate = authority.self_signed(&root).unwrap();
    let bundle = format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        STANDARD.encode(certificate.der())
    );
    registry.keys.add_bundle(bundle.as_bytes()).unwrap();

    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let mut params = rcgen::CertificateParams::default();
    // NOW is in September of that year.
    params.not_after = rcgen::date_time_ymd(2026, 10, 1);
    let issuer = rcgen::Issuer::from_params(&authority, &root);
    let leaf = params.signed_by(&pair, &issuer).unwrap();
    let mut claims = claims();
    claims["exp"] = json!(NOW + 20 * 24 * 60 * 60);
    registry.verifier.max_lifetime = None;
    let token = |chain: Value| {
        let header = json!({"alg": "EdDSA", "x5c": chain, "kid": "trusted"}).to_string();
        let signed = format!("{}.{}", encoded(header), encoded(claims.to_string()));
        let signature = rcgen::SigningKey::sign(&pair, signed.as_bytes()).unwrap();
        format!("{signed}.{}", encoded(signature))
    };
    let chain = |der: &[u8]| json!([STANDARD.encode(der)]);
    let known = registry.verify(&token(chain(leaf.der()))).unwrap();
    assert_eq!(known.until, 1_790_812_800);
    // A chain that was not made for the key that signs.
    let other = registry.verify(&token(chain(certificate.der())));
    assert_eq!(other.unwrap_err(), TokenError::KeyMismatch);
    // A name that is trusted does not help a chain that is not.
    let stranger = params.self_signed(&pair).unwrap();
    let stranger = registry.verify(&token(chain(stranger.der())));
    assert!(matches!(stranger, Err(TokenError::Chain(_))));
}
