//! The core of a container registry: its vocabulary, the traits of its drivers, and its semantics.
#![warn(missing_docs)]

pub mod access;
pub mod ambient;
pub mod digest;
pub mod error;
pub mod events;
pub mod hasher;
pub mod layout;
mod locks;
pub mod manifest;
pub mod media_type;
pub mod name;
pub mod reference;
pub mod registry;
pub mod rules;
pub mod storage;
#[cfg(feature = "testing")]
pub mod testing;

/// The source of an error, whatever it is.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

pub use self::ambient::Ambient;
pub use self::digest::{Algorithm, Digest, DigestError};
pub use self::error::{ErrorCode, RegistryError};
pub use self::media_type::MediaType;
pub use self::name::{NameError, RepositoryName, Tag};
pub use self::reference::Reference;
pub use self::registry::Registry;
pub use self::rules::{Grant, Refusal, Rules};
pub use self::storage::{Storage, StorageError};
