//! The settings of the driver, under the names that distribution gives them.

mod section;
mod size;
mod words;

use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer};

use self::section::Section;

const MIB: u64 = 1024 * 1024;

/// Where the store is, and how it is spoken to.
#[derive(Clone)]
#[non_exhaustive]
pub struct Config {
    /// Who asks. Without the two keys, the environment is asked for credentials, as AWS's own
    /// programs do: its variables, a token of the pod, the file of profiles, a role of the
    /// container or of the machine.
    pub accesskey: Option<String>,
    /// What requests are signed with.
    pub secretkey: Option<String>,
    /// What belongs to keys that live for a while.
    pub sessiontoken: Option<String>,
    /// Where the bucket is; without it the variables of AWS say so, or it is `us-east-1`.
    pub region: Option<String>,
    /// Instead of AWS: `http://HOST:PORT`, or `https`, or no scheme at all, which
    /// [`Config::secure`] decides.
    pub regionendpoint: Option<String>,
    /// Whether the bucket is named in the path, and not in the host. If it is not said, an endpoint
    /// of one's own has it in the path, and AWS in the host.
    pub forcepathstyle: Option<bool>,
    /// The scheme and the host that clients are sent to for blobs, where that is another one.
    pub redirectendpoint: Option<String>,
    /// Its name; it must be there.
    pub bucket: String,
    /// What all keys begin with; it may be empty.
    pub rootdirectory: String,
    /// Whether the store encrypts what is written: with keys of its own, or with
    /// [`Config::keyid`].
    pub encrypt: bool,
    /// A key of its key service (KMS).
    pub keyid: Option<String>,
    /// In capitals, such as `STANDARD_IA`; `None` leaves it to the bucket.
    pub storageclass: Option<String>,
    /// Who may do what with an object, by one of AWS's names; `None` leaves it to the bucket, which
    /// is `private`.
    pub objectacl: Option<String>,
    /// Whether an endpoint without a scheme is asked over TLS.
    pub secure: bool,
    /// Whether anybody's certificate will do.
    pub skipverify: bool,
    /// Of AWS's endpoints, the one that is reached over IPv6, too.
    pub usedualstack: bool,
    /// The one that is near the registry instead of near the bucket.
    pub accelerate: bool,
    /// The one whose cryptography is certified.
    pub usefipsendpoint: bool,
    /// What is said of oneself to the store, instead of the name of the registry.
    pub useragent: Option<String>,
    /// Whether each request to the store is a line at level `debug`.
    pub logged: bool,
    /// Bytes of a part, 5 MiB at least.
    pub chunksize: u64,
    /// Bytes of a part of a copy within the store, 5 MiB at least.
    pub multipartcopychunksize: u64,
    /// How many of those may be under way at once, for one copy.
    pub multipartcopymaxconcurrency: usize,
    /// Up to so many bytes a blob is copied in one request; 5 GiB at most.
    pub multipartcopythresholdsize: u64,
    /// How long nothing may move before a request counts as lost. Ours.
    pub patience: Duration,
    /// How long nothing at all may be answered before requests fail without being sent, but for one
    /// each second that sees whether the store is back. Ours.
    pub despair: Duration,
    /// How often a request that may be repeated is repeated. Ours.
    pub retries: usize,
    /// Whether clients may be sent to the store for blobs. Ours.
    pub redirect: bool,
    /// Bytes that all uploads together may hold in memory. Ours.
    pub uploadmemory: u64,
    /// Parts that an object may be made of: 10,000, as all stores have it. Ours, and no key.
    pub parts: u64,
}

impl Config {
    /// The defaults, for this bucket.
    pub fn new(bucket: impl Into<String>) -> Self {
        Self {
            bucket: bucket.into(),
            ..Self::default()
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            accesskey: None,
            secretkey: None,
            sessiontoken: None,
            region: None,
            regionendpoint: None,
            forcepathstyle: None,
            redirectendpoint: None,
            bucket: String::new(),
            rootdirectory: String::new(),
            encrypt: false,
            keyid: None,
            storageclass: None,
            objectacl: None,
            secure: true,
            skipverify: false,
            usedualstack: false,
            accelerate: false,
            usefipsendpoint: false,
            useragent: None,
            logged: false,
            chunksize: 10 * MIB,
            multipartcopychunksize: 32 * MIB,
            multipartcopymaxconcurrency: 100,
            multipartcopythresholdsize: 32 * MIB,
            patience: Duration::from_secs(30),
            despair: Duration::from_secs(2),
            retries: 5,
            redirect: true,
            uploadmemory: 256 * MIB,
            parts: 10_000,
        }
    }
}

/// What the driver's map in the configuration may hold. Keys that it does not know are not its
/// business: whoever reads the file warns of them.
impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Section::deserialize(deserializer)?.settle()
    }
}

/// Without the secrets.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("region", &self.region)
            .field("regionendpoint", &self.regionendpoint)
            .field("bucket", &self.bucket)
            .field("rootdirectory", &self.rootdirectory)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
