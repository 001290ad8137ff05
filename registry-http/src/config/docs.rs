//! `docs/configuration.md`, made of the tables and of what becomes of each key, so that it cannot
//! say anything else. `UPDATE_DOCS=1 cargo test -p registry-http docs` writes it.

use std::path::Path;

use super::described;
use super::status::{Status, status};
use crate::builtin;
use crate::factories::Factories;

const HEAD: &str = "\
# Configuration

Every key that this registry or distribution knows. The file is made from the tables in
`registry-http/src/config`; a test fails when it is stale, and `UPDATE_DOCS=1 cargo test -p registry-http
docs` writes it again. What distribution says of its keys counts here, too; `docs/drop-in.md` has the
differences, and `registry check` shows what counts in the end, and where it came from.

Each key is a variable as well: `http.addr` is `REGISTRY_HTTP_ADDR`. The value of a variable is YAML. `[]` is an
item of a list, by its number in a variable; `*` is any key. A duration is written as in Go, `1h30m`. A default within
parentheses says in words what happens without the key. Where a key is not honoured, the default is that of
distribution.

What becomes of a key in this release:

- **yes**: it is honoured.
- **warned**: it has no effect, and a warning at start says why.
- **refused**: there is no start with it, since the registry would be less protected than asked for, or
  another thing altogether.
";

/// Tables by section, in the order of the keys.
fn page() -> String {
    let mut factories = Factories::default();
    builtin::register(&mut factories);
    let mut page = HEAD.to_owned();
    let mut section = "";
    for key in described::all() {
        let top = key.path.split('.').next().unwrap_or_default();
        if top != section {
            section = top;
            page += &format!(
                "\n## {top}\n\n| Key | Type | Default | Honoured | Says |\n|---|---|---|---|---|\n"
            );
        }
        let default = match (key.default, key.is_writable()) {
            (text, true) => format!("`{text}`"),
            (text, false) => text.to_owned(),
        };
        let honoured = match status(&key, &factories) {
            Status::Honoured => "yes".to_owned(),
            Status::Warned(Some(reason)) => format!("warned: {reason}"),
            Status::Warned(None) => "warned".to_owned(),
            Status::Refused(message) => format!("refused: {message}"),
        };
        page += &format!(
            "| `{}` | {} | {default} | {} | {} |\n",
            key.path,
            key.kind,
            honoured.replace('|', "\\|"),
            key.meaning
        );
    }
    page
}

#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "a test that reads the documentation"
)]
fn the_documentation_of_the_keys_is_that_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let made = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = made
        .lines()
        .zip(written.lines())
        .find(|(made, written)| made != written);
    let stale = "docs/configuration.md is stale; UPDATE_DOCS=1 cargo test -p registry-http docs";
    assert_eq!(differs, None, "{stale}");
    assert_eq!(made.lines().count(), written.lines().count(), "{stale}");
}
