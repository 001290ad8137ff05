//! Who may do what: every route, by every method, for everyone, under every kind of configuration.
//!
//! The expected statuses are made by a model of its own, and stand in `identity.table`, so that a
//! change of rights shows; `UPDATE_TABLE=1` writes it.

mod hidden;
mod model;
mod routes;
mod shelf;

use std::path::Path;

use self::model::{Setting, expected};
use self::routes::{METHODS, ROUTES, Route};
use self::shelf::Shelf;

/// One part of the table: a repository, and who asks for it.
struct Part {
    setting: Setting,
    repo: &'static str,
    columns: &'static [&'static str],
}

const PARTS: [Part; 9] = [
    Part {
        setting: Setting::Open,
        repo: "team/app",
        columns: &["none", "wrong", "root", "foreign"],
    },
    Part {
        setting: Setting::Users,
        repo: "team/app",
        columns: &["none", "wrong", "alice", "root", "foreign"],
    },
    Part {
        setting: Setting::Rules,
        repo: "team/app",
        columns: &[
            "none", "wrong", "alice", "bob", "carol", "dave", "erin", "root", "foreign",
        ],
    },
    Part {
        setting: Setting::Rules,
        repo: "alice/app",
        columns: &["none", "alice", "bob", "root"],
    },
    Part {
        setting: Setting::Tokens,
        repo: "team/app",
        columns: &[
            "none", "wrong", "alice", "bob", "carol", "dave", "erin", "root", "alice'", "carol'",
            "root'", "nobody'", "foreign",
        ],
    },
    Part {
        setting: Setting::Tokens,
        repo: "alice/app",
        columns: &["none", "alice", "bob", "root", "alice'", "root'", "nobody'"],
    },
    Part {
        setting: Setting::Tokens,
        repo: "public/app",
        columns: &["none", "wrong", "alice", "root", "alice'", "nobody'"],
    },
    Part {
        setting: Setting::Certificates,
        repo: "team/app",
        columns: &["none", "c*", "x*", "root*"],
    },
    Part {
        setting: Setting::Both,
        repo: "team/app",
        columns: &[
            "none", "c*", "x*", "wrong+c*", "alice", "alice+c*", "bob+c*", "erin+c*", "erin+x*",
            "root",
        ],
    },
];

/// What no repository has a part in is asked for once in each setting.
fn routes(part: &Part) -> impl Iterator<Item = &'static Route> {
    let all = part.repo == "team/app";
    let in_part = move |route: &&Route| all || route.path.contains("{repo}");
    ROUTES.iter().filter(in_part)
}

/// The part as text; methods that are answered alike share a line.
fn render(
    part: &Part,
    mut status: impl FnMut(&Route, &'static str, &'static str) -> u16,
) -> String {
    let names: Vec<String> = part
        .columns
        .iter()
        .map(|name| format!("{name:>9}"))
        .collect();
    let title = format!("{}, {}", part.setting.name(), part.repo);
    let mut text = format!("\n{title:<78}{}\n", names.concat());
    for route in routes(part) {
        let mut lines: Vec<(String, Vec<&str>)> = Vec::new();
        for method in METHODS {
            let statuses = part.columns.iter().map(|who| status(route, method, who));
            let row: String = statuses.map(|status| format!("{status:>9}")).collect();
            match lines.iter_mut().find(|(known, _)| *known == row) {
                Some((_, methods)) => methods.push(method),
                None => lines.push((row, vec![method])),
            }
        }
        for (row, methods) in lines {
            text.push_str(&format!(
                "{:<36}{:<42}{row}\n",
                route.name,
                methods.join(" ")
            ));
        }
    }
    text
}

const HEAD: &str = "\
# Made by tests/it/identity.rs, which says how: what is answered to whom.
# A name with ' is a token of that user: alice' for all of hers, carol' for pushing to team/app, root' for
# pulling from team/app alone, nobody' for what everyone may. \"foreign\" is a token of another registry.
# A name with * is a certificate of a client: c* of one that a rule names, x* of one that none names; \"bob+c*\" is
# bob, who shows it. \"One's own\" is the upload that was begun by the same, or by root if that one may not begin any.
";

#[test]
fn the_table_of_rights_is_that_of_the_model() {
    let parts = PARTS.iter().map(|part| {
        render(part, |route, method, who| {
            expected(part.setting, who, part.repo, route, method)
        })
    });
    let table = HEAD.to_owned() + &parts.collect::<String>();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/identity.table");
    if std::env::var_os("UPDATE_TABLE").is_some() {
        std::fs::write(&file, &table).unwrap();
    }
    let known = std::fs::read_to_string(&file).unwrap_or_default();
    let changed = table
        .lines()
        .zip(known.lines())
        .find(|(new, old)| new != old);
    assert!(
        table == known,
        "rights have changed: {changed:?}; UPDATE_TABLE=1 writes {}",
        file.display()
    );
}

/// Asks for everything in the parts of a setting.
fn is_as_the_table_says(setting: Setting) {
    let shelf = Shelf::start(setting);
    for part in PARTS.iter().filter(|part| part.setting == setting) {
        for route in routes(part) {
            for method in METHODS {
                for who in part.columns {
                    let status = shelf.ask(part.repo, route, method, who);
                    assert_eq!(
                        status,
                        expected(setting, who, part.repo, route, method),
                        "{}, {}: {method} {} by {who}",
                        setting.name(),
                        part.repo,
                        route.name
                    );
                }
            }
        }
    }
}

#[test]
fn without_auth_everyone_may_do_everything() {
    is_as_the_table_says(Setting::Open);
}

#[test]
fn without_rules_users_may_do_everything() {
    is_as_the_table_says(Setting::Users);
}

#[test]
fn with_rules_users_may_do_what_these_say() {
    is_as_the_table_says(Setting::Rules);
}

#[test]
fn without_users_certificates_may_do_what_rules_say() {
    is_as_the_table_says(Setting::Certificates);
}

#[test]
fn users_with_certificates_may_do_what_either_may() {
    is_as_the_table_says(Setting::Both);
}

#[test]
fn with_tokens_the_holder_may_do_what_both_say() {
    is_as_the_table_says(Setting::Tokens);
}
