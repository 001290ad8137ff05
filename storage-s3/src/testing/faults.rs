//! Failing on demand: before anything has happened, or after it has, as a network does.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::response::Parts;

use super::operation::{Operation, Request};

/// Whether the store has done what was asked when it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)]
pub enum When {
    /// It has not, and will not.
    Before,
    /// It has, and only the answer is lost.
    After,
}

/// What goes wrong.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// An error of this status and code.
    Status(StatusCode, &'static str),
    /// 200 with an error in its body, as AWS may answer a copy and the completion of an upload.
    ErrorInBody(&'static str),
    /// The connection ends without an answer.
    Reset,
    /// There is no answer, and the connection stays.
    Silence,
    /// The answer ends after so many bytes of its body.
    Cut(usize),
    /// Everything goes well, but the request is taken slowly: so long for each piece of its body.
    Slow(Duration),
    /// The body of the answer comes in ten pieces, with so long before each.
    Trickle(Duration),
    /// The answer comes, and is not what it was: its head and its body are changed by this. A length
    /// that is left as it was becomes that of the changed body.
    Changed(fn(&mut Parts, &mut Bytes)),
    /// The answer stays away after so many bytes of its body, and the connection stays.
    Stall(usize),
}

impl Fault {
    /// 500 `InternalError`.
    pub const INTERNAL: Self = Self::Status(StatusCode::INTERNAL_SERVER_ERROR, "InternalError");
    /// 503 `SlowDown`.
    pub const SLOW_DOWN: Self = Self::Status(StatusCode::SERVICE_UNAVAILABLE, "SlowDown");
    /// 409 `ConditionalRequestConflict`: another request with a condition was in the way.
    pub const CONFLICT: Self = Self::Status(StatusCode::CONFLICT, "ConditionalRequestConflict");
    /// 412 `PreconditionFailed`.
    pub const PRECONDITION: Self =
        Self::Status(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
}

/// A fault, and the requests that it meets.
#[derive(Clone, Debug)]
pub struct Failure {
    operation: Option<Operation>,
    spared: Option<Operation>,
    key: Option<String>,
    skip: usize,
    times: usize,
    when: When,
    fault: Fault,
}

impl Failure {
    /// Of the next request, whatever it asks for.
    #[must_use]
    pub fn new(when: When, fault: Fault) -> Self {
        Self {
            operation: None,
            spared: None,
            key: None,
            skip: 0,
            times: 1,
            when,
            fault,
        }
    }

    /// Only where this is asked for.
    #[must_use]
    pub fn of(mut self, operation: Operation) -> Self {
        self.operation = Some(operation);
        self
    }

    /// Not where this is asked for, which is not counted either.
    #[must_use]
    pub fn but_of(mut self, operation: Operation) -> Self {
        self.spared = Some(operation);
        self
    }

    /// Only where the key of the object contains this.
    #[must_use]
    pub fn at(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Not the first so many of those.
    #[must_use]
    pub fn skip(mut self, requests: usize) -> Self {
        self.skip = requests;
        self
    }

    /// So many of those, one after the other.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    fn meets(&self, request: &Request) -> bool {
        let operation = self.operation.is_none_or(|one| one == request.operation);
        let key = self.key.as_ref();
        let spared = self.spared == Some(request.operation);
        operation && !spared && key.is_none_or(|part| request.key.contains(part))
    }
}

#[derive(Default)]
pub(super) struct Faults(Vec<Failure>);

impl Faults {
    pub(super) fn add(&mut self, failure: Failure) {
        self.0.push(failure);
    }

    pub(super) fn clear(&mut self) -> usize {
        std::mem::take(&mut self.0).len()
    }

    /// What goes wrong with this request, if anything does.
    pub(super) fn meet(&mut self, request: &Request) -> Option<(When, Fault)> {
        let at = self.0.iter().position(|one| one.meets(request))?;
        let failure = &mut self.0[at];
        if failure.skip > 0 {
            failure.skip -= 1;
            return None;
        }
        let met = (failure.when, failure.fault.clone());
        failure.times = failure.times.saturating_sub(1);
        if failure.times == 0 {
            self.0.remove(at);
        }
        Some(met)
    }
}
