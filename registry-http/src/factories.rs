//! From the name of a driver to the driver: what is registered, and what to say of what is not.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;

use figment::value::Value;
use registry_core::BoxError;
use registry_core::storage::{OpenMode, Storage};
use serde::de::DeserializeOwned;

use crate::config::known;
use crate::config::typed::{self, TypeError, Unwanted};

/// Kinds that come with a feature of this crate.
const NEEDS_FEATURE: &[(&str, &str)] = &[("filesystem", "fs")];

/// Kinds that other releases of this registry have.
const LATER: &[&str] = &["s3", "s3aws"];

/// Kinds of distribution that have no driver here.
const ELSEWHERE: &[&str] = &["azure", "gcs", "oss", "swift"];

type Opening = Pin<Box<dyn Future<Output = Result<Storage, BoxError>> + Send>>;
type Open =
    dyn Fn(&Value, &str, OpenMode) -> Result<(Opening, Vec<Unwanted>), TypeError> + Send + Sync;

/// What a configuration may name.
#[derive(Default)]
pub(crate) struct Factories {
    storage: BTreeMap<&'static str, Box<Open>>,
}

impl fmt::Debug for Factories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Factories")
            .field("storage", &self.kinds())
            .finish()
    }
}

impl Factories {
    /// Makes a kind known. Each type of configuration and driver is gone behind this point.
    pub(crate) fn insert_storage<C, F, Fut, E>(&mut self, kind: &'static str, open: F)
    where
        C: DeserializeOwned,
        F: Fn(C, OpenMode) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Storage, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let erased = move |section: &Value, kind: &str, mode: OpenMode| {
            let (config, unwanted) = typed::typed::<C>(section, &["storage", kind])?;
            let opening = open(config, mode);
            let opening: Opening = Box::pin(async move { opening.await.map_err(Into::into) });
            Ok((opening, unwanted))
        };
        self.storage.insert(kind, Box::new(erased));
    }

    /// The constructor of this kind, or why there is none.
    pub(crate) fn storage(&self, kind: &str) -> Result<&Open, String> {
        if let Some(open) = self.storage.get(kind) {
            return Ok(open.as_ref());
        }
        let kinds = self.kinds();
        let has = match kinds.is_empty() {
            true => "none".to_owned(),
            false => kinds.join(", "),
        };
        if let Some((_, feature)) = NEEDS_FEATURE.iter().find(|(known, _)| *known == kind) {
            return Err(format!(
                "storage kind {kind:?} needs a binary built with the `{feature}` feature; \
                 this one has: {has}"
            ));
        }
        if LATER.contains(&kind) {
            return Err(format!(
                "storage kind {kind:?} is not part of this release; it has: {has}"
            ));
        }
        if ELSEWHERE.contains(&kind) {
            return Err(format!(
                "there is no driver for storage kind {kind:?} in this registry; it has: {has}"
            ));
        }
        Err(match known::nearest(kind, kinds) {
            Some(nearest) => format!(
                "unknown storage kind {kind:?}; did you mean {nearest:?}? This binary has: {has}"
            ),
            None => format!("unknown storage kind {kind:?}; this binary has: {has}"),
        })
    }

    /// All kinds that are known.
    pub(crate) fn kinds(&self) -> Vec<&'static str> {
        self.storage.keys().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use serde::Deserialize;

    use super::*;
    use crate::yaml;

    #[derive(Deserialize)]
    struct Tape {
        reels: u32,
    }

    fn with_tape(reels: &Arc<AtomicU32>) -> Factories {
        let reels = Arc::clone(reels);
        let mut factories = Factories::default();
        factories.insert_storage("tape", move |config: Tape, _mode| {
            reels.store(config.reels, Ordering::Relaxed);
            async { Err::<Storage, _>("the tape is torn") }
        });
        factories
    }

    #[tokio::test]
    async fn a_driver_gets_its_own_section() {
        let reels = Arc::default();
        let factories = with_tape(&reels);
        let section = yaml::parse("{reels: 7, colour: red}").unwrap().value;
        let open = factories.storage("tape").unwrap();
        let (opening, unwanted) = open(&section, "tape", OpenMode::Serve).unwrap();
        assert_eq!(opening.await.unwrap_err().to_string(), "the tape is torn");
        assert_eq!(reels.load(Ordering::Relaxed), 7);
        assert_eq!(unwanted.len(), 1);
        assert_eq!(unwanted[0].path, ["storage", "tape", "colour"]);

        let section = yaml::parse("{reels: many}").unwrap().value;
        let error = open(&section, "tape", OpenMode::Serve).err().unwrap();
        assert_eq!(error.path.unwrap(), ["storage", "tape", "reels"]);
    }

    #[test]
    fn a_kind_that_is_not_there_is_explained() {
        let factories = with_tape(&Arc::default());
        let table = [
            (
                "filesystem",
                "storage kind \"filesystem\" needs a binary built with the `fs` feature; \
                 this one has: tape",
            ),
            (
                "s3",
                "storage kind \"s3\" is not part of this release; it has: tape",
            ),
            (
                "gcs",
                "there is no driver for storage kind \"gcs\" in this registry; it has: tape",
            ),
            (
                "tapes",
                "unknown storage kind \"tapes\"; did you mean \"tape\"? This binary has: tape",
            ),
            (
                "floppy",
                "unknown storage kind \"floppy\"; this binary has: tape",
            ),
        ];
        for (kind, expected) in table {
            assert_eq!(factories.storage(kind).err().unwrap(), expected);
        }
        let none = Factories::default();
        assert!(none.storage("s3").err().unwrap().ends_with("it has: none"));
    }
}
