//! The only place of this crate that touches files.
#![allow(
    clippy::disallowed_methods,
    reason = "keys are files, and this is where they are opened"
)]

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use crate::error::OpenError;

/// Largest file that is read, in bytes.
pub(crate) const MAX_FILE: u64 = 1024 * 1024;

/// The whole of a file, which has a bound.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, OpenError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes));
    read.map_err(|source| failed(path, source))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(OpenError::Content {
            path: path.to_owned(),
            what: format!("longer than {MAX_FILE} bytes"),
        });
    }
    Ok(bytes)
}

fn failed(path: &Path, source: io::Error) -> OpenError {
    OpenError::File {
        path: path.to_owned(),
        source,
    }
}
