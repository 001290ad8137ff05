//! Work that would keep a worker from everybody else's requests.

use crate::storage::StorageError;

/// Bytes of a manifest that are hashed and parsed at once: for more, a trip to the blocking pool
/// is cheap beside the work.
const AT_ONCE: usize = 64 << 10;

/// Hashes or parses so many bytes of a manifest: here, or on the blocking pool.
pub(super) async fn aside<T: Send + 'static>(
    len: usize,
    doing: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StorageError> {
    if len <= AT_ONCE {
        return Ok(work());
    }
    on_the_pool(doing, work).await
}

/// Runs it on the blocking pool.
pub(super) async fn on_the_pool<T: Send + 'static>(
    doing: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StorageError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| StorageError::backend("registry", doing, error))
}

#[cfg(test)]
mod tests;
