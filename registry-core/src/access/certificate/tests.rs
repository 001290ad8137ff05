//! What is meant by what a rule says.

use super::*;

fn name(text: &str) -> CertificateName {
    text.parse().unwrap()
}

fn certificate() -> Certificate {
    Certificate::new(
        "CN=build,O=Example".parse().unwrap(),
        vec![
            AlternativeName::dns("Build.Example.com"),
            AlternativeName::email("ci@EXAMPLE.com"),
            AlternativeName::uri("spiffe://example/ci"),
            AlternativeName::ip("10.0.0.1".parse().unwrap()),
        ],
        Fingerprint::from([0xab; 32]),
    )
}

#[test]
fn a_certificate_is_named_by_what_it_says_letter_by_letter() {
    let plain = "ab".repeat(32);
    let colons = vec!["AB"; 32].join(":");
    let table = [
        ("subject=CN=build,O=Example", true),
        ("subject=cn = build, o = Example", true),
        ("subject=2.5.4.3=build,O=Example", true),
        ("subject=CN=build", false),
        ("subject=O=Example,CN=build", false),
        ("subject=CN=build,O=Example,C=DE", false),
        ("subject=CN=Build,O=Example", false),
        ("dns=build.example.com", true),
        ("dns=BUILD.example.COM", true),
        ("dns=example.com", false),
        ("dns=a.build.example.com", false),
        ("email=ci@example.com", true),
        ("email=CI@example.com", false),
        ("uri=spiffe://example/ci", true),
        ("uri=spiffe://Example/ci", false),
        ("uri=build.example.com", false),
        ("ip=10.0.0.1", true),
        ("ip=10.0.0.2", false),
        ("ip=::ffff:10.0.0.1", false),
        (&format!("fingerprint={plain}"), true),
        (&format!("fingerprint={colons}"), true),
        (&format!("fingerprint={}", "ac".repeat(32)), false),
    ];
    for (text, expected) in table {
        let text = format!("certificate:{text}");
        assert_eq!(name(&text).is(&certificate()), expected, "{text}");
    }
}

#[test]
fn who_says_nothing_is_nobody() {
    let nobody = Certificate::default();
    let empty = CertificateName::Subject(DistinguishedName::default());
    assert!(!empty.is(&nobody) && !empty.is(&certificate()));
    for known in ["subject=CN=a", "dns=a", "fingerprint="] {
        let zeros = "00".repeat(32);
        let text = match known {
            "fingerprint=" => format!("certificate:{known}{zeros}"),
            known => format!("certificate:{known}"),
        };
        assert!(!name(&text).is(&nobody), "{text}");
        let certificate = Certificate::default().with(name(&text));
        assert!(name(&text).is(&certificate), "{text}");
    }
}

#[test]
fn a_renewed_certificate_is_the_same_principal_and_another_is_not() {
    use crate::access::{Identity, Scheme};
    let all = |who: Identity| who.principals().collect::<Vec<_>>();
    let principal = |certificate: Certificate| {
        let certified = Identity::anonymous().with_certificate(certificate.into());
        let [only] = all(certified).try_into().unwrap();
        only
    };
    let first = principal(certificate());
    assert_eq!(first.strip_prefix("certificate ").unwrap().len(), 64);
    let mut renewed = certificate();
    renewed.fingerprint = Some(Fingerprint::from([1; 32]));
    renewed.names.reverse();
    assert_eq!(principal(renewed), first);
    let mut other = certificate();
    other.names.pop();
    assert_ne!(principal(other), first);
    let bare = |byte| Certificate {
        fingerprint: Some(Fingerprint::from([byte; 32])),
        ..Certificate::default()
    };
    assert_ne!(principal(bare(1)), principal(bare(2)));
    let alice = Identity::named("alice", Scheme::Basic).with_certificate(bare(1).into());
    assert_eq!(alice.actor().unwrap(), "alice");
    assert_eq!(all(alice), ["user alice".to_owned(), principal(bare(1))]);
    assert_eq!(all(Identity::anonymous()), Vec::<String>::new());
    assert_eq!(Identity::anonymous().actor(), None);
}

#[test]
fn what_names_no_certificate_is_told() {
    let table = [
        ("certificate:CN=a", "is none of certificate:subject=…"),
        ("certificate:subject", "is none of"),
        ("certificate:san=dns:a", "is none of"),
        ("certificate:dns=", "has no value"),
        ("certificate:subject=", "has no value"),
        ("certificate:subject=build", "\"build\""),
        ("certificate:dns=*.example.com", "there are no patterns"),
        ("certificate:ip=10.0.0.0/8", "is no address"),
        ("certificate:fingerprint=ab", "is no SHA-256"),
        ("certificate:fingerprint=a:b", "is no SHA-256"),
    ];
    for (text, reason) in table {
        let error = text.parse::<CertificateName>().unwrap_err().to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }
    let odd = format!("certificate:fingerprint=a:{}", "b".repeat(63));
    odd.parse::<CertificateName>().unwrap_err();
}

#[test]
fn a_certificate_is_shown_as_a_rule_names_it() {
    assert_eq!(
        certificate().to_string(),
        "certificate:subject=CN=build,O=Example"
    );
    for text in ["dns=a", "email=a@b", "uri=a:b", "ip=::1", "subject=CN=a"] {
        let text = format!("certificate:{text}");
        assert_eq!(name(&text).to_string(), text);
        let certificate = Certificate::default().with(name(&text));
        assert_eq!(certificate.to_string(), text);
    }
    let odd = AlternativeName::dns("a\n\u{202e}\"");
    assert_eq!(odd.to_string(), "dns=a\\n\\u{202e}\"");
}
