//! Rules and immutable tags.

use registry_core::access::{Identity, Scheme};
use registry_core::rules::{Decision, Right};

use super::*;

const RULES: &str = "\
auth: {htpasswd: {realm: a, path: b}}
extensions:
  token: {keys: /k}
  access:
    groups: {dev: [alice, bob]}
    rules:
      - {who: [anonymous], repositories: ['public/**'], actions: [pull]}
      - {who: ['group:dev', 'user:carol'], repositories: ['team/*', '${user}/**'], actions: [pull, create]}
      - {who: [authenticated], actions: [catalog]}
  immutable:
    - {repositories: ['**'], tags: ['v*']}
    - {repositories: ['team/a'], tags: ['*']}
";

#[test]
fn rules_are_read_as_they_stand() {
    let config = with(RULES).unwrap();
    let decide = |user: &str, right, name: &str| {
        let who = match user {
            "" => Identity::anonymous(),
            name => Identity::named(name, Scheme::Basic),
        };
        let name = (right != Right::Catalog).then(|| name.parse().unwrap());
        config.rules.decide(&who, right, name.as_ref())
    };
    let given = |rule| Decision::Given { rule };
    assert_eq!(decide("", Right::Pull, "public/a"), given(0));
    assert_eq!(decide("", Right::Pull, "team/a"), Decision::Denied);
    assert_eq!(decide("bob", Right::Create, "team/a"), given(1));
    assert_eq!(decide("carol", Right::Create, "carol/a/b"), given(1));
    assert_eq!(decide("dave", Right::Pull, "dave/a"), Decision::Denied);
    assert_eq!(decide("dave", Right::Catalog, ""), given(2));
    assert_eq!(decide("", Right::Catalog, ""), Decision::Denied);
    let stays = |name: &str, tag: &str| {
        let (name, tag) = (name.parse().unwrap(), tag.parse().unwrap());
        config.immutable.iter().any(|rule| rule.covers(&name, &tag))
    };
    assert!(stays("x", "v1") && stays("team/a", "latest") && !stays("x", "latest"));
    assert!(!with("").unwrap().rules.are_set());
    assert!(!with("extensions: {access: }").unwrap().rules.are_set());
}

#[test]
fn an_error_in_a_rule_names_the_rule() {
    let rules = |rule: &str| format!("extensions: {{access: {{rules: [{rule}]}}}}");
    let good = "{who: [anonymous], repositories: [a], actions: [pull]}";
    let table = [
        (
            rules(""),
            "extensions.access.rules",
            "there are no rules: add one, or remove `extensions.access`",
        ),
        (
            rules("{who: [anonymous, authenticated], repositories: [a], actions: [pull]}"),
            "extensions.access.rules.0.who.1",
            "nobody can be that: there is no `auth`",
        ),
        (
            "extensions: {access: {groups: {a: [b]}}}".to_owned(),
            "extensions.access.rules",
            "there are no rules",
        ),
        (
            rules("{repositories: [a], actions: [pull]}"),
            "extensions.access.rules.0.who",
            "at least one is wanted here",
        ),
        (
            rules("{who: [anonymous], actions: [pull, catalog]}"),
            "extensions.access.rules.0.repositories",
            "at least one is wanted here",
        ),
        (
            rules("{who: [anonymous], repositories: [a]}"),
            "extensions.access.rules.0.actions",
            "at least one is wanted here",
        ),
        (
            rules(&format!(
                "{good}, {{who: [alice], repositories: [a], actions: [pull]}}"
            )),
            "extensions.access.rules.1.who.0",
            "\"alice\" is none of anonymous, authenticated, user:NAME, group:NAME, certificate:",
        ),
        (
            rules("{who: ['certificate:CN=a'], repositories: [a], actions: [pull]}"),
            "extensions.access.rules.0.who.0",
            "\"certificate:CN=a\" is none of certificate:subject=…",
        ),
        (
            rules("{who: ['certificate:subject=build'], repositories: [a], actions: [pull]}"),
            "extensions.access.rules.0.who.0",
            "\"build\" is no distinguished name, such as CN=build,O=Example: a part has no =",
        ),
        (
            rules("{who: ['certificate:subject=CN=a'], repositories: [a], actions: [pull]}"),
            "extensions.access.rules.0.who.0",
            "nobody can be that: no certificates of clients are verified",
        ),
        (
            "extensions: {access: {groups: {a: [b, 'certificate:dns=']}, rules: [{}]}}".to_owned(),
            "extensions.access.groups.a.1",
            "\"certificate:dns=\" has no value",
        ),
        (
            "extensions: {access: {groups: {a: ['certificate:dns=b']}, rules: [{}]}}".to_owned(),
            "extensions.access.groups.a.0",
            "nobody can be that: no certificates of clients are verified",
        ),
        (
            rules("{who: ['group:dev'], repositories: [a], actions: [pull]}"),
            "extensions.access.rules.0.who.0",
            "there is no group \"dev\" in `extensions.access.groups`",
        ),
        (
            rules("{who: [anonymous], repositories: [a, A], actions: [pull]}"),
            "extensions.access.rules.0.repositories.1",
            "\"A\" has 'A', which no such name has",
        ),
        (
            rules("{who: [anonymous], repositories: [a], actions: [pull, read]}"),
            "extensions.access.rules.0.actions.1",
            "\"read\" is none of pull, create, push, delete, catalog",
        ),
        (
            rules("{who: [anonymous], repositories: [a], actions: [pull], deny: [b]}"),
            "extensions.access.rules.0.deny",
            "no such key is known",
        ),
        (
            "extensions: {immutable: [{repositories: ['${user}/a'], tags: ['*']}]}".to_owned(),
            "extensions.immutable.0.repositories.0",
            "there is no user here",
        ),
        (
            "extensions: {immutable: [{repositories: [a]}]}".to_owned(),
            "extensions.immutable.0.tags",
            "at least one is wanted here",
        ),
    ];
    for (text, key, reason) in table {
        let error = with(&text).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("`{key}` (config.yml:3:")),
            "{error}"
        );
        assert!(error.contains(reason), "{error}");
    }
    let error = with(&rules("{who: anonymous}")).unwrap_err().to_string();
    assert!(error.contains("extensions.access.rules.0.who"), "{error}");
}

#[test]
fn rules_name_certificates_where_these_are_verified() {
    let of = |tls: &str, who: &str| {
        let who = format!("{{who: ['{who}'], repositories: [a], actions: [pull]}}");
        let groups = "{both: [alice, 'certificate:dns=a'], users: [alice]}";
        with(&format!(
            "http: {{tls: {{certificate: c, key: k{tls}}}}}\n\
             extensions: {{access: {{groups: {groups}, rules: [{who}]}}}}"
        ))
    };
    let verified = [
        ", clientcas: [a]",
        ", clientcas: [a], clientauth: verify-client-cert-if-given",
    ];
    for tls in verified {
        for who in [
            "anonymous",
            "authenticated",
            "certificate:dns=a",
            "group:both",
        ] {
            assert!(of(tls, who).unwrap().rules.are_set(), "{who}");
        }
        for who in ["user:alice", "group:users"] {
            let error = of(tls, who).unwrap_err().to_string();
            assert!(error.contains("there is no `auth`"), "{who}: {error}");
        }
    }
    let others = [
        "",
        ", clientcas: [a], clientauth: request-client-cert",
        ", clientcas: [a], clientauth: require-any-client-cert",
        ", clientauth: require-any-client-cert",
    ];
    for tls in others {
        let error = of(tls, "anonymous").unwrap_err().to_string();
        let start = "`extensions.access.groups.both.1` (config.yml:4:";
        assert!(error.starts_with(start), "{tls}: {error}");
        assert!(error.contains("no certificates of clients are verified"));
    }
}

#[test]
fn tokens_are_made_where_a_key_or_a_rule_asks_for_them() {
    let users = "auth: {htpasswd: {realm: a, path: b}}\n";
    let of = |text: &str| {
        let file = "version: 0.1\nstorage: {filesystem: {rootdirectory: /r}}\n";
        parse(&format!("{file}{text}")).map(|config| config.tokens)
    };
    let rule =
        "extensions: {access: {rules: [{who: [anonymous], repositories: [a], actions: [pull]}]}";
    assert_eq!(of(users).unwrap(), None);
    assert_eq!(
        of(&format!("{rule}}}")).unwrap(),
        None,
        "there is nobody to be"
    );
    let off = format!("{users}{rule}, token: {{enabled: false}}}}");
    let off = of(&off).unwrap_err().to_string();
    assert!(
        off.starts_with("`extensions.token.enabled` (config.yml:4:"),
        "{off}"
    );
    assert!(
        off.contains("the `anonymous` of `extensions.access.rules.0` (config.yml:4:"),
        "{off}"
    );
    let others = rule.replace("anonymous", "authenticated");
    let off = format!("{users}{others}, token: {{enabled: false}}}}");
    assert_eq!(of(&off).unwrap(), None);
    // One that knows anonymous callers without tokens.
    let off = format!("auth: {{mine: {{a: b}}}}\n{rule}, token: {{enabled: false}}}}");
    assert_eq!(of(&off).unwrap(), None);
    let certificates = "http: {tls: {certificate: c, key: k, clientcas: [a]}}\n";
    let by_name = rule.replace("anonymous", "'certificate:dns=a'");
    let named = of(&format!("{users}{certificates}{by_name}}}")).unwrap();
    assert!(named.is_some(), "clients have nothing else to log in with");
    let asked = of(&format!("{users}{rule}}}")).unwrap().unwrap();
    assert_eq!(
        (asked.path.as_str(), asked.service.as_str()),
        ("/auth/token", "registry")
    );
    assert_eq!(
        (asked.issuer.as_str(), asked.keys.to_str()),
        ("registry", Some("/r/token-keys"))
    );
    assert_eq!(
        (asked.lifetime, asked.refresh),
        (Duration::from_secs(300), Duration::from_secs(720 * 3600))
    );
    let named = of(&format!(
        "{users}http: {{host: 'https://reg.example.com'}}\n\
         extensions: {{token: {{algorithm: EdDSA, lifetime: 10m, keys: /k, path: /t, others: [x], certificates: true}}}}"
    ));
    let named = named.unwrap().unwrap();
    assert_eq!(
        (named.issuer.as_str(), named.path.as_str()),
        ("reg.example.com", "/t")
    );
    assert!(named.eddsa && named.certificates && named.others == ["x"]);
    assert_eq!(named.lifetime, Duration::from_secs(600));
    let table = [
        (
            "extensions: {token: {service: a}}",
            "extensions.token",
            "tokens are for users, and there are none",
        ),
        (
            "auth: {token: {realm: a, service: b, issuer: c}}\nextensions: {token: {enabled: true}}",
            "extensions.token",
            "`auth.token` has tokens of another service",
        ),
    ];
    for (text, key, reason) in table {
        let error = of(text).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("`{key}` (")) && error.contains(reason),
            "{error}"
        );
    }
    for (section, key, reason) in [
        (
            "algorithm: HS256",
            "algorithm",
            "is not one of ES256, EdDSA",
        ),
        ("path: auth", "path", "is no path of its own"),
        ("path: /v2/token", "path", "is no path of its own"),
        ("realm: here", "realm", "is no URL"),
    ] {
        let text = format!("{users}extensions: {{token: {{{section}}}}}");
        let error = of(&text).unwrap_err().to_string();
        let start = format!("`extensions.token.{key}` (config.yml:4:");
        assert!(
            error.starts_with(&start) && error.contains(reason),
            "{error}"
        );
    }
    let memory = with(&format!("{users}extensions: {{token: {{enabled: true}}}}"));
    let memory = memory.unwrap_err().to_string();
    assert!(
        memory.contains("`extensions.token.keys`") && memory.contains("a folder"),
        "{memory}"
    );
}
