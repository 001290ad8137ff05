//! Connections, faults and the log: what lies between the wire and the store.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, future, stream};
use http::response::Parts;
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::dto::{Timestamp, TimestampFormat};
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::TcpSocket;
use tokio::sync::oneshot;

use super::faults::{Fault, When};
use super::operation::Request;
use super::service::Service;
use super::{S3Server, Shared, lock, now};

type Error = Box<dyn std::error::Error + Send + Sync>;
type Body = UnsyncBoxBody<Bytes, Error>;

/// Serves until `stopped`, or until whoever could say so is gone; then every connection ends.
pub(super) fn serve(
    socket: TcpSocket,
    shared: Arc<Shared>,
    listening: &Sender<()>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    let mut service = S3ServiceBuilder::new(Service(Arc::clone(&shared)));
    service.set_auth(SimpleAuth::from_single(
        S3Server::ACCESS_KEY,
        S3Server::SECRET_KEY,
    ));
    let door = Arc::new(Door {
        shared,
        service: service.build(),
    });
    runtime.block_on(async {
        let listener = socket.listen(1_024).expect("a listener");
        listening.send(()).expect("whoever waits for it");
        let accepting = async {
            loop {
                if let Ok((stream, _)) = listener.accept().await {
                    // Small answers must not wait for the acknowledgement of others.
                    let _ = stream.set_nodelay(true);
                    let door = Arc::clone(&door);
                    let answer = service_fn(move |request| Arc::clone(&door).answer(request));
                    let connection = http1::Builder::new();
                    tokio::spawn(connection.serve_connection(TokioIo::new(stream), answer));
                }
            }
        };
        future::select(Box::pin(accepting), stopped).await;
    });
}

struct Door {
    shared: Arc<Shared>,
    service: S3Service,
}

impl Door {
    /// An error ends the connection.
    async fn answer(
        self: Arc<Self>,
        request: http::Request<Incoming>,
    ) -> Result<Response<Body>, Error> {
        let (parts, body) = request.into_parts();
        let mut request = Request::of(&parts);
        let head = parts.method == Method::HEAD;
        let met = lock(&self.shared.faults).meet(&request);
        let (met, pace) = match met {
            Some((_, Fault::Slow(pace))) => (None, pace),
            met => (met, Duration::ZERO),
        };
        let body = taken(body, pace).await?;
        request.len = body.len();
        let answered = match &met {
            Some((When::Before, Fault::Status(..) | Fault::ErrorInBody(_) | Fault::Changed(_))) => {
                Response::default()
            }
            Some((When::Before, fault)) => {
                lock(&self.shared.log).push(request);
                return Err(lost(fault).await);
            }
            _ => {
                let request = http::Request::from_parts(parts, s3s::Body::from(body));
                let answered = self.service.call(request).await;
                answered
                    .map_err(Error::from)?
                    .map(|body| body.map_err(Error::from).boxed_unsync())
            }
        };
        let answer = match met {
            Some((_, Fault::Status(status, code))) => Ok(error(status, code)),
            Some((_, Fault::ErrorInBody(code))) => Ok(error(StatusCode::OK, code)),
            Some((_, Fault::Cut(len))) => Ok(part_of(answered, len, false).await?),
            Some((_, Fault::Trickle(pace))) => Ok(trickling(answered, pace).await?),
            Some((_, Fault::Changed(change))) => Ok(changed(answered, change, head).await?),
            Some((_, Fault::Stall(len))) => Ok(part_of(answered, len, true).await?),
            Some((_, fault)) => Err(fault),
            None => Ok(answered),
        };
        request.status = answer.as_ref().ok().map(Response::status);
        lock(&self.shared.log).push(request);
        match answer {
            Ok(answer) => Ok(dated(answer)),
            Err(fault) => Err(lost(&fault).await),
        }
    }
}

/// All of a body, at this pace.
async fn taken(mut body: Incoming, pace: Duration) -> Result<Bytes, Error> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(piece) = frame?.into_data() {
            whole.extend_from_slice(&piece);
        }
        if !pace.is_zero() {
            // tidy: sleep: slowness is what was asked for
            tokio::time::sleep(pace).await;
        }
    }
    Ok(whole.freeze())
}

/// No answer: at once, or never.
async fn lost(fault: &Fault) -> Error {
    if matches!(fault, Fault::Silence | Fault::Stall(_)) {
        future::pending::<()>().await;
    }
    "told to fail".into()
}

/// Its clock is the one of the objects.
fn dated(mut answer: Response<Body>) -> Response<Body> {
    let mut date = Vec::new();
    let written = Timestamp::from(now()).format(TimestampFormat::HttpDate, &mut date);
    written.expect("a date can be written");
    let date = HeaderValue::from_bytes(&date).expect("a date is a value");
    answer.headers_mut().insert(header::DATE, date);
    answer
}

fn error(status: StatusCode, code: &str) -> Response<Body> {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code>\
         <Message>told to fail</Message></Error>"
    );
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {});
    let mut answer = Response::new(body.boxed_unsync());
    *answer.status_mut() = status;
    let xml = HeaderValue::from_static("application/xml");
    answer.headers_mut().insert(header::CONTENT_TYPE, xml);
    answer
}

/// An answer that takes its time.
async fn trickling(answer: Response<Body>, pace: Duration) -> Result<Response<Body>, Error> {
    let (parts, body) = answer.into_parts();
    let mut rest = body.collect().await?.to_bytes();
    let piece = rest.len().div_ceil(10);
    let pieces = stream::poll_fn(move |_| {
        let len = piece.min(rest.len());
        Poll::Ready((len > 0).then(|| rest.split_to(len)))
    });
    let slowly = pieces.then(move |piece| async move {
        // tidy: sleep: slowness is what was asked for
        tokio::time::sleep(pace).await;
        Ok(Frame::data(piece))
    });
    Ok(Response::from_parts(
        parts,
        StreamBody::new(slowly).boxed_unsync(),
    ))
}

/// An answer that something has been done to. Its body has no length of its own, so that it may
/// contradict the head.
async fn changed(
    answer: Response<Body>,
    change: fn(&mut Parts, &mut Bytes),
    head: bool,
) -> Result<Response<Body>, Error> {
    let (mut parts, body) = answer.into_parts();
    let mut bytes = body.collect().await?.to_bytes();
    let before = parts.headers.get(header::CONTENT_LENGTH).cloned();
    change(&mut parts, &mut bytes);
    if !head && parts.headers.get(header::CONTENT_LENGTH) == before.as_ref() {
        parts
            .headers
            .insert(header::CONTENT_LENGTH, bytes.len().into());
    }
    let body = StreamBody::new(stream::iter([Ok(Frame::data(bytes))])).boxed_unsync();
    Ok(Response::from_parts(parts, body))
}

/// The beginning of an answer whose header promises all of it.
async fn part_of(answer: Response<Body>, len: usize, stays: bool) -> Result<Response<Body>, Error> {
    let (mut parts, body) = answer.into_parts();
    let mut whole = body.collect().await?.to_bytes();
    parts
        .headers
        .insert(header::CONTENT_LENGTH, whole.len().into());
    whole.truncate(len);
    let begun = stream::iter([Ok(Frame::data(whole))]);
    let rest = stream::once(async move {
        match stays {
            true => future::pending().await,
            // So that what is there leaves before the connection ends.
            false => tokio::task::yield_now().await,
        }
        Err(Error::from("told to fail"))
    });
    let body = StreamBody::new(begun.chain(rest)).boxed_unsync();
    Ok(Response::from_parts(parts, body))
}
