//! What is counted of requests.

use std::sync::Arc;
use std::time::Instant;

use http::{Method, StatusCode};
use prometheus::{
    Error, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, exponential_buckets,
};

use super::{Metrics, Series, buckets, counter, registered};
use crate::endpoint::{Endpoint, Start};
use crate::follow::NOBODY_WAITS;

/// distribution's bounds, in seconds.
const SECONDS: [f64; 13] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0,
];

/// What distribution calls the routes, and what it does not have or count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handler {
    Base,
    Blob,
    BlobUpload,
    BlobUploadChunk,
    Catalog,
    Manifest,
    Referrers,
    Tags,
    Other,
}

pub(super) const HANDLERS: [&str; 9] = [
    "base",
    "blob",
    "blob_upload",
    "blob_upload_chunk",
    "catalog",
    "manifest",
    "referrers",
    "tags",
    "other",
];

/// The last stands for all others.
const METHODS: [&str; 8] = [
    "get", "head", "post", "put", "patch", "delete", "options", "unknown",
];

/// Every status that we answer; any other is called [`OTHER`].
pub(super) const CODES: [u16; 26] = [
    200, 201, 202, 204, 206, 304, 307, 400, 401, 403, 404, 405, 409, 413, 414, 415, 416, 429, 431,
    499, 500, 501, 502, 503, 504, 507,
];

const OTHER: &str = "other";

fn code(status: u16) -> usize {
    CODES.binary_search(&status).unwrap_or(CODES.len())
}

fn code_name(code: usize) -> String {
    CODES.get(code).map_or(OTHER.to_owned(), u16::to_string)
}

fn method(method: &Method) -> usize {
    let known = |name: &str| name.eq_ignore_ascii_case(method.as_str());
    let at = METHODS.iter().position(|name| known(name));
    at.unwrap_or(METHODS.len() - 1)
}

/// Requests, as distribution counts them.
#[derive(Debug)]
pub(super) struct Requests {
    total: (IntCounterVec, Series<IntCounter>),
    seconds: (HistogramVec, Series<Histogram>),
    request_bytes: (HistogramVec, Series<Histogram>),
    response_bytes: (HistogramVec, Series<Histogram>),
    in_flight: (IntGaugeVec, Series<IntGauge>),
}

impl Requests {
    pub(super) fn new(all: &Registry) -> Result<Self, Error> {
        let (handlers, methods) = (HANDLERS.len(), METHODS.len());
        let total = Opts::new(
            "registry_http_requests_total",
            "Total number of HTTP requests made.",
        );
        let total = IntCounterVec::new(total, &["code", "handler", "method"])?;
        let seconds = buckets(
            "registry_http_request_duration_seconds",
            "The HTTP request latencies in seconds, to the end of the answer.",
            &SECONDS,
        );
        let seconds = HistogramVec::new(seconds, &["handler", "method"])?;
        let sizes = |name, help| {
            let bounds = exponential_buckets(1024.0, 2.0, 22)?;
            HistogramVec::new(buckets(name, help, &bounds), &["handler"])
        };
        let request_bytes = sizes(
            "registry_http_request_size_bytes",
            "The sizes of the bodies of HTTP requests in bytes.",
        )?;
        let response_bytes = sizes(
            "registry_http_response_size_bytes",
            "The HTTP response sizes in bytes.",
        )?;
        let in_flight = Opts::new(
            "registry_http_in_flight_requests",
            "The in-flight HTTP requests",
        );
        let in_flight = IntGaugeVec::new(in_flight, &["handler"])?;
        Ok(Self {
            total: (
                registered(all, total)?,
                Series::new((CODES.len() + 1) * handlers * methods),
            ),
            seconds: (registered(all, seconds)?, Series::new(handlers * methods)),
            request_bytes: (registered(all, request_bytes)?, Series::new(handlers)),
            response_bytes: (registered(all, response_bytes)?, Series::new(handlers)),
            in_flight: (registered(all, in_flight)?, Series::new(handlers)),
        })
    }

    fn in_flight(&self, handler: Handler) -> &IntGauge {
        let (family, series) = &self.in_flight;
        series.get(handler as usize, || {
            family.with_label_values(&[HANDLERS[handler as usize]])
        })
    }

    fn ended(&self, request: &Measuring) {
        let (handler, method) = (request.handler as usize, request.method);
        let name = HANDLERS[handler];
        self.in_flight(request.handler).dec();
        let code = code(request.status);
        let at = (code * HANDLERS.len() + handler) * METHODS.len() + method;
        let (family, series) = &self.total;
        let make = || family.with_label_values(&[&code_name(code), name, METHODS[method]]);
        series.get(at, make).inc();
        let (family, series) = &self.seconds;
        let values = [name, METHODS[method]];
        series
            .get(handler * METHODS.len() + method, || {
                family.with_label_values(&values)
            })
            .observe(request.begun.elapsed().as_secs_f64());
        let sizes = [
            (&self.request_bytes, request.received),
            (&self.response_bytes, request.sent),
        ];
        for ((family, series), bytes) in sizes {
            series
                .get(handler, || family.with_label_values(&[name]))
                .observe(bytes as f64);
        }
    }
}

/// What was done for clients.
#[derive(Debug)]
pub(super) struct Deeds {
    uploads_begun: IntCounter,
    uploads_finished: IntCounter,
    upload_bytes: IntCounter,
    blob_pulls: IntCounter,
    blob_bytes: IntCounter,
    manifest_pulls: IntCounter,
    manifest_pushes: IntCounter,
}

impl Deeds {
    pub(super) fn new(all: &Registry) -> Result<Self, Error> {
        let counter = |name, help| counter(all, name, help);
        Ok(Self {
            uploads_begun: counter(
                "registry_uploads_begun_total",
                "Uploads of blobs that began",
            )?,
            uploads_finished: counter(
                "registry_uploads_finished_total",
                "Uploads that became blobs",
            )?,
            upload_bytes: counter(
                "registry_upload_received_bytes_total",
                "Bytes of uploads that came, of finished ones or not",
            )?,
            blob_pulls: counter(
                "registry_blob_pulls_total",
                "Blobs, or parts of them, that were served",
            )?,
            blob_bytes: counter(
                "registry_blob_sent_bytes_total",
                "Bytes of blobs that were sent",
            )?,
            manifest_pulls: counter(
                "registry_manifest_pulls_total",
                "Manifests that were served",
            )?,
            manifest_pushes: counter(
                "registry_manifest_pushes_total",
                "Manifests that were stored",
            )?,
        })
    }

    fn done(&self, deed: Deed, status: StatusCode) {
        match (deed, status.as_u16()) {
            (Deed::Start | Deed::Whole, 202) => self.uploads_begun.inc(),
            (Deed::Whole, 201) => {
                self.uploads_begun.inc();
                self.uploads_finished.inc();
            }
            (Deed::Finish, 201) => self.uploads_finished.inc(),
            (Deed::PullBlob, 200 | 206) => self.blob_pulls.inc(),
            (Deed::PullManifest, 200) => self.manifest_pulls.inc(),
            (Deed::PushManifest, 201) => self.manifest_pushes.inc(),
            _ => {}
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Start,
    Whole,
    Append,
    Finish,
    PullBlob,
    PullManifest,
    PushManifest,
    Nothing,
}

fn kind(endpoint: &Endpoint) -> (Handler, Deed) {
    match endpoint {
        Endpoint::Root
        | Endpoint::IssueToken { .. }
        | Endpoint::TokenKeys
        | Endpoint::Options { .. } => (Handler::Other, Deed::Nothing),
        Endpoint::Ping => (Handler::Base, Deed::Nothing),
        Endpoint::Catalog { .. } => (Handler::Catalog, Deed::Nothing),
        Endpoint::ListTags { .. } => (Handler::Tags, Deed::Nothing),
        Endpoint::Referrers { .. } => (Handler::Referrers, Deed::Nothing),
        Endpoint::GetBlob { head: false, .. } => (Handler::Blob, Deed::PullBlob),
        Endpoint::GetBlob { head: true, .. } | Endpoint::DeleteBlob { .. } => {
            (Handler::Blob, Deed::Nothing)
        }
        Endpoint::StartUpload { start, .. } => match start {
            Start::Plain(_) | Start::Mount { .. } => (Handler::BlobUpload, Deed::Start),
            Start::Whole(_) => (Handler::BlobUpload, Deed::Whole),
        },
        Endpoint::AppendUpload { .. } => (Handler::BlobUploadChunk, Deed::Append),
        Endpoint::FinishUpload { .. } => (Handler::BlobUploadChunk, Deed::Finish),
        Endpoint::UploadStatus { .. } | Endpoint::CancelUpload { .. } => {
            (Handler::BlobUploadChunk, Deed::Nothing)
        }
        Endpoint::GetManifest { head: false, .. } => (Handler::Manifest, Deed::PullManifest),
        Endpoint::PutManifest { .. } => (Handler::Manifest, Deed::PushManifest),
        Endpoint::GetManifest { head: true, .. } | Endpoint::DeleteManifest { .. } => {
            (Handler::Manifest, Deed::Nothing)
        }
    }
}

/// A request, from its head to the last byte of its answer. It is counted when this is dropped.
#[derive(Debug)]
pub(crate) struct Measuring {
    metrics: Arc<Metrics>,
    handler: Handler,
    deed: Deed,
    method: usize,
    begun: Instant,
    /// Bytes of its body.
    received: u64,
    /// Bytes of the body of its answer.
    sent: u64,
    status: u16,
}

impl Measuring {
    pub(crate) fn begin(metrics: &Arc<Metrics>, asked: &Method) -> Self {
        metrics.requests.in_flight(Handler::Other).inc();
        Self {
            metrics: Arc::clone(metrics),
            handler: Handler::Other,
            deed: Deed::Nothing,
            method: method(asked),
            begun: Instant::now(),
            received: 0,
            sent: 0,
            status: NOBODY_WAITS,
        }
    }

    /// Now it is known what it wants.
    pub(crate) fn wants(&mut self, endpoint: &Endpoint) {
        let requests = &self.metrics.requests;
        requests.in_flight(self.handler).dec();
        (self.handler, self.deed) = kind(endpoint);
        requests.in_flight(self.handler).inc();
    }

    /// Where the bytes of its body are counted as they come, if they are an upload's.
    pub(crate) fn arriving(&self) -> Option<IntCounter> {
        let upload = matches!(self.deed, Deed::Whole | Deed::Append | Deed::Finish);
        upload.then(|| self.metrics.deeds.upload_bytes.clone())
    }

    /// So much of its body has come.
    pub(crate) fn received(&mut self, bytes: u64) {
        self.received = bytes;
    }

    /// The head of its answer is known.
    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.status = status.as_u16();
        self.metrics.deeds.done(self.deed, status);
    }

    /// So much more of its answer's body has been handed over.
    pub(crate) fn sent(&mut self, bytes: usize) {
        let bytes = bytes as u64;
        self.sent += bytes;
        if self.deed == Deed::PullBlob && self.status < 300 {
            self.metrics.deeds.blob_bytes.inc_by(bytes);
        }
    }
}

impl Drop for Measuring {
    fn drop(&mut self) {
        self.metrics.requests.ended(self);
    }
}
