use super::*;
use proptest::prelude::*;

fn name() -> impl Strategy<Value = RepositoryName> {
    "[a-z0-9]{1,5}([._-][a-z0-9]{1,3}){0,2}(/[a-z0-9]{1,4}){0,3}"
        .prop_map(|text| text.parse().unwrap())
}

fn digest() -> impl Strategy<Value = Digest> {
    prop_oneof![
        any::<[u8; 32]>().prop_map(Digest::Sha256),
        any::<[u8; 32]>().prop_map(|half| {
            let mut whole = [7; 64];
            whole[..32].copy_from_slice(&half);
            Digest::Sha512(whole)
        }),
    ]
}

fn key() -> impl Strategy<Value = Key> {
    let tag = || "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,9}".prop_map(|text| text.parse::<Tag>().unwrap());
    let upload = || any::<u128>().prop_map(UploadId::new);
    prop_oneof![
        digest().prop_map(Key::Blob),
        (name(), digest()).prop_map(|(name, digest)| Key::Layer(name, digest)),
        (name(), digest()).prop_map(|(name, digest)| Key::Revision(name, digest)),
        (name(), tag()).prop_map(|(name, tag)| Key::TagCurrent(name, tag)),
        (name(), tag(), digest()).prop_map(|(name, tag, digest)| Key::TagIndex(name, tag, digest)),
        (name(), digest(), digest()).prop_map(|(repository, subject, referrer)| {
            Key::Referrer {
                repository,
                subject,
                referrer,
            }
        }),
        name().prop_map(Key::ReferrersScanned),
        (name(), digest()).prop_map(|(name, digest)| Key::MediaType(name, digest)),
        upload().prop_map(Key::UploadRecord),
        upload().prop_map(Key::UploadData),
        (upload(), any::<u64>(), any::<u128>()).prop_map(|(upload, sequence, writer)| {
            Key::UploadPiece {
                upload,
                sequence,
                writer,
            }
        }),
        Just(Key::UploadSecret),
        (digest(), any::<u128>()).prop_map(|(digest, id)| Key::Retired(digest, RetiredId::new(id))),
        name().prop_map(Key::CatalogEntry),
        Just(Key::CatalogComplete),
    ]
}

proptest! {
    #[test]
    fn every_key_is_read_back_from_its_path(key in key()) {
        let path = key.path();
        prop_assert_eq!(Key::parse(path.as_str()), Some(key));
    }

    #[test]
    fn whatever_is_listed_is_parsed_without_a_panic(path in "\\PC{0,80}") {
        let _ = Key::parse(&format!("{V2}/{path}"));
        let _ = Key::parse(&format!("{V2}/repositories/{path}"));
    }
}

#[test]
fn paths_are_those_of_distribution() {
    let name: RepositoryName = "team/app".parse().unwrap();
    let digest = Digest::Sha256([0xab; 32]);
    let hex = "ab".repeat(32);
    let check = |key: Key, path: String| {
        assert_eq!(key.path().as_str(), format!("docker/registry/v2/{path}"));
    };
    check(Key::Blob(digest), format!("blobs/sha256/ab/{hex}/data"));
    let repository = "repositories/team/app";
    check(
        Key::Layer(name.clone(), digest),
        format!("{repository}/_layers/sha256/{hex}/link"),
    );
    let manifests = format!("{repository}/_manifests");
    check(
        Key::Revision(name.clone(), digest),
        format!("{manifests}/revisions/sha256/{hex}/link"),
    );
    let tag: Tag = "v1".parse().unwrap();
    check(
        Key::TagCurrent(name.clone(), tag.clone()),
        format!("{manifests}/tags/v1/current/link"),
    );
    let index = format!("{manifests}/tags/v1/index/sha256/{hex}/link");
    check(Key::TagIndex(name, tag, digest), index);
}

#[test]
fn a_piece_is_known_only_as_we_spell_it() {
    let upload = UploadId::new(7);
    let spelt = format!("{V2}/uploads/{upload}/piece-{:016x}-{:032x}", 10, 11);
    assert!(Key::parse(&spelt).is_some());
    for foreign in [
        spelt.to_uppercase(),
        spelt.replace("000a-", "000A-"),
        spelt.replace("piece-0", "piece-+"),
        spelt.replace("piece-0", "piece-"),
        format!("{spelt}0"),
        format!("{spelt}/x"),
    ] {
        assert_eq!(Key::parse(&foreign), None, "{foreign}");
    }
}

#[test]
fn a_link_is_read_with_white_space_around_it_and_not_otherwise() {
    let digest = Digest::Sha256([1; 32]);
    assert_eq!(parse_link(digest.to_string().as_bytes()), Some(digest));
    assert_eq!(parse_link(format!("{digest}\n").as_bytes()), Some(digest));
    assert_eq!(parse_link(b""), None);
    assert_eq!(parse_link(b"sha256:ab"), None);
    assert_eq!(parse_link(b"\xff\xfe"), None);
    for algorithm in Algorithm::ALL {
        let link = crate::hasher::digest_of(algorithm, b"a").to_string();
        let len = link.len() as u64;
        assert!(is_link_len(len) && !is_link_len(len - 1) && !is_link_len(len + 1));
    }
    assert!(!is_link_len(0));
}
