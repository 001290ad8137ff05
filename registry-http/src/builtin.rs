//! The drivers this crate can bring along: the only file that names their crates.

use crate::factories::Factories;

/// Registers every driver that was compiled in.
pub(crate) fn register(factories: &mut Factories) {
    let _ = factories;
}
