//! docs/s3.md: what it says can be served.

use std::fs;
use std::path::Path;

use storage_s3::testing::S3Server;

use crate::examples::blocks;
use crate::server::command;

#[test]
fn each_configuration_of_the_page_can_be_served() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/s3.md");
    let page = fs::read_to_string(file).unwrap();
    let bucket = S3Server::start();
    let endpoint = bucket.endpoint();
    let root = tempfile::tempdir().unwrap();
    let mut count = 0;
    for (_, text) in blocks(&page).iter().filter(|(kind, _)| *kind == "yaml") {
        fs::write(root.path().join("c.yml"), text).unwrap();
        // Another bucket, and who may use that one; all else is as it is there.
        let checked = command(&[])
            .args(["check", "c.yml"])
            .current_dir(root.path())
            .env_clear()
            .env("REGISTRY_HTTP_ADDR", "127.0.0.1:0")
            .env("REGISTRY_STORAGE_S3_BUCKET", bucket.bucket())
            .env("REGISTRY_STORAGE_S3_REGIONENDPOINT", &endpoint)
            .env("REGISTRY_STORAGE_S3_ACCESSKEY", S3Server::ACCESS_KEY)
            .env("REGISTRY_STORAGE_S3_SECRETKEY", S3Server::SECRET_KEY)
            .output()
            .unwrap();
        let told = String::from_utf8([checked.stdout, checked.stderr].concat()).unwrap();
        assert!(checked.status.success(), "{text}\n{told}");
        assert!(!told.contains("unknown"), "{text}\n{told}");
        assert!(
            told.contains("kind: s3") && told.contains(&endpoint),
            "{told}"
        );
        count += 1;
    }
    assert_eq!(count, 5);
}
