//! How the library of ACME asks: with the HTTP client of the registry, and in bounds.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use jiff::fmt::rfc2822::DateTimeParser;

use crate::client::Client;

/// How long a connection may take, and then the handshake of TLS.
const STEP: Duration = Duration::from_secs(10);
/// How long all of a request may take.
const ALL: Duration = Duration::from_secs(60);
/// Bytes of an answer, at most: a chain of certificates is a few thousand.
const LIMIT: usize = 1024 * 1024;

type Answer = Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>>;

/// Asks the authority, and remembers how long it wants to be left alone.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    client: Client,
    now: fn() -> SystemTime,
    asked: Arc<Mutex<Option<Duration>>>,
}

impl Ask {
    pub(super) fn new(now: fn() -> SystemTime) -> Self {
        Self {
            client: Client::default(),
            now,
            asked: Arc::default(),
        }
    }

    /// How long the authority has asked to wait, with a refusal since this was last asked.
    pub(super) fn take_asked(&self) -> Option<Duration> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.take()
    }

    fn note(&self, status: StatusCode, headers: &HeaderMap) {
        if status.is_success() {
            return;
        }
        if let Some(wait) = retry_after(headers, self.now) {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            *asked = Some(wait);
        }
    }
}

impl HttpClient for Ask {
    fn request(&self, request: Request<BodyWrapper<Bytes>>) -> Answer {
        let asking = self.clone();
        Box::pin(async move {
            let sending = asking.client.send(request, LIMIT, STEP);
            let answer = match tokio::time::timeout(ALL, sending).await {
                Ok(answer) => answer.map_err(|error| Error::Other(error.into()))?,
                Err(late) => return Err(Error::Other(late.into())),
            };
            asking.note(answer.status(), answer.headers());
            let (parts, body) = answer.into_parts();
            Ok(BytesResponse {
                parts,
                body: Box::new(body),
            })
        })
    }
}

/// Seconds, or a date.
fn retry_after(headers: &HeaderMap, now: fn() -> SystemTime) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = DateTimeParser::new().parse_timestamp(value).ok()?;
    SystemTime::from(date).duration_since(now()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, expected: Option<u64>) {
        let now = || SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, value.parse().unwrap());
        let expected = expected.map(Duration::from_secs);
        assert_eq!(retry_after(&headers, now), expected, "{value}");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        check("120", Some(120));
        check(" 0 ", Some(0));
        check("Sun, 09 Sep 2001 01:47:40 GMT", Some(60));
        check("Sun, 09 Sep 2001 01:45:40 GMT", None);
        check("soon", None);
        check("-5", None);
    }
}
