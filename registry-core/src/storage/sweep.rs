//! What is done with uploads that nobody will finish.

use std::fmt;

/// What a sweep does with the uploads that it finds.
#[non_exhaustive]
pub enum Sweep<'a> {
    /// Removes them.
    Remove,
    /// Leaves them, and tells the path of each.
    Tell(&'a mut (dyn FnMut(&str) + Send)),
}

impl Sweep<'_> {
    /// Whether it changes anything.
    #[must_use]
    pub fn removes(&self) -> bool {
        matches!(self, Self::Remove)
    }

    /// To be called with each that was found, removed or not.
    pub fn found(&mut self, path: &str) {
        if let Self::Tell(tell) = self {
            tell(path);
        }
    }
}

impl fmt::Debug for Sweep<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Remove => "Remove",
            Self::Tell(_) => "Tell",
        })
    }
}
