//! The contract of the storage traits, with parts of an S3 and listings by small pages.

use registry_core::Storage;
use registry_core::storage::OpenMode;
use storage_s3::testing::{Options, S3Server};

async fn fresh() -> (Storage, S3Server) {
    let mut options = Options::default();
    options.part = 64 * 1024;
    options.copy = 2_500_000;
    // The largest record of the suite.
    options.put = 1024 * 1024;
    // What one store asks for is what all take.
    options.equal_parts = true;
    let server = S3Server::with(options);
    let mut config = server.config();
    config.rootdirectory = "some dir/100%/+ü".to_owned();
    config.chunksize = 400_000;
    config.multipartcopychunksize = 1_000_000;
    config.multipartcopythresholdsize = 2_000_000;
    config.redirect = false;
    config.uploadmemory = 2_000_000;
    let driver = storage_s3::open(&config, OpenMode::Serve).await.unwrap();
    (Storage::from_driver(driver), server)
}

registry_core::storage_conformance!(fresh);
registry_core::storage_collection!(fresh);
registry_core::storage_faults!(fresh);
registry_core::storage_lists!(fresh);
