//! The keys of `storage.s3`.

use storage_s3::testing::{Operation, S3Server};

use super::{Checked, check, proved_by};
use crate::s3::{self, catalog, credentials, roles, secure, several};

proved_by! {
    storage_s3: several::what_one_server_is_told_all_know,
        several::servers_take_turns_at_an_upload,
        s3::what_was_deleted_is_collected_from_the_bucket;
    storage_s3_catalog: catalog::what_distribution_has_written_is_listed_from_the_first_request,
        catalog::a_repository_that_only_distribution_knows_is_listed_after_an_access_or_a_reindex;
    storage_s3_keys: credentials::keys_may_be_variables_or_in_a_profile,
        credentials::keys_that_do_not_fit_are_told_by_where_they_are_from,
        roles::a_web_identity_is_a_role_for_a_while,
        roles::a_pod_has_its_role_by_its_token,
        roles::a_machine_has_its_role_in_a_session;
    storage_s3_loglevel: s3::requests_to_the_store_are_lines_where_that_is_asked_for;
    storage_s3_redirect: s3::a_blob_is_fetched_from_the_bucket_and_nothing_else_is,
        s3::clients_that_must_not_be_sent_elsewhere_are_not;
    storage_s3_tls: secure::an_authority_of_ones_own_counts_and_no_other_unless_none_has_to,
        secure::without_tls_the_endpoint_is_asked_over_plain_http;
}

/// Checks a bucket with these keys, beside those that it takes to reach it.
fn bucket(server: &S3Server, kind: &str, keys: &str) -> Checked {
    let text = format!(
        "version: 0.1\nstorage: {{{kind}: {{bucket: registry, regionendpoint: '{}', {keys}}}}}\n",
        server.endpoint()
    );
    let variables = [
        ("AWS_ACCESS_KEY_ID", S3Server::ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", S3Server::SECRET_KEY),
    ];
    check(&text, &variables)
}

/// A section that cannot be, whether or not there is a bucket.
#[track_caller]
fn refused(keys: &str, key: &str, why: &str) {
    let checked = check(&format!("version: 0.1\nstorage: {{s3: {{{keys}}}}}\n"), &[]);
    let problem = checked.problem();
    assert!(
        problem.starts_with(&format!("`{key}` (c.yml:2")),
        "{problem}"
    );
    assert!(problem.contains(why), "{problem}");
}

#[test]
fn storage_s3_mandatory() {
    refused("region: a", "storage.s3.bucket", "mandatory");
    refused("bucket: a", "storage.s3.region", "mandatory");
    let server = S3Server::start();
    assert_eq!(bucket(&server, "s3", "").code, Some(0));
}

#[test]
fn storage_s3_rest() {
    let server = S3Server::start();
    for kind in ["s3", "s3aws"] {
        let all = "rootdirectory: /a, secure: 'true', skipverify: 'false', v4auth: true, \
                   chunksize: 5242880, multipartcopychunksize: '33554432', \
                   multipartcopymaxconcurrency: 10, multipartcopythresholdsize: 0, \
                   storageclass: standard_ia, objectacl: bucket-owner-full-control, \
                   useragent: a, usedualstack: false, accelerate: 'false', \
                   usefipsendpoint: no, encrypt: 1, loglevel: off, uploadmemory: 33554432";
        let checked = bucket(&server, kind, all);
        assert_eq!(
            (checked.code, checked.warnings()),
            (Some(0), vec![]),
            "{checked:?}"
        );
        let warned = bucket(&server, kind, "chunksizes: 1");
        let warning = warned.warning();
        let key = format!("`storage.{kind}.chunksizes`");
        assert!(
            warning.contains(&key) && warning.contains("chunksize`?"),
            "{warning}"
        );
    }
}

#[test]
fn storage_s3_sizes() {
    let base = "bucket: a, region: b, chunksize: ";
    let key = "storage.s3.chunksize";
    let meant = "from 5242880 to 5368709120 is wanted here, not \"10MB\"; if that is what is \
                 meant, write 10485760";
    refused(&format!("{base}10MB"), key, meant);
    refused(&format!("{base}10"), key, "not 10");
}

#[test]
fn storage_s3_path_style() {
    let server = S3Server::start();
    let told = |keys: &str| {
        let checked = bucket(&server, "s3", keys);
        checked.problems().join("\n")
    };
    assert_eq!(told(""), "");
    assert_eq!(told("forcepathstyle: true"), "");
    assert!(told("forcepathstyle: 'false'").contains("cannot be named before an address"));
}

#[test]
fn storage_s3_refused() {
    let own = "bucket: a, region: b";
    let section = "storage.s3";
    refused(&format!("{own}, v4auth: false"), section, "version 2");
    refused(
        &format!("{own}, accesskey: c"),
        section,
        "there is only one",
    );
    refused(
        &format!("{own}, storageclass: GLACIER"),
        "storage.s3.storageclass",
        "not one of",
    );
    let express = format!("{own}, storageclass: EXPRESS_ONEZONE");
    refused(&express, "storage.s3.storageclass", "no order");
    let both = format!("{own}, accelerate: true, regionendpoint: 'http://c'");
    refused(&both, section, "one of them has to go");
}

#[test]
fn storage_s3_root() {
    let server = S3Server::start();
    for root in ["/a/b/", "a/b", "//a/b"] {
        let checked = bucket(&server, "s3", &format!("rootdirectory: {root}"));
        assert_eq!(checked.code, Some(0), "{checked:?}");
        let log = server.take_log();
        let mut writes = log
            .iter()
            .filter(|one| one.operation == Operation::PutObject);
        let key = &writes.next().unwrap().key;
        assert!(key.starts_with("a/b/docker/registry/v2/"), "{key}");
    }
    for root in ["a//b", "a/../b"] {
        let checked = bucket(&server, "s3", &format!("rootdirectory: {root}"));
        assert_eq!(checked.code, Some(1), "{checked:?}");
        assert!(
            checked.problems().join("").contains("rootdirectory"),
            "{checked:?}"
        );
    }
    assert_eq!(server.take_log().len(), 0);
}

#[test]
fn storage_s3_kept() {
    let server = S3Server::start();
    let keys = "encrypt: 'true', keyid: the-key, storageclass: onezone_ia, objectacl: \
                bucket-owner-read, useragent: somebody";
    assert_eq!(bucket(&server, "s3", keys).code, Some(0));
    let log = server.take_log();
    assert!(
        log.iter()
            .all(|one| one.headers["user-agent"] == "somebody")
    );
    let made: Vec<_> = log
        .iter()
        .filter(|one| one.operation == Operation::PutObject)
        .collect();
    assert!(!made.is_empty());
    for (name, value) in [
        ("x-amz-server-side-encryption", "aws:kms"),
        ("x-amz-server-side-encryption-aws-kms-key-id", "the-key"),
        ("x-amz-storage-class", "ONEZONE_IA"),
        ("x-amz-acl", "bucket-owner-read"),
    ] {
        assert!(made.iter().all(|one| one.headers[name] == value), "{name}");
    }
    let by_itself = "keyid: the-key, storageclass: standard, objectacl: private";
    assert_eq!(bucket(&server, "s3", by_itself).code, Some(0));
    for request in server.take_log() {
        let names = ["x-amz-storage-class", "x-amz-acl"];
        assert!(
            names
                .iter()
                .all(|name| !request.headers.contains_key(*name))
        );
        let encrypts = request.headers.contains_key("x-amz-server-side-encryption");
        assert_eq!(encrypts, request.operation == Operation::PutObject);
    }
}
