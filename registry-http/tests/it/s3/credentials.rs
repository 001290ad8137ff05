//! Keys that the environment has, as AWS's programs find them.

use std::fs;

use storage_s3::testing::S3Server;

use crate::client::Request;
use crate::process::Process;
use crate::server::command;

/// Serves a bucket with these variables, from a file without keys.
fn serve(bucket: &S3Server, variables: &[(&str, &str)]) -> Result<Process, Vec<String>> {
    let root = tempfile::tempdir().unwrap();
    let (name, endpoint) = (bucket.bucket(), bucket.endpoint());
    let config = format!(
        "version: 0.1\nstorage: {{s3aws: {{bucket: {name}, regionendpoint: '{endpoint}'}}}}\n"
    );
    fs::write(root.path().join("c.yml"), config).unwrap();
    let aws = root.path().join(".aws");
    fs::create_dir(&aws).unwrap();
    let profile = format!(
        "[default]\naws_access_key_id = nobody\naws_secret_access_key = hush\n[images]\n\
         aws_access_key_id = {}\naws_secret_access_key = {}\n",
        S3Server::ACCESS_KEY,
        S3Server::SECRET_KEY
    );
    fs::write(aws.join("credentials"), profile).unwrap();
    let mut serve = command(&[]);
    serve.args(["serve", "c.yml"]).current_dir(root.path());
    serve.env_clear().env("REGISTRY_HTTP_ADDR", "127.0.0.1:0");
    serve.env("HOME", root.path());
    serve.envs(variables.iter().copied());
    Process::start(serve).map_err(|ended| ended.lines)
}

#[test]
pub(crate) fn keys_may_be_variables_or_in_a_profile() {
    let bucket = S3Server::start();
    let keys = [
        ("AWS_ACCESS_KEY_ID", S3Server::ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", S3Server::SECRET_KEY),
    ];
    for variables in [&keys[..], &[("AWS_PROFILE", "images")]] {
        let process = serve(&bucket, variables).unwrap();
        let answer = Request::new("GET", "/v2/_catalog").send(process.address);
        assert_eq!(answer.status, 200);
    }
}

#[test]
pub(crate) fn keys_that_do_not_fit_are_told_by_where_they_are_from() {
    let bucket = S3Server::start();
    let said = serve(&bucket, &[]).err().unwrap().join("\n");
    let expected = "asking the bucket registry, with credentials of the file of profiles: ";
    assert!(said.contains(expected), "{said}");
    assert!(said.contains("403 Forbidden"), "{said}");
    assert!(!said.contains("hush"), "{said}");
    let said = serve(&bucket, &[("AWS_PROFILE", "nobody")]).err().unwrap();
    assert!(
        said.join("\n").contains("there is no such profile"),
        "{said:?}"
    );
}
