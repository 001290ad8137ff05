//! What driver crates test with (feature `testing`).
