//! The service over an issuer, the users and the rules.

use std::sync::Arc;

use async_trait::async_trait;
use http::HeaderValue;
use registry_core::access::{
    Access, Action, AuthError, Authenticator, Caller, Credentials, Identity, Realm, Scheme, Secret,
};
use registry_core::{BoxError, Rules};

use super::{Asked, Holder, Tokens};
use crate::ambient::ambient;
use crate::builtin::tokens::issuer::{self, IssuerConfig, KeyKind, MintError, Subject};
use crate::builtin::tokens::{Issuer, TokenAuth, WithBasic, scope};
use crate::config::TokenService;
use crate::error::ApiError;

const NO_SERVICE: ApiError = ApiError::BadToken("tokens are not issued for this service");

/// Hands out tokens to users.
#[derive(Debug)]
pub(crate) struct Own {
    issuer: Arc<Issuer>,
    users: Arc<dyn Authenticator>,
    rules: Arc<Rules>,
    path: String,
    service: String,
}

/// Who asks for a token.
struct Known {
    who: Identity,
    /// What a user is known by: what the tokens hang on.
    credential: Option<Secret<Vec<u8>>>,
}

impl Known {
    /// Nobody in particular, or a user whose tokens have something to hang on.
    fn subject(&self) -> Result<Option<Subject<'_>>, ApiError> {
        match (&self.who.name, &self.credential) {
            (None, _) => Ok(None),
            (Some(name), Some(credential)) => Ok(Some(Subject { name, credential })),
            // Whoever was not there a moment ago.
            (Some(_), None) => Err(ApiError::Unavailable),
        }
    }
}

impl Own {
    /// Opens the folder of keys, which may be made by that.
    pub(crate) async fn open(
        settings: &TokenService,
        users: Arc<dyn Authenticator>,
        rules: Arc<Rules>,
    ) -> Result<Self, BoxError> {
        let config = issuer_config(settings);
        let opening = move || Issuer::open(config, ambient());
        let issuer = tokio::task::spawn_blocking(opening).await??;
        Ok(Self {
            issuer,
            users,
            rules,
            path: settings.path.clone(),
            service: settings.service.clone(),
        })
    }

    /// Who is let in by its tokens, and by user and password beside them.
    pub(crate) fn authenticator(&self, settings: &TokenService) -> WithBasic {
        let realm = match &settings.realm {
            Some(url) => Realm::Fixed(url.clone()),
            None => Realm::Here {
                path: settings.path.clone(),
            },
        };
        let tokens = TokenAuth::of_issuer(&self.issuer, realm, &self.service, ambient());
        WithBasic::new(tokens, Arc::clone(&self.users)).anonymous(self.rules.name_anonymous())
    }

    async fn identity(
        &self,
        holder: Holder,
        service: &str,
        client: &str,
    ) -> Result<Known, ApiError> {
        match holder {
            Holder::Caller(caller) => self.caller(&caller).await,
            Holder::Refresh { token, address } => {
                let refused = |why: &dyn std::fmt::Display| {
                    let address = address.map(tracing::field::display);
                    tracing::info!(%why, address, "a refresh token is not taken");
                    self.asking()
                };
                let refresh = self.issuer.read_refresh(&token, service, client);
                let refresh = refresh.map_err(|why| refused(&why))?;
                let known = self.users.credential(refresh.subject()).await;
                let known = known.ok_or_else(|| refused(&"there is no such user"))?;
                let name = refresh.prove(known.expose()).map_err(|why| refused(&why))?;
                let who = Identity::named(name, Scheme::Basic);
                let credential = Some(known);
                Ok(Known { who, credential })
            }
        }
    }

    /// Someone with a password; or nobody, where that one may do something.
    async fn caller(&self, caller: &Caller) -> Result<Known, ApiError> {
        match &caller.credentials {
            Credentials::Basic { user, password }
                if user.is_empty() && password.expose().is_empty() =>
            {
                self.nobody(caller)
            }
            Credentials::Basic { user, .. } => {
                // Before the password is: one that is changed meanwhile must not be what a token
                // hangs on that was given for the old one.
                let credential = self.users.credential(user).await;
                let who = self.users.authenticate(caller).await;
                let who = who.map_err(|error| match error {
                    AuthError::Challenge(_) => self.asking(),
                    AuthError::Throttled { retry_after } => ApiError::Throttled { retry_after },
                    error => {
                        let error = &error as &dyn std::error::Error;
                        tracing::error!(error, "authentication failed");
                        ApiError::Unavailable
                    }
                })?;
                Ok(Known { who, credential })
            }
            Credentials::Anonymous => self.nobody(caller),
            _ => Err(self.asking()),
        }
    }

    /// A token is of a user or of nobody. Who has a certificate shows it again beside the token,
    /// and needs one that says nothing, since clients use tokens for everything or for nothing.
    fn nobody(&self, caller: &Caller) -> Result<Known, ApiError> {
        let is_certified = caller.certificate.is_some() && self.rules.are_set();
        match is_certified || self.rules.name_anonymous() {
            true => Ok(Known {
                who: Identity::anonymous(),
                credential: None,
            }),
            false => Err(self.asking()),
        }
    }

    /// Who asks for a token without one has a password to show.
    fn asking(&self) -> ApiError {
        let text = format!("Basic realm=\"{}\"", self.service.replace(['"', '\\'], "_"));
        ApiError::BadLogin {
            challenge: HeaderValue::try_from(text).ok(),
        }
    }

    /// What stands for the password of a user at this service, with this client.
    fn refresh(&self, of: Subject<'_>, service: &str, client: &str) -> Option<Secret<String>> {
        let holder = issuer::Holder {
            subject: of.name,
            service,
            client,
        };
        self.issuer.refresh_token(holder, of.credential.expose())
    }

    /// What is allowed of what is asked for. Only this registry can keep who may create from moving
    /// a tag, so that elsewhere only who may push is told so.
    fn granted(&self, who: &Identity, service: &str, asked: Vec<Access>) -> Vec<Access> {
        scope::granted(asked, |access| match access {
            Access::Repository {
                name,
                action: Action::Push,
            } if service != self.service => self.rules.allow_moving_tags(who, name),
            // Nor would it keep from its list what may not be pulled.
            Access::Catalog if service != self.service && self.rules.are_set() => false,
            access => self.rules.allow(who, access),
        })
    }
}

fn issuer_config(settings: &TokenService) -> IssuerConfig {
    let mut config = IssuerConfig::new(&settings.issuer, &settings.service, &settings.keys);
    config.services = [&settings.service]
        .into_iter()
        .chain(&settings.others)
        .cloned()
        .collect();
    config.kind = match settings.eddsa {
        true => KeyKind::EdDsa,
        false => KeyKind::Es256,
    };
    config.lifetime = settings.lifetime;
    config.refresh_lifetime = settings.refresh;
    config.rotate_after = Some(settings.rotate);
    config.publish_before = config.publish_before.min(settings.rotate / 2);
    config.certificates = settings.certificates;
    config
}

#[async_trait]
impl Tokens for Own {
    fn path(&self) -> &str {
        &self.path
    }

    async fn issue(&self, asked: Asked) -> Result<Secret<String>, ApiError> {
        let service = asked.service.unwrap_or_else(|| self.service.clone());
        if !self.issuer.serves(&service) {
            return Err(NO_SERVICE);
        }
        let wanted = scope::requested(asked.scopes.iter().map(String::as_str));
        let wanted = wanted.map_err(|_| ApiError::BadToken("too many scopes"))?;
        let again = match &asked.holder {
            Holder::Refresh { token, .. } => Some(token.clone()),
            Holder::Caller(_) => None,
        };
        let known = self.identity(asked.holder, &service, &asked.client);
        let known = known.await?;
        let subject = known.subject()?;
        let granted = self.granted(&known.who, &service, wanted);
        let minted = self.issuer.mint(subject, &service, &granted).await;
        let minted = minted.map_err(|error| match error {
            MintError::Service => NO_SERVICE,
            error => {
                tracing::error!(%error, "making a token");
                ApiError::Unavailable
            }
        })?;
        let refresh = match (again, subject) {
            (Some(again), _) => Some(again),
            (None, Some(user)) if asked.offline => self.refresh(user, &service, &asked.client),
            _ => None,
        };
        Ok(minted.to_json(refresh.as_ref()))
    }

    async fn keys(&self) -> String {
        self.issuer.jwks().await
    }
}
