//! A request and its answer, followed to the end for those who tell of it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use http::Response;
use http_body::{Body as _, Frame, SizeHint};
use prometheus::IntCounter;

use crate::access_log::AccessLine;
use crate::endpoint::Endpoint;
use crate::metrics::Measuring;

/// What stands for the status of a request whose client did not wait for it, as elsewhere.
pub(crate) const NOBODY_WAITS: u16 = 499;

/// Those who tell of a request. They do so when this is dropped: when the last byte of the answer
/// has been handed over, or nobody wants more of it.
#[derive(Debug)]
pub(crate) struct Watch {
    operation: &'static str,
    line: AccessLine,
    /// If anything is counted.
    measuring: Option<Measuring>,
}

impl Watch {
    pub(crate) fn new(line: AccessLine, measuring: Option<Measuring>) -> Self {
        Self {
            operation: "none",
            line,
            measuring,
        }
    }

    /// Now it is known what it wants.
    pub(crate) fn wants(&mut self, endpoint: &Endpoint) {
        self.operation = endpoint.operation();
        if let Some(measuring) = &mut self.measuring {
            measuring.wants(endpoint);
        }
    }

    /// A handler panicked over it.
    pub(crate) fn panicked(&mut self) {
        self.operation = "panic";
    }

    /// Where the bytes of its body are counted as they come, if they are an upload's.
    pub(crate) fn arriving(&self) -> Option<IntCounter> {
        self.measuring.as_ref()?.arriving()
    }

    /// So much of its body has come.
    pub(crate) fn received(&mut self, bytes: u64) {
        if let Some(measuring) = &mut self.measuring {
            measuring.received(bytes);
        }
    }

    /// Follows the answer to its end.
    pub(crate) fn follow(mut self, response: Response<Body>) -> Response<Body> {
        self.line.answered(self.operation, response.status());
        if let Some(measuring) = &mut self.measuring {
            measuring.answered(response.status());
        }
        if response.body().is_end_stream() {
            return response;
        }
        response.map(|body| {
            Body::new(Followed {
                body,
                watch: Some(self),
            })
        })
    }

    fn sent(&mut self, bytes: usize) {
        self.line.sent += bytes as u64;
        if let Some(measuring) = &mut self.measuring {
            measuring.sent(bytes);
        }
    }
}

/// The body of an answer, and those who tell of its end.
#[derive(Debug)]
struct Followed {
    body: Body,
    watch: Option<Watch>,
}

impl http_body::Body for Followed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let (Some(watch), Some(Ok(frame))) = (&mut self.watch, &frame)
            && let Some(data) = frame.data_ref()
        {
            watch.sent(data.len());
        }
        // Before hyper sends it, so that who has the answer finds what is told of it.
        if frame.is_none() || self.body.is_end_stream() {
            self.watch = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use futures_util::{StreamExt, stream};
    use http::Request;
    use tracing::Span;

    use super::*;
    use crate::app::PeerAddr;
    use crate::proxies::Client;

    fn watch() -> Option<Watch> {
        let request = Request::get("/v2/").body(Body::empty()).unwrap();
        let client = Client {
            peer: PeerAddr(None),
            behind: None,
        };
        let line = AccessLine::new(&request, client, Span::none(), None);
        Some(Watch::new(line, None))
    }

    #[tokio::test]
    async fn the_bytes_that_were_taken_are_counted() {
        let pieces = stream::iter(["abc", "de"].map(Ok::<_, io::Error>));
        let mut followed = Followed {
            body: Body::from_stream(pieces),
            watch: watch(),
        };
        let mut sent = Vec::new();
        loop {
            let frame = std::future::poll_fn(|cx| Pin::new(&mut followed).poll_frame(cx));
            if frame.await.is_none() {
                break;
            }
            sent.push(followed.watch.as_ref().map(|watch| watch.line.sent));
        }
        assert_eq!(sent, [Some(3), Some(5)]);
        assert!(followed.watch.is_none(), "told at the end");
        let whole = Followed {
            body: Body::from("abc"),
            watch: watch(),
        };
        let mut whole = Body::new(whole).into_data_stream();
        assert_eq!(whole.next().await.unwrap().unwrap(), "abc");
    }
}
