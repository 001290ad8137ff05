//! What everyone may do, said once more, without a look at how the registry finds out.

use super::routes::{Need, Route};

/// A kind of configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setting {
    /// No `auth`.
    Open,
    /// `auth.htpasswd` alone.
    Users,
    /// With rules.
    Rules,
    /// With rules and our own token service.
    Tokens,
    /// No `auth`, and rules that name certificates of clients.
    Certificates,
    /// With rules for users and for certificates; tokens are for those who have nothing else.
    Both,
}

impl Setting {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Open => "no auth",
            Self::Users => "htpasswd",
            Self::Rules => "htpasswd and rules",
            Self::Tokens => "htpasswd, rules and tokens",
            Self::Certificates => "certificates and rules",
            Self::Both => "htpasswd, certificates and rules",
        }
    }

    /// Beyond the storage.
    pub(super) fn config(self) -> String {
        let auth = "auth: {htpasswd: {realm: users, path: ./htpasswd, failures: 0}}\n";
        let rules = "\
extensions:
  access:
    groups: {readers: [bob, carol, dave]}
    rules:
      - {who: ['user:alice'], repositories: ['${user}/**'], actions: [pull, push, delete]}
      - {who: ['group:readers'], repositories: ['team/*'], actions: [pull]}
      - {who: ['user:carol'], repositories: ['team/*'], actions: [create]}
      - {who: ['user:dave'], repositories: ['team/*'], actions: [push]}
      - {who: ['user:erin'], repositories: ['team/*'], actions: [delete]}
      - {who: ['user:root'], repositories: ['**'], actions: [pull, push, delete, catalog]}
      - {who: ['user:other'], repositories: ['**'], actions: [pull, create]}
";
        let certificates = "      - {who: ['certificate:subject=CN=c,O=Example'], repositories: ['team/*'], actions: [pull, create]}
      - {who: ['certificate:subject=CN=root,O=Example'], repositories: ['**'], actions: [pull, push, delete, catalog]}
      - {who: ['certificate:subject=CN=other,O=Example'], repositories: ['**'], actions: [pull, create]}
";
        let public = "      - {who: [anonymous], repositories: ['public/**'], actions: [pull]}\n";
        let tokens = "  token: {service: here, keys: ./keys, lifetime: 1h}\n";
        match self {
            Self::Open => String::new(),
            Self::Users => auth.to_owned(),
            Self::Rules => format!("{auth}{rules}"),
            Self::Tokens => format!("{auth}{rules}{public}{tokens}"),
            Self::Certificates => {
                format!("extensions:\n  access:\n    rules:\n{certificates}")
            }
            Self::Both => format!("{auth}{rules}{certificates}{tokens}"),
        }
    }

    fn has_tokens(self) -> bool {
        matches!(self, Self::Tokens | Self::Both)
    }

    pub(super) fn has_certificates(self) -> bool {
        matches!(self, Self::Certificates | Self::Both)
    }

    /// Who may do everything.
    pub(super) fn root(self) -> &'static str {
        match self {
            Self::Certificates => "root*",
            _ => "root",
        }
    }

    /// Someone who pushes everywhere, and never asks for anything in the table.
    pub(super) fn other(self) -> &'static str {
        match self {
            Self::Certificates => "other*",
            _ => "other",
        }
    }
}

/// Who is asking, as far as that can be found out.
enum Known {
    /// Credentials that prove nothing.
    Wrong,
    Nobody,
    /// Nobody who has logged in, with a certificate.
    Certificate(&'static str),
    /// A user, maybe with a certificate.
    User(&'static str),
    /// Whose it is, and what it is for.
    Token(&'static str, &'static [(&'static str, &'static str)]),
}

fn known(setting: Setting, who: &'static str) -> Known {
    let lets_in = matches!(setting, Setting::Tokens | Setting::Certificates);
    match who {
        "none" if lets_in => Known::Nobody,
        "none" | "wrong" | "wrong+c*" | "foreign" => Known::Wrong,
        "alice'" => Known::Token(
            "alice",
            &[
                ("alice/app", "pull push delete"),
                ("alice/lib", "pull push delete"),
            ],
        ),
        "carol'" => Known::Token("carol", &[("team/app", "pull push")]),
        "root'" => Known::Token("root", &[("team/app", "pull")]),
        "nobody'" => Known::Token("", &[("public/app", "pull")]),
        both if both.contains('+') => Known::User(both),
        alone if alone.ends_with('*') => Known::Certificate(alone),
        user => Known::User(user),
    }
}

/// Who begins the upload of whom: everyone his own, but who may not.
pub(super) fn beginner(setting: Setting, who: &'static str, repo: &str) -> &'static str {
    let name = who.trim_end_matches('\'');
    let may = |right| has(setting, name, right, repo);
    match known(setting, name) {
        Known::User(_) | Known::Certificate(_) if may("pull") && may("add") => name,
        _ => setting.root(),
    }
}

/// Whether the rules give a right to any of these, since who has a certificate may what it may.
fn has(setting: Setting, names: &str, right: &str, repo: &str) -> bool {
    let mut names = names.split('+');
    names.any(|name| rights(setting, name, repo).contains(&right))
}

/// What the rules give; `add` is had with both `create` and `push`.
fn rights(setting: Setting, user: &str, repo: &str) -> Vec<&'static str> {
    let all = "pull add push delete catalog";
    let space = repo.split('/').next().unwrap_or_default();
    let given = match (user, space) {
        _ if setting == Setting::Users => all,
        ("root" | "root*", _) => all,
        ("other" | "other*", _) | ("c*", "team") => "pull add",
        ("alice", "alice") => "pull add push delete",
        ("bob", "team") => "pull",
        ("carol", "team") => "pull add",
        ("dave", "team") => "pull add push",
        ("erin", "team") => "delete",
        (_, "public") if setting == Setting::Tokens => "pull",
        _ => "",
    };
    given.split(' ').collect()
}

impl Known {
    fn may(&self, setting: Setting, right: &str, repo: &str) -> bool {
        let by_rules = |names: &str| has(setting, names, right, repo);
        match self {
            Self::Wrong => false,
            Self::Nobody => by_rules("") && right != "catalog",
            Self::User(names) | Self::Certificate(names) => by_rules(names),
            // A token has no word for adding without moving, so that there the rules say the rest.
            Self::Token(user, granted) => {
                let word = if right == "add" { "push" } else { right };
                let mut of_repo = granted.iter().filter(|(name, _)| *name == repo);
                of_repo.any(|(_, words)| words.contains(word)) && by_rules(user)
            }
        }
    }

    /// Whoever may not is asked who he is, if that is not known for sure and can be said.
    fn refusal(&self, setting: Setting) -> u16 {
        match self {
            _ if setting == Setting::Certificates => 403,
            Self::User(_) => 403,
            _ => 401,
        }
    }
}

/// The status that is right.
pub(super) fn expected(
    setting: Setting,
    who: &'static str,
    repo: &str,
    route: &Route,
    method: &str,
) -> u16 {
    if route.path.starts_with("/auth/") && !setting.has_tokens() {
        return 404;
    }
    // What is no operation is none for everyone.
    let Some((need, status)) = route.operation(method) else {
        return 405;
    };
    if setting == Setting::Open {
        return status;
    }
    let known = known(setting, who);
    let may = |right: &str| known.may(setting, right, repo);
    let is_allowed = match need {
        Need::Nothing => true,
        Need::Entry => !matches!(known, Known::Wrong),
        Need::Name if setting == Setting::Certificates => true,
        Need::Name => matches!(known, Known::User(_) | Known::Token(..)),
        // A token is no way to get one.
        Need::Password => !matches!(known, Known::Wrong | Known::Token(..)),
        Need::Catalog => may("catalog"),
        Need::Pull => may("pull"),
        Need::Delete => may("delete"),
        Need::Add | Need::Mount(_) => may("pull") && may("add"),
        // That the tag is there already is found out after who may add was let in.
        Need::Move if may("pull") && may("add") => return if may("push") { status } else { 403 },
        Need::Move => false,
    };
    match need {
        _ if !is_allowed => known.refusal(setting),
        Need::Mount(from) if !known.may(setting, "pull", from) => 202,
        Need::Entry => status,
        // What someone has begun is not there for anyone else.
        _ if route.path.contains("{others}") => 404,
        _ if route.path.contains("{upload}") => match beginner(setting, who, repo) {
            begun if begun == who.trim_end_matches('\'') => status,
            _ => 404,
        },
        _ => status,
    }
}
