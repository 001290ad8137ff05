//! User and password beside tokens.

use std::sync::Arc;

use async_trait::async_trait;
use auth_token::{TokenAuth, WithBasic};
use registry_core::access::{
    AuthError, Authenticator, BearerError, Caller, Challenge, Credentials, Identity, Scheme, Secret,
};

use crate::given::{ambient, issuer, realm, show, token};

/// Knows alice.
#[derive(Debug)]
struct Users;

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
        (user == "alice").then(|| Secret::new(b"hash".to_vec()))
    }
}

#[tokio::test]
async fn both_are_taken_and_tokens_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = issuer(folder.path());
    let tokens = TokenAuth::of_issuer(&issuer, realm(), "service", ambient());
    let auth = WithBasic::new(tokens, Arc::new(Users));
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
    let gone = issuer.mint(Some("eve"), "service", &[]).await.unwrap();
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
