//! The settings of the driver, under the names that distribution gives them.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Unexpected, Visitor};

/// distribution raises a smaller number to this one.
const MIN_THREADS: usize = 25;

/// What the driver's map in the configuration may hold. Keys that it does not know are not its
/// business: whoever reads the file warns of them.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Config {
    /// The directory that holds `docker/registry/v2`.
    pub rootdirectory: PathBuf,
    /// How many operations on files may run at once; 25 at least.
    #[serde(deserialize_with = "number")]
    pub maxthreads: usize,
    /// What an answer promises.
    pub durability: Durability,
}

/// What has happened to the bytes when a request is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Durability {
    /// They are on stable storage.
    #[default]
    Full,
    /// They survive a crash of the process, not of the machine: for caches.
    Relaxed,
}

impl Config {
    /// The defaults, for this root.
    pub fn new(rootdirectory: impl Into<PathBuf>) -> Self {
        Self {
            rootdirectory: rootdirectory.into(),
            ..Self::default()
        }
    }

    /// What [`Config::maxthreads`] comes to.
    pub(crate) fn threads(&self) -> usize {
        self.maxthreads
            .clamp(MIN_THREADS, tokio::sync::Semaphore::MAX_PERMITS)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rootdirectory: PathBuf::from("/var/lib/registry"),
            maxthreads: 100,
            durability: Durability::Full,
        }
    }
}

/// distribution takes a number, or a text that spells one.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    struct Number;

    impl Visitor<'_> for Number {
        type Value = usize;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number of threads")
        }

        fn visit_u64<E: Error>(self, value: u64) -> Result<usize, E> {
            Ok(usize::try_from(value).unwrap_or(usize::MAX))
        }

        fn visit_i64<E: Error>(self, value: i64) -> Result<usize, E> {
            // As any that is too small.
            Ok(usize::try_from(value).unwrap_or(0))
        }

        fn visit_str<E: Error>(self, value: &str) -> Result<usize, E> {
            let wrong = |_| E::invalid_value(Unexpected::Str(value), &self);
            match value.parse::<i64>() {
                Ok(number) => self.visit_i64(number),
                Err(_) => value.parse().map_err(wrong),
            }
        }
    }

    deserializer.deserialize_any(Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Config, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn nothing_said_is_what_distribution_would_do() {
        let config = read("{}").unwrap();
        assert_eq!(config.rootdirectory, PathBuf::from("/var/lib/registry"));
        assert_eq!(config.threads(), 100);
        assert_eq!(config.durability, Durability::Full);
    }

    #[test]
    fn threads_are_a_number_or_its_text_and_25_at_least() {
        assert_eq!(read(r#"{"maxthreads": 200}"#).unwrap().threads(), 200);
        assert_eq!(read(r#"{"maxthreads": "30"}"#).unwrap().threads(), 30);
        assert_eq!(read(r#"{"maxthreads": 1}"#).unwrap().threads(), 25);
        assert!(read(r#"{"maxthreads": "many"}"#).is_err());
        assert_eq!(read(r#"{"maxthreads": -1}"#).unwrap().threads(), 25);
        assert_eq!(read(r#"{"maxthreads": "-1"}"#).unwrap().threads(), 25);
    }

    #[test]
    fn an_unknown_key_is_no_error_and_an_unknown_durability_is() {
        let config = read(r#"{"durability": "relaxed", "tomorrow": 1}"#).unwrap();
        assert_eq!(config.durability, Durability::Relaxed);
        assert!(read(r#"{"durability": "some"}"#).is_err());
    }
}
