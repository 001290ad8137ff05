//! What a server is made of, opened as the configuration says.

use std::sync::Arc;

use registry_core::access::{Anyone, Authenticator};
use registry_core::storage::{OpenMode, Storage};

use super::{Error, unopened};
use crate::cli;
use crate::config::Config;
use crate::factories::Factories;
use crate::tls::Tls;
#[cfg(feature = "token")]
use crate::tokens::Own;
use crate::tokens::Tokens;

/// The store, as the configuration says.
pub(crate) async fn open(
    factories: &Factories,
    config: &Config,
    mode: OpenMode,
) -> Result<Storage, Error> {
    open_telling(factories, config, mode, |warning| {
        tracing::warn!("{warning}");
    })
    .await
}

/// The same, and hands over each warning about a key that the driver does not know.
pub(crate) async fn open_telling(
    factories: &Factories,
    config: &Config,
    mode: OpenMode,
    warn: impl FnMut(String),
) -> Result<Storage, Error> {
    let kind = config.driver.kind.as_str();
    let open = factories
        .storage(kind)
        .map_err(|message| config.refuse(&["storage", kind], message))?;
    let (opening, unwanted) =
        open(&config.driver.section, kind, mode).map_err(|error| config.explain(error))?;
    config
        .unknown_to_driver(&unwanted)
        .into_iter()
        .for_each(warn);
    opening.await.map_err(|source| unopened(config, source))
}

/// Whoever knows who is asking, as the configuration says; hands over each warning about a key
/// that it does not know.
pub(crate) async fn open_auth(
    factories: &Factories,
    config: &Config,
    mode: OpenMode,
    warn: impl FnMut(String),
) -> Result<Arc<dyn Authenticator>, Error> {
    let Some(auth) = &config.auth else {
        return Ok(Arc::new(Anyone));
    };
    let kind = auth.kind.as_str();
    let open = factories
        .auth(kind)
        .map_err(|message| config.refuse(&["auth", kind], message))?;
    let (opening, unwanted) =
        open(&auth.section, kind, mode).map_err(|error| config.explain(error))?;
    config
        .unknown_to_driver(&unwanted)
        .into_iter()
        .for_each(warn);
    opening.await.map_err(|source| Error::Auth {
        kind: kind.to_owned(),
        source,
    })
}

/// What connections are told to speak, if that is TLS.
pub(crate) fn open_tls(config: &Config) -> Result<Option<Arc<Tls>>, Error> {
    let Some(settings) = &config.http.tls else {
        return Ok(None);
    };
    let tls =
        Tls::open(settings).map_err(|error| config.refuse(error.key(), cli::chain(&error)))?;
    Ok(Some(Arc::new(tls)))
}

/// The token service, if there is one, and who knows who is asking then.
pub(super) async fn open_tokens(
    config: &Config,
    users: Arc<dyn Authenticator>,
) -> Result<(Option<Arc<dyn Tokens>>, Arc<dyn Authenticator>), Error> {
    let Some(settings) = &config.tokens else {
        return Ok((None, users));
    };
    #[cfg(feature = "token")]
    {
        let opened = Own::open(settings, users, Arc::clone(&config.rules)).await;
        let own = opened.map_err(|error| {
            let message = format!("the keys of tokens: {}", cli::chain(&*error));
            config.refuse(&["extensions", "token", "keys"], message)
        })?;
        let authenticator = Arc::new(own.authenticator(settings));
        Ok((Some(Arc::new(own)), authenticator))
    }
    #[cfg(not(feature = "token"))]
    {
        let message = format!(
            "tokens of {:?} need a binary built with the `token` feature",
            settings.service
        );
        Err(config.refuse(&["extensions", "token"], message).into())
    }
}
