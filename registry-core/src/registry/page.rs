//! Pages of listings.

/// Which part of a listing is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)]
pub struct PageRequest {
    /// At most this many; all without it.
    pub n: Option<usize>,
    /// Only what comes after this, in plain byte order; it need not exist.
    pub last: Option<String>,
}

/// A part of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)]
pub struct Page<T> {
    /// In plain byte order.
    pub items: Vec<T>,
    /// Whether something follows.
    pub more: bool,
}

impl<T> Page<T> {
    /// Cuts what was gathered with one item to spare.
    pub(super) fn cut(mut items: Vec<T>, n: Option<usize>) -> Self {
        let more = n.is_some_and(|n| items.len() > n);
        if let Some(n) = n {
            items.truncate(n);
        }
        Self { items, more }
    }
}
