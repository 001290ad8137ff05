//! Who is it, by user name and password: distribution's `auth.htpasswd`.
//!
//! This crate depends on [`registry_core`] alone and implements its `Authenticator`. It is not part of
//! this release; a configuration that names it is refused with an error that says so, since what
//! protects must never be ignored.
#[doc(no_inline)]
pub use registry_core;
