//! What cannot be opened, with the key that names it, where that came from, and what to do.

use std::io;

use registry_core::BoxError;

use super::Error;
use crate::cli;
use crate::config::Config;

/// The driver does not open its store. One that may not be written to, where it is to be, is said
/// with what the operator can do: to come up as something less than was asked for would show at
/// the first push, and perhaps to nobody.
pub(crate) fn unopened(config: &Config, source: BoxError) -> Error {
    let kind = config.driver.kind.as_str();
    let path: &[&str] = match config.driver.root() {
        Some(_) => &["storage", kind, "rootdirectory"],
        None => &["storage", kind],
    };
    if !config.readonly && config.driver.root().is_some() && may_not_write(&*source) {
        let why = cli::chain(&*source);
        let message =
            format!("{why}; `storage.maintenance.readonly.enabled: true` serves it as it is");
        return config.refuse(path, message).into();
    }
    Error::Storage {
        kind: kind.to_owned(),
        key: path.join("."),
        origin: config.origin(path),
        source,
    }
}

/// Whether the system does not let us write.
fn may_not_write(error: &(dyn std::error::Error + 'static)) -> bool {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let mut causes = causes.filter_map(|error| error.downcast_ref::<io::Error>());
    causes.any(|error| {
        let kind = error.kind();
        matches!(
            kind,
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied
        )
    })
}

/// What to do where nothing can listen.
pub(super) fn remedy(reason: &io::Error, key: &str) -> String {
    match reason.kind() {
        io::ErrorKind::AddrInUse => {
            format!("; stop what listens there first, or give `{key}` another address")
        }
        io::ErrorKind::AddrNotAvailable => {
            "; this machine has no such address, and `:5000` is port 5000 of every address it has"
                .to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "; this user may not have it, as ports below 1024 often are not for everyone".to_owned()
        }
        io::ErrorKind::AlreadyExists => "; remove it, or name another path".to_owned(),
        _ => String::new(),
    }
}

/// Nothing listens at the address of this key.
pub(crate) fn unheard(config: &Config, key: &'static str, addr: &str, reason: io::Error) -> Error {
    let path: Vec<&str> = key.split('.').collect();
    Error::Listen {
        key,
        origin: config.origin(&path),
        addr: addr.to_owned(),
        reason,
    }
}
