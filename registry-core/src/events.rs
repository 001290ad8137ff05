//! What has happened, told to whoever wants to know.

use std::fmt;

use crate::digest::Digest;
use crate::media_type::MediaType;
use crate::name::{RepositoryName, Tag};

/// Something that has happened and will not be undone by a fault.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Event {
    /// What was done.
    pub action: EventAction,
    /// Where.
    pub repository: RepositoryName,
    /// To which content; absent when a tag alone was deleted.
    pub target: Option<Target>,
    /// Through which tag.
    pub tag: Option<Tag>,
    /// By whom; `None` when anonymous.
    pub actor: Option<String>,
}

/// The content of an event.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Target {
    /// Its address.
    pub digest: Digest,
    /// In bytes, where it is known.
    pub size: Option<u64>,
    /// Its type, where it is known.
    pub media_type: Option<MediaType>,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventAction {
    /// Content or a tag was removed.
    Delete,
    /// A blob became visible in another repository.
    Mount {
        /// Where it was before.
        from: RepositoryName,
    },
    /// Content was served.
    Pull,
    /// Content was stored.
    Push,
}

/// Told about things that have happened. Must return at once and cannot fail the request:
/// queueing, batching and retrying belong to the sink.
pub trait EventSink: fmt::Debug + Send + Sync + 'static {
    /// Takes note.
    fn emit(&self, event: Event);
}

/// Takes note of nothing.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::exhaustive_structs)]
pub struct NoEvents;

impl EventSink for NoEvents {
    fn emit(&self, _event: Event) {}
}

impl Event {
    /// Of an action on content.
    #[must_use]
    pub fn new(action: EventAction, repository: &RepositoryName, actor: Option<String>) -> Self {
        Self {
            action,
            repository: repository.clone(),
            target: None,
            tag: None,
            actor,
        }
    }

    /// With the content it is about.
    #[must_use]
    pub fn target(
        mut self,
        digest: Digest,
        size: Option<u64>,
        media_type: Option<MediaType>,
    ) -> Self {
        self.target = Some(Target {
            digest,
            size,
            media_type,
        });
        self
    }

    /// With the tag it went through.
    #[must_use]
    pub fn tag(mut self, tag: &Tag) -> Self {
        self.tag = Some(tag.clone());
        self
    }
}
