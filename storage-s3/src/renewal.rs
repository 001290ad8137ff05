//! Credentials that end, and are renewed before that.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use object_store::aws::{AwsCredential, AwsCredentialProvider};
use object_store::{CredentialProvider, Error, Result};
use tokio::sync::Mutex;

use crate::error::said;

/// How long before their end `object_store` asks for others. What it gave out last is good for as
/// long from then on.
const RESERVE: Duration = Duration::from_secs(300);

/// How long nobody is asked again who did not answer.
const PAUSE: Duration = Duration::from_secs(10);

/// What was given out last goes on when no others can be had, as long as it is good for sure. After
/// that, requests fail until there are others.
#[derive(Debug)]
pub(crate) struct Renewal {
    from: AwsCredentialProvider,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// And when that was.
    last: Option<(Arc<AwsCredential>, Instant)>,
    /// When no others could be had, if that was the last thing heard.
    failed: Option<Instant>,
}

impl State {
    /// What goes on at this time.
    fn good(&self, now: Instant) -> Option<Arc<AwsCredential>> {
        let (last, given) = self.last.as_ref()?;
        let passed = now.saturating_duration_since(*given);
        (passed < RESERVE).then(|| Arc::clone(last))
    }

    fn waits(&self, now: Instant) -> bool {
        let failed = self.failed;
        failed.is_some_and(|failed| now.saturating_duration_since(failed) < PAUSE)
    }
}

impl Renewal {
    pub(crate) fn new(from: AwsCredentialProvider) -> Self {
        Self {
            from,
            state: Mutex::default(),
        }
    }
}

#[async_trait]
impl CredentialProvider for Renewal {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> Result<Arc<AwsCredential>> {
        // One asks for all; the others then have what came.
        let mut state = self.state.lock().await;
        let now = Instant::now();
        if state.waits(now)
            && let Some(good) = state.good(now)
        {
            return Ok(good);
        }
        match self.from.get_credential().await {
            Ok(credential) => {
                if state.failed.take().is_some() {
                    tracing::info!("the credentials for the store were renewed");
                }
                state.last = Some((Arc::clone(&credential), Instant::now()));
                Ok(credential)
            }
            Err(error) => {
                let error = shown(&error.to_string());
                let now = Instant::now();
                state.failed = Some(now);
                let good = state.good(now);
                let goes_on = good.is_some();
                tracing::warn!(%error, goes_on, "the credentials for the store cannot be renewed");
                good.ok_or(error)
            }
        }
    }
}

/// The error without the body of an answer, in which anything may be, but for what it says is wrong.
fn shown(text: &str) -> Error {
    const STATUS: &str = "status code: ";
    let answer = text.find(STATUS).map(|at| at + STATUS.len());
    let body = answer.and_then(|at| Some(at + text.get(at..)?.find(": ")?));
    let source = match body.and_then(|at| text.split_at_checked(at)) {
        Some((begin, body)) => format!("{begin} {}", said(body)).trim_end().into(),
        None => text.into(),
    };
    Error::Generic {
        store: "S3",
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_is_told_without_what_was_sent_along() {
        let refused = "Error performing POST REDACTED - Server returned non-2xx status code: 403 \
                       Forbidden: ";
        let xml = "<Error><Code>AccessDenied</Code><Message>No.</Message></Error><Token>hush";
        let text = shown(&format!("{refused}{xml}")).to_string();
        assert!(text.ends_with("403 Forbidden AccessDenied: No."), "{text}");
        let text = shown(&format!("{refused}hush: hush")).to_string();
        assert!(text.ends_with("403 Forbidden"), "{text}");
        assert!(
            shown("nobody is there")
                .to_string()
                .ends_with("nobody is there")
        );
    }

    #[test]
    fn what_was_given_out_goes_on_for_as_long_as_it_is_good_for_sure() {
        let start = Instant::now();
        let credential = AwsCredential {
            key_id: "a".to_owned(),
            secret_key: "b".to_owned(),
            token: None,
        };
        let mut state = State::default();
        assert!(state.good(start).is_none());
        state.last = Some((Arc::new(credential), start));
        state.failed = Some(start);
        let later = |seconds| start + Duration::from_secs(seconds);
        assert!(state.waits(later(9)) && !state.waits(later(10)));
        assert!(state.good(later(299)).is_some() && state.good(later(300)).is_none());
    }
}
