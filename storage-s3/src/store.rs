//! An open store: the bucket, the connections to it and its clock.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};
use object_store::aws::{AmazonS3, AmazonS3Builder, AwsCredentialProvider};
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, Error, ObjectStoreExt as _, RetryConfig};
use registry_core::StorageError;
use registry_core::layout::{Dir, StorePath};
use tokio::sync::Semaphore;

use crate::Config;
use crate::client::{Client, Settings};
use crate::clock::Clock;
use crate::credentials::{self, Credentials};
use crate::endpoint::{self, Endpoint};
use crate::error::{OpenError, broken, fault};
use crate::listing::Wanted;
use crate::random;
use crate::renewal::Renewal;
use crate::waste::{self, Waste};

/// No request is repeated after so long, and none was signed before it. Every request that is not
/// answered by then is refused by the store within 15 minutes of its signing.
const RETRY: Duration = Duration::from_secs(60);

/// Bytes of a part, at most: ten thousand of them are more than an object may have.
pub(crate) const LARGEST_PART: u64 = 1 << 30;

pub(crate) struct Store {
    /// Repeats what may be repeated.
    pub(crate) s3: AmazonS3,
    /// The same, and what it makes is kept as the configuration says: its class, its key.
    pub(crate) maker: AmazonS3,
    /// The same, and repeats nothing: of a write under a condition nobody could tell afterwards
    /// whose it was.
    pub(crate) once: AmazonS3,
    /// Signs what clients are sent to.
    pub(crate) elsewhere: AmazonS3,
    /// Where the credentials are from.
    pub(crate) credentials: &'static str,
    /// Whether the store compares what it gets with a checksum that comes along.
    pub(crate) compares: AtomicBool,
    /// What requests begin with.
    pub(crate) endpoint: String,
    pub(crate) retries: usize,
    /// For what `object_store` has not.
    pub(crate) client: Client,
    pub(crate) bucket: String,
    /// Empty, or ends with a slash.
    pub(crate) root: String,
    /// Bytes of a part.
    pub(crate) part: u64,
    /// Parts that an object may be made of.
    pub(crate) parts: u64,
    pub(crate) copying: Copying,
    /// What is said of every object that is made.
    pub(crate) making: Vec<(&'static str, String)>,
    /// Whether clients may be sent to the store.
    pub(crate) redirect: bool,
    /// Bytes that uploads may still hold.
    pub(crate) memory: Arc<Semaphore>,
    /// Bytes that they may hold together.
    pub(crate) all_memory: u32,
    clock: Arc<Clock>,
    waste: Waste,
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
        endpoint::check(config).map_err(|why| OpenError::Setting {
            key: "regionendpoint",
            why,
        })?;
        let clock = Arc::new(Clock::default());
        let found = Credentials::find(config, &credentials::variable)?;
        let client = client(config, &found, &clock)?;
        let endpoint = Endpoint::of(config);
        let build = |builder: AmazonS3Builder| {
            builder.build().map_err(|source| OpenError::Unusable {
                doing: "opening",
                bucket: config.bucket.clone(),
                credentials: found.origin(),
                source: source.into(),
            })
        };
        let plain = || builder(config, &endpoint, &client);
        let first = build(found.apply(plain()).with_retry(retry(config.retries)))?;
        // Asked for once, for all.
        let credentials: AwsCredentialProvider =
            Arc::new(Renewal::new(Arc::clone(first.credentials())));
        let same = |builder: AmazonS3Builder| builder.with_credentials(Arc::clone(&credentials));
        let s3 = build(same(plain()).with_retry(retry(config.retries)))?;
        let making = making(config);
        let headers = headers(&making)?;
        let maker = || same(plain()).with_client_options(options(&endpoint, &headers));
        let other = Endpoint::of_redirects(config).unwrap_or_else(|| endpoint.clone());
        let all_memory = memory(config);
        Ok(Self {
            maker: build(maker().with_retry(retry(config.retries)))?,
            once: build(maker().with_retry(retry(0)))?,
            elsewhere: build(same(builder(config, &other, &client)))?,
            s3,
            credentials: found.origin(),
            compares: AtomicBool::new(false),
            endpoint: endpoint.url,
            retries: config.retries,
            client,
            bucket: config.bucket.clone(),
            root,
            part: config.chunksize.clamp(1, LARGEST_PART),
            parts: config.parts.max(2),
            copying: Copying {
                threshold: config.multipartcopythresholdsize,
                part: config.multipartcopychunksize.max(1),
                at_once: config.multipartcopymaxconcurrency.max(1),
            },
            making: making
                .into_iter()
                .map(|(_, name, text)| (name, text))
                .collect(),
            redirect: config.redirect,
            memory: Arc::new(Semaphore::new(all_memory as usize)),
            all_memory,
            clock,
            waste: Waste::default(),
        })
    }

    /// Whether the bucket is there and may be asked.
    pub(crate) async fn look(&self) -> Result<(), StorageError> {
        let mut wanted = Wanted {
            prefix: format!("{}/", self.text(&Dir::Uploads.path())),
            most: Some(1),
            ..Wanted::default()
        };
        self.page("listing", &mut wanted).await?;
        Ok(())
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
    pub(crate) fn path_of<'k>(&self, key: &'k str) -> Option<&'k str> {
        key.strip_prefix(&self.root)
    }

    /// Removes objects that nobody needs any more, some time later, together with others: no answer
    /// waits for that. What a process that ends leaves is for the sweep.
    pub(crate) fn delete_later(self: &Arc<Self>, keys: Vec<Path>) {
        if !self.waste.add(keys) {
            return;
        }
        let store = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(waste::LINGER).await;
            let keys = store.waste.take();
            if let Err(error) = store.delete_all(&keys).await {
                tracing::debug!(%error, "left for the sweep");
            }
        });
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
    let bytes = config
        .uploadmemory
        .max(config.chunksize.min(LARGEST_PART).saturating_mul(2));
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

fn client(config: &Config, found: &Credentials, clock: &Arc<Clock>) -> Result<Client, OpenError> {
    let user_agent = config.useragent.as_ref().filter(|text| !text.is_empty());
    let user_agent = user_agent
        .map(|text| value("useragent", text))
        .transpose()?;
    let endpoint = Endpoint::of(config);
    let settings = Settings {
        patience: config.patience,
        despair: config.despair,
        skip_verify: config.skipverify,
        user_agent,
        logged: config.logged,
        clock_of: endpoint.authority().map(str::to_owned),
    };
    let secure = endpoint.is_secure() || found.needs_tls();
    Ok(Client::new(&settings, secure, Arc::clone(clock))?)
}

fn value(key: &'static str, text: &str) -> Result<HeaderValue, OpenError> {
    HeaderValue::try_from(text).map_err(|error| OpenError::Setting {
        key,
        why: error.to_string(),
    })
}

/// What is said of every object that is made: the key that asks for it, the header and its value.
fn making(config: &Config) -> Vec<(&'static str, &'static str, String)> {
    let keyid = config.keyid.as_deref().filter(|_| config.encrypt);
    let encryption = match keyid {
        Some(_) => "aws:kms",
        None => "AES256",
    };
    let headers = [
        (
            "storageclass",
            "x-amz-storage-class",
            config.storageclass.as_deref(),
        ),
        ("objectacl", "x-amz-acl", config.objectacl.as_deref()),
        (
            "encrypt",
            "x-amz-server-side-encryption",
            config.encrypt.then_some(encryption),
        ),
        (
            "keyid",
            "x-amz-server-side-encryption-aws-kms-key-id",
            keyid,
        ),
    ];
    let given = headers.into_iter();
    given
        .filter_map(|(key, name, text)| Some((key, name, text?.to_owned())))
        .collect()
}

/// They are signed, so they have to be there before.
fn headers(making: &[(&'static str, &'static str, String)]) -> Result<HeaderMap, OpenError> {
    let headers = making.iter();
    headers
        .map(|(key, name, text)| Ok((HeaderName::from_static(name), value(key, text)?)))
        .collect()
}

fn options(endpoint: &Endpoint, headers: &HeaderMap) -> ClientOptions {
    let options = ClientOptions::new().with_allow_http(!endpoint.is_secure());
    match headers.is_empty() {
        true => options,
        false => options.with_default_headers(headers.clone()),
    }
}

fn retry(retries: usize) -> RetryConfig {
    RetryConfig {
        max_retries: retries,
        retry_timeout: RETRY,
        backoff: BackoffConfig {
            max_backoff: random::LONGEST,
            ..BackoffConfig::default()
        },
    }
}

fn builder(config: &Config, endpoint: &Endpoint, client: &Client) -> AmazonS3Builder {
    AmazonS3Builder::new()
        .with_bucket_name(&config.bucket)
        .with_region(endpoint::region(config))
        .with_endpoint(&endpoint.url)
        .with_virtual_hosted_style_request(endpoint.virtual_hosted)
        .with_client_options(options(endpoint, &HeaderMap::new()))
        // Over TLS nobody changes the bytes, and every byte is hashed already; over plain HTTP the
        // signature has to speak for them.
        .with_unsigned_payload(endpoint.is_secure())
        .with_http_connector(client.clone())
}
