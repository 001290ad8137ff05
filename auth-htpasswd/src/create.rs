//! A file of users where there is none, as distribution makes it.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::hash::{DEFAULT_COST, Hash};

/// What becomes of a file that is not there when users are opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Missing {
    /// It is made, with one user whose password is logged: to serve.
    Create,
    /// It stays away, and nobody is there: to see whether all is well.
    Leave,
}

/// As distribution calls it.
const USER: &str = "docker";

/// Whether there is a file now; makes one if that is wanted.
pub(crate) fn unless_there(
    path: &Path,
    missing: Missing,
    random: fn() -> [u8; 32],
) -> io::Result<bool> {
    match (std::fs::metadata(path), missing) {
        (Err(error), _) if error.kind() != ErrorKind::NotFound => Err(error),
        (Ok(_), _) => Ok(true),
        (Err(_), Missing::Leave) => Ok(false),
        (Err(_), Missing::Create) => create(path, random).map(|()| true),
    }
}

fn create(path: &Path, random: fn() -> [u8; 32]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    if let Some(folder) = folder {
        // Those that are there stay as they are.
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    let password = URL_SAFE_NO_PAD.encode(random());
    let mut salt = [0; 16];
    salt.copy_from_slice(&random()[..16]);
    let hash = Hash::make(password.as_bytes(), DEFAULT_COST, salt).map_err(io::Error::other)?;
    let opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    let mut file = match opened {
        Ok(file) => file,
        // Somebody was faster; that one counts.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(error),
    };
    file.write_all(format!("{USER}:{hash}\n").as_bytes())?;
    file.sync_all()?;
    tracing::warn!(
        path = %path.display(),
        user = USER,
        password,
        "there was no file of users; a new one has one user, whose password is told only here"
    );
    Ok(())
}
