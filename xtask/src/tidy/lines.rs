//! Rules that can be seen in a single line.
//!
//! An exception is a comment on the line, or alone on the line above: `// tidy: RULE: why`.

use super::Findings;
use super::source::{File, Line};

/// A rule: where it holds, what it looks for, and what to say.
struct Rule {
    name: &'static str,
    holds: fn(&File, &Line<'_>) -> bool,
    words: &'static [&'static str],
    why: &'static str,
}

/// Words that begin or end in a letter match whole words only.
static RULES: &[Rule] = &[
    Rule {
        name: "core-io",
        holds: |file, line| {
            // The conformance suite is handed to drivers, and runs as tests of theirs.
            file.path.starts_with("registry-core/src/")
                && !file.path.starts_with("registry-core/src/testing/")
                && !line.test
        },
        words: &[
            "std::fs::read",
            "std::fs::write",
            "std::fs::OpenOptions",
            "std::fs::create_dir",
            "std::fs::remove_file",
            "std::fs::remove_dir",
            "std::fs::rename",
            "std::fs::metadata",
            "std::fs",
            "use std::fs;",
            "File::open",
            "File::create",
            "std::net::Tcp",
            "std::net::Udp",
            "TcpStream",
            "TcpListener",
            "UdpSocket",
            "ToSocketAddrs",
            "std::env",
            "tokio::net",
            "tokio::fs",
            "std::process",
            "SystemTime::now",
            "Instant::now",
            "getrandom",
            "RandomState",
        ],
        why: "the core does no I/O, and asks no clock and no randomness of its own",
    },
    Rule {
        name: "layout",
        holds: |file, line| {
            file.path.contains("/src/") && file.path != "registry-core/src/layout.rs" && !line.test
        },
        words: &["docker/registry/v2", "StorePath("],
        why: "only registry-core/src/layout.rs makes a path",
    },
    Rule {
        name: "layout",
        holds: |_, _| true,
        words: &["StorePath(pub"],
        why: "only the layout makes a StorePath, so its field is private",
    },
    Rule {
        name: "verified",
        holds: |file, line| !file.path.starts_with("registry-core/") && !line.test,
        words: &["Verified {", "Verified("],
        why: "only the core makes a Verified, after hashing every byte",
    },
    Rule {
        name: "builtin",
        holds: |file, line| {
            file.path.starts_with("registry-http/")
                && file.path != "registry-http/src/builtin.rs"
                && !line.test
        },
        words: &["storage_fs", "storage_s3", "auth_htpasswd", "auth_token"],
        why: "only registry-http/src/builtin.rs names a driver crate",
    },
    Rule {
        name: "publish",
        holds: |file, line| {
            file.path.starts_with("storage-fs/src/")
                && file.path != "storage-fs/src/publish.rs"
                && !line.test
        },
        words: &[
            "fs::rename",
            "renameat",
            "renameat_with",
            "hard_link",
            "linkat",
            "fs::link",
            "symlink",
            "symlinkat",
            "create_dir",
            "create_dir_all",
            "mkdir",
            "mkdirat",
            "DirBuilder",
        ],
        why: "only storage-fs/src/publish.rs renames, links and makes directories",
    },
    Rule {
        name: "sleep",
        holds: |file, line| line.test || file.path.starts_with("registry-core/src/testing/"),
        words: &["sleep("],
        why: "a test waits for a condition, with a limit",
    },
    Rule {
        name: "skipped-test",
        holds: |_, _| true,
        words: &["#[ignore", "#[should_panic"],
        why: "a test runs, and says by a condition what it expects",
    },
    Rule {
        name: "unfinished",
        holds: |_, _| true,
        words: &["todo!", "unimplemented!"],
        why: "what is not written is an issue, not a trap",
    },
    Rule {
        name: "unsafe",
        holds: |_, _| true,
        words: &["unsafe"],
        why: "there is no unsafe code",
    },
];

/// Looked for in comments as well.
const MARKS: [&str; 2] = ["FIXME", "XXX"];

pub(super) fn check(files: &[File], findings: &mut Findings) {
    // Spelled so that this file passes its own rule.
    let registries =
        [["crates", "io"], ["pypi", "org"], ["npmjs", "com"]].map(|parts| parts.join("."));
    for file in files {
        let own = file.path.starts_with("xtask/src/tidy");
        for line in file.lines() {
            let place = format!("{}:{}", file.path, line.number);
            if line.raw.ends_with([' ', '\t']) {
                findings.add(&place, "trailing white space");
            }
            if file.path != "Cargo.lock" && registries.iter().any(|host| line.raw.contains(host)) {
                findings.add(&place, "names the host of a package registry");
            }
            if own || !file.is_rust() {
                continue;
            }
            if let Some(mark) = MARKS.iter().find(|mark| has_word(line.raw, mark)) {
                findings.add(&place, format!("{mark}: write an issue instead"));
            }
            for rule in RULES {
                if line.allowed == Some(rule.name) || !(rule.holds)(file, &line) {
                    continue;
                }
                if let Some(word) = rule.words.iter().find(|word| is_found(&line, rule, word)) {
                    findings.add(&place, format!("`{word}`: {} [{}]", rule.why, rule.name));
                }
            }
        }
    }
}

/// The one exception that needs more than a word: `std::fs::File` as the type of a lent file.
fn is_found(line: &Line<'_>, rule: &Rule, word: &str) -> bool {
    if rule.name == "core-io" && word == "std::fs" && line.code.contains("std::fs::File") {
        return false;
    }
    has_word(line.code, word)
}

/// Whether `text` has `word` with no part of a longer name on either side.
fn has_word(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back().is_some_and(part);
        let after = text[at + word.len()..].chars().next().is_some_and(part);
        !(word.starts_with(part) && before || word.ends_with(part) && after)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_line(path: &str, text: &str) -> Vec<String> {
        let file = File {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let mut findings = Findings::default();
        check(&[file], &mut findings);
        findings.0
    }

    #[test]
    fn the_core_reads_no_file_and_may_lend_one() {
        let core = "registry-core/src/a.rs";
        assert_eq!(check_line(core, "use std::fs::File;").len(), 0);
        assert_eq!(check_line(core, "use std::net::IpAddr;").len(), 0);
        assert_eq!(check_line(core, "std::fs::read(path)").len(), 1);
        assert_eq!(check_line(core, "use std::fs;").len(), 1);
        assert_eq!(check_line(core, "File::open(path)").len(), 1);
        assert_eq!(check_line(core, "std::env::var(name)").len(), 1);
        assert_eq!(
            check_line("storage-fs/src/a.rs", "std::fs::read(path)").len(),
            0
        );
    }

    #[test]
    fn paths_drivers_and_directories_have_one_place_each() {
        assert_eq!(
            check_line("storage-s3/src/a.rs", r#""docker/registry/v2/blobs""#).len(),
            1
        );
        assert_eq!(
            check_line("registry-core/src/layout.rs", r#""docker/registry/v2""#).len(),
            0
        );
        assert_eq!(
            check_line("storage-s3/tests/a.rs", r#""docker/registry/v2""#).len(),
            0
        );
        assert_eq!(
            check_line("registry-http/src/main.rs", "storage_fs::Driver").len(),
            1
        );
        assert_eq!(
            check_line("registry-http/src/builtin.rs", "storage_fs::Driver").len(),
            0
        );
        assert_eq!(
            check_line("storage-fs/src/blobs.rs", "fs::rename(a, b)").len(),
            1
        );
        assert_eq!(
            check_line("storage-fs/src/blobs.rs", "self.publish.rename_in(a)").len(),
            0
        );
    }

    #[test]
    fn an_exception_is_for_its_rule_alone() {
        let path = "a/tests/it/main.rs";
        assert_eq!(check_line(path, "sleep(d)").len(), 1);
        assert_eq!(
            check_line(path, "// tidy: sleep: the kernel has no event\nsleep(d)").len(),
            0
        );
        assert_eq!(
            check_line(path, "// tidy: unsafe: wrong rule\nsleep(d)").len(),
            1
        );
    }

    #[test]
    fn words_are_whole() {
        assert!(!has_word("unsafe_code", "unsafe"));
        assert!(has_word("unsafe {", "unsafe"));
        assert!(!has_word("use x::std::fsx", "std::fs"));
    }
}
