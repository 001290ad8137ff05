//! The tracked files, and the code of a Rust file without its comments and tests.

use std::fs;

use anyhow::{Context as _, Result};

use crate::sh;

/// A tracked text file.
#[derive(Debug)]
pub(super) struct File {
    /// From the root of the workspace, with `/`.
    pub(super) path: String,
    pub(super) text: String,
}

/// A line of code as it is judged.
#[derive(Debug)]
pub(super) struct Line<'a> {
    pub(super) number: usize,
    /// The line as written, comment and all.
    pub(super) raw: &'a str,
    /// Without a trailing `//` comment; strings are kept.
    pub(super) code: &'a str,
    /// In a `tests` folder, a `tests.rs`, or below `#[cfg(test)]`.
    pub(super) test: bool,
    /// What `// tidy: RULE: why` on this or the line above makes an exception of.
    pub(super) allowed: Option<&'a str>,
}

impl File {
    pub(super) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether nothing of the file is part of a shipped program.
    fn is_test(&self) -> bool {
        let path = &self.path;
        path.ends_with("/tests.rs")
            || path.ends_with("_tests.rs")
            || path.contains("/tests/")
            || path.contains("/benches/")
    }

    pub(super) fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let mut test = self.is_test();
        let mut above = None;
        self.text.lines().enumerate().map(move |(index, raw)| {
            let code = without_comment(raw);
            // Tests come last in a file, so what follows the attribute belongs to them.
            test |= code.trim_start().starts_with("#[cfg(test)]");
            let exception = raw
                .split_once("// tidy: ")
                .and_then(|(_, rest)| rest.split(':').next());
            let allowed = exception.or(above);
            // Only a comment that stands by itself speaks for the next line.
            above = exception.filter(|_| code.trim().is_empty());
            Line {
                number: index + 1,
                raw,
                code,
                test,
                allowed,
            }
        })
    }
}

/// Tracked files and those that would be, if they are text.
pub(super) fn tracked() -> Result<Vec<File>> {
    let listed = sh::output(sh::command("git").args([
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
    ]))?;
    let mut files = Vec::new();
    for path in listed.lines() {
        let file = sh::root().join(path);
        if !file.is_file() {
            continue; // deleted and not yet committed
        }
        let bytes = fs::read(&file).with_context(|| format!("cannot read {path}"))?;
        if let Ok(text) = String::from_utf8(bytes) {
            files.push(File {
                path: path.to_owned(),
                text,
            });
        }
    }
    Ok(files)
}

/// The line up to a `//` that is not inside a string.
fn without_comment(line: &str) -> &str {
    let bytes = line.as_bytes();
    let mut in_string = false;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            // A quote in a character literal opens no string.
            b'"' if !line[..at].ends_with('\'') => in_string = !in_string,
            b'/' if !in_string && bytes.get(at + 1) == Some(&b'/') => return &line[..at],
            _ => {}
        }
        at += 1;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Vec<(String, bool, Option<String>)> {
        let file = File {
            path: "a/src/lib.rs".to_owned(),
            text: text.to_owned(),
        };
        file.lines()
            .map(|line| {
                (
                    line.code.to_owned(),
                    line.test,
                    line.allowed.map(str::to_owned),
                )
            })
            .collect()
    }

    #[test]
    fn comments_go_and_strings_stay() {
        assert_eq!(check("a(); // unsafe")[0].0, "a(); ");
        assert_eq!(check(r#"b("http://x"); // c"#)[0].0, r#"b("http://x"); "#);
        assert_eq!(check(r#"b('"'); // c"#)[0].0, r#"b('"'); "#);
        assert_eq!(check(r#"b("\"//"); // c"#)[0].0, r#"b("\"//"); "#);
    }

    #[test]
    fn what_follows_the_test_attribute_is_test() {
        let lines = check("a\n#[cfg(test)]\nb");
        assert_eq!(
            lines.iter().map(|line| line.1).collect::<Vec<_>>(),
            [false, true, true]
        );
    }

    #[test]
    fn an_exception_holds_for_its_line_or_the_next() {
        let lines = check("// tidy: sleep: why\na\nb\nc // tidy: sleep: why\nd");
        let allowed: Vec<_> = lines.iter().map(|line| line.2.is_some()).collect();
        assert_eq!(allowed, [true, true, false, true, false]);
    }
}
