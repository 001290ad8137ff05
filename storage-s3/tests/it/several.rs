//! Several registries on one bucket, whose parts are small: what they do at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use object_store::multipart::MultipartStore as _;
use registry_core::access::Identity;
use registry_core::hasher::digest_of;
use registry_core::registry::{
    Append, BlobContent, Body, CollectOptions, Options, PutManifest, Repository, UploadUrl,
};
use registry_core::storage::OpenMode;
use registry_core::testing::{ambient, content, read_to_end};
use registry_core::{Algorithm, Digest, Reference, Registry, RegistryError, Rules, Storage};
use storage_s3::testing::S3Server;

const PART: usize = 100_000;

async fn registry(server: &S3Server) -> Registry {
    let mut config = server.config();
    config.chunksize = PART as u64;
    config.redirect = false;
    let driver = storage_s3::open(&config, OpenMode::Serve).await.unwrap();
    let mut options = Options::new(ambient());
    options.delete = true;
    let opened = Registry::open(Storage::from_driver(driver), options).await;
    opened.unwrap()
}

async fn registries(server: &S3Server) -> [Registry; 3] {
    [
        registry(server).await,
        registry(server).await,
        registry(server).await,
    ]
}

fn repository(registry: &Registry, name: &str) -> Repository {
    let rules = Arc::new(Rules::everything());
    let grant = rules.authorize(Identity::anonymous(), &[], &[]).unwrap();
    registry.repository(name.parse().unwrap(), grant)
}

fn sha256(bytes: &[u8]) -> Digest {
    digest_of(Algorithm::Sha256, bytes)
}

fn body(bytes: &Bytes) -> Body<'static> {
    let pieces: Vec<_> = bytes.chunks(30_000).map(Bytes::copy_from_slice).collect();
    stream::iter(pieces.into_iter().map(Ok)).boxed()
}

async fn blob(from: &Repository, digest: &Digest) -> Result<Bytes, RegistryError> {
    match from.open_blob(digest, None).await? {
        BlobContent::Reader { mut reader, .. } => Ok(read_to_end(&mut *reader, 1 << 20).await?),
        BlobContent::Redirect(url) => panic!("sent to {url:?}"),
    }
}

/// Appends these bytes at this offset, and says where the upload stands then; an error that tells
/// it does so, too.
async fn append(to: Repository, url: UploadUrl, at: usize, bytes: Bytes) -> (bool, u64) {
    let append = Append {
        at: Some(at as u64),
        len: Some(bytes.len() as u64),
        declared: Some(bytes.len() as u64),
    };
    match to.append_upload(&url, append, body(&bytes)).await {
        Ok(progress) => (true, progress.len),
        Err(RegistryError::RangeInvalid(progress)) => (false, progress.len),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_writers_of_parts_one_wins_and_the_blob_is_what_was_hashed() {
    let mut options = storage_s3::testing::Options::default();
    options.part = PART;
    let server = S3Server::with(options);
    let [one, two, three] = registries(&server)
        .await
        .map(|registry| repository(&registry, "app"));
    for round in 0..100 {
        let new = one.start_upload(Algorithm::Sha256).await.unwrap();
        let url = UploadUrl {
            id: new.id,
            state: Some(new.state),
        };
        let mut whole = Vec::new();
        for step in 0..3 {
            // Below a part, a part and a bit, and others again; or nothing that fills a part.
            let len = match round % 4 {
                0 => 4_000,
                _ => 40_000 + 50_000 * step as usize + 500 * (round % 3) as usize,
            };
            let pieces = [0, 1].map(|writer: u64| {
                let seed = 1_000 * round + 10 * step + writer;
                content(seed, len + 7_000 * writer as usize)
            });
            let [first, second] = pieces.clone();
            let at = whole.len();
            let first = tokio::spawn(append(one.clone(), url.clone(), at, first));
            let second = tokio::spawn(append(two.clone(), url.clone(), at, second));
            let told = [first.await.unwrap(), second.await.unwrap()];
            let winner = usize::from(told[1].0);
            assert_ne!(told[0].0, told[1].0, "round {round}: {told:?}");
            whole.extend_from_slice(&pieces[winner]);
            let stands = whole.len() as u64;
            assert!(told.iter().all(|told| told.1 == stands), "{told:?}");
            let status = three.upload_status(&url).await.unwrap();
            assert_eq!(status.len, stands);
        }
        let digest = sha256(&whole);
        let finished = three.finish_upload(&url, Append::default(), body(&Bytes::new()), &digest);
        match finished.await {
            Ok(()) => assert!(blob(&one, &digest).await.unwrap() == whole),
            // The loser's part came after the winner's, under its number.
            Err(RegistryError::UploadUnknown) => {
                assert_ne!(round % 4, 0, "nobody has sent a part");
                let there = blob(&one, &digest).await;
                assert!(matches!(there, Err(RegistryError::BlobUnknown(_))));
                let status = two.upload_status(&url).await;
                assert!(matches!(status, Err(RegistryError::UploadUnknown)));
            }
            Err(error) => panic!("{error}: {error:?}"),
        }
    }
}

#[tokio::test]
async fn a_part_that_another_has_replaced_ends_the_upload_and_no_blob_is_made() {
    let mut options = storage_s3::testing::Options::default();
    options.part = PART;
    let server = S3Server::with(options);
    let app = repository(&registry(&server).await, "app");
    let new = app.start_upload(Algorithm::Sha256).await.unwrap();
    let url = UploadUrl {
        id: new.id,
        state: Some(new.state),
    };
    let bytes = content(1, PART + 10);
    assert!(append(app.clone(), url.clone(), 0, bytes.clone()).await.0);
    let pending = server.pending();
    let (key, id) = (pending[0].key.as_str(), pending[0].id.as_str());
    let late = server.object_store();
    let others = content(2, PART).into();
    late.put_part(&key.into(), &id.to_owned(), 0, others)
        .await
        .unwrap();
    let digest = sha256(&bytes);
    for _ in 0..2 {
        let finished = app.finish_upload(&url, Append::default(), body(&Bytes::new()), &digest);
        let finished = finished.await;
        assert!(matches!(finished, Err(RegistryError::UploadUnknown)));
    }
    let there = blob(&app, &digest).await;
    assert!(matches!(there, Err(RegistryError::BlobUnknown(_))));
}

/// An image of two blobs, and a manifest.
struct Image {
    blobs: [Bytes; 2],
    manifest: Bytes,
}

impl Image {
    fn new(seed: u64) -> Self {
        // All have the same config.
        let blobs = [content(0, 100), content(seed + 1, 2_000)];
        let descriptor = |kind: &str, blob: &Bytes| {
            let (digest, size) = (sha256(blob), blob.len());
            format!(
                r#"{{"mediaType":"application/vnd.oci.image.{kind}","digest":"{digest}","size":{size}}}"#
            )
        };
        let config = descriptor("config.v1+json", &blobs[0]);
        let layer = descriptor("layer.v1.tar", &blobs[1]);
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{kind}","config":{config},"layers":[{layer}]}}"#
        );
        Self {
            blobs,
            manifest: manifest.into(),
        }
    }

    fn by_digest(&self) -> Reference {
        Reference::Digest(sha256(&self.manifest))
    }

    async fn push(&self, to: &Repository, tag: &str) -> Result<(), RegistryError> {
        for blob in &self.blobs {
            let digest = sha256(blob);
            to.push_blob(Append::default(), body(blob), &digest).await?;
        }
        let put = PutManifest {
            reference: Reference::Tag(tag.parse().unwrap()),
            tags: Vec::new(),
            digest: None,
            content_type: None,
            bytes: self.manifest.clone(),
        };
        to.put_manifest(put).await.map(|_| ())
    }

    async fn assert_whole(&self, from: &Repository) {
        let served = from.manifest(&self.by_digest()).await.unwrap();
        assert_eq!(served.bytes, self.manifest);
        for one in &self.blobs {
            assert_eq!(blob(from, &sha256(one)).await.unwrap(), *one);
        }
    }
}

/// Pushes, moves a tag, and deletes, now at this registry and now at another. What was accepted is
/// whole, at all of them. In the end only the last image is there.
async fn work(registries: [Registry; 3], name: String) -> Image {
    let all = registries.map(|registry| repository(&registry, &name));
    for round in 0..12 {
        // Few, so that what one deletes others push.
        let image = Image::new(round % 3);
        let [here, there] = [0, 1].map(|next| &all[(round + next) as usize % 3]);
        image.push(here, "latest").await.unwrap();
        image.assert_whole(there).await;
        if round < 11 {
            there.delete_manifest(&image.by_digest()).await.unwrap();
            let gone = here.manifest(&image.by_digest()).await;
            assert!(matches!(gone, Err(RegistryError::ManifestUnknown(_))));
        }
    }
    Image::new(11 % 3)
}

/// Takes at once whatever nothing needs, and destroys nothing, since a day has not gone by.
async fn collect(registry: Registry, over: Arc<AtomicBool>) -> usize {
    let mut options = CollectOptions::default();
    options.grace = Duration::ZERO;
    let mut cycles = 0;
    while !over.load(Ordering::Relaxed) || cycles == 0 {
        registry.collect(&options, &mut |_| ()).await.unwrap();
        cycles += 1;
    }
    cycles
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_collectors_beside_those_who_push_and_delete_lose_nothing() {
    let server = S3Server::start();
    let all = registries(&server).await;
    let over = Arc::new(AtomicBool::new(false));
    let collectors = [0, 1].map(|at| tokio::spawn(collect(all[at].clone(), Arc::clone(&over))));
    let names = ["a", "b", "c"];
    let workers = names.map(|name| tokio::spawn(work(all.clone(), name.to_owned())));
    let mut kept = Vec::new();
    for worker in workers {
        kept.push(worker.await);
    }
    // Whatever became of them.
    over.store(true, Ordering::Relaxed);
    for collector in collectors {
        assert!(collector.await.unwrap() > 0);
    }
    for (name, image) in names.into_iter().zip(kept) {
        let image = image.unwrap();
        for registry in &all {
            image.assert_whole(&repository(registry, name)).await;
        }
    }
}
