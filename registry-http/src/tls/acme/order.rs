//! One order: from the name of a host to its certificate.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Identifier, NewOrder, Order, OrderStatus,
    RetryPolicy,
};
use registry_core::access::Secret;

use super::ask::Ask;
use super::certificate::Request;
use super::challenge::{Answering, Challenges};
use super::folder::Folder;
use super::{AcmeError, account};
use crate::config::LetsEncrypt;

/// How long all of an order may take.
const ALL: Duration = Duration::from_secs(5 * 60);

/// How often the authority is asked how far it is, unless it says so itself.
const POLL: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(500))
    .backoff(1.5)
    .timeout(Duration::from_secs(120));

/// Who issues, and our account there.
pub(super) struct Authority {
    directory: String,
    email: Option<String>,
    folder: Folder,
    ask: Ask,
    account: Option<Account>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

impl Authority {
    pub(super) fn new(settings: &LetsEncrypt, folder: Folder, now: fn() -> SystemTime) -> Self {
        Self {
            directory: settings.directory.clone(),
            email: settings.email.clone(),
            folder,
            ask: Ask::new(now),
            account: None,
        }
    }

    /// How long the authority wants to be left alone after what has just failed.
    pub(super) fn take_asked(&self) -> Option<Duration> {
        self.ask.take_asked()
    }

    /// The key and the chain of a new certificate, as the folder keeps them.
    pub(super) async fn order(
        &mut self,
        host: &str,
        challenges: &Arc<Challenges>,
    ) -> Result<Secret<Vec<u8>>, AcmeError> {
        self.ask.take_asked();
        let ordering = tokio::time::timeout(ALL, self.order_in_time(host, challenges));
        let ordered = ordering.await.unwrap_or(Err(AcmeError::Late(ALL)));
        if ordered.is_err() {
            // It may be the account that is wrong, or the directory that has moved.
            self.account = None;
        }
        ordered
    }

    async fn order_in_time(
        &mut self,
        host: &str,
        challenges: &Arc<Challenges>,
    ) -> Result<Secret<Vec<u8>>, AcmeError> {
        let account = self.account().await?;
        let wrong = |source| self.wrong(source);
        let identifiers = [Identifier::Dns(host.to_owned())];
        let ordered = account.new_order(&NewOrder::new(&identifiers)).await;
        let mut order = ordered.map_err(wrong)?;
        let mut answering = Vec::new();
        let validated = self
            .validate(&mut order, host, challenges, &mut answering)
            .await;
        for answering in answering {
            answering.end().await;
        }
        validated?;
        let request = Request::new(host)?;
        order.finalize_csr(&request.der).await.map_err(wrong)?;
        let chain = order.poll_certificate(&POLL).await.map_err(wrong)?;
        request.with(&chain)
    }

    async fn account(&mut self) -> Result<Account, AcmeError> {
        if let Some(account) = &self.account {
            return Ok(account.clone());
        }
        let email = self.email.as_deref();
        let opened = account::open(&self.folder, &self.ask, &self.directory, email).await?;
        self.account = Some(opened.clone());
        Ok(opened)
    }

    /// Has the authority see that the host is ours, unless it knows.
    async fn validate(
        &self,
        order: &mut Order,
        host: &str,
        challenges: &Arc<Challenges>,
        answering: &mut Vec<Answering>,
    ) -> Result<(), AcmeError> {
        let wrong = |source| self.wrong(source);
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(wrong)?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let mut challenge = authorization
                .challenge(ChallengeType::TlsAlpn01)
                .ok_or(AcmeError::NoChallenge)?;
            let digest = challenge.key_authorization().digest();
            let digest = digest.as_ref().try_into();
            let digest = digest.map_err(|error| AcmeError::Crypto(Box::new(error)))?;
            answering.push(challenges.answer(host, digest).await?);
            challenge.set_ready().await.map_err(wrong)?;
        }
        match order.poll_ready(&POLL).await {
            Ok(OrderStatus::Ready) => Ok(()),
            Ok(_) => Err(AcmeError::Invalid(reason(order).await)),
            // The order only says that it is not to be had.
            Err(error @ instant_acme::Error::Api(_)) => match reason(order).await {
                reason if reason.is_empty() => Err(self.wrong(error)),
                reason => Err(AcmeError::Invalid(reason)),
            },
            Err(error) => Err(self.wrong(error)),
        }
    }

    fn wrong(&self, source: instant_acme::Error) -> AcmeError {
        AcmeError::Authority {
            authority: self.directory.clone(),
            source,
        }
    }
}

/// What the authority has seen where it looked; empty if it does not say.
async fn reason(order: &mut Order) -> String {
    let mut reasons = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else {
            continue;
        };
        let challenges = state.challenges.iter();
        let problems = challenges.filter_map(|challenge| challenge.error.as_ref());
        reasons.extend(problems.map(ToString::to_string));
    }
    reasons.join("; ")
}
