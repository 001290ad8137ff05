//! Keys get successors, and nobody notices.

use std::fs;
use std::sync::Arc;

use auth_token::issuer::{IssuerConfig, KeyKind};
use auth_token::{Issuer, TokenAuth};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::given::{DAY, ambient, is_believed, issuer, issuer_of, later, realm, token};

/// What the keys are called that are published.
async fn published(issuer: &Issuer) -> Vec<String> {
    let keys: Value = serde_json::from_str(&issuer.jwks().await).unwrap();
    let keys = keys["keys"].as_array().unwrap().iter();
    keys.map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect()
}

/// What a token calls its key.
fn named(token: &str) -> String {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap());
    let header: Value = serde_json::from_slice(&header.unwrap()).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}

fn verifying(issuer: &Arc<Issuer>) -> TokenAuth {
    TokenAuth::of_issuer(issuer, realm(), "service", ambient())
}

#[tokio::test]
async fn a_key_is_published_before_it_signs_and_kept_until_its_tokens_are_dead() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = issuer(folder.path());
    let auth = verifying(&issuer);
    let [first] = published(&issuer).await.try_into().unwrap();

    later(90 * DAY - 61);
    assert_eq!(published(&issuer).await, std::slice::from_ref(&first));
    later(61);
    let [_, second] = published(&issuer).await.try_into().unwrap();
    assert_eq!(
        named(&token(&issuer).await),
        first,
        "nobody knows the second yet"
    );
    assert_eq!(fs::read_dir(folder.path().join("keys")).unwrap().count(), 3);

    later(DAY - 1);
    let last = token(&issuer).await;
    assert_eq!(named(&last), first);
    later(1);
    let next = token(&issuer).await;
    assert_eq!(named(&next), second);
    assert!(is_believed(&auth, &last).await && is_believed(&auth, &next).await);

    // The last one that the first key signed dies 360 seconds after.
    later(359);
    assert!(is_believed(&auth, &last).await);
    later(200);
    assert_eq!(published(&issuer).await, [second]);
    assert_eq!(fs::read_dir(folder.path().join("keys")).unwrap().count(), 2);
}

#[tokio::test]
async fn a_process_that_shares_the_folder_follows() {
    let folder = tempfile::tempdir().unwrap();
    let one = issuer(folder.path());
    let two = issuer(folder.path());
    later(90 * DAY);
    let keys = published(&one).await;
    assert_eq!(keys.len(), 2);
    assert_eq!(published(&two).await, keys);
    later(DAY);
    let token = token(&one).await;
    assert_eq!(named(&token), keys[1]);
    assert!(is_believed(&verifying(&two), &token).await);
}

/// One that did not look for a while, since nobody asked it for anything.
#[tokio::test]
async fn a_key_that_is_not_known_is_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let one = issuer(folder.path());
    let two = issuer(folder.path());
    for entry in fs::read_dir(folder.path().join("keys")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|name| name == "pem") {
            fs::remove_file(path).unwrap();
        }
    }
    drop(one);
    let one = issuer(folder.path());
    let token = token(&one).await;
    let auth = verifying(&two);
    assert!(!is_believed(&auth, &token).await, "it looked just now");
    later(1);
    assert!(is_believed(&auth, &token).await);
}

#[tokio::test]
async fn another_kind_of_key_comes_as_a_successor() {
    let folder = tempfile::tempdir().unwrap();
    let first = issuer(folder.path());
    let mut config = IssuerConfig::new("issuer", "service", folder.path().join("keys"));
    config.kind = KeyKind::EdDsa;
    let second = issuer_of(config);
    let keys = published(&second).await;
    assert_eq!(keys.len(), 2);
    assert_eq!(named(&token(&second).await), keys[0]);
    later(DAY);
    let token = token(&second).await;
    assert_eq!(named(&token), keys[1]);
    assert!(is_believed(&verifying(&second), &token).await);
    assert!(is_believed(&verifying(&first), &token).await);
}

#[tokio::test]
async fn a_folder_that_breaks_leaves_the_keys_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = issuer(folder.path());
    let keys = published(&issuer).await;
    let path = folder.path().join("keys");
    fs::write(path.join("1-x.pem"), "broken").unwrap();
    later(60);
    assert_eq!(published(&issuer).await, keys);
    assert!(is_believed(&verifying(&issuer), &token(&issuer).await).await);
    fs::remove_dir_all(&path).unwrap();
    later(60);
    assert_eq!(published(&issuer).await, keys);
    assert!(is_believed(&verifying(&issuer), &token(&issuer).await).await);
}

/// Distribution reads its bundle when it starts: one root has to do for all keys.
#[tokio::test]
async fn one_root_vouches_for_every_key() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = IssuerConfig::new("issuer", "service", folder.path().join("keys"));
    config.certificates = true;
    let issuer = issuer_of(config);
    let mut trusting = crate::given::config();
    trusting.roots = issuer.root_certificate();
    let auth = TokenAuth::open(trusting, ambient()).unwrap();
    let mut names = Vec::new();
    for _ in 0..3 {
        let token = token(&issuer).await;
        assert!(is_believed(&auth, &token).await);
        names.push(named(&token));
        later(90 * DAY);
        published(&issuer).await;
        later(DAY);
    }
    names.dedup();
    assert_eq!(names.len(), 3);
}
