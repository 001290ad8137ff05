//! Tokens of our own: what they say, who believes them, and where their keys are.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use auth_token::issuer::{Holder, IssuerConfig, KeyKind, MintError, RefreshError};
use auth_token::{Issuer, OpenError, TokenAuth, scope};
use registry_core::access::{Access, Action, Scheme};
use serde_json::{Value, json};

use crate::given::{
    alice, ambient, is_believed, issuer, issuer_of, later, pull, realm, show, token,
};

fn verifying(issuer: &Arc<Issuer>) -> TokenAuth {
    TokenAuth::of_issuer(issuer, realm(), "service", ambient())
}

#[tokio::test]
async fn a_token_says_who_and_what_and_we_believe_it() {
    let folder = tempfile::tempdir().unwrap();
    for kind in [KeyKind::Es256, KeyKind::EdDsa] {
        let path = folder.path().join(format!("{kind:?}"));
        let mut config = IssuerConfig::new("issuer", "service", path);
        config.kind = kind;
        let issuer = issuer_of(config);
        let auth = verifying(&issuer);
        let wanted = scope::requested(["repository:a/b:pull,push,delete registry:catalog:*"]);
        let granted = scope::granted(
            wanted.unwrap(),
            |access| !matches!(access, Access::Repository { action, .. } if *action == Action::Delete),
        );
        let minted = issuer.mint(Some(alice()), "service", &granted).await;
        let minted = minted.unwrap();
        assert_eq!(minted.scope, "repository:a/b:pull,push registry:catalog:*");
        let identity = show(&auth, minted.token.expose()).await.unwrap();
        assert_eq!(identity.name.as_deref(), Some("alice"));
        assert_eq!(identity.scheme, Scheme::Bearer);
        assert_eq!(identity.granted, Some(granted));

        let nobody = issuer.mint(None, "service", &[]).await.unwrap();
        let identity = show(&auth, nobody.token.expose()).await.unwrap();
        assert_eq!((identity.name, identity.granted), (None, Some(vec![])));
    }
}

#[tokio::test]
async fn an_answer_has_what_both_ways_of_asking_want() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = issuer(folder.path());
    let minted = issuer.mint(Some(alice()), "service", &[pull()]).await;
    let minted = minted.unwrap();
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let answer = read(minted.to_json(None).expose());
    let expected = json!({
        "token": minted.token.expose(),
        "access_token": minted.token.expose(),
        "expires_in": 300,
        "issued_at": "2026-09-21T14:13:20Z",
        "scope": "repository:a/b:pull",
    });
    assert_eq!(answer, expected);
    let holder = Holder {
        subject: "alice",
        service: "service",
        client: "docker",
    };
    let refresh = issuer.refresh_token(holder, b"hash").unwrap();
    let answer = read(minted.to_json(Some(&refresh)).expose());
    assert_eq!(answer["refresh_token"], json!(refresh.expose()));
    let hidden = format!("{minted:?} {refresh:?}");
    assert!(!hidden.contains(minted.token.expose()) && !hidden.contains(refresh.expose()));
}

#[tokio::test]
async fn a_token_is_for_one_service_and_no_longer_than_it_lives() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = issuer(folder.path());
    let auth = verifying(&issuer);
    let other = issuer.mint(Some(alice()), "other", &[]).await;
    assert_eq!(other.unwrap_err(), MintError::Service);
    let elsewhere = TokenAuth::of_issuer(&issuer, realm(), "elsewhere", ambient());
    assert!(!is_believed(&elsewhere, &token(&issuer).await).await);
    let token = token(&issuer).await;
    later(360);
    assert!(is_believed(&auth, &token).await);
    later(1);
    assert!(!is_believed(&auth, &token).await);
}

/// Headers have a bound, and so has what may be asked for.
#[tokio::test]
async fn the_longest_token_that_can_be_asked_for_is_believed() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = IssuerConfig::new("issuer", "service", folder.path().join("keys"));
    config.certificates = true;
    let issuer = issuer_of(config);
    let name = |number: usize| format!("{number:02}{}", "a".repeat(48));
    let parts: Vec<_> = (0..64)
        .map(|at| format!("repository:{}:*", name(at)))
        .collect();
    let wanted = scope::requested([parts.join(" ").as_str()]).unwrap();
    assert_eq!(wanted.len(), 3 * 64);
    let minted = issuer.mint(Some(alice()), "service", &wanted).await;
    let token = minted.unwrap().token.expose().clone();
    assert!(
        is_believed(&verifying(&issuer), &token).await,
        "{}",
        token.len()
    );
}

#[tokio::test]
async fn a_refresh_token_is_no_token_and_the_other_way_round() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = issuer(folder.path());
    let holder = Holder {
        subject: "alice",
        service: "service",
        client: "docker",
    };
    let refresh = issuer.refresh_token(holder, b"hash").unwrap();
    assert!(!is_believed(&verifying(&issuer), refresh.expose()).await);
    let minted = issuer.mint(Some(alice()), "service", &[]).await.unwrap();
    let read = issuer.read_refresh(&minted.token, "service", "docker");
    assert_eq!(read.unwrap_err(), RefreshError::Unknown);

    let read = |issuer: &Issuer| issuer.read_refresh(&refresh, "service", "docker");
    assert_eq!(read(&issuer).unwrap().prove(b"hash").unwrap(), "alice");
    let changed = read(&issuer).unwrap().prove(b"other");
    assert_eq!(changed, Err(RefreshError::Changed));
    // It outlives the process.
    let again = self::issuer(folder.path());
    assert_eq!(read(&again).unwrap().prove(b"hash").unwrap(), "alice");
    later(30 * 24 * 60 * 60 + 1);
    assert_eq!(read(&issuer).unwrap_err(), RefreshError::Expired);
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn keys_are_for_their_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = IssuerConfig::new("issuer", "service", folder.path().join("deep/keys"));
    config.certificates = true;
    let path = config.folder.clone();
    let root = issuer_of(config).root_certificate().unwrap();
    assert_eq!(mode(&path), 0o700);
    assert_eq!(mode(&root), 0o644);
    let mut others = 0;
    for entry in fs::read_dir(&path).unwrap() {
        let file = entry.unwrap().path();
        if file != root {
            assert_eq!(mode(&file), 0o600, "{}", file.display());
            others += 1;
        }
    }
    assert_eq!(others, 3, "a key, that of the root, and a secret");
}

#[tokio::test]
async fn a_restart_goes_on_with_the_same_keys() {
    let folder = tempfile::tempdir().unwrap();
    let first = issuer(folder.path());
    let token = token(&first).await;
    let keys = first.jwks().await;
    drop(first);
    let second = issuer(folder.path());
    assert_eq!(second.jwks().await, keys);
    assert!(is_believed(&verifying(&second), &token).await);
}

#[tokio::test]
async fn processes_that_start_at_once_have_the_same_keys() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = IssuerConfig::new("issuer", "service", folder.path().join("keys"));
    config.certificates = true;
    let at_once = Arc::new(Barrier::new(8));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let (at_once, config) = (Arc::clone(&at_once), config.clone());
            std::thread::spawn(move || {
                at_once.wait();
                issuer_of(config)
            })
        })
        .collect();
    let issuers: Vec<_> = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect();
    let keys = issuers[0].jwks().await;
    let token = token(&issuers[0]).await;
    let holder = Holder {
        subject: "alice",
        service: "service",
        client: "docker",
    };
    let refresh = issuers[0].refresh_token(holder, b"hash").unwrap();
    for issuer in &issuers {
        assert!(issuer.read_refresh(&refresh, "service", "docker").is_ok());
        assert_eq!(issuer.jwks().await, keys);
        assert!(is_believed(&verifying(issuer), &token).await);
    }
    let files = fs::read_dir(&config.folder).unwrap().count();
    assert_eq!(files, 4, "a key, a root with its key, and a secret");
}

#[test]
fn a_folder_that_cannot_be_used_is_told_at_start() {
    let folder = tempfile::tempdir().unwrap();
    let config = IssuerConfig::new("issuer", "service", folder.path().join("keys"));
    drop(issuer_of(config.clone()));
    for name in ["1790000000-x.pem", "x.pem", "refresh.secret"] {
        let file = config.folder.join(name);
        let before = fs::read(&file).ok();
        fs::write(&file, "broken").unwrap();
        let refused = Issuer::open(config.clone(), ambient()).unwrap_err();
        assert!(matches!(refused, OpenError::Content { .. }), "{refused}");
        match before {
            Some(bytes) => fs::write(&file, bytes).unwrap(),
            None => fs::remove_file(&file).unwrap(),
        }
    }
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let refused = Issuer::open(IssuerConfig::new("issuer", "service", file), ambient());
    assert!(matches!(refused.unwrap_err(), OpenError::File { .. }));
}

#[test]
fn settings_that_cannot_be_meant_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let check = |change: fn(&mut IssuerConfig)| {
        let mut config = IssuerConfig::new("issuer", "service", folder.path().join("keys"));
        change(&mut config);
        let refused = Issuer::open(config, ambient()).unwrap_err();
        assert!(matches!(refused, OpenError::Invalid(_)), "{refused}");
    };
    check(|config| config.name.clear());
    check(|config| config.services.clear());
    check(|config| config.lifetime = Duration::from_secs(59));
    check(|config| config.lifetime = Duration::from_secs(24 * 60 * 60 + 1));
    check(|config| config.rotate_after = Some(config.publish_before));
    check(|config| config.publish_before = Duration::MAX);
    check(|config| config.rotate_after = Some(Duration::MAX));
    check(|config| config.refresh_lifetime = Duration::MAX);
    assert!(!folder.path().join("keys").exists());
}
