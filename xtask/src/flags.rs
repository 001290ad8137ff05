//! The command line, declared: what is not in [`COMMANDS`] does not exist, and `--help` prints it.

use std::fmt::Write as _;

use anyhow::{Result, bail};

/// One command: its file has a `run` that takes what was given.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) name: &'static str,
    about: &'static str,
    options: &'static [Flag],
    pub(crate) run: fn(&Args) -> Result<()>,
}

/// An option of a command; with a `value` it takes the next word.
#[derive(Debug)]
struct Flag {
    name: &'static str,
    value: Option<&'static str>,
    about: &'static str,
}

const fn switch(name: &'static str, about: &'static str) -> Flag {
    Flag {
        name,
        value: None,
        about,
    }
}

const fn valued(name: &'static str, value: &'static str, about: &'static str) -> Flag {
    Flag {
        name,
        value: Some(value),
        about,
    }
}

static COMMANDS: &[Command] = &[
    Command {
        name: "test",
        about: "run every test of the workspace, and say what optional tools are missing",
        options: &[],
        run: crate::test::run,
    },
    Command {
        name: "ci",
        about: "what CI runs before the tests: format, lints, docs, tidy, deny, integration",
        options: &[switch("--no-integration", "leave out the real clients")],
        run: crate::ci::run,
    },
    Command {
        name: "tidy",
        about: "check the rules of ARCHITECTURE.md that the compiler cannot",
        options: &[],
        run: crate::tidy::run,
    },
    Command {
        name: "integration",
        about: "start the registry and let real clients use it: the core set, or more",
        options: &[
            switch("--all", "docker, the image, buildah, ctr and helm, too"),
            switch("--install", "install what is missing (apt-get, go install)"),
            valued("--only", "NAME", "this client alone; can be repeated"),
            valued("--storage", "KIND", "what to store on: fs"),
            valued("--auth", "KIND", "how to authenticate: none"),
        ],
        run: crate::integration::run,
    },
    Command {
        name: "conformance",
        about: "run the OCI conformance suite against the release build",
        options: &[
            valued("--storage", "KIND", "what to store on, if not files: s3"),
            valued(
                "--replicas",
                "N",
                "so many servers on the bucket, behind nginx",
            ),
            valued(
                "--results",
                "DIR",
                "where its reports go (target/conformance)",
            ),
        ],
        run: crate::conformance::run,
    },
    Command {
        name: "bench",
        about: "measure the release build beside distribution; the table goes to target/bench.md",
        options: &[
            valued(
                "--peer",
                "PATH",
                "a server to compare with; can be repeated (those installed)",
            ),
            switch("--peers-only", "leave ours out"),
            valued(
                "--row",
                "WORDS",
                "only rows whose name has these words; can be repeated",
            ),
            valued(
                "--dir",
                "DIR",
                "where the stores are, on the disk to be measured (target/)",
            ),
            switch("--quick", "one short round, to see that it works"),
        ],
        run: crate::bench::run,
    },
    Command {
        name: "dist",
        about: "build the release archive, of a static binary, and its checksum into target/dist",
        options: &[],
        run: crate::dist::run,
    },
    Command {
        name: "image",
        about: "build the container images, with buildah, into target/dist for `docker load`",
        options: &[valued(
            "--files",
            "DIR",
            "only make the tree of files of the image there",
        )],
        run: crate::package::run,
    },
];

const ENVIRONMENT: &[(&str, &str)] = &[
    (
        "CI",
        "when set, mandatory tools are installed, and missing ones are errors",
    ),
    (
        "OCI_CONFORMANCE",
        "path of the OCI conformance suite's binary",
    ),
    (
        "REGISTRY_BIN",
        "another server to test in place of the one built here",
    ),
];

/// What the command line came to.
#[derive(Debug)]
pub(crate) enum Parsed {
    Help(String),
    Run(&'static Command, Args),
}

/// The options that were given.
#[derive(Debug, Default)]
pub(crate) struct Args {
    given: Vec<(&'static str, String)>,
}

impl Args {
    pub(crate) fn has(&self, name: &str) -> bool {
        self.given.iter().any(|(given, _)| *given == name)
    }

    /// What was given with a repeatable option.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.given
            .iter()
            .filter(move |(given, _)| *given == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Reads the words after the program's name.
pub(crate) fn parse(words: impl IntoIterator<Item = String>) -> Result<Parsed> {
    let mut words = words.into_iter();
    let Some(name) = words.next() else {
        bail!("which command?\n\n{}", help())
    };
    if is_help(&name) {
        return Ok(Parsed::Help(help()));
    }
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        bail!("there is no command `{name}`\n\n{}", help());
    };
    let mut args = Args::default();
    while let Some(word) = words.next() {
        if is_help(&word) {
            return Ok(Parsed::Help(help_for(command)));
        }
        let (word, inline) = match word.split_once('=') {
            Some((word, value)) => (word.to_owned(), Some(value.to_owned())),
            None => (word, None),
        };
        let Some(flag) = command.options.iter().find(|flag| flag.name == word) else {
            bail!("`{name}` has no option `{word}`\n\n{}", help_for(command));
        };
        let value = match (flag.value, inline) {
            (None, None) => String::new(),
            (None, Some(_)) => bail!("{word} takes no value"),
            (Some(_), Some(value)) => value,
            (Some(kind), None) => match words.next() {
                Some(value) => value,
                None => bail!("{word} needs a value: {word} {kind}"),
            },
        };
        args.given.push((flag.name, value));
    }
    Ok(Parsed::Run(command, args))
}

fn is_help(word: &str) -> bool {
    matches!(word, "--help" | "-h" | "help")
}

fn help() -> String {
    let mut text = String::from("Usage: cargo xtask COMMAND [OPTION]...\n");
    for command in COMMANDS {
        text.push('\n');
        text.push_str(&help_for(command));
    }
    text.push_str("\nEnvironment:\n");
    for (name, about) in ENVIRONMENT {
        line(&mut text, &format!("  {name}"), about);
    }
    text.truncate(text.trim_end().len());
    text
}

fn help_for(command: &Command) -> String {
    let mut text = String::new();
    line(&mut text, command.name, command.about);
    for flag in command.options {
        let left = match flag.value {
            Some(value) => format!("  {} {value}", flag.name),
            None => format!("  {}", flag.name),
        };
        line(&mut text, &left, flag.about);
    }
    text
}

fn line(text: &mut String, left: &str, right: &str) {
    let _ = writeln!(text, "{left:<20} {right}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str) -> Result<Parsed> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn what_is_not_declared_is_refused_with_the_help() {
        assert!(
            check("dust")
                .unwrap_err()
                .to_string()
                .contains("Usage: cargo xtask")
        );
        assert!(
            check("tidy --fast")
                .unwrap_err()
                .to_string()
                .contains("no option `--fast`")
        );
        assert!(check("tidy --help=1").is_err());
        assert!(check("").is_err());
    }

    #[test]
    fn the_help_lists_every_command_and_option() {
        let Ok(Parsed::Help(text)) = check("--help") else {
            panic!("not help")
        };
        for command in COMMANDS {
            assert!(text.contains(command.about));
            assert!(command.options.iter().all(|flag| text.contains(flag.name)));
        }
        assert!(matches!(check("ci --help"), Ok(Parsed::Help(_))));
    }
}
