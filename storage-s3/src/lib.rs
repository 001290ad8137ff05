//! Blobs and records in an S3 bucket, in the tree that distribution keeps there.
//!
//! This crate depends on [`registry_core`] alone. It implements its storage traits on `object_store`
//! and leaves all semantics of a registry to core. The driver is not part of this release; a
//! configuration that names it is refused with an error that says so.
#[doc(no_inline)]
pub use registry_core;
