//! The settings of the driver, under the names that distribution gives them.

use std::fmt;
use std::time::Duration;

/// Where the store is, and how it is spoken to.
///
/// Keys of distribution that are not here yet: `encrypt`, `keyid`, `storageclass`, `objectacl`,
/// `usedualstack`, `accelerate`, `usefipsendpoint`, `v4auth`, `loglevel`.
#[derive(Clone)]
#[non_exhaustive]
pub struct Config {
    /// Who asks. Without the two keys, the environment of the machine is asked for credentials: a
    /// role of the instance, the container or the pod.
    pub accesskey: Option<String>,
    /// What requests are signed with.
    pub secretkey: Option<String>,
    /// Where the bucket is.
    pub region: String,
    /// Instead of AWS: `http://HOST:PORT`, or `https`, or no scheme at all, which [`Config::secure`] decides.
    pub regionendpoint: Option<String>,
    /// Whether the bucket is named in the path, and not in the host.
    pub forcepathstyle: bool,
    /// Its name; it must be there.
    pub bucket: String,
    /// What all keys begin with; it may be empty.
    pub rootdirectory: String,
    /// Whether an endpoint without a scheme is asked over TLS.
    pub secure: bool,
    /// Whether anybody's certificate will do.
    pub skipverify: bool,
    /// What is said of oneself to the store, instead of the name of the registry.
    pub useragent: Option<String>,
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
    /// How often a request that may be repeated is repeated. Ours.
    pub retries: usize,
    /// Whether clients may be sent to the store for blobs (`storage.redirect.disable`).
    pub redirect: bool,
    /// Bytes that all uploads together may hold in memory. Ours.
    pub uploadmemory: u64,
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
        const MIB: u64 = 1024 * 1024;
        Self {
            accesskey: None,
            secretkey: None,
            region: "us-east-1".to_owned(),
            regionendpoint: None,
            forcepathstyle: false,
            bucket: String::new(),
            rootdirectory: String::new(),
            secure: true,
            skipverify: false,
            useragent: None,
            chunksize: 10 * MIB,
            multipartcopychunksize: 32 * MIB,
            multipartcopymaxconcurrency: 100,
            multipartcopythresholdsize: 32 * MIB,
            patience: Duration::from_secs(30),
            retries: 5,
            redirect: true,
            uploadmemory: 256 * MIB,
        }
    }
}

/// Without the secret.
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
