//! Keys in files, which may be written again at any time.

use std::fs;
use std::path::Path;

use auth_token::issuer::IssuerConfig;
use auth_token::{Jwks, OpenError, TokenAuth};
use registry_core::access::{
    AuthError, Authenticator, BearerError, Caller, Challenge, Credentials, Realm, Secret,
};

use crate::given::{ambient, config, is_believed, issuer, issuer_of, later, show, token};

fn trusting(file: &Path) -> TokenAuth {
    let mut config = config();
    config.jwks = Some(Jwks::File(file.to_owned()));
    TokenAuth::open(config, ambient()).unwrap()
}

#[tokio::test]
async fn a_token_of_another_issuer_is_verified_by_its_published_keys() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = issuer(folder.path());
    let file = folder.path().join("jwks.json");
    fs::write(&file, issuer.jwks().await).unwrap();
    let auth = trusting(&file);
    let token = token(&issuer).await;
    assert!(is_believed(&auth, &token).await);
    // From the memory of what was verified.
    assert!(is_believed(&auth, &token).await);
    later(360);
    assert!(is_believed(&auth, &token).await);
    later(1);
    assert!(!is_believed(&auth, &token).await);
}

#[tokio::test]
async fn keys_that_change_are_taken_within_a_second_and_others_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let old = issuer(&folder.path().join("old"));
    let new = issuer(&folder.path().join("new"));
    let file = folder.path().join("jwks.json");
    fs::write(&file, old.jwks().await).unwrap();
    let auth = trusting(&file);
    let (before, after) = (token(&old).await, token(&new).await);
    assert!(is_believed(&auth, &before).await);
    assert!(!is_believed(&auth, &after).await);

    fs::write(&file, new.jwks().await).unwrap();
    // Not looked at yet.
    assert!(is_believed(&auth, &before).await);
    later(1);
    assert!(is_believed(&auth, &after).await);
    assert!(!is_believed(&auth, &before).await);

    // An operator need not wait.
    fs::write(&file, old.jwks().await).unwrap();
    auth.reload().await;
    assert!(is_believed(&auth, &before).await);
    assert!(!is_believed(&auth, &after).await);
}

#[tokio::test]
async fn a_file_that_cannot_be_used_leaves_the_keys_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = issuer(folder.path());
    let file = folder.path().join("jwks.json");
    fs::write(&file, issuer.jwks().await).unwrap();
    let auth = trusting(&file);
    let token = token(&issuer).await;
    for broken in ["", "{", "{\"keys\":[]}", &"x".repeat(2 << 20)] {
        fs::write(&file, broken).unwrap();
        later(1);
        assert!(is_believed(&auth, &token).await);
    }
    fs::remove_file(&file).unwrap();
    later(1);
    assert!(is_believed(&auth, &token).await);
}

#[tokio::test]
async fn a_link_that_leads_elsewhere_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let old = issuer(&folder.path().join("old"));
    let new = issuer(&folder.path().join("new"));
    for (name, issuer) in [("1", &old), ("2", &new)] {
        fs::write(folder.path().join(name), issuer.jwks().await).unwrap();
    }
    let link = folder.path().join("jwks.json");
    std::os::unix::fs::symlink("1", &link).unwrap();
    let auth = trusting(&link);
    let (before, after) = (token(&old).await, token(&new).await);
    assert!(is_believed(&auth, &before).await);
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink("2", &link).unwrap();
    later(1);
    assert!(is_believed(&auth, &after).await && !is_believed(&auth, &before).await);
}

#[tokio::test]
async fn a_bundle_of_certificates_verifies_by_chain() {
    let folder = tempfile::tempdir().unwrap();
    let mut with = IssuerConfig::new("issuer", "service", folder.path().join("keys"));
    with.certificates = true;
    let certified = issuer_of(with.clone());
    let mut trusting = config();
    trusting.roots = certified.root_certificate();
    let auth = TokenAuth::open(trusting.clone(), ambient()).unwrap();
    assert!(is_believed(&auth, &token(&certified).await).await);

    // Another issuer of the same name, with a root of its own.
    with.folder = folder.path().join("other");
    let other = issuer_of(with);
    assert!(!is_believed(&auth, &token(&other).await).await);

    // Both keys in one file, as their operator may have put them.
    let both = folder.path().join("both.pem");
    let texts = [&certified, &other].map(|one| fs::read(one.root_certificate().unwrap()).unwrap());
    fs::write(
        &both,
        [b"# ours\n".as_slice(), &texts[0], &texts[1]].concat(),
    )
    .unwrap();
    trusting.roots = Some(both);
    let auth = TokenAuth::open(trusting, ambient()).unwrap();
    assert!(is_believed(&auth, &token(&certified).await).await);
    assert!(is_believed(&auth, &token(&other).await).await);
}

#[test]
fn without_a_key_there_is_no_start() {
    let folder = tempfile::tempdir().unwrap();
    let refused = TokenAuth::open(config(), ambient()).unwrap_err();
    assert!(matches!(refused, OpenError::NoKey), "{refused}");
    let file = folder.path().join("file");
    let mut by_set = config();
    by_set.jwks = Some(Jwks::File(file.clone()));
    let mut by_roots = config();
    by_roots.roots = Some(file.clone());
    for config in [&by_set, &by_roots] {
        let refused = TokenAuth::open(config.clone(), ambient()).unwrap_err();
        assert!(matches!(refused, OpenError::File { .. }), "{refused}");
    }
    fs::write(&file, "no PEM at all").unwrap();
    let refused = TokenAuth::open(by_roots, ambient()).unwrap_err();
    assert!(matches!(refused, OpenError::NoKey), "{refused}");
    let refused = TokenAuth::open(by_set.clone(), ambient()).unwrap_err();
    assert!(matches!(refused, OpenError::Content { .. }), "{refused}");
    fs::write(&file, "{\"keys\":[]}").unwrap();
    let refused = TokenAuth::open(by_set, ambient()).unwrap_err();
    assert!(matches!(refused, OpenError::NoKey), "{refused}");
}

#[tokio::test]
async fn a_challenge_says_where_to_get_a_token_and_what_was_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = issuer(folder.path());
    let file = folder.path().join("jwks.json");
    fs::write(&file, issuer.jwks().await).unwrap();
    let mut config = config();
    config.jwks = Some(Jwks::File(file));
    config.realm = Realm::SameHost {
        path: "/auth/token".to_owned(),
    };
    let auth = TokenAuth::open(config, ambient()).unwrap();

    let basic = Credentials::Basic {
        user: "alice".to_owned(),
        password: Secret::new("secret".to_owned()),
    };
    let empty = Credentials::Bearer(Secret::new(String::new()));
    for credentials in [Credentials::Anonymous, basic, empty] {
        let refused = auth.authenticate(&Caller::new(credentials, None)).await;
        assert_eq!(wrong(refused.unwrap_err()), None);
    }
    let refused = show(&auth, "junk").await.unwrap_err();
    assert_eq!(wrong(refused), Some(BearerError::InvalidToken));
    let lacking = AuthError::Challenge(auth.challenge());
    assert_eq!(wrong(lacking), Some(BearerError::InsufficientScope));
}

fn wrong(refused: AuthError) -> Option<BearerError> {
    let AuthError::Challenge(Challenge::Bearer {
        realm,
        service,
        error,
    }) = refused
    else {
        panic!("{refused:?}")
    };
    assert!(matches!(realm, Realm::SameHost { path } if path == "/auth/token"));
    assert_eq!(service, "service");
    error
}
