//! How loosely written values become what is wanted.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::*;
use crate::yaml;

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
struct Driver {
    on: bool,
    size: u32,
    ratio: f64,
    name: String,
    maybe: Option<i64>,
    list: Vec<String>,
    map: BTreeMap<String, u8>,
    kind: Kind,
    empty: Empty,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    Plain,
    Sized(u16),
}

#[derive(Debug, Default, Deserialize, PartialEq)]
struct Empty;

fn read<T: DeserializeOwned>(text: &str) -> Result<(T, Vec<Unwanted>), String> {
    let value = yaml::parse(text).unwrap().value;
    typed(&value, &["storage", "tape"])
        .map_err(|error| format!("{}: {error}", error.path.clone().unwrap().join(".")))
}

#[test]
fn scalars_become_what_the_target_wants() {
    let text = "{on: yes, size: 0x10, ratio: 1.5, name: 0755, maybe: -0755, list: [no, 1],
                 map: {a: 7}, kind: {sized: '9'}, empty: {}}";
    let expected = Driver {
        on: true,
        size: 16,
        ratio: 1.5,
        name: "0755".to_owned(),
        maybe: Some(-0o755),
        list: vec!["no".to_owned(), "1".to_owned()],
        map: BTreeMap::from([("a".to_owned(), 7)]),
        kind: Kind::Sized(9),
        empty: Empty,
    };
    let (made, unwanted) = read::<Driver>(text).unwrap();
    assert_eq!(made, expected);
    assert!(unwanted.is_empty());
}

#[test]
fn an_empty_value_leaves_the_default() {
    #[derive(Debug, Deserialize, PartialEq)]
    struct Sized {
        #[serde(default = "ten")]
        size: u32,
    }
    fn ten() -> u32 {
        10
    }
    assert_eq!(read::<Sized>("size:").unwrap().0, Sized { size: 10 });
    assert_eq!(read::<Sized>("").unwrap().0, Sized { size: 10 });
    assert_eq!(read::<Driver>("").unwrap().0, Driver::default());
}

#[test]
fn booleans_are_those_of_yaml_1_1() {
    for word in ["true", "True", "yes", "YES", "y", "on", "On"] {
        assert_eq!(boolean(word), Some(true), "{word}");
    }
    for word in ["false", "FALSE", "no", "No", "n", "off", "OFF"] {
        assert_eq!(boolean(word), Some(false), "{word}");
    }
    for word in ["", "1", "0", "tRuE", "enabled"] {
        assert_eq!(boolean(word), None, "{word}");
    }
}

#[test]
fn integers_are_those_of_yaml_1_1() {
    let table = [
        ("0", Some(0)),
        ("10", Some(10)),
        ("+10", Some(10)),
        ("-10", Some(-10)),
        ("1_000", Some(1000)),
        ("0755", Some(0o755)),
        ("0o17", Some(15)),
        ("0xff", Some(255)),
        ("0b101", Some(5)),
        ("089", None),
        ("", None),
        ("-", None),
        ("1.5", None),
        ("5.0", Some(5)),
        ("-5.00", Some(-5)),
        ("0.0", Some(0)),
        ("5.", None),
        ("5.0.0", None),
        ("x.0", None),
        ("10MB", None),
        ("--1", None),
        ("0x-1", None),
        ("18446744073709551615", Some(18_446_744_073_709_551_615)),
        ("18446744073709551616", None),
    ];
    for (text, expected) in table {
        assert_eq!(integer(text), expected, "{text:?}");
    }
}

#[test]
fn an_error_names_its_key() {
    let table = [
        ("on: maybe", "storage.tape.on: "),
        ("size: -1", "storage.tape.size: "),
        ("size: big", "storage.tape.size: "),
        ("name: [a]", "storage.tape.name: "),
        ("list: a", "storage.tape.list: "),
        ("list: [a, {}]", "storage.tape.list.1: "),
        ("map: {a: 256}", "storage.tape.map.a: "),
        ("kind: round", "storage.tape.kind: "),
        ("text", "storage.tape: "),
    ];
    for (text, start) in table {
        let error = read::<Driver>(text).map(|(made, _)| made).unwrap_err();
        assert!(error.starts_with(start), "{text:?}: {error}");
    }
}

#[test]
fn a_missing_key_is_named() {
    #[derive(Debug, Deserialize)]
    struct Needs {
        #[allow(dead_code)]
        bucket: String,
    }
    let error = read::<Needs>("{}").map(|(made, _)| made).unwrap_err();
    assert_eq!(
        error,
        "storage.tape.bucket: this key is mandatory and missing"
    );
}

#[test]
fn keys_that_nobody_wants_are_collected() {
    let (_, unwanted) = read::<Driver>("{onn: yes, more: {a: b}, none: }").unwrap();
    let paths: Vec<_> = unwanted.iter().map(|key| key.path.join(".")).collect();
    let expected = ["storage.tape.more", "storage.tape.none", "storage.tape.onn"];
    assert_eq!(paths, expected);
    assert!(unwanted[0].wanted.contains(&"on"));
}
