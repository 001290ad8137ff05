//! The drivers and schemes this crate can bring along: the only file that names their crates.

use std::convert::Infallible;

/// What the command that changes users needs.
#[cfg(feature = "htpasswd")]
pub(crate) use auth_htpasswd as users;
/// What our own token service is made of.
#[cfg(feature = "token")]
pub(crate) use auth_token as tokens;
#[cfg(any(feature = "fs", feature = "s3", feature = "htpasswd"))]
use registry_core::storage::OpenMode;
#[cfg(any(feature = "fs", feature = "s3"))]
use registry_core::storage::Survey;
use registry_core::storage::{MemoryDriver, Storage};

use crate::ambient::ambient;
use crate::factories::Factories;

/// Registers every driver that was compiled in.
pub(crate) fn register(factories: &mut Factories) {
    factories.insert_storage("inmemory", |(), _mode| async {
        Ok::<_, Infallible>(Storage::from_driver(MemoryDriver::new(ambient())))
    });
    #[cfg(feature = "fs")]
    factories.insert_storage(
        "filesystem",
        |config: storage_fs::Config, mode| async move {
            // It looks at the disk, which takes as long as it takes.
            let opening = move || {
                let driver = storage_fs::open(&config, mode)?;
                let survey = match mode {
                    OpenMode::Check => driver.survey(),
                    _ => Survey::default(),
                };
                Ok::<_, registry_core::BoxError>(Storage::from_driver(driver).surveyed(survey))
            };
            tokio::task::spawn_blocking(opening).await?
        },
    );
    #[cfg(feature = "s3")]
    for kind in ["s3", "s3aws"] {
        factories.insert_storage(kind, |config: storage_s3::Config, mode| async move {
            let driver = storage_s3::open(&config, mode).await?;
            let survey = match mode {
                OpenMode::Check => driver.survey().await,
                _ => Survey::default(),
            };
            Ok::<_, registry_core::BoxError>(Storage::from_driver(driver).surveyed(survey))
        });
    }
    #[cfg(feature = "htpasswd")]
    factories.insert_auth("htpasswd", |config: users::Config, mode| async move {
        let missing = match mode {
            OpenMode::Check => users::Missing::Leave,
            _ => users::Missing::Create,
        };
        let opening = move || users::Htpasswd::open(&config, ambient(), missing);
        let opened = tokio::task::spawn_blocking(opening).await?;
        opened.map_err(registry_core::BoxError::from)
    });
    #[cfg(feature = "token")]
    factories.insert_auth("token", |section: crate::tokens::Section, _mode| {
        section.open()
    });
}
