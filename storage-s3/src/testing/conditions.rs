//! Conditions of requests, judged under the lock under which the change is made.

use std::time::{Duration, SystemTime};

use s3s::dto::{ETag, ETagCondition, Timestamp};
use s3s::{S3Result, s3_error};

use super::Stored;

/// Of a write. With `If-Match` what is absent is 404, as AWS says it.
pub(super) fn write(
    there: Option<&Stored>,
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
) -> S3Result<()> {
    if let Some(condition) = if_match {
        let there = there.ok_or_else(|| s3_error!(NoSuchKey))?;
        if !is(there, condition) {
            return Err(s3_error!(PreconditionFailed));
        }
    }
    match (if_none_match, there) {
        (None, _) | (_, None) => Ok(()),
        (Some(ETagCondition::Any), Some(_)) => Err(s3_error!(PreconditionFailed)),
        // AWS knows no other than `*` here.
        (Some(ETagCondition::ETag(_)), Some(_)) => Err(s3_error!(NotImplemented)),
    }
}

/// Of a look, or of the source of a copy.
pub(super) struct Read<'a> {
    pub(super) if_match: Option<&'a ETagCondition>,
    pub(super) if_none_match: Option<&'a ETagCondition>,
    pub(super) modified_since: Option<&'a Timestamp>,
    pub(super) unmodified_since: Option<&'a Timestamp>,
}

impl Read<'_> {
    /// Where both kinds are there, the entity tag decides (RFC 9110, section 13.2.2).
    pub(super) fn check(&self, there: &Stored) -> S3Result<()> {
        let modified = seconds(there.modified);
        let holds = match (self.if_match, self.unmodified_since) {
            (Some(condition), _) => is(there, condition),
            (None, Some(since)) => modified <= *since,
            (None, None) => true,
        };
        if !holds {
            return Err(s3_error!(PreconditionFailed));
        }
        let changed = match (self.if_none_match, self.modified_since) {
            (Some(condition), _) => !is(there, condition),
            (None, Some(since)) => modified > *since,
            (None, None) => true,
        };
        match changed {
            true => Ok(()),
            false => Err(s3_error!(NotModified)),
        }
    }
}

fn is(there: &Stored, condition: &ETagCondition) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(ETag::Strong(e_tag)) => *e_tag == there.e_tag,
        ETagCondition::ETag(ETag::Weak(_)) => false,
    }
}

/// Headers have no parts of seconds.
fn seconds(time: SystemTime) -> Timestamp {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from(SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs()))
}
