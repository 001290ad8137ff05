//! What the program is under the names that the container image links to it.
//!
//! The entry point is not a script, since a shell forgets variables whose names it could not set,
//! and `REGISTRY_HTTP_HEADERS_Access-Control-Allow-Origin` is one that tutorials do.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
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

/// What the entry point is to go on as.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// `registry` with these arguments.
    Registry(Vec<OsString>),
    /// A program of the image, with its arguments.
    Program(Vec<OsString>),
}

impl Next {
    /// Takes the place of this process, under its own name, as who looks at the processes expects.
    /// Returns where `registry` can do without that.
    ///
    /// # Errors
    /// When it cannot be started. Then this process should end: it no longer ignores SIGPIPE.
    pub(crate) fn go_on(&self) -> io::Result<()> {
        let (program, words) = match self {
            Self::Program(words) => (words.first().map(PathBuf::from), words),
            Self::Registry(words) => (std::env::current_exe().ok(), words),
        };
        match (program, words.split_first()) {
            (Some(program), Some((name, words))) => {
                Err(Command::new(program).arg0(name).args(words).exec())
            }
            _ => Ok(()),
        }
    }
}

/// What is to be done in place of what the entry point was given.
pub(crate) fn next(
    given: &[OsString],
    variables: &[(String, String)],
    is_command: impl FnOnce(&OsStr) -> bool,
) -> Next {
    let words = given.get(1..).unwrap_or_default();
    let before: Option<OsString> = match words.first() {
        None => return Next::Registry(unasked(Path::new("/"), variables)),
        Some(word) if is_yaml(word) => Some("serve".into()),
        Some(word) if is_flag(word) || is_command(word) => None,
        Some(program) if is_program(program) => return Next::Program(words.to_vec()),
        // It may be a file to serve.
        Some(_) => None,
    };
    let registry = [OsString::from("registry")].into_iter();
    Next::Registry(
        registry
            .chain(before)
            .chain(words.iter().cloned())
            .collect(),
    )
}

/// Whether there is such a program, where a shell would look.
#[allow(
    clippy::disallowed_methods,
    reason = "which program is meant is found out once, before anything is served"
)]
fn is_program(name: &OsStr) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    let runs = |path: &Path| {
        let there = std::fs::metadata(path);
        there.is_ok_and(|there| there.is_file() && there.permissions().mode() & 0o111 != 0)
    };
    if name.as_encoded_bytes().contains(&b'/') {
        return runs(name.as_ref());
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| runs(&folder.join(name)))
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
        let found = next(&given.collect::<Vec<_>>(), &[], is_command);
        let expected: Vec<_> = ["registry"]
            .iter()
            .chain(expected)
            .map(OsString::from)
            .collect();
        assert_eq!(found, Next::Registry(expected), "{words:?}");
    }

    #[test]
    fn a_program_is_what_a_shell_would_run() {
        assert!(is_program("sh".as_ref()) && is_program("/bin/sh".as_ref()));
        for word in [
            "no-such-program",
            "/no/such/program",
            "/etc",
            "/etc/passwd",
            "",
        ] {
            assert!(!is_program(word.as_ref()), "{word}");
        }
        let given = ["/entrypoint.sh", "sh", "-c", "true"].map(OsString::from);
        let program = next(&given, &[], |_| false);
        assert_eq!(program, Next::Program(given[1..].to_vec()));
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
