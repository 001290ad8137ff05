//! What the configuration asks of manifests beyond the rules that each of them keeps.

use std::fmt;
use std::sync::Arc;

/// What a manifest must be to be accepted, beyond being one. By default nothing but that all
/// children of an index are here.
#[derive(Clone, Debug, Default)]
#[allow(clippy::exhaustive_structs)]
pub struct Demands {
    /// Decides about the URLs of layers (`validation.manifests.urls`); without it any of http and
    /// https will do.
    pub urls: Option<Arc<dyn UrlRule>>,
    /// Which children of an index must exist (`validation.manifests.indexes`).
    pub children: Children,
    /// The classes of images that are accepted (`policy.repository.classes`), all if none is
    /// named: `image`, `plugin`.
    pub classes: Vec<String>,
}

/// Decides about the URLs of layers that may be fetched elsewhere.
pub trait UrlRule: fmt::Debug + Send + Sync {
    /// Whether a layer may name this one, which is of http or https.
    fn admits(&self, url: &str) -> bool;
}

/// Which children of an index must exist when it is pushed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Children {
    /// All of them.
    #[default]
    All,
    /// None needs to.
    None,
    /// Those for one of these platforms; who names no platform need not.
    For(Vec<Platform>),
}

/// What an index says a child runs on, as far as it is looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)]
pub struct Platform {
    /// Operating system, in the words of Go: `linux`.
    pub os: String,
    /// Processor, in the words of Go: `amd64`.
    pub architecture: String,
}
