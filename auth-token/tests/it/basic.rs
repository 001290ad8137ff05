//! User and password beside tokens.

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
struct Users(Mutex<Option<Secret<Vec<u8>>>>);

impl Users {
    fn of_alice() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Some(HASH.clone()))))
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
        let known = self.0.lock().unwrap().clone();
        known.filter(|_| user == "alice")
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
    let known_by = |what: Option<&str>| {
        *users.0.lock().unwrap() = what.map(|what| Secret::new(what.into()));
    };
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
        known_by(what);
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
