//! What the program is under the names that the container image links to it.
//!
//! The entry point is not a script, since a shell forgets variables whose names it could not set,
//! and `REGISTRY_HTTP_HEADERS_Access-Control-Allow-Origin` is one that tutorials do.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use crate::env::CONFIGURATION_PATH;

/// Other programs, whose name the process was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Called {
    /// As in the image of distribution: takes files, flags, commands and programs.
    EntryPoint,
    /// Apache's command, which `registry htpasswd` is.
    Htpasswd,
}

impl Called {
    /// By the first argument of the process.
    pub(crate) fn by(name: Option<&OsString>) -> Option<Self> {
        match Path::new(name?).file_name()?.to_str()? {
            "entrypoint.sh" => Some(Self::EntryPoint),
            "htpasswd" => Some(Self::Htpasswd),
            _ => None,
        }
    }
}

/// Where the two images have their configuration.
const CONFIGURATIONS: [&str; 2] = [
    "/etc/docker/registry/config.yml",
    "/etc/distribution/config.yml",
];

/// Where the image keeps a copy of what it came with.
const PRISTINE: &str = "usr/share/registry";

/// Goes on under its own name, as who looks at the processes expects; returns where it cannot.
pub(crate) fn rename(arguments: &[OsString]) {
    if let (Ok(program), Some((name, words))) = (std::env::current_exe(), arguments.split_first()) {
        let _ = Command::new(program).arg0(name).args(words).exec();
    }
}

/// What `registry` is to be given in place of what the entry point was given. Where that is a
/// program of the image, it takes the place of this one, and nothing is returned.
pub(crate) fn arguments(
    given: &[OsString],
    variables: &[(String, String)],
    is_command: impl FnOnce(&OsStr) -> bool,
) -> Vec<OsString> {
    let words = given.get(1..).unwrap_or_default();
    let before: Option<OsString> = match words.first() {
        None => return unasked(Path::new("/"), variables),
        Some(word) if is_yaml(word) => Some("serve".into()),
        Some(word) if is_flag(word) || is_command(word) => None,
        Some(program) => {
            // It returns when there is no such program: then it may be a file to serve.
            let _ = Command::new(program).args(&words[1..]).exec();
            None
        }
    };
    let registry = [OsString::from("registry")].into_iter();
    registry
        .chain(before)
        .chain(words.iter().cloned())
        .collect()
}

fn is_yaml(word: &OsStr) -> bool {
    let bytes = word.as_encoded_bytes();
    bytes.ends_with(b".yml") || bytes.ends_with(b".yaml")
}

fn is_flag(word: &OsStr) -> bool {
    word.as_encoded_bytes().starts_with(b"-")
}

/// Serves what the variable names, which the image sets to one of its files; unless that is as it
/// came, and somebody has put one of their own where the other version looks.
fn unasked(root: &Path, variables: &[(String, String)]) -> Vec<OsString> {
    let named = variables
        .iter()
        .find(|(name, _)| name == CONFIGURATION_PATH);
    let named = named.map(|(_, path)| path.as_str());
    let mut arguments = vec!["registry".into(), "serve".into()];
    let Some(own) = named.filter(|path| CONFIGURATIONS.contains(path)) else {
        return arguments;
    };
    let mut others = CONFIGURATIONS.into_iter().filter(|path| *path != own);
    let brought = others.find(|path| is_brought(root, path) && !is_brought(root, own));
    if let Some(other) = brought {
        eprintln!("registry: serving {other}, since {own} is the image's own");
    }
    arguments.push(brought.unwrap_or(own).into());
    arguments
}

/// Whether there is another file than the image came with.
#[allow(
    clippy::disallowed_methods,
    reason = "which configuration is read is found out once, before anything is served"
)]
fn is_brought(root: &Path, path: &str) -> bool {
    let path = path.trim_start_matches('/');
    let read = |path| std::fs::read(path).ok();
    let there = read(root.join(path));
    there.is_some() && there != read(root.join(PRISTINE).join(path))
}

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    reason = "a test makes the files of an image"
)]
mod tests {
    use std::fs;

    use super::*;

    const TWO: &str = CONFIGURATIONS[0];
    const THREE: &str = CONFIGURATIONS[1];

    #[track_caller]
    fn check(words: &[&str], expected: &[&str]) {
        let given = ["/entrypoint.sh"].iter().chain(words).map(OsString::from);
        let is_command = |word: &OsStr| word == "garbage-collect";
        let found = arguments(&given.collect::<Vec<_>>(), &[], is_command);
        let expected: Vec<_> = ["registry"]
            .iter()
            .chain(expected)
            .map(OsString::from)
            .collect();
        assert_eq!(found, expected, "{words:?}");
    }

    #[test]
    fn files_are_served_and_commands_and_flags_are_taken() {
        check(&["/a.yml"], &["serve", "/a.yml"]);
        check(&["b.yaml", "--x"], &["serve", "b.yaml", "--x"]);
        check(&["garbage-collect", "-d"], &["garbage-collect", "-d"]);
        check(&["-v"], &["-v"]);
        check(&["/no/such/program", "x"], &["/no/such/program", "x"]);
        check(&[], &["serve"]);
    }

    #[test]
    fn names_of_the_image_are_known() {
        let by = |name: &str| Called::by(Some(&name.into()));
        assert_eq!(by("/entrypoint.sh"), Some(Called::EntryPoint));
        assert_eq!(by("htpasswd"), Some(Called::Htpasswd));
        assert_eq!(by("/usr/local/bin/registry"), None);
        assert_eq!(Called::by(None), None);
    }

    /// What is served when the variable names a file and others are as they are told.
    fn served(named: &str, brought: &[&str]) -> Vec<OsString> {
        let root = tempfile::tempdir().unwrap();
        for path in CONFIGURATIONS {
            let at = |path: &str| root.path().join(path.trim_start_matches('/'));
            for place in [path, &format!("{PRISTINE}{path}")] {
                fs::create_dir_all(at(place).parent().unwrap()).unwrap();
                fs::write(at(place), "its own").unwrap();
            }
            if brought.contains(&path) {
                fs::write(at(path), "another").unwrap();
            }
        }
        let variable = (CONFIGURATION_PATH.to_owned(), named.to_owned());
        unasked(root.path(), &[variable]).split_off(2)
    }

    #[test]
    fn what_was_brought_to_either_place_is_served() {
        for (own, other) in [(TWO, THREE), (THREE, TWO)] {
            assert_eq!(served(own, &[]), [own]);
            assert_eq!(served(own, &[own]), [own]);
            assert_eq!(served(own, &[own, other]), [own]);
            assert_eq!(served(own, &[other]), [other]);
        }
        assert_eq!(served("/elsewhere.yml", &[TWO]), [""; 0]);
    }
}
