use super::*;

/// Beside what is mandatory.
fn read(keys: &str) -> Result<Config, String> {
    let comma = if keys.is_empty() { "" } else { ", " };
    let json = format!("{{\"bucket\": \"b\", \"region\": \"eu-west-1\"{comma}{keys}}}");
    serde_json::from_str(&json).map_err(|error| error.to_string())
}

#[track_caller]
fn refused(keys: &str, why: &str) {
    let error = read(keys).unwrap_err();
    assert!(error.contains(why), "{keys}: {error}");
}

#[test]
fn nothing_said_is_what_distribution_would_do() {
    let config = read("").unwrap();
    assert_eq!(config.bucket, "b");
    assert_eq!(config.region.as_deref(), Some("eu-west-1"));
    assert_eq!(config.chunksize, 10 * MIB);
    assert_eq!(config.multipartcopychunksize, 32 * MIB);
    assert_eq!(config.multipartcopymaxconcurrency, 100);
    assert_eq!(config.multipartcopythresholdsize, 32 * MIB);
    assert!(config.secure && config.redirect);
    assert!(!config.skipverify && !config.encrypt && !config.logged);
    assert_eq!((config.storageclass, config.objectacl), (None, None));
}

#[test]
fn a_bucket_and_a_region_are_wanted_unless_there_is_an_endpoint() {
    let read = |json: &str| serde_json::from_str::<Config>(json);
    let missing = |json: &str| read(json).unwrap_err().to_string();
    assert!(missing("{}").contains("missing field `bucket`"));
    assert!(missing("{\"bucket\": \"\"}").contains("missing field `bucket`"));
    assert!(missing("{\"bucket\": \"b\"}").contains("missing field `region`"));
    let own = "{\"bucket\": \"b\", \"regionendpoint\": \"http://minio:9000\"}";
    assert_eq!(read(own).unwrap().region, None);
}

#[test]
fn a_boolean_may_be_a_text() {
    for (value, expected) in [
        ("true", true),
        ("\"true\"", true),
        ("\"1\"", true),
        ("\"T\"", true),
        ("\"on\"", true),
        ("false", false),
        ("\"False\"", false),
        ("\"\"", false),
        ("null", false),
    ] {
        let config = read(&format!("\"skipverify\": {value}")).unwrap();
        assert_eq!(config.skipverify, expected, "{value}");
    }
    refused("\"encrypt\": \"maybe\"", "true or false is wanted");
}

#[test]
fn a_number_has_bounds_and_may_be_a_text() {
    let chunk = |value: &str| read(&format!("\"chunksize\": {value}")).map(|it| it.chunksize);
    assert_eq!(chunk("5242880"), Ok(5 * MIB));
    assert_eq!(chunk("\"5368709120\""), Ok(5120 * MIB));
    assert_eq!(chunk("\"\""), Ok(10 * MIB));
    let wanted = "a whole number from 5242880 to 5368709120 is wanted here, not ";
    for value in ["5242879", "5368709121", "-1", "\"10\"", "\"many\""] {
        refused(&format!("\"chunksize\": {value}"), wanted);
    }
    refused("\"multipartcopychunksize\": 1", wanted);
    let wanted = "a whole number from 0 to 5368709120";
    refused("\"multipartcopythresholdsize\": 5368709121", wanted);
    refused(
        "\"multipartcopymaxconcurrency\": 0",
        "a whole number of 1 or more",
    );
    let none = read("\"multipartcopythresholdsize\": 0").unwrap();
    assert_eq!(none.multipartcopythresholdsize, 0);
}

#[test]
fn a_size_with_a_unit_says_what_it_would_be() {
    for (text, bytes) in [
        ("10MB", "10485760"),
        ("10 MiB", "10485760"),
        ("32m", "33554432"),
        ("1G", "1073741824"),
        ("6000kb", "6144000"),
    ] {
        let meant = format!("not \\\"{text}\\\"; if that is what is meant, write {bytes}");
        let meant = meant.replace('\\', "");
        refused(&format!("\"chunksize\": \"{text}\""), &meant);
    }
}

#[test]
fn a_class_is_one_of_those_of_aws_whatever_its_letters() {
    let class =
        |text: &str| read(&format!("\"storageclass\": \"{text}\"")).map(|it| it.storageclass);
    for text in ["", "NONE", "STANDARD", "standard"] {
        assert_eq!(class(text), Ok(None), "{text}");
    }
    assert_eq!(class("Standard_ia"), Ok(Some("STANDARD_IA".to_owned())));
    assert!(
        class("GLACIER")
            .unwrap_err()
            .contains("is not one of NONE, STANDARD,")
    );
    assert!(
        class("express_onezone")
            .unwrap_err()
            .contains("in no order")
    );
    let acl = |text: &str| read(&format!("\"objectacl\": \"{text}\"")).map(|it| it.objectacl);
    assert_eq!(acl("private"), Ok(None));
    let owner = "bucket-owner-full-control";
    assert_eq!(acl(owner), Ok(Some(owner.to_owned())));
    assert!(
        acl("Private")
            .unwrap_err()
            .contains("is not one of private,")
    );
}

#[test]
fn a_key_of_the_key_service_is_used_unless_encryption_is_off() {
    let encrypt = |keys: &str| read(keys).unwrap().encrypt;
    assert!(encrypt("\"keyid\": \"k\""));
    assert!(encrypt("\"encrypt\": true"));
    assert!(!encrypt("\"encrypt\": false, \"keyid\": \"k\""));
}

#[test]
fn what_cannot_be_done_is_said() {
    refused("\"v4auth\": \"false\"", "version 2");
    refused("\"accesskey\": \"a\"", "there is only one");
    refused("\"secretkey\": \"s\"", "there is only one");
    refused(
        "\"regionendpoint\": \"ftp://x\"",
        "`regionendpoint` is no endpoint",
    );
    refused(
        "\"regionendpoint\": \"http://u:p@x\"",
        "`regionendpoint` is no endpoint",
    );
    refused(
        "\"redirectendpoint\": \"//\"",
        "`redirectendpoint` is no endpoint",
    );
    let host = "\"regionendpoint\": \"http://127.0.0.1:9000\", \"forcepathstyle\": false";
    refused(host, "cannot be named before an address");
    let own = "\"regionendpoint\": \"http://minio\"";
    refused(
        &format!("{own}, \"accelerate\": true"),
        "one of them has to go",
    );
    refused(
        "\"accelerate\": true, \"usefipsendpoint\": true",
        "cannot be together",
    );
    refused(
        "\"accelerate\": true, \"forcepathstyle\": true",
        "named in the host",
    );
    let bucket = serde_json::from_str::<Config>("{\"bucket\": \"arn:x\", \"region\": \"r\"}");
    assert!(
        bucket
            .unwrap_err()
            .to_string()
            .contains("not the name of a bucket")
    );
    let region = serde_json::from_str::<Config>("{\"bucket\": \"b\", \"region\": \"r/x\"}");
    assert!(
        region
            .unwrap_err()
            .to_string()
            .contains("not the name of a region")
    );
}

#[test]
fn an_unknown_key_is_no_error_and_requests_are_logged_where_that_is_asked_for() {
    assert!(
        !read("\"tomorrow\": 1, \"loglevel\": \"off\"")
            .unwrap()
            .logged
    );
    assert!(read("\"loglevel\": \"DebugWithSigning\"").unwrap().logged);
}

#[test]
fn secrets_are_not_shown() {
    let keys = "\"accesskey\": \"hush\", \"secretkey\": \"hush\", \"sessiontoken\": \"hush\"";
    let shown = format!("{:?}", read(keys).unwrap());
    assert!(
        shown.contains("eu-west-1") && !shown.contains("hush"),
        "{shown}"
    );
}
