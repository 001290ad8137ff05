//! A bucket, and registries in this process that are opened on it one after the other.

use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Duration;

use registry_core::access::Secret;
use registry_core::registry::{CollectOptions, Collected, Options, Registry};
use registry_core::storage::{OpenMode, Storage};
use registry_core::{BoxError, RegistryError};
use registry_http::config::{Config, Source};
use registry_http::{Server, ambient};
use serde_json::Value;
use storage_s3::S3Driver;
use storage_s3::testing::{Options as Limits, S3Server};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Bytes of a part.
pub(crate) const PART: usize = 20_000;

const CONFIG: &str = "\
version: 0.1
storage:
  bucket: {}
  delete: { enabled: true }
  redirect: { disable: true }
  maintenance: { uploadpurging: { enabled: false } }
http: { addr: '127.0.0.1:0', secret: a secret of the tests }
extensions:
  immutable: [{ repositories: ['fixed/**'], tags: ['*'] }]
";

/// Everything of a lane but the bucket runs in one thread.
pub(crate) struct Lane {
    pub(crate) bucket: S3Server,
    driver: S3Driver,
    file: tempfile::NamedTempFile,
    runtime: Handle,
    _end: oneshot::Sender<()>,
}

/// A registry that remembers nothing of those before it.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    registry: Registry,
    runtime: Handle,
    stop: Option<oneshot::Sender<()>>,
    served: Option<tokio::task::JoinHandle<bool>>,
}

impl Lane {
    /// Of a driver that is told this.
    pub(crate) fn start(tell: impl FnOnce(&mut storage_s3::Config)) -> Self {
        Self::with(|_| {}, tell)
    }

    /// The same, of a bucket that has other limits.
    pub(crate) fn with(
        limit: impl FnOnce(&mut Limits),
        tell: impl FnOnce(&mut storage_s3::Config),
    ) -> Self {
        let mut limits = Limits::default();
        limits.part = PART;
        limit(&mut limits);
        let bucket = S3Server::with(limits);
        let mut config = bucket.config();
        config.chunksize = PART as u64;
        config.multipartcopychunksize = PART as u64;
        config.multipartcopythresholdsize = 2 * PART as u64;
        tell(&mut config);
        let (end, ended) = oneshot::channel::<()>();
        let (opened, driver) = std::sync::mpsc::channel();
        let _: JoinHandle<()> = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let runtime = runtime.unwrap();
            let driver = runtime.block_on(storage_s3::open(&config, OpenMode::Serve));
            let both = (driver.unwrap(), runtime.handle().clone());
            opened.send(both).unwrap();
            // Until the lane is gone.
            let _ = runtime.block_on(ended);
        });
        let (driver, runtime) = driver.recv().unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), CONFIG).unwrap();
        Self {
            bucket,
            driver,
            file,
            runtime,
            _end: end,
        }
    }

    pub(crate) fn serve(&self) -> Running {
        let driver = self.driver.clone();
        let opened = Storage::from_driver(driver);
        let storage = opened.clone();
        let config = Config::load(&Source::File(self.file.path().to_owned()), &[]).unwrap();
        let built = Server::builder()
            .storage("bucket", move |_: Value, _| {
                let storage = storage.clone();
                async move { Ok::<_, BoxError>(storage) }
            })
            .config(config)
            .build();
        let (server, registry) = self.runtime.block_on(async {
            let mut options = Options::new(ambient());
            options.secret = Some(Secret::new("a secret of the tests".to_owned()));
            let registry = Registry::open(opened, options).await;
            (built.await.unwrap(), registry.unwrap())
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let address = server.local_addr().unwrap();
        let served = self.runtime.spawn(server.serve(async {
            let _ = stopped.await;
        }));
        Running {
            address,
            registry,
            runtime: self.runtime.clone(),
            stop: Some(stop),
            served: Some(served),
        }
    }
}

impl Running {
    /// A cycle of another process.
    pub(crate) fn collect(&self) -> Result<Collected, RegistryError> {
        let mut at_once = CollectOptions::default();
        at_once.grace = Duration::ZERO;
        at_once.quarantine = Duration::ZERO;
        let collected = async { self.registry.collect(&at_once, &mut |_| {}).await };
        self.runtime.block_on(collected)
    }
}

impl Drop for Running {
    /// What it has begun comes to its end, so that nothing of it reaches whoever comes next.
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(served) = self.served.take() {
            let _ = self.runtime.block_on(served);
        }
    }
}
