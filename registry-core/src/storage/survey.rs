//! What a driver says of a store that is only looked at.

use std::error::Error;
use std::sync::Arc;

/// Why a server would not start.
pub type Obstacle = Arc<dyn Error + Send + Sync>;

/// What a driver says of a store that was opened with [`OpenMode::Check`](super::OpenMode::Check).
/// One that says nothing knows of nothing that is in the way.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Survey {
    /// Names and values, for whoever runs the registry: where the store is, what it promises.
    pub facts: Vec<(&'static str, String)>,
    /// Why [`OpenMode::Serve`](super::OpenMode::Serve) would fail now.
    pub serve: Option<Obstacle>,
    /// Why [`OpenMode::ReadOnly`](super::OpenMode::ReadOnly) would fail now.
    pub read_only: Option<Obstacle>,
    /// Whether what is in the way is another process that has the store now: what it changes
    /// meanwhile may be told wrongly.
    pub in_use: bool,
}
