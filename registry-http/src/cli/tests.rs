//! What the command line means.

use super::*;

fn parse(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Source, clap::Error> {
    let arguments = ["registry"].iter().chain(arguments).map(OsString::from);
    let variables: Vec<_> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    work(arguments, &variables).map(|(_, source)| source)
}

#[test]
fn the_configuration_is_found_as_distribution_finds_it() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let given = Source::File(file.path().to_owned());
    let variable = [("REGISTRY_CONFIGURATION_PATH", "/from/variable")];
    let from_variable = Source::File(PathBuf::from("/from/variable"));
    #[allow(clippy::type_complexity, reason = "a table of cases")]
    let table: [(&[&str], &[(&str, &str)], &Source); 8] = [
        (&[], &[], &Source::BuiltIn),
        (&["serve"], &[], &Source::BuiltIn),
        (&[], &variable, &from_variable),
        (&["serve"], &variable, &from_variable),
        (&["serve", path], &[], &given),
        (&["serve", path], &variable, &given),
        (&[path], &variable, &given),
        (
            &[],
            &[("REGISTRY_CONFIGURATION_PATH", "")],
            &Source::BuiltIn,
        ),
    ];
    for (arguments, variables, expected) in table {
        let source = parse(arguments, variables).unwrap();
        assert_eq!(source, *expected, "{arguments:?} {variables:?}");
    }
}

#[test]
fn what_is_neither_command_nor_file_is_refused() {
    for arguments in [&["collect"][..], &["collect", "x"], &["--what"]] {
        let error = parse(arguments, &[]).unwrap_err();
        assert!(error.use_stderr(), "{arguments:?}");
    }
}

#[test]
fn a_collection_takes_the_flags_of_distribution() {
    for arguments in [
        &["garbage-collect", "config.yml"][..],
        &["garbage-collect", "-d", "-m", "-q", "config.yml"],
        &[
            "garbage-collect",
            "--dry-run",
            "--delete-untagged",
            "--quiet",
            "config.yml",
        ],
        &["garbage-collect", "--now", "--json", "config.yml"],
    ] {
        let arguments = ["registry"].iter().chain(arguments).map(OsString::from);
        let (work, source) = work(arguments, &[]).unwrap();
        assert!(matches!(work, Work::Collect(_)), "{work:?}");
        assert_eq!(source, Source::File(PathBuf::from("config.yml")));
    }
}

#[test]
fn flags_take_values_as_those_of_go_do() {
    let table: [(&[&str], [bool; 3]); 12] = [
        (&[], [false, false, false]),
        (&["-dmq"], [true, true, true]),
        (&["-dm=true"], [true, true, false]),
        (&["-m", "-m"], [false, true, false]),
        (&["--delete-untagged=true"], [false, true, false]),
        (&["--dry-run=1", "-m=T"], [true, true, false]),
        (&["--dry-run=0", "-m=f"], [false, false, false]),
        (&["-d=false", "--quiet=False"], [false, false, false]),
        (&["--dry-run=TRUE", "--quiet=t"], [true, false, true]),
        (&["-d", "-d=F"], [false, false, false]),
        (&["--dry-run=FALSE", "-m=True"], [false, true, false]),
        (&["--quiet", "--quiet=false"], [false, false, false]),
    ];
    let collect = |flags: &[&str]| {
        let line = [&["registry", "garbage-collect"], flags, &["x.yml"]].concat();
        work(line.iter().map(OsString::from), &[])
    };
    for (flags, expected) in table {
        let (work, source) = collect(flags).unwrap();
        let Work::Collect(arguments) = work else {
            panic!("{work:?}");
        };
        assert_eq!(arguments.flags(), expected, "{flags:?}");
        assert_eq!(source, Source::File(PathBuf::from("x.yml")), "{flags:?}");
    }
    for flag in [
        "--dry-run=maybe",
        "-m=yes",
        "-d=",
        "--quiet=2",
        "--dry-run=tRUE",
    ] {
        let error = collect(&[flag]).unwrap_err();
        assert!(error.use_stderr(), "{flag}");
    }
}

#[test]
fn a_collection_is_told_of_which_store() {
    let error = parse(&["garbage-collect", "-d"], &[]).unwrap_err();
    assert!(error.use_stderr(), "{error}");
    assert!(
        error.to_string().contains("REGISTRY_CONFIGURATION_PATH"),
        "{error}"
    );
    let variable = [("REGISTRY_CONFIGURATION_PATH", "/a")];
    let source = parse(&["garbage-collect"], &variable).unwrap();
    assert_eq!(source, Source::File(PathBuf::from("/a")));
}

#[test]
fn completions_are_said_not_to_be_there() {
    for arguments in [
        &["completion"][..],
        &["completion", "bash", "--no-descriptions"],
    ] {
        let error = parse(arguments, &[]).unwrap_err();
        assert!(error.use_stderr(), "{error}");
        assert!(error.to_string().contains("no completions"), "{error}");
    }
}

#[test]
fn a_check_takes_what_serving_takes() {
    for (arguments, expected) in [
        (&["check"][..], Source::BuiltIn),
        (
            &["check", "--json", "--all", "x.yml"],
            Source::File("x.yml".into()),
        ),
    ] {
        assert_eq!(parse(arguments, &[]).unwrap(), expected);
    }
}

#[cfg(feature = "htpasswd")]
#[test]
fn the_name_of_a_command_is_the_command() {
    let table: [(&[&str], Option<&[&str]>); 6] = [
        (
            &["registry", "htpasswd", "-Bbn", "u", "p"],
            Some(&["-Bbn", "u", "p"]),
        ),
        (&["htpasswd", "-Bbn", "u", "-p"], Some(&["-Bbn", "u", "-p"])),
        (&["/usr/bin/htpasswd", "--help"], Some(&["--help"])),
        (&["./htpasswd"], Some(&[])),
        (&["/htpasswd/registry", "serve"], None),
        (
            &["registry", "htpasswd", "-v", "--", "-f"],
            Some(&["-v", "--", "-f"]),
        ),
    ];
    for (given, expected) in table {
        let (work, _) = work(given.iter().map(OsString::from), &[]).unwrap();
        let found = match work {
            Work::Htpasswd(arguments) => Some(arguments),
            _ => None,
        };
        let expected: Option<Vec<OsString>> =
            expected.map(|expected| expected.iter().map(OsString::from).collect());
        assert_eq!(found, expected, "{given:?}");
    }
}

#[test]
fn help_is_a_command_as_it_is_a_flag() {
    for (arguments, told) in [
        (&["help"][..], "garbage-collect"),
        (&["--help"], "garbage-collect"),
        (&["help", "garbage-collect"], "--dry-run"),
        (&["help", "serve"], "YAML file"),
    ] {
        let help = parse(arguments, &[]).unwrap_err();
        assert!(!help.use_stderr(), "{arguments:?}");
        assert!(help.to_string().contains(told), "{help}");
    }
}

#[cfg(not(feature = "htpasswd"))]
#[test]
fn under_the_name_of_htpasswd_nothing_is_served() {
    for line in [&["/usr/bin/htpasswd"][..], &["htpasswd", "-Bbn", "a", "b"]] {
        let error = work(line.iter().map(OsString::from), &[]).unwrap_err();
        assert!(error.use_stderr() && error.to_string().contains("htpasswd"));
    }
}

#[test]
fn the_version_is_told() {
    for flag in ["-v", "--version"] {
        let told = parse(&[flag], &[]).unwrap_err();
        assert!(!told.use_stderr());
        let expected = format!("registry {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(told.to_string(), expected);
    }
}

#[test]
fn an_error_is_told_with_all_it_came_from() {
    let error = Error::System {
        doing: "opening the tape",
        source: io::Error::other("torn"),
    };
    assert_eq!(chain(&error), "opening the tape: torn");
}
