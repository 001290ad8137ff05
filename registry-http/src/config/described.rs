//! One line for every key: its type, its default, and what it says. `docs/configuration.md` and
//! `registry check` are made of them; whether a key is honoured is found out (`status.rs`).

/// A key as a user needs to know it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Described {
    /// As in `known.rs`: `[]` is an item of a list, `*` a key that the user chooses.
    pub(crate) path: &'static str,
    pub(crate) kind: &'static str,
    /// As it would be written in the file; in words, within parentheses, where no value says the
    /// same as none; empty where there is nothing by default.
    pub(crate) default: &'static str,
    #[cfg_attr(
        not(all(test, feature = "fs")),
        expect(dead_code, reason = "docs/configuration.md is made by a test")
    )]
    pub(crate) meaning: &'static str,
}

impl Described {
    /// Whether the default could be written into the file.
    pub(crate) fn is_writable(&self) -> bool {
        !self.default.is_empty() && !self.default.starts_with('(')
    }
}

/// What is known of this key, spelled as in the table.
pub(crate) fn described(path: &str) -> Option<Described> {
    all().find(|key| key.path == path)
}

/// All of them, in the order in which they are told.
pub(crate) fn all() -> impl Iterator<Item = Described> {
    LINES
        .iter()
        .map(|&(path, kind, default, meaning)| Described {
            path,
            kind,
            default,
            meaning,
        })
}

type Line = (&'static str, &'static str, &'static str, &'static str);

// A line is a key.
#[rustfmt::skip]
const LINES: &[Line] = &[
    ("version", "text", "", "mandatory, and 0.1"),
    ("log.level", "text", "info", "error, warn, info or debug"),
    ("log.formatter", "text", "text", "text, json or logstash"),
    ("log.fields.*", "text", "", "put on every line"),
    ("log.accesslog.disabled", "boolean", "false", "no line for each request"),
    ("log.reportcaller", "boolean", "false", "where in the code a line comes from"),
    ("log.hooks.[].type", "text", "", "mail"),
    ("log.hooks.[].disabled", "boolean", "false", "not this hook"),
    ("log.hooks.[].levels.[]", "text", "", "what is sent"),
    ("log.hooks.[].options.smtp.addr", "text", "", "mail server"),
    ("log.hooks.[].options.smtp.username", "text", "", "account there"),
    ("log.hooks.[].options.smtp.password", "text", "", "and its password"),
    ("log.hooks.[].options.smtp.insecure", "boolean", "false", "without a look at its certificate"),
    ("log.hooks.[].options.from", "text", "", "sender"),
    ("log.hooks.[].options.to.[]", "text", "", "recipients"),
    ("loglevel", "text", "", "the old place of log.level"),
    ("storage.filesystem.rootdirectory", "text", "/var/lib/registry", "where the tree begins"),
    ("storage.filesystem.maxthreads", "number", "100", "operations on files at once; 25 at least"),
    ("storage.filesystem.durability", "text", "full", "ours: full, or relaxed for caches (docs/store.md)"),
    ("storage.filesystem.*", "any", "", "keys of another release"),
    ("storage.inmemory.*", "any", "", "nothing; what is pushed is gone at the end"),
    ("storage.s3.accesskey", "text", "", "who asks; without it and its secret, the environment is asked as AWS's programs do: `AWS_ACCESS_KEY_ID`, a web identity, `~/.aws/credentials`, the role of the container, pod or machine"),
    ("storage.s3.secretkey", "text", "", "what requests are signed with"),
    ("storage.s3.sessiontoken", "text", "", "what belongs to keys that live for a while; distribution ignores it"),
    ("storage.s3.region", "text", "", "mandatory without `regionendpoint`"),
    ("storage.s3.regionendpoint", "text", "", "another store than AWS's: `https://HOST`, `http://HOST:PORT`"),
    ("storage.s3.forcepathstyle", "boolean", "(true with `regionendpoint`, and false without)", "the bucket is named in the path, and not in the host"),
    ("storage.s3.redirectendpoint", "text", "", "scheme and host that clients are sent to for blobs, where that is another one"),
    ("storage.s3.bucket", "text", "", "mandatory; it must be there"),
    ("storage.s3.rootdirectory", "text", "", "what all keys begin with"),
    ("storage.s3.encrypt", "boolean", "(true with `keyid`, and false without)", "the store encrypts what is written"),
    ("storage.s3.keyid", "text", "", "by this key of its key service (KMS)"),
    ("storage.s3.secure", "boolean", "true", "https, where the endpoint does not say"),
    ("storage.s3.skipverify", "boolean", "false", "take any certificate of the store"),
    ("storage.s3.v4auth", "boolean", "true", "false is refused: there are no signatures of version 2"),
    ("storage.s3.chunksize", "number", "10485760", "bytes of a part of an upload, 5 MiB to 5 GiB; more than 1 GiB counts as that"),
    ("storage.s3.multipartcopychunksize", "number", "33554432", "bytes of a part of a copy within the store"),
    ("storage.s3.multipartcopymaxconcurrency", "number", "100", "parts of a copy that are copied side by side"),
    ("storage.s3.multipartcopythresholdsize", "number", "33554432", "up to so many bytes are copied in one request; 5 GiB at most"),
    ("storage.s3.storageclass", "text", "STANDARD", "of all that is written, as AWS calls them; NONE is not to say"),
    ("storage.s3.objectacl", "text", "private", "one of AWS's, for all that is written"),
    ("storage.s3.useragent", "text", "", "what is said of oneself to the store"),
    ("storage.s3.usedualstack", "boolean", "false", "AWS's endpoints for IPv6, too"),
    ("storage.s3.accelerate", "boolean", "false", "AWS's endpoints near the registry"),
    ("storage.s3.usefipsendpoint", "boolean", "false", "AWS's endpoints with certified cryptography"),
    ("storage.s3.loglevel", "text", "off", "from `debug` on, each request to the store is a line at `log.level: debug`, without headers and bodies"),
    ("storage.s3.uploadmemory", "number", "268435456", "ours: bytes that all uploads together may hold; two parts at least"),
    ("storage.s3.*", "any", "", "keys of another release"),
    ("storage.s3aws.*", "any", "", "the same as storage.s3, by its other name"),
    ("storage.gcs.*", "any", "", "a bucket of Google's"),
    ("storage.azure.credentials.*", "any", "", "who is asking"),
    ("storage.azure.*", "any", "", "a container of Azure's"),
    ("storage.swift.*", "any", "", "a container of OpenStack (distribution 2.8)"),
    ("storage.oss.*", "any", "", "a bucket of Alibaba's (distribution 2.8)"),
    ("storage.delete.enabled", "boolean", "false", "whether manifests, tags and blobs may be deleted"),
    ("storage.cache.blobdescriptor", "text", "(nothing)", "inmemory or redis"),
    ("storage.cache.blobdescriptorsize", "number", "10000", "how many are kept"),
    ("storage.cache.layerinfo", "text", "", "the old name of blobdescriptor"),
    ("storage.redirect.disable", "boolean", "false", "never send a client to the bucket"),
    ("storage.tag.concurrencylimit", "number", "(as many as processors)", "tags looked at side by side"),
    ("storage.maintenance.uploadpurging.enabled", "boolean", "true", "whether unfinished uploads end"),
    ("storage.maintenance.uploadpurging.age", "duration", "168h", "after how long"),
    ("storage.maintenance.uploadpurging.interval", "duration", "24h", "how often that is looked at"),
    ("storage.maintenance.uploadpurging.dryrun", "boolean", "false", "only log which would end"),
    ("storage.maintenance.readonly.enabled", "boolean", "false", "serve, and change nothing"),
    ("auth.none", "section", "", "the same as no section"),
    ("auth.silly.realm", "text", "", "for tests of distribution"),
    ("auth.silly.service", "text", "", "the same"),
    ("auth.htpasswd.realm", "text", "", "mandatory: what clients show"),
    ("auth.htpasswd.path", "text", "", "mandatory: the file of users; made with one user if it is missing"),
    ("auth.htpasswd.failures", "number", "10", "ours: failed logins of a user from a network that are free, and a tenth of those of all users from there; 0 is no limit"),
    ("auth.htpasswd.*", "any", "", "keys of another release"),
    ("auth.token.realm", "text", "", "mandatory: where clients get their tokens"),
    ("auth.token.service", "text", "", "mandatory: for whom a token is made"),
    ("auth.token.issuer", "text", "", "mandatory: who makes them"),
    ("auth.token.rootcertbundle", "text", "", "file of certificates that tokens are signed with"),
    ("auth.token.jwks", "text", "", "keys that tokens are signed with: a file, or an https URL, which is asked without a proxy and not followed elsewhere"),
    ("auth.token.maxlifetime", "number", "86400", "ours: seconds from the issue of a token to its end, at most; 0 for any"),
    ("auth.token.signingalgorithms.[]", "text", "", "which signatures count"),
    ("auth.token.autoredirect", "boolean", "false", "the realm is this host"),
    ("auth.token.autoredirectpath", "text", "/auth/token", "and this path"),
    ("auth.token.*", "any", "", "keys of another release"),
    ("http.addr", "text", ":5000", "host:port to listen on"),
    ("http.net", "text", "tcp", "tcp, or unix for a socket of the file system"),
    ("http.host", "text", "(from the request)", "scheme and host of absolute URLs"),
    ("http.prefix", "text", "/", "what every path begins with"),
    ("http.secret", "text", "(a key kept in the store)", "signs the state of uploads"),
    ("http.relativeurls", "boolean", "(relative)", "false, written out: Location is absolute"),
    ("http.draintimeout", "duration", "8s", "how long requests may take to end at shutdown"),
    ("http.headers.*", "list of texts", "", "added to every answer of the API"),
    ("http.tls.certificate", "text", "", "file of the certificate"),
    ("http.tls.key", "text", "", "file of its key"),
    ("http.tls.clientcas.[]", "text", "", "files of certificates of those who vouch for clients"),
    ("http.tls.clientauth", "text", "", "what is asked of clients: with `clientcas` `require-and-verify-client-cert`, if nothing is said, or `verify-client-cert-if-given`; `require-any-client-cert` and `request-client-cert` believe nothing"),
    ("http.tls.minimumtls", "text", "tls1.2", "tls1.2 or tls1.3"),
    ("http.tls.ciphersuites.[]", "text", "", "by the names of Go"),
    ("http.tls.letsencrypt.cachefile", "text", "", "directory of the certificates; turns ACME on"),
    ("http.tls.letsencrypt.email", "text", "", "account"),
    ("http.tls.letsencrypt.hosts.[]", "text", "", "names to certify"),
    ("http.tls.letsencrypt.directoryurl", "text", "", "another ACME service"),
    ("http.debug.addr", "text", "", "second listener, for health and metrics"),
    ("http.debug.prometheus.enabled", "boolean", "false", "metrics there"),
    ("http.debug.prometheus.path", "text", "/metrics", "and where"),
    ("http.http2.disabled", "boolean", "false", "no HTTP/2 over TLS"),
    ("http.h2c.enabled", "boolean", "false", "HTTP/2 without TLS"),
    ("notifications.events.includereferences", "boolean", "false", "events name the layers"),
    ("notifications.endpoints.[].name", "text", "", "what it is called"),
    ("notifications.endpoints.[].url", "text", "", "where events are sent"),
    ("notifications.endpoints.[].disabled", "boolean", "false", "not this one"),
    ("notifications.endpoints.[].headers.*", "list of texts", "", "sent along"),
    ("notifications.endpoints.[].timeout", "duration", "1s", "for an answer"),
    ("notifications.endpoints.[].threshold", "number", "10", "failures before a pause"),
    ("notifications.endpoints.[].backoff", "duration", "1s", "the pause"),
    ("notifications.endpoints.[].ignoredmediatypes.[]", "text", "", "what is not told"),
    ("notifications.endpoints.[].ignore.mediatypes.[]", "text", "", "the same"),
    ("notifications.endpoints.[].ignore.actions.[]", "text", "", "pull, push, mount or delete"),
    ("health.storagedriver.enabled", "boolean", "false", "look at the store now and then"),
    ("health.storagedriver.interval", "duration", "10s", "how often"),
    ("health.storagedriver.threshold", "number", "(1)", "failures before it counts"),
    ("health.file.[].file", "text", "", "a file that must not be there"),
    ("health.file.[].interval", "duration", "10s", "how often"),
    ("health.file.[].threshold", "number", "", "distribution ignores it"),
    ("health.http.[].uri", "text", "", "something that must answer"),
    ("health.http.[].headers.*", "list of texts", "", "sent along"),
    ("health.http.[].statuscode", "number", "200", "with this status"),
    ("health.http.[].timeout", "duration", "", "in this time"),
    ("health.http.[].interval", "duration", "10s", "how often"),
    ("health.http.[].threshold", "number", "(1)", "failures before it counts"),
    ("health.tcp.[].addr", "text", "", "something that must be reached"),
    ("health.tcp.[].timeout", "duration", "", "in this time"),
    ("health.tcp.[].interval", "duration", "10s", "how often"),
    ("health.tcp.[].threshold", "number", "(1)", "failures before it counts"),
    ("proxy.remoteurl", "text", "", "the registry to mirror"),
    ("proxy.username", "text", "", "account there"),
    ("proxy.password", "text", "", "and its password"),
    ("proxy.exec.command", "text", "", "a credential helper"),
    ("proxy.exec.lifetime", "duration", "", "how long its answer counts"),
    ("proxy.ttl", "duration", "168h", "how long a copy stays"),
    ("proxy.cachewritetimeout", "duration", "5m", "for writing a copy"),
    ("catalog.maxentries", "number", "1000", "largest page of repositories"),
    ("tags.maxtags", "number", "1000", "largest page of tags"),
    ("validation.disabled", "boolean", "false", "take any manifest"),
    ("validation.enabled", "boolean", "", "the old way to say that"),
    ("validation.manifests.urls.allow.[]", "text", "", "URLs that a manifest may name"),
    ("validation.manifests.urls.deny.[]", "text", "", "URLs that it may not"),
    ("validation.manifests.indexes.platforms", "text", "all", "children of an index that must be there: all, none or list"),
    ("validation.manifests.indexes.platformlist.[].os", "text", "", "with list: of this system"),
    ("validation.manifests.indexes.platformlist.[].architecture", "text", "", "and this architecture"),
    ("policy.repository.classes.[]", "text", "", "what may be pushed"),
    ("redis.addrs.[]", "text", "", "servers"),
    ("redis.tls.certificate", "text", "", "file of our certificate"),
    ("redis.tls.key", "text", "", "file of its key"),
    ("redis.tls.rootcas.[]", "text", "", "files of those who certify them"),
    ("redis.*", "any", "", "whatever the client library of distribution takes"),
    ("middleware.registry.[].name", "text", "", "which"),
    ("middleware.registry.[].disabled", "boolean", "", "distribution ignores it"),
    ("middleware.registry.[].options.*", "any", "", "its settings"),
    ("middleware.repository.[].name", "text", "", "which"),
    ("middleware.repository.[].disabled", "boolean", "", "distribution ignores it"),
    ("middleware.repository.[].options.*", "any", "", "its settings"),
    ("middleware.storage.[].name", "text", "", "cloudfront, redirect or rewrite"),
    ("middleware.storage.[].disabled", "boolean", "", "distribution ignores it"),
    ("middleware.storage.[].options.*", "any", "", "its settings"),
    ("compatibility.schema1.enabled", "boolean", "", "manifests of schema 1 (distribution 2.8)"),
    ("compatibility.schema1.signingkeyfile", "text", "", "what they are signed with"),
    ("reporting.bugsnag.*", "any", "", "a service that errors are sent to (distribution 2.8)"),
    ("reporting.newrelic.*", "any", "", "the same"),
    ("extensions.access.rules.[].who.[]", "text", "", "`anonymous` (everyone), `authenticated`, `user:NAME`, `group:NAME`; a client certificate: `certificate:subject=CN=…`, `certificate:dns=…`, `email=`, `uri=`, `ip=`, `fingerprint=`"),
    ("extensions.access.rules.[].repositories.[]", "text", "", "patterns: `*` and `?` within a component, `**` over several, `${user}`"),
    ("extensions.access.rules.[].actions.[]", "text", "", "of `pull`, `create` (never moves a tag), `push`, `delete`, `catalog`"),
    ("extensions.access.groups.*.[]", "text", "", "the users of a group, and certificates as rules name them"),
    ("extensions.immutable.[].repositories.[]", "text", "", "in these repositories"),
    ("extensions.immutable.[].tags.[]", "text", "", "these tags are never moved"),
    ("extensions.proxies.[]", "text", "(nobody; a scheme is believed of everyone)", "whose `X-Forwarded-*` and `Forwarded` count: addresses, networks, `unix`, `all`"),
    ("extensions.proxyprotocol", "boolean", "false", "only they connect, and say for whom by the PROXY protocol (1 and 2)"),
    ("extensions.token.enabled", "boolean", "", "tokens of our own for the users of `auth.htpasswd`; on where another key of this section is set, or a rule is for `anonymous` or a certificate"),
    ("extensions.token.issuer", "text", "", "whom tokens say they are from; the service if it is not said"),
    ("extensions.token.service", "text", "", "whom tokens are for; the host of `http.host`, or else `registry`"),
    ("extensions.token.others.[]", "text", "", "services of other registries that have their tokens from here"),
    ("extensions.token.path", "text", "/auth/token", "where tokens are had; the keys are at `/keys` below it"),
    ("extensions.token.realm", "text", "", "the URL of that, where it is not on the host that was asked"),
    ("extensions.token.keys", "text", "", "folder of the keys; `token-keys` below the root of the store if it is not said"),
    ("extensions.token.algorithm", "text", "ES256", "of new keys: ES256, EdDSA"),
    ("extensions.token.lifetime", "duration", "5m", "how long a token lives"),
    ("extensions.token.refresh", "duration", "720h", "how long a refresh token lives"),
    ("extensions.token.rotate", "duration", "2160h", "after how long a key has a successor"),
    ("extensions.token.certificates", "boolean", "false", "whether tokens carry a certificate of their key, for registries that know its root as their `rootcertbundle`"),
    ("extensions.limits.manifest", "number", "4194304", "bytes of a manifest"),
    ("extensions.limits.header", "number", "32768", "bytes of a request's line and headers"),
    ("extensions.limits.headers", "number", "100", "headers of a request"),
    ("extensions.limits.connections", "number", "10000", "connections at a time"),
    ("extensions.limits.handshakes", "number", "1000", "handshakes of TLS at a time; the oldest makes room for one more"),
    ("extensions.limits.handshake_timeout", "duration", "10s", "for a handshake of TLS"),
    ("extensions.limits.header_timeout", "duration", "10s", "for the head of a request"),
    ("extensions.limits.idle_timeout", "duration", "75s", "between two requests of a connection"),
    ("extensions.limits.stall_timeout", "duration", "60s", "for a body that stands still"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::known;
    use crate::factories::Factories;
    use crate::{builtin, yaml};

    fn lines() -> BTreeSet<&'static str> {
        all().map(|key| key.path).collect()
    }

    #[test]
    fn every_known_key_has_a_line_and_every_line_is_of_a_known_key() {
        let lines = lines();
        assert_eq!(lines.len(), all().count(), "a key has two lines");
        let missing: Vec<_> = known::keys().filter(|key| !lines.contains(key)).collect();
        assert!(missing.is_empty(), "no line in described.rs: {missing:?}");
        for line in lines {
            let parts: Vec<&str> = line.split('.').collect();
            let is_known = known::keys().any(|key| key == line)
                || known::node(&parts[..2]).is_some_and(|section| section.open);
            assert!(is_known, "{line} is not in known.rs");
        }
    }

    #[test]
    fn every_key_of_a_driver_has_a_line() {
        let mut factories = Factories::default();
        builtin::register(&mut factories);
        let lines = lines();
        for kind in factories.kinds() {
            let section = "{bucket: a, region: b, no such key: 1}";
            let section = yaml::parse(section).unwrap().value;
            let open = factories.storage(kind).unwrap();
            let mode = registry_core::storage::OpenMode::Check;
            let (_, unwanted) = open(&section, kind, mode).unwrap();
            // The same by another name.
            let kind = if kind == "s3aws" { "s3" } else { kind };
            for key in unwanted[0].wanted {
                let path = format!("storage.{kind}.{key}");
                assert!(lines.contains(path.as_str()), "no line for {path}");
            }
        }
        for kind in factories.auth_kinds() {
            let section = "{realm: a, path: b, service: c, issuer: d, no such key: 1}";
            let section = yaml::parse(section).unwrap().value;
            let open = factories.auth(kind).unwrap();
            let mode = registry_core::storage::OpenMode::Check;
            let (_, unwanted) = open(&section, kind, mode).unwrap();
            for key in unwanted[0].wanted {
                let path = format!("auth.{kind}.{key}");
                let is_there =
                    lines.contains(path.as_str()) || lines.contains(format!("{path}.[]").as_str());
                assert!(is_there, "no line for {path}");
            }
        }
    }
}
