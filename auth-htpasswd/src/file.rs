//! The lines of an htpasswd file: read as distribution reads them, and changed one user at a
//! time. Nothing here touches a file.

use std::collections::HashMap;

use crate::hash::Hash;

/// A cost below this is told: the file would not hold out for long if it were stolen.
const WEAK: u32 = 10;

/// Lines that are told one by one.
const TOLD: usize = 20;

/// A line that is neither an entry nor a comment, so that nothing of the file counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} has no colon between a user and a hash")]
#[non_exhaustive]
pub struct Malformed {
    /// Which, from 1. What is in it may be a password, and is not told.
    pub line: usize,
}

/// What a file says.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    pub(crate) users: HashMap<String, Hash>,
    /// Lines that are not as someone meant them, each in words.
    pub(crate) remarks: Vec<String>,
    /// Users whose hash is cheap to break.
    pub(crate) weak: usize,
}

/// A line as distribution sees it.
enum Line<'a> {
    /// Empty, or a comment.
    Nothing,
    Entry {
        user: &'a [u8],
        hash: &'a [u8],
    },
    Malformed,
}

impl<'a> Line<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        let text = bytes.trim_ascii();
        if text.is_empty() || text.starts_with(b"#") {
            return Self::Nothing;
        }
        match text.iter().position(|byte| *byte == b':') {
            Some(colon) => Self::Entry {
                user: &text[..colon],
                hash: &text[colon + 1..],
            },
            None => Self::Malformed,
        }
    }
}

/// Lines with their numbers and their line ends; an editor's mark at the start is none of them.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    (1..).zip(bytes.split_inclusive(|byte| *byte == b'\n'))
}

/// All users. As in distribution the last line of a user counts, and a line without a colon
/// spoils the file.
pub(crate) fn parse(bytes: &[u8]) -> Result<Parsed, Malformed> {
    let mut parsed = Parsed::default();
    let mut untold = 0;
    for (line, text) in lines(bytes) {
        let (user, hash) = match Line::of(text) {
            Line::Nothing => continue,
            Line::Malformed => return Err(Malformed { line }),
            Line::Entry { user, hash } => (user, hash),
        };
        let Some(remark) = parsed.add(user, hash) else {
            continue;
        };
        match parsed.remarks.len() < TOLD {
            true => parsed.remarks.push(format!("line {line}: {remark}")),
            false => untold += 1,
        }
    }
    if untold > 0 {
        parsed
            .remarks
            .push(format!("{untold} more lines like these"));
    }
    let weak = parsed.users.values().filter(|hash| hash.cost() < WEAK);
    parsed.weak = weak.count();
    Ok(parsed)
}

impl Parsed {
    /// Takes an entry, and says what is odd about it.
    fn add(&mut self, user: &[u8], hash: &[u8]) -> Option<String> {
        let Ok(user) = std::str::from_utf8(user) else {
            return Some("the user is not UTF-8, and nobody logs in by it".to_owned());
        };
        if user.is_empty() {
            return Some("there is no user before the colon".to_owned());
        }
        // The last line counts, even where it is of no use.
        let before = self.users.remove(user);
        match Hash::parse(&String::from_utf8_lossy(hash)) {
            Ok(hash) => {
                self.users.insert(user.to_owned(), hash);
                before.map(|_| format!("user {user:?} is there twice; the last line counts"))
            }
            Err(unusable) => Some(format!(
                "the hash of user {user:?} {unusable}, so that nobody logs in by it"
            )),
        }
    }
}

/// The text with this entry in the place of the user's first, or at the end; `None` takes the
/// user away. Says whether the user was there.
///
/// # Errors
/// [`Malformed`]: this is no htpasswd file, and better left alone.
pub fn changed(
    bytes: &[u8],
    user: &str,
    hash: Option<&Hash>,
) -> Result<(Vec<u8>, bool), Malformed> {
    let entry = hash.map(|hash| format!("{user}:{hash}\n"));
    let mut entry = entry.as_deref();
    let mut made = Vec::with_capacity(bytes.len() + 100);
    let mut found = false;
    for (line, text) in lines(bytes) {
        match Line::of(text) {
            Line::Malformed => return Err(Malformed { line }),
            Line::Entry { user: theirs, .. } if theirs == user.as_bytes() => {
                found = true;
                made.extend(entry.take().unwrap_or_default().bytes());
            }
            _ => made.extend(text),
        }
    }
    if let Some(entry) = entry {
        if !made.is_empty() && !made.ends_with(b"\n") {
            made.push(b'\n');
        }
        made.extend(entry.bytes());
    }
    Ok((made, found))
}

/// What stands behind the colon of this user, hash or not.
///
/// # Errors
/// [`Malformed`], as for the server.
pub fn find(bytes: &[u8], user: &str) -> Result<Option<String>, Malformed> {
    let mut found = None;
    for (line, text) in lines(bytes) {
        match Line::of(text) {
            Line::Malformed => return Err(Malformed { line }),
            Line::Entry { user: theirs, hash } if theirs == user.as_bytes() => {
                found = Some(String::from_utf8_lossy(hash).into_owned());
            }
            _ => {}
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "$2y$04$E5EGlEehl9.B4oh0RY6oPuTGgEIuFgcQBSthSnhCt8Z/hhC.TOVyK";
    const B: &str = "$2b$10$hi/sebzoDrC6enAU8DcUDOWQA84hXnKeffN0prISJbVhpSRxD2UoS";
    const MD5: &str = "$apr1$aKQOaT48$yIghbgBsJj1fe6Y5Bz9y20";

    /// `A` and `B` stand for hashes.
    fn text(text: &str) -> String {
        text.replace("=A", A).replace("=B", B).replace("=5", MD5)
    }

    #[test]
    fn a_file_is_read_as_distribution_reads_it() {
        #[allow(clippy::type_complexity, reason = "a table of cases")]
        let table: [(&str, &[(&str, &str)], &[&str]); 16] = [
            ("", &[], &[]),
            ("\n\n  \n", &[], &[]),
            ("u:=A", &[("u", A)], &[]),
            ("u:=A\n", &[("u", A)], &[]),
            ("u:=A\r\nv:=B\r\n", &[("u", A), ("v", B)], &[]),
            ("  u:=A\t\n", &[("u", A)], &[]),
            ("# users\n#x\n  # y\nu:=A\n", &[("u", A)], &[]),
            ("\u{feff}u:=A\n", &[("u", A)], &[]),
            ("ü b/@\"c:=A\n", &[("ü b/@\"c", A)], &[]),
            ("u :=A\n", &[("u ", A)], &[]),
            (
                "u:=A\nu:=B\n",
                &[("u", B)],
                &["line 2: user \"u\" is there twice"],
            ),
            (
                "u:=A\nv:=5\n",
                &[("u", A)],
                &["line 2: the hash of user \"v\" is not bcrypt"],
            ),
            (
                "u:=A\nu:=5\n",
                &[],
                &["line 2: the hash of user \"u\" is not bcrypt"],
            ),
            (
                "u:=A:x\n",
                &[],
                &["line 1: the hash of user \"u\" is bcrypt cut short or damaged"],
            ),
            (":=A\n", &[], &["line 1: there is no user"]),
            (
                "u:\n",
                &[],
                &["line 1: the hash of user \"u\" is not bcrypt"],
            ),
        ];
        for (given, users, remarks) in table {
            let parsed = parse(text(given).as_bytes()).unwrap();
            let users = users
                .iter()
                .map(|(user, hash)| ((*user).to_owned(), Hash::parse(hash).unwrap()));
            assert_eq!(parsed.users, users.collect(), "{given:?}");
            assert_eq!(parsed.remarks.len(), remarks.len(), "{:?}", parsed.remarks);
            for (told, expected) in parsed.remarks.iter().zip(remarks) {
                assert!(told.starts_with(expected), "{told}");
                assert!(!told.contains("$2") && !told.contains("$apr"), "{told}");
            }
        }
    }

    #[test]
    fn a_line_without_a_colon_spoils_the_file() {
        for (given, line) in [("secret", 1), ("u:=A\n\nsecret\n", 3), ("\u{feff}u", 1)] {
            assert_eq!(
                parse(text(given).as_bytes()).unwrap_err(),
                Malformed { line }
            );
            assert_eq!(
                changed(text(given).as_bytes(), "u", None),
                Err(Malformed { line })
            );
            assert_eq!(find(text(given).as_bytes(), "u"), Err(Malformed { line }));
        }
        assert_eq!(parse(b"\xff\xfe").unwrap_err(), Malformed { line: 1 });
    }

    #[test]
    fn what_is_not_utf8_is_named_and_the_others_log_in() {
        let given = [
            b"m\xfcller:",
            A.as_bytes(),
            b"\n# gr\xfc\xdfe\nu:",
            B.as_bytes(),
        ]
        .concat();
        let parsed = parse(&given).unwrap();
        assert_eq!(parsed.users.len(), 1);
        assert_eq!(
            parsed.remarks,
            ["line 1: the user is not UTF-8, and nobody logs in by it"]
        );
    }

    #[test]
    fn weak_hashes_are_counted_and_many_remarks_are_not_all_told() {
        assert_eq!(parse(text("u:=A\nv:=B\nw:=A").as_bytes()).unwrap().weak, 2);
        let many: String = (0..TOLD + 3).map(|n| format!("u{n}:x\n")).collect();
        let remarks = parse(many.as_bytes()).unwrap().remarks;
        assert_eq!(remarks.len(), TOLD + 1);
        assert_eq!(remarks[TOLD], "3 more lines like these");
    }

    #[test]
    fn an_entry_is_changed_where_it_stands_and_all_else_stays() {
        let table = [
            ("", "u", Some(B), "u:=B\n", false),
            ("v:=A", "u", Some(B), "v:=A\nu:=B\n", false),
            ("# c\nu:=A\nv:x\n", "u", Some(B), "# c\nu:=B\nv:x\n", true),
            ("u:=A\nv:x\nu:=A\n", "u", Some(B), "u:=B\nv:x\n", true),
            ("u:=A\r\nv:x\r\n", "v", Some(B), "u:=A\r\nv:=B\n", true),
            ("u:=A\nv:x\nu:=A\n", "u", None, "v:x\n", true),
            ("uu:=A\n#u:x\n", "u", None, "uu:=A\n#u:x\n", false),
        ];
        for (given, user, hash, expected, found) in table {
            let hash = hash.map(|hash| Hash::parse(hash).unwrap());
            let made = changed(text(given).as_bytes(), user, hash.as_ref()).unwrap();
            // Ours writes the version of Apache.
            let expected = text(expected).replace("$2b$", "$2y$");
            let made = (String::from_utf8(made.0).unwrap(), made.1);
            assert_eq!(made, (expected, found), "{given:?}");
        }
    }

    #[test]
    fn the_entry_that_counts_is_found() {
        let given = text("u:=A\nv:=5\nu:=B\n");
        for (user, expected) in [("u", Some(B)), ("v", Some(MD5)), ("w", None), ("", None)] {
            let found = find(given.as_bytes(), user).unwrap();
            assert_eq!(found.as_deref(), expected);
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_added_is_found_and_no_one_else_changes(
            before in "([a-c]:x\n|# c\n|\n){0,8}",
            user in "[a-d]",
        ) {
            let hash = Hash::parse(A).unwrap();
            let (after, found) = changed(before.as_bytes(), &user, Some(&hash)).unwrap();
            proptest::prop_assert_eq!(found, find(before.as_bytes(), &user).unwrap().is_some());
            for name in ["a", "b", "c", "d"] {
                let expected = match name == user {
                    true => Some(hash.to_string()),
                    false => find(before.as_bytes(), name).unwrap(),
                };
                proptest::prop_assert_eq!(find(&after, name).unwrap(), expected);
            }
            let (gone, found) = changed(&after, &user, None).unwrap();
            proptest::prop_assert!(found && find(&gone, &user).unwrap().is_none());
        }

        #[test]
        fn no_file_is_too_odd_to_be_read(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }
    }
}
