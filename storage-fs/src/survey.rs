//! What can be told of a store without writing to it, and whether a server could.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use registry_core::layout::Dir;
use registry_core::storage::{Obstacle, Survey};
use rustix::fs::Access;

use crate::FsDriver;
use crate::error::{Holder, OpenError};
use crate::space::Space;

impl FsDriver {
    /// Of a store that was opened to be checked. This blocks for as long as the disk takes.
    #[must_use]
    pub fn survey(&self) -> Survey {
        let root = self.store.root().to_owned();
        let exists = root.is_dir();
        let nearest = existing(&root);
        let mut survey = Survey::default();
        let mut tell = |name, value: String| survey.facts.push((name, value));
        tell("root", root.display().to_string());
        if !exists {
            tell("state", "absent; a server that writes makes it".to_owned());
        }
        let durability = format!("{:?}", self.store.durability);
        tell("durability", durability.to_lowercase());
        if let Ok(Some(bytes)) = Space::new(&nearest).room() {
            let refused = "; pushes are refused until there is more";
            let refused = if bytes == 0 { refused } else { "" };
            tell("room", format!("{bytes} bytes of blobs{refused}"));
        }
        let other = self.store.lock.other();
        let held = other.as_ref().map(ToString::to_string);
        let unknown = match self.store.lock.is_beside() {
            true => "another process",
            false => "nobody else",
        };
        tell("held by", held.unwrap_or_else(|| unknown.to_owned()));
        survey.in_use = other.is_some() || self.store.lock.is_beside();
        if survey.in_use {
            let holder = other.unwrap_or(Holder {
                pid: None,
                name: None,
            });
            let locked: Obstacle = Arc::new(OpenError::Locked { root, holder });
            survey.serve = Some(Arc::clone(&locked));
            survey.read_only = self.store.lock.is_beside().then_some(locked);
        } else {
            survey.serve = writing(&root).err();
        }
        if !exists {
            let absence = io::ErrorKind::NotFound.into();
            survey.read_only = Some(unusable("opening", self.store.root(), absence));
        }
        survey
    }
}

/// Whether files could be made where uploads begin.
fn writing(root: &Path) -> Result<(), Obstacle> {
    let doing = match root.exists() {
        true => "making a file below",
        false => "making",
    };
    let refused = |error: io::Error| unusable(doing, root, error);
    let dir = existing(&root.join(Dir::Uploads.path().as_str()));
    if !dir.is_dir() {
        return Err(refused(io::ErrorKind::NotADirectory.into()));
    }
    rustix::fs::access(&dir, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|errno| refused(errno.into()))
}

fn unusable(doing: &'static str, path: &Path, source: io::Error) -> Obstacle {
    Arc::new(OpenError::Unusable {
        doing,
        path: path.to_owned(),
        source,
    })
}

/// The path, or the nearest above it that is there.
fn existing(path: &Path) -> PathBuf {
    let there = path
        .ancestors()
        .find(|path| path.symlink_metadata().is_ok());
    there.unwrap_or(path).to_owned()
}
