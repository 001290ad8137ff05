//! The names of all keys that distribution and we know: what variables are matched against, and
//! what a key that nobody honours is compared with.

use std::collections::BTreeMap;
use std::sync::OnceLock;

/// `[]` stands for the items of a list, `*` for keys that the user chooses.
const KEYS: &[&str] = &[
    "version",
    "log.level",
    "log.formatter",
    "log.fields.*",
    "log.accesslog.disabled",
    "log.reportcaller",
    "log.hooks.[].type",
    "log.hooks.[].disabled",
    "log.hooks.[].levels.[]",
    "log.hooks.[].options.smtp.addr",
    "log.hooks.[].options.smtp.username",
    "log.hooks.[].options.smtp.password",
    "log.hooks.[].options.smtp.insecure",
    "log.hooks.[].options.from",
    "log.hooks.[].options.to.[]",
    "loglevel",
    "storage.filesystem.rootdirectory",
    "storage.filesystem.maxthreads",
    "storage.filesystem.*",
    "storage.inmemory.*",
    "storage.s3.accesskey",
    "storage.s3.secretkey",
    "storage.s3.sessiontoken",
    "storage.s3.region",
    "storage.s3.regionendpoint",
    "storage.s3.forcepathstyle",
    "storage.s3.redirectendpoint",
    "storage.s3.bucket",
    "storage.s3.rootdirectory",
    "storage.s3.encrypt",
    "storage.s3.keyid",
    "storage.s3.secure",
    "storage.s3.skipverify",
    "storage.s3.v4auth",
    "storage.s3.chunksize",
    "storage.s3.multipartcopychunksize",
    "storage.s3.multipartcopymaxconcurrency",
    "storage.s3.multipartcopythresholdsize",
    "storage.s3.storageclass",
    "storage.s3.objectacl",
    "storage.s3.useragent",
    "storage.s3.usedualstack",
    "storage.s3.accelerate",
    "storage.s3.usefipsendpoint",
    "storage.s3.loglevel",
    "storage.s3.uploadmemory",
    "storage.s3.*",
    "storage.s3aws.*",
    "storage.gcs.*",
    "storage.azure.credentials.*",
    "storage.azure.*",
    "storage.swift.*",
    "storage.oss.*",
    "storage.delete.enabled",
    "storage.cache.blobdescriptor",
    "storage.cache.blobdescriptorsize",
    "storage.cache.layerinfo",
    "storage.redirect.disable",
    "storage.tag.concurrencylimit",
    "storage.maintenance.uploadpurging.enabled",
    "storage.maintenance.uploadpurging.age",
    "storage.maintenance.uploadpurging.interval",
    "storage.maintenance.uploadpurging.dryrun",
    "storage.maintenance.readonly.enabled",
    "auth.none",
    "auth.silly.realm",
    "auth.silly.service",
    "auth.htpasswd.realm",
    "auth.htpasswd.path",
    "auth.htpasswd.failures",
    "auth.htpasswd.*",
    "auth.token.realm",
    "auth.token.service",
    "auth.token.issuer",
    "auth.token.rootcertbundle",
    "auth.token.jwks",
    "auth.token.signingalgorithms.[]",
    "auth.token.autoredirect",
    "auth.token.autoredirectpath",
    "auth.token.*",
    "http.addr",
    "http.net",
    "http.host",
    "http.prefix",
    "http.secret",
    "http.relativeurls",
    "http.draintimeout",
    "http.headers.*",
    "http.tls.certificate",
    "http.tls.key",
    "http.tls.clientcas.[]",
    "http.tls.clientauth",
    "http.tls.minimumtls",
    "http.tls.ciphersuites.[]",
    "http.tls.letsencrypt.cachefile",
    "http.tls.letsencrypt.email",
    "http.tls.letsencrypt.hosts.[]",
    "http.tls.letsencrypt.directoryurl",
    "http.debug.addr",
    "http.debug.prometheus.enabled",
    "http.debug.prometheus.path",
    "http.http2.disabled",
    "http.h2c.enabled",
    "notifications.events.includereferences",
    "notifications.endpoints.[].name",
    "notifications.endpoints.[].url",
    "notifications.endpoints.[].disabled",
    "notifications.endpoints.[].headers.*",
    "notifications.endpoints.[].timeout",
    "notifications.endpoints.[].threshold",
    "notifications.endpoints.[].backoff",
    "notifications.endpoints.[].ignoredmediatypes.[]",
    "notifications.endpoints.[].ignore.mediatypes.[]",
    "notifications.endpoints.[].ignore.actions.[]",
    "health.storagedriver.enabled",
    "health.storagedriver.interval",
    "health.storagedriver.threshold",
    "health.file.[].file",
    "health.file.[].interval",
    "health.file.[].threshold",
    "health.http.[].uri",
    "health.http.[].headers.*",
    "health.http.[].statuscode",
    "health.http.[].timeout",
    "health.http.[].interval",
    "health.http.[].threshold",
    "health.tcp.[].addr",
    "health.tcp.[].timeout",
    "health.tcp.[].interval",
    "health.tcp.[].threshold",
    "proxy.remoteurl",
    "proxy.username",
    "proxy.password",
    "proxy.exec.command",
    "proxy.exec.lifetime",
    "proxy.ttl",
    "proxy.cachewritetimeout",
    "catalog.maxentries",
    "tags.maxtags",
    "validation.disabled",
    "validation.enabled",
    "validation.manifests.urls.allow.[]",
    "validation.manifests.urls.deny.[]",
    "validation.manifests.indexes.platforms",
    "validation.manifests.indexes.platformlist.[].os",
    "validation.manifests.indexes.platformlist.[].architecture",
    "policy.repository.classes.[]",
    "redis.addrs.[]",
    "redis.tls.certificate",
    "redis.tls.key",
    "redis.tls.rootcas.[]",
    "redis.*",
    "middleware.registry.[].name",
    "middleware.registry.[].disabled",
    "middleware.registry.[].options.*",
    "middleware.repository.[].name",
    "middleware.repository.[].disabled",
    "middleware.repository.[].options.*",
    "middleware.storage.[].name",
    "middleware.storage.[].disabled",
    "middleware.storage.[].options.*",
    "compatibility.schema1.enabled",
    "compatibility.schema1.signingkeyfile",
    "reporting.bugsnag.*",
    "reporting.newrelic.*",
    "extensions.access.rules.[].who.[]",
    "extensions.access.rules.[].repositories.[]",
    "extensions.access.rules.[].actions.[]",
    "extensions.access.groups.*.[]",
    "extensions.immutable.[].repositories.[]",
    "extensions.immutable.[].tags.[]",
    "extensions.proxies.[]",
    "extensions.proxyprotocol",
    "extensions.token.enabled",
    "extensions.token.issuer",
    "extensions.token.service",
    "extensions.token.others.[]",
    "extensions.token.path",
    "extensions.token.realm",
    "extensions.token.keys",
    "extensions.token.algorithm",
    "extensions.token.lifetime",
    "extensions.token.refresh",
    "extensions.token.rotate",
    "extensions.token.certificates",
    "extensions.limits.manifest",
    "extensions.limits.header",
    "extensions.limits.headers",
    "extensions.limits.connections",
    "extensions.limits.handshakes",
    "extensions.limits.handshake_timeout",
    "extensions.limits.header_timeout",
    "extensions.limits.idle_timeout",
    "extensions.limits.stall_timeout",
];

/// Where the original's variable is not called as the key is: section, part of the name, key.
const ALIASES: &[(&str, &str, &str)] = &[
    ("health", "filecheckers", "file"),
    ("health", "httpcheckers", "http"),
    ("health", "tcpcheckers", "tcp"),
    ("notifications", "eventconfig", "events"),
    ("log.hooks.[]", "mailoptions", "options"),
];

/// Why a section is not honoured; the longest match counts.
const REASONS: &[(&str, &str)] = &[
    ("compatibility", "manifests of schema 1 are not accepted"),
    (
        "log.hooks",
        "no mail is sent; what gathers the log can tell of its errors",
    ),
    ("middleware", "there is no middleware yet"),
    ("notifications", "nobody is notified yet"),
    ("proxy", "there is no mirror yet"),
    ("redis", "nothing is kept in redis"),
    ("reporting", "nothing is reported to anyone"),
];

/// What may stand somewhere in the configuration.
#[derive(Debug, Default)]
pub(crate) struct Node {
    pub(crate) keys: BTreeMap<&'static str, Self>,
    pub(crate) aliases: BTreeMap<&'static str, &'static str>,
    pub(crate) item: Option<Box<Self>>,
    pub(crate) open: bool,
    /// Of one that is open: whether lists of texts stand there.
    pub(crate) of_lists: bool,
}

impl Node {
    /// Whether a single value stands here, and never a section.
    pub(crate) fn is_leaf(&self) -> bool {
        self.keys.is_empty() && self.item.is_none() && !self.open
    }

    fn grow(&mut self, path: &'static str) -> &mut Self {
        let of_lists = path.ends_with("headers.*");
        let mut node = self;
        for key in path.split('.') {
            node = match key {
                "[]" => node.item.get_or_insert_default(),
                "*" => {
                    node.open = true;
                    node.of_lists = of_lists;
                    return node;
                }
                key => node.keys.entry(key).or_default(),
            };
        }
        node
    }
}

/// All of them, as they are written here.
#[cfg(test)]
pub(crate) fn keys() -> impl Iterator<Item = &'static str> {
    KEYS.iter().copied()
}

/// All of them, as a tree.
pub(crate) fn tree() -> &'static Node {
    static TREE: OnceLock<Node> = OnceLock::new();
    TREE.get_or_init(|| {
        let mut root = Node::default();
        for path in KEYS {
            root.grow(path);
        }
        for (section, part, key) in ALIASES {
            root.grow(section).aliases.insert(part, key);
        }
        root
    })
}

/// What stands under this path, if anything may.
pub(crate) fn node<S: AsRef<str>>(path: &[S]) -> Option<&'static Node> {
    path.iter().try_fold(tree(), |node, key| {
        let key = key.as_ref();
        node.item.as_deref().or_else(|| node.keys.get(key))
    })
}

/// Why this key is not honoured.
pub(crate) fn reason(path: &str) -> Option<&'static str> {
    let within = |section: &str| {
        path.strip_prefix(section)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    REASONS
        .iter()
        .filter(|(section, _)| within(section))
        .max_by_key(|(section, _)| section.len())
        .map(|(_, reason)| *reason)
}

/// The name that was probably meant.
pub(crate) fn nearest<'n>(name: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let bound = (name.len() / 4).clamp(1, 3);
    names
        .into_iter()
        .map(|known| (distance(name, known), known))
        .filter(|(distance, _)| *distance <= bound)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// All keys and sections that are so many names deep, for comparison.
pub(crate) fn sections(depth: usize) -> impl Iterator<Item = &'static str> {
    KEYS.iter().filter_map(move |path| {
        let mut ends = path
            .match_indices('.')
            .map(|(at, _)| at)
            .chain([path.len()]);
        ends.nth(depth.checked_sub(1)?).map(|end| &path[..end])
    })
}

/// All variables that stand for a key of their own, for comparison.
pub(crate) fn variables() -> Vec<String> {
    KEYS.iter()
        .map(|path| {
            let keys = path
                .split('.')
                .take_while(|key| !matches!(*key, "[]" | "*"));
            let parts: Vec<String> = keys.map(str::to_ascii_uppercase).collect();
            format!("REGISTRY_{}", parts.join("_"))
        })
        .collect()
}

/// Edits between two names; two letters that changed places are one.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let mut best = (rows[i - 1][j] + 1)
                .min(row[j - 1] + 1)
                .min(rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]));
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not() {
        let names = ["addr", "host", "headers", "secret"];
        let table = [
            ("adr", Some("addr")),
            ("adrr", Some("addr")),
            ("hots", Some("host")),
            ("heders", Some("headers")),
            ("secrets", Some("secret")),
            ("certificate", None),
            ("x", None),
        ];
        for (name, expected) in table {
            assert_eq!(nearest(name, names), expected, "{name}");
        }
        assert_eq!(nearest(&"a".repeat(500), names), None);
    }

    #[test]
    fn the_tree_has_sections_lists_and_open_maps() {
        assert!(node(&["http", "addr"]).unwrap().is_leaf());
        assert!(!node(&["http"]).unwrap().is_leaf());
        assert!(node(&["http", "headers"]).unwrap().open);
        assert!(node(&["health", "http", "0", "uri"]).unwrap().is_leaf());
        assert!(node(&["http", "adr"]).is_none());
    }

    #[test]
    fn the_reason_of_the_narrowest_section_counts() {
        let narrow = reason("compatibility.schema1.enabled");
        assert_eq!(narrow, Some("manifests of schema 1 are not accepted"));
        assert_eq!(reason("httpx"), None);
        assert_eq!(reason("http.addr"), None);
    }
}
