//! User and password beside tokens.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use auth_token::issuer::Subject;
use auth_token::{TokenAuth, WithBasic};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use registry_core::access::{
    AuthError, Authenticator, BearerError, Caller, Challenge, Credentials, Identity, Scheme, Secret,
};
use serde_json::Value;

use crate::given::{HASH, ambient, issuer, realm, show, token};

/// Knows alice, by what is in it.
#[derive(Debug)]
struct Users {
    known_by: Mutex<Option<Secret<Vec<u8>>>>,
    /// 0 for one that cannot be told.
    generation: AtomicU64,
    /// How often it was asked what someone is known by.
    asked: AtomicU64,
}

impl Users {
    fn of_alice() -> Arc<Self> {
        Arc::new(Self {
            known_by: Mutex::new(Some(HASH.clone())),
            generation: AtomicU64::new(0),
            asked: AtomicU64::new(0),
        })
    }

    fn set(&self, known_by: Option<&str>) {
        *self.known_by.lock().unwrap() = known_by.map(|what| Secret::new(what.into()));
    }
}

#[async_trait]
impl Authenticator for Users {
    async fn authenticate(&self, caller: &Caller) -> Result<Identity, AuthError> {
        match &caller.credentials {
            Credentials::Basic { user, .. } if user == "alice" => {
                Ok(Identity::named("alice", Scheme::Basic))
            }
            Credentials::Basic { user, .. } if user == "broken" => {
                Err(AuthError::Unavailable("the file is gone".into()))
            }
            _ => Err(AuthError::Challenge(self.challenge())),
        }
    }

    fn challenge(&self) -> Challenge {
        Challenge::Basic {
            realm: "users".to_owned(),
        }
    }

    async fn credential(&self, user: &str) -> Option<Secret<Vec<u8>>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let known = self.known_by.lock().unwrap().clone();
        known.filter(|_| user == "alice")
    }

    fn generation(&self) -> Option<NonZeroU64> {
        NonZeroU64::new(self.generation.load(Ordering::Relaxed))
    }
}

#[tokio::test]
async fn both_are_taken_and_tokens_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = issuer(folder.path());
    let tokens = TokenAuth::of_issuer(&issuer, realm(), "service", ambient());
    let auth = WithBasic::new(tokens, Users::of_alice());
    let basic = |user: &str| {
        let password = Secret::new("secret".to_owned());
        let user = user.to_owned();
        Caller::new(Credentials::Basic { user, password }, None)
    };
    let alice = auth.authenticate(&basic("alice")).await.unwrap();
    assert_eq!(alice.scheme, Scheme::Basic);
    let alice = show(&auth, &token(&issuer).await).await.unwrap();
    assert_eq!(alice.scheme, Scheme::Bearer);

    let error = |refused: AuthError| match refused {
        AuthError::Challenge(Challenge::Bearer { error, .. }) => error,
        other => panic!("{other:?}"),
    };
    let unknown = auth.authenticate(&basic("eve")).await.unwrap_err();
    assert_eq!(error(unknown), None);
    let nobody = Caller::new(Credentials::Anonymous, None);
    assert_eq!(error(auth.authenticate(&nobody).await.unwrap_err()), None);
    let junk = show(&auth, "junk").await.unwrap_err();
    assert_eq!(error(junk), Some(BearerError::InvalidToken));
    let eve = Subject {
        name: "eve",
        credential: &HASH,
    };
    let gone = issuer.mint(Some(eve), "service", &[]).await.unwrap();
    let gone = show(&auth, gone.token.expose()).await.unwrap_err();
    assert_eq!(error(gone), Some(BearerError::InvalidToken));
    let broken = auth.authenticate(&basic("broken")).await.unwrap_err();
    assert!(matches!(broken, AuthError::Unavailable(_)));

    let auth = auth.anonymous(true);
    let anonymous = auth.authenticate(&nobody).await.unwrap();
    assert_eq!(anonymous.scheme, Scheme::Anonymous);
    let nobody = issuer.mint(None, "service", &[]).await.unwrap();
    let nobody = show(&auth, nobody.token.expose()).await.unwrap();
    assert_eq!(nobody.scheme, Scheme::Bearer);
}

#[tokio::test]
async fn a_token_is_over_when_its_user_is_known_by_something_else() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = issuer(folder.path());
    let tokens = TokenAuth::of_issuer(&issuer, realm(), "service", ambient());
    let users = Users::of_alice();
    let basic: Arc<dyn Authenticator> = Arc::<Users>::clone(&users);
    let auth = WithBasic::new(tokens, basic);
    // One that was shown before and one that was not: what was found out of a token counts for
    // the one credential alone.
    let (shown, kept) = (token(&issuer).await, token(&issuer).await);
    assert!(show(&auth, &shown).await.is_ok());
    for (what, expected) in [
        (Some("other"), false),
        (None, false),
        // Deleted, and made again under the same name.
        (Some("a third"), false),
        (Some("hash"), true),
        (Some("other"), false),
    ] {
        users.set(what);
        for token in [&shown, &kept] {
            assert_eq!(show(&auth, token).await.is_ok(), expected, "{what:?}");
        }
    }
    // It says nothing of what she is known by, nor that two are for the same.
    let claims = |token: &str| -> Value {
        let part = token.split('.').nth(1).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    let proof = |token: &str| claims(token)["proof"].as_str().unwrap().to_owned();
    assert_ne!(proof(&shown), proof(&kept));
    let nobody = issuer.mint(None, "service", &[]).await.unwrap();
    assert_eq!(claims(nobody.token.expose()).get("proof"), None);
}

#[tokio::test]
async fn what_a_user_is_known_by_is_asked_for_once_in_each_generation() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = issuer(folder.path());
    let tokens = TokenAuth::of_issuer(&issuer, realm(), "service", ambient());
    let users = Users::of_alice();
    let basic: Arc<dyn Authenticator> = Arc::<Users>::clone(&users);
    let auth = WithBasic::new(tokens, basic);
    let token = token(&issuer).await;
    // The generation, what she is known by then, whether she is let in, and how often it is asked for when
    // the token comes three times.
    for (generation, what, expected, asked) in [
        (1, "hash", true, 1),
        (2, "hash", true, 1),
        (0, "hash", true, 3),
        (0, "other", false, 3),
        (3, "other", false, 3),
        (4, "hash", true, 1),
        (5, "other", false, 3),
    ] {
        users.set(Some(what));
        users.generation.store(generation, Ordering::Relaxed);
        users.asked.store(0, Ordering::Relaxed);
        for _ in 0..3 {
            assert_eq!(show(&auth, &token).await.is_ok(), expected, "{generation}");
        }
        assert_eq!(users.asked.load(Ordering::Relaxed), asked, "{generation}");
    }
}
