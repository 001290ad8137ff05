//! Cipher suites by the names that Go has for them, as `http.tls.ciphersuites` does.

use rustls::crypto::CryptoProvider;
use rustls::{CipherSuite, ProtocolVersion};

/// Those that distribution 2.8 or 3.1 takes and that are not spoken here: without forward secrecy,
/// or with a cipher that was broken time and again.
const UNSPOKEN: &[&str] = &[
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_RSA_WITH_RC4_128_SHA",
];

/// Those that are spoken.
const SPOKEN: &[(&str, CipherSuite)] = &[
    (
        "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_128_GCM_SHA256,
    ),
    (
        "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_AES_256_GCM_SHA384,
    ),
    (
        "TLS_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
];

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// A suite that is spoken.
    Spoken(CipherSuite),
    /// One that is not.
    Unspoken,
    /// Nothing that distribution knows.
    Unknown,
}

pub(crate) fn named(name: &str) -> Named {
    let spoken = SPOKEN.iter().find(|(known, _)| *known == name);
    match spoken {
        Some((_, suite)) => Named::Spoken(*suite),
        None if UNSPOKEN.contains(&name) => Named::Unspoken,
        None => Named::Unknown,
    }
}

/// The names of those that are spoken.
pub(crate) fn spoken() -> impl Iterator<Item = &'static str> {
    SPOKEN.iter().map(|(name, _)| *name)
}

/// Leaves those of a list. One without suites of TLS 1.3 says nothing of it, as in Go.
pub(super) fn keep(provider: &mut CryptoProvider, wanted: &[CipherSuite]) {
    if wanted.is_empty() {
        return;
    }
    let is_new =
        |suite: &rustls::SupportedCipherSuite| suite.version().version == ProtocolVersion::TLSv1_3;
    let all = &mut provider.cipher_suites;
    let names_new = all
        .iter()
        .any(|suite| is_new(suite) && wanted.contains(&suite.suite()));
    all.retain(|suite| wanted.contains(&suite.suite()) || (is_new(suite) && !names_new));
}

#[cfg(test)]
mod tests {
    use rustls::crypto::aws_lc_rs::default_provider;

    use super::*;

    #[test]
    fn every_suite_that_can_be_spoken_has_a_name() {
        for suite in default_provider().cipher_suites {
            let named = SPOKEN.iter().any(|(_, known)| *known == suite.suite());
            assert!(named, "{suite:?}");
        }
    }

    #[test]
    fn a_list_leaves_its_own_and_of_the_newer_version_all_if_it_names_none() {
        let kept = |names: &[&str]| {
            let wanted = names.iter().map(|name| match named(name) {
                Named::Spoken(suite) => suite,
                other => panic!("{name}: {other:?}"),
            });
            let wanted: Vec<_> = wanted.collect();
            let mut provider = default_provider();
            keep(&mut provider, &wanted);
            let suites = provider.cipher_suites.iter();
            let old = suites
                .clone()
                .filter(|suite| suite.tls13().is_none())
                .count();
            (old, suites.len() - old)
        };
        let (old, new) = (
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            "TLS_AES_128_GCM_SHA256",
        );
        assert_eq!(kept(&[]), (6, 3));
        assert_eq!(kept(&[old]), (1, 3));
        assert_eq!(kept(&[new]), (0, 1));
        assert_eq!(kept(&[old, new]), (1, 1));
    }
}
