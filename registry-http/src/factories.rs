//! From the name of a driver or a scheme to it: what is registered, and what to say of what is not.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use figment::value::Value;
use registry_core::BoxError;
use registry_core::access::Authenticator;
use registry_core::storage::{OpenMode, Storage};
use serde::de::DeserializeOwned;

use crate::config::known;
use crate::config::typed::{self, TypeError, Unwanted};

/// What is known of the kinds that a binary may lack.
struct Lore {
    /// What they are kinds of.
    noun: &'static str,
    /// Those that come with a feature of this crate.
    needs_feature: &'static [(&'static str, &'static str)],
    /// Those of distribution that are not here.
    elsewhere: &'static [&'static str],
}

const STORAGE: Lore = Lore {
    noun: "storage",
    needs_feature: &[("filesystem", "fs"), ("s3", "s3"), ("s3aws", "s3")],
    elsewhere: &["azure", "gcs", "oss", "swift"],
};

const AUTH: Lore = Lore {
    noun: "auth",
    needs_feature: &[("htpasswd", "htpasswd"), ("token", "token")],
    elsewhere: &["silly"],
};

type Opening<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;
type Open<T> =
    dyn Fn(&Value, &str, OpenMode) -> Result<(Opening<T>, Vec<Unwanted>), TypeError> + Send + Sync;

/// What a configuration may name.
#[derive(Default)]
pub(crate) struct Factories {
    storage: BTreeMap<&'static str, Box<Open<Storage>>>,
    auth: BTreeMap<&'static str, Box<Open<Arc<dyn Authenticator>>>>,
}

impl fmt::Debug for Factories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Factories")
            .field("storage", &self.kinds())
            .field("auth", &self.auth_kinds())
            .finish()
    }
}

impl Factories {
    /// Makes a kind of storage known. Each type of configuration and driver is gone behind this
    /// point.
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
            let opening: Opening<_> = Box::pin(async move { opening.await.map_err(Into::into) });
            Ok((opening, unwanted))
        };
        self.storage.insert(kind, Box::new(erased));
    }

    /// The same of a kind of authentication.
    pub(crate) fn insert_auth<C, F, Fut, A, E>(&mut self, kind: &'static str, open: F)
    where
        C: DeserializeOwned,
        F: Fn(C, OpenMode) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<A, E>> + Send + 'static,
        A: Authenticator,
        E: Into<BoxError>,
    {
        let erased = move |section: &Value, kind: &str, mode: OpenMode| {
            let (config, unwanted) = typed::typed::<C>(section, &["auth", kind])?;
            let opening = open(config, mode);
            let opening: Opening<_> = Box::pin(async move {
                let opened = opening.await.map_err(Into::into)?;
                Ok(Arc::new(opened) as Arc<dyn Authenticator>)
            });
            Ok((opening, unwanted))
        };
        self.auth.insert(kind, Box::new(erased));
    }

    /// The constructor of this kind of storage, or why there is none.
    pub(crate) fn storage(&self, kind: &str) -> Result<&Open<Storage>, String> {
        let open = self.storage.get(kind).map(Box::as_ref);
        open.ok_or_else(|| STORAGE.explain(kind, &self.kinds()))
    }

    /// The constructor of this kind of authentication, or why there is none.
    pub(crate) fn auth(&self, kind: &str) -> Result<&Open<Arc<dyn Authenticator>>, String> {
        let open = self.auth.get(kind).map(Box::as_ref);
        open.ok_or_else(|| AUTH.explain(kind, &self.auth_kinds()))
    }

    /// All kinds of storage that are known.
    pub(crate) fn kinds(&self) -> Vec<&'static str> {
        self.storage.keys().copied().collect()
    }

    /// All kinds of authentication that are known.
    pub(crate) fn auth_kinds(&self) -> Vec<&'static str> {
        self.auth.keys().copied().collect()
    }
}

impl Lore {
    /// Why this kind is not among those that there are.
    fn explain(&self, kind: &str, kinds: &[&str]) -> String {
        let noun = self.noun;
        let has = match kinds {
            [] => "none".to_owned(),
            kinds => kinds.join(", "),
        };
        let feature = self.needs_feature.iter().find(|(known, _)| *known == kind);
        if let Some((_, feature)) = feature {
            return format!(
                "{noun} kind {kind:?} needs a binary built with the `{feature}` feature; \
                 this one has: {has}"
            );
        }
        if self.elsewhere.contains(&kind) {
            return format!(
                "there is no driver for {noun} kind {kind:?} in this registry; it has: {has}"
            );
        }
        match known::nearest(kind, kinds.iter().copied()) {
            Some(nearest) => format!(
                "unknown {noun} kind {kind:?}; did you mean {nearest:?}? This binary has: {has}"
            ),
            None => format!("unknown {noun} kind {kind:?}; this binary has: {has}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use registry_core::access::Anyone;
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
                "storage kind \"s3\" needs a binary built with the `s3` feature; \
                 this one has: tape",
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
        assert!(none.storage("gcs").err().unwrap().ends_with("it has: none"));
    }

    #[tokio::test]
    async fn a_scheme_gets_its_own_section_and_is_one_of_those_that_there_are() {
        let mut factories = Factories::default();
        factories.insert_auth("tape", |config: Tape, _mode| async move {
            match config.reels {
                0 => Err("there is no reel"),
                _ => Ok(Anyone),
            }
        });
        let open = factories.auth("tape").unwrap();
        for (section, expected) in [("{reels: 0}", false), ("{reels: 1}", true)] {
            let section = yaml::parse(section).unwrap().value;
            let (opening, _) = open(&section, "tape", OpenMode::Serve).unwrap();
            assert_eq!(opening.await.is_ok(), expected);
        }
        let section = yaml::parse("{}").unwrap().value;
        let error = open(&section, "tape", OpenMode::Serve).err().unwrap();
        assert_eq!(error.path.unwrap(), ["auth", "tape", "reels"]);
        let table = [
            (
                "htpasswd",
                "auth kind \"htpasswd\" needs a binary built with the `htpasswd` feature",
            ),
            (
                "token",
                "auth kind \"token\" needs a binary built with the `token` feature",
            ),
            (
                "silly",
                "there is no driver for auth kind \"silly\" in this registry",
            ),
            (
                "tapes",
                "unknown auth kind \"tapes\"; did you mean \"tape\"?",
            ),
        ];
        for (kind, expected) in table {
            let message = factories.auth(kind).err().unwrap();
            assert!(message.starts_with(expected), "{message}");
        }
    }
}
