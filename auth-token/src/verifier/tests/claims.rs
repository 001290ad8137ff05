//! Claims: times, issuer, audience, and what is granted.

use registry_core::access::{Access, Action};
use serde_json::{Value, json};

use super::*;

const DAY: i64 = 24 * 60 * 60;

#[test]
fn a_token_is_good_in_its_time_and_a_minute_around() {
    let registry = Registry::trusting(Signer::rsa());
    let check = |name: &str, at: i64, expected: Result<(), TokenError>| {
        let found = registry.claim(name, Some(json!(at))).map(drop);
        assert_eq!(found, expected, "{name} {}", at - NOW);
    };
    check("exp", NOW - 60, Ok(()));
    check("exp", NOW - 61, Err(TokenError::Expired));
    check("exp", 0, Err(TokenError::Expired));
    check("exp", -1, Err(TokenError::Expired));
    check("nbf", NOW + 60, Ok(()));
    check("nbf", NOW + 61, Err(TokenError::NotYet));
    check("nbf", 0, Ok(()));
    check("iat", NOW + 60, Ok(()));
    check("iat", NOW + 61, Err(TokenError::NotYet));
    check("exp", NOW + DAY, Ok(()));
    check("exp", NOW + DAY + 1, Err(TokenError::Lifetime));
    check("exp", i64::MAX, Err(TokenError::Lifetime));
    check("iat", i64::MIN, Err(TokenError::Lifetime));
    // Without the time of its issue, what is left of its life counts.
    let mut claims = testing::claims();
    claims.as_object_mut().unwrap().remove("iat");
    for (nbf, life, good) in [(0, DAY, true), (NOW, DAY + 1, false)] {
        (claims["nbf"], claims["exp"]) = (json!(nbf), json!(NOW + life));
        let found = registry.verify(&registry.signer.token(&header(), &claims));
        assert_eq!(found.is_ok(), good, "{life}");
    }
    assert!(registry.claim("nbf", None).is_ok());
    assert!(registry.claim("iat", None).is_ok());
}

#[test]
fn times_are_whole_numbers_and_never_taken_for_absent() {
    let registry = Registry::trusting(Signer::rsa());
    for name in ["exp", "nbf", "iat"] {
        let texts = [
            format!("\"{NOW}\""),
            format!("{NOW}.5"),
            format!("{NOW}e0"),
            "1e308".to_owned(),
            "99999999999999999999".to_owned(),
            "null".to_owned(),
            "[]".to_owned(),
            "true".to_owned(),
        ];
        for text in texts {
            let value: Value = serde_json::from_str(&text).unwrap();
            let refused = registry.claim(name, Some(value)).unwrap_err();
            assert_eq!(refused, TokenError::Claim(name), "{text}");
        }
    }
    let without = registry.claim("exp", None).unwrap_err();
    assert_eq!(without, TokenError::Claim("exp"));
}

#[test]
fn only_the_configured_issuer_is_believed() {
    let registry = Registry::trusting(Signer::rsa());
    for issuer in [
        json!("other"),
        json!("Issuer"),
        json!("issuer/"),
        json!(""),
        json!(["issuer"]),
    ] {
        let refused = registry.claim("iss", Some(issuer)).unwrap_err();
        assert_eq!(refused, TokenError::Issuer);
    }
    assert_eq!(registry.claim("iss", None).unwrap_err(), TokenError::Issuer);
}

#[test]
fn a_token_is_for_the_services_it_names() {
    let registry = Registry::trusting(Signer::rsa());
    for (audience, expected) in [
        (json!("service"), Ok(())),
        (json!(["other", "service"]), Ok(())),
        (json!("other"), Err(TokenError::Audience)),
        (json!("service "), Err(TokenError::Audience)),
        (json!(["other"]), Err(TokenError::Audience)),
        (json!([]), Err(TokenError::Audience)),
        (json!(["service", 5]), Err(TokenError::Claim("aud"))),
        (json!({"service": true}), Err(TokenError::Claim("aud"))),
        (Value::Null, Err(TokenError::Claim("aud"))),
    ] {
        let found = registry.claim("aud", Some(audience.clone())).map(drop);
        assert_eq!(found, expected, "{audience}");
    }
    let without = registry.claim("aud", None).unwrap_err();
    assert_eq!(without, TokenError::Claim("aud"));
}

#[test]
fn a_token_grants_exactly_what_its_entries_say() {
    let registry = Registry::trusting(Signer::rsa());
    let entry = |kind: &str, name: &str, actions: Value| json!([{"type": kind, "class": "image", "name": name, "actions": actions}]);
    let all = |name: &str| {
        [Action::Pull, Action::Push, Action::Delete]
            .map(|action| Access::repository(&name.parse().unwrap(), action))
            .to_vec()
    };
    for (access, expected) in [
        (Value::Null, vec![]),
        (json!([]), vec![]),
        (entry("repository", "a/b", json!(["pull"])), vec![pull()]),
        (entry("repository", "a/b", json!(["*"])), all("a/b")),
        (entry("repository", "a/b", json!(["*", "pull"])), all("a/b")),
        (entry("repository", "a/b", json!([])), vec![]),
        (entry("repository", "a/b", Value::Null), vec![]),
        (entry("repository", "a/b", json!(["fly", "Pull"])), vec![]),
        // A name that no repository of ours can have.
        (entry("repository", "*", json!(["*"])), vec![]),
        (entry("repository", "A/b", json!(["pull"])), vec![]),
        (entry("repository", "host:5000/a", json!(["pull"])), vec![]),
        (
            entry("registry", "catalog", json!(["*"])),
            vec![Access::Catalog],
        ),
        (entry("registry", "catalog", json!(["pull"])), vec![]),
        (entry("registry", "other", json!(["*"])), vec![]),
        (entry("Repository", "a/b", json!(["pull"])), vec![]),
        (entry("namespace", "a", json!(["*"])), vec![]),
    ] {
        assert_eq!(registry.granted(access.clone()), expected, "{access}");
    }
    let mut two = entry("repository", "a/b", json!(["pull"]));
    two.as_array_mut().unwrap().extend([
        entry("other", "x", json!(["y"]))[0].clone(),
        entry("repository", "a/b", json!(["pull", "push"]))[0].clone(),
    ]);
    assert_eq!(registry.granted(two), all("a/b")[..2]);
}

#[test]
fn entries_that_are_none_are_refused() {
    let registry = Registry::trusting(Signer::rsa());
    for access in [
        json!({}),
        json!("repository:a:pull"),
        json!(["repository:a:pull"]),
        json!([{"type": "repository", "name": "a", "actions": "pull"}]),
        json!([{"type": "repository", "name": "a", "actions": [1]}]),
        json!([{"type": "repository", "actions": ["pull"]}]),
        json!([{"name": "a", "actions": ["pull"]}]),
    ] {
        let refused = registry.claim("access", Some(access.clone())).unwrap_err();
        assert_eq!(refused, TokenError::Claim("access"), "{access}");
    }
    let refused = registry.claim("sub", Some(json!(5))).unwrap_err();
    assert_eq!(refused, TokenError::Claim("sub"));
}
