//! An open store: the bucket, the connections to it and its clock.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::HeaderValue;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{BackoffConfig, Error, ObjectStoreExt as _, RetryConfig};
use registry_core::StorageError;
use registry_core::layout::{Dir, StorePath};
use tokio::sync::Semaphore;

use crate::Config;
use crate::client::{Client, Settings};
use crate::clock::Clock;
use crate::error::{OpenError, broken, fault};
use crate::random;

/// No request is repeated after so long, and none was signed before it. Every request that is not
/// answered by then is refused by the store within 15 minutes of its signing.
const RETRY: Duration = Duration::from_secs(60);

pub(crate) struct Store {
    /// Repeats what may be repeated.
    pub(crate) s3: AmazonS3,
    /// Repeats nothing: of a write under a condition nobody could tell afterwards whose it was.
    pub(crate) once: AmazonS3,
    pub(crate) retries: usize,
    /// For what `object_store` has not.
    pub(crate) client: Client,
    pub(crate) bucket: String,
    /// Empty, or ends with a slash.
    pub(crate) root: String,
    /// Bytes of a part.
    pub(crate) part: u64,
    pub(crate) copying: Copying,
    /// Whether clients may be sent to the store.
    pub(crate) redirect: bool,
    /// Bytes that uploads may still hold.
    pub(crate) memory: Arc<Semaphore>,
    /// Bytes that they may hold together.
    pub(crate) all_memory: u32,
    clock: Arc<Clock>,
}

/// How blobs are copied within the store.
pub(crate) struct Copying {
    /// Up to so many bytes in one request.
    pub(crate) threshold: u64,
    /// Beyond, in ranges of so many.
    pub(crate) part: u64,
    /// So many of those side by side.
    pub(crate) at_once: usize,
}

impl Store {
    /// Nothing is asked of the store yet.
    pub(crate) fn new(config: &Config) -> Result<Self, OpenError> {
        let root = match config.rootdirectory.trim_matches('/') {
            "" => String::new(),
            root => format!("{root}/"),
        };
        Path::parse(&root).map_err(|error| OpenError::Setting {
            key: "rootdirectory",
            why: error.to_string(),
        })?;
        let clock = Arc::new(Clock::default());
        let client = client(config, &clock)?;
        let build = |retries| {
            let built = builder(config, retries).with_http_connector(client.clone());
            built.build().map_err(|source| OpenError::Unusable {
                doing: "opening",
                bucket: config.bucket.clone(),
                source: source.into(),
            })
        };
        let all_memory = memory(config);
        Ok(Self {
            s3: build(config.retries)?,
            once: build(0)?,
            retries: config.retries,
            client,
            bucket: config.bucket.clone(),
            root,
            part: config.chunksize.max(1),
            copying: Copying {
                threshold: config.multipartcopythresholdsize,
                part: config.multipartcopychunksize.max(1),
                at_once: config.multipartcopymaxconcurrency.max(1),
            },
            redirect: config.redirect,
            memory: Arc::new(Semaphore::new(all_memory as usize)),
            all_memory,
            clock,
        })
    }

    /// The whole key of a path.
    pub(crate) fn key(&self, path: &StorePath) -> Result<Path, StorageError> {
        let key = Path::parse(self.text(path));
        key.map_err(|error| broken("spelling a key", error))
    }

    /// The same as text.
    pub(crate) fn text(&self, path: &StorePath) -> String {
        format!("{}{path}", self.root)
    }

    /// The path that a key of the store spells; `None` for one outside its root.
    pub(crate) fn path_of<'k>(&self, key: &'k Path) -> Option<&'k str> {
        key.as_ref().strip_prefix(&self.root)
    }

    /// The store's clock: as its answers told it within the last minute, or as one tells it now.
    pub(crate) async fn now(&self) -> Result<SystemTime, StorageError> {
        if let Some(now) = self.clock.now() {
            return Ok(now);
        }
        // Nothing lies there; the answer has a date all the same.
        let nothing = self.key(&Dir::Uploads.path())?;
        match self.s3.head(&nothing).await {
            Ok(_) | Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(fault("asking for the time")(error)),
        }
        let told = self.clock.now();
        told.ok_or_else(|| broken("asking for the time", "the answer has no date"))
    }
}

/// Two parts at least: one that is made from pieces, and the pieces of it.
fn memory(config: &Config) -> u32 {
    let bytes = config.uploadmemory.max(config.chunksize.saturating_mul(2));
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

fn client(config: &Config, clock: &Arc<Clock>) -> Result<Client, OpenError> {
    let user_agent = config.useragent.as_ref().filter(|text| !text.is_empty());
    let user_agent = user_agent
        .map(|text| HeaderValue::try_from(text.as_str()))
        .transpose();
    let settings = Settings {
        patience: config.patience,
        skip_verify: config.skipverify,
        user_agent: user_agent.map_err(|error| OpenError::Setting {
            key: "useragent",
            why: error.to_string(),
        })?,
    };
    let secure = endpoint(config).is_none_or(|endpoint| endpoint.starts_with("https:"));
    Ok(Client::new(&settings, secure, Arc::clone(clock))?)
}

/// With its scheme; `None` for AWS.
fn endpoint(config: &Config) -> Option<String> {
    let endpoint = config
        .regionendpoint
        .as_ref()
        .filter(|text| !text.is_empty())?;
    Some(match (endpoint.contains("://"), config.secure) {
        (true, _) => endpoint.clone(),
        (false, true) => format!("https://{endpoint}"),
        (false, false) => format!("http://{endpoint}"),
    })
}

fn builder(config: &Config, retries: usize) -> AmazonS3Builder {
    let endpoint = endpoint(config);
    let plain = endpoint
        .as_ref()
        .is_some_and(|endpoint| endpoint.starts_with("http:"));
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&config.bucket)
        .with_region(&config.region)
        .with_virtual_hosted_style_request(!config.forcepathstyle)
        .with_allow_http(plain)
        // Over TLS nobody changes the bytes, and every byte is hashed already; over plain HTTP the
        // signature has to speak for them.
        .with_unsigned_payload(!plain)
        .with_retry(RetryConfig {
            max_retries: retries,
            retry_timeout: RETRY,
            backoff: BackoffConfig {
                max_backoff: random::LONGEST,
                ..BackoffConfig::default()
            },
        });
    if let Some(endpoint) = endpoint {
        let (scheme, rest) = endpoint.split_once("://").unwrap_or(("https", &endpoint));
        let rest = rest.trim_end_matches('/');
        builder = builder.with_endpoint(match config.forcepathstyle {
            true => format!("{scheme}://{rest}"),
            false => format!("{scheme}://{}.{rest}", config.bucket),
        });
    }
    if let (Some(access), Some(secret)) = (&config.accesskey, &config.secretkey) {
        builder = builder
            .with_access_key_id(access)
            .with_secret_access_key(secret);
    }
    builder
}
