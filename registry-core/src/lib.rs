//! The core of a container registry: its vocabulary, the traits of its drivers, and its semantics.
//!
//! # Writing a storage driver
//!
//! A driver stores bytes; what a registry means by them is decided above it. It sees no request,
//! no configuration file, and no path that [`layout`] has not made. From an empty crate to one
//! that passes the suite:
//!
//! 1. **Depend on `registry-core`**, and once more under `[dev-dependencies]` with
//!    `features = ["testing"]`, beside tokio with `macros` and `rt-multi-thread`.
//! 2. **Choose the traits.** [`storage::RecordStore`] is needed in any case: small documents, put
//!    atomically and listed in one order. For the heavy bytes implement [`storage::WholeBlobs`] if
//!    your store can take a stream and read a range and no more; [`storage::Spooled`] makes of it
//!    a [`storage::BlobStore`] that resumes uploads and retires blobs. Implement `BlobStore`
//!    itself when your store can append, or move a blob without reading it.
//! 3. **Put them together**: [`Storage::spooled`] or [`Storage::from_driver`] for one driver that
//!    is both halves, [`Storage::new`] for two.
//! 4. **Run the suite.** It needs a fixture that opens an empty store, and one line:
//!
//! ```
//! use registry_core::Storage;
//! use registry_core::storage::MemoryDriver; // yours
//! use registry_core::testing::ambient;
//!
//! /// What must outlive the test, such as a temporary directory, goes in the second place.
//! async fn open() -> (Storage, impl Sized) {
//!     (Storage::from_driver(MemoryDriver::new(ambient())), ())
//! }
//!
//! registry_core::storage_conformance!(open);
//! ```
//!
//! Each clause of the contract is a test of its own, named by the sentence it checks. Where the
//! documentation of a trait leaves you in doubt, [`storage::MemoryDriver`] is its readable
//! definition. What drivers get wrong first:
//!
//! * **One clock.** Times of blobs and records, and `now()`, come from the same clock: whatever is
//!   stamped after `now()` was past a time must be stamped later than it. Files are stamped by
//!   a clock coarser than the one a process reads.
//! * **Absent or broken.** [`StorageError::NotFound`] and `None` say that the store has looked and
//!   found nothing. A timeout, a refusal or garbage is [`StorageError::Backend`]: taken for an
//!   absence, it would let the collector destroy what is referenced.
//! * **Order.** Keys are compared by their bytes, a directory as `name/`: `a-b/` comes before `a/`.
//! * **Checkpoints.** Whatever is needed to go on from one is in its token; an older one works
//!   until the upload goes on from a newer. Read a token with suspicion.
//! * **Dropped calls.** A client goes away, and with it the future at any await: what it left is
//!   done or not done, and what was staged is found by `sweep_uploads`.
//!
//! Then see that the registry loses nothing over your store: `storage_faults!(open)` lets each call
//! fail in turn, stall, and be cut short, and `storage_interleavings!(open, 100)` lets a collector's
//! steps fall between those of a push.
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
pub use self::digest::{Algorithm, AnyDigest, Digest, DigestError};
pub use self::error::{ErrorCode, RegistryError};
pub use self::media_type::MediaType;
pub use self::name::{NameError, RepositoryName, Tag};
pub use self::reference::Reference;
pub use self::registry::Registry;
pub use self::rules::{Grant, Refusal, Rules};
pub use self::storage::{Storage, StorageError};
