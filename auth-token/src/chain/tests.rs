//! Chains that lead to a root, and those that only look like it.

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, date_time_ymd,
};

use super::*;
use crate::testing::NOW;

/// A certificate and its key.
struct Made {
    params: CertificateParams,
    pair: KeyPair,
    der: Vec<u8>,
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2040, 1, 1));
    params
}

fn authority(name: &str) -> CertificateParams {
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn root_of(params: CertificateParams) -> Made {
    let pair = KeyPair::generate().unwrap();
    let der = params.self_signed(&pair).unwrap().der().to_vec();
    Made { params, pair, der }
}

fn root() -> Made {
    root_of(authority("root"))
}

impl Made {
    fn signs(&self, params: CertificateParams) -> Self {
        self.signs_for(params, KeyPair::generate().unwrap())
    }

    fn signs_for(&self, params: CertificateParams, pair: KeyPair) -> Self {
        let issuer = Issuer::from_params(&self.params, &self.pair);
        let der = params.signed_by(&pair, &issuer).unwrap().der().to_vec();
        Self { params, pair, der }
    }
}

/// What is said of a chain of these, with this root.
fn check(root: &Made, chain: &[&Made]) -> Result<Vouched, String> {
    let mut roots = Roots::default();
    roots.add(&root.der).unwrap();
    let chain: Vec<_> = chain.iter().map(|made| made.der.clone()).collect();
    roots.verify(&chain, NOW)
}

fn seconds(year: i16) -> i64 {
    let date = jiff::civil::date(year, 1, 1);
    let zoned = date.to_zoned(jiff::tz::TimeZone::UTC).unwrap();
    zoned.timestamp().as_second()
}

#[test]
fn a_chain_that_leads_to_a_root_vouches_for_its_first_key() {
    let root = root();
    let between = root.signs(authority("between"));
    let leaf = between.signs(params("leaf"));
    let vouched = check(&root, &[&leaf, &between]).unwrap();
    let own = root_key(&leaf);
    assert_eq!(vouched.key.names(), own.names());
    assert_eq!(vouched.until, seconds(2040));
    // The order of the others, and others that are not needed, do not matter.
    let other = root.signs(authority("other"));
    assert!(check(&root, &[&leaf, &other, &between, &root]).is_ok());
}

fn root_key(made: &Made) -> PublicKey {
    Roots::default().add(&made.der).unwrap()
}

#[test]
fn keys_of_several_kinds_are_vouched_for_with_any_usage() {
    let root = root();
    for algorithm in [&PKCS_ED25519, &PKCS_ECDSA_P384_SHA384] {
        let mut params = params("leaf");
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::CodeSigning,
            ExtendedKeyUsagePurpose::Other(vec![1, 2, 3, 4]),
        ];
        let leaf = root.signs_for(params, KeyPair::generate_for(algorithm).unwrap());
        assert!(check(&root, &[&leaf]).is_ok());
    }
}

#[test]
fn a_root_may_sign_tokens_itself() {
    let root = root();
    assert!(check(&root, &[&root]).is_ok());
    let plain = root_of(params("self-signed"));
    assert!(check(&plain, &[&plain]).is_ok());
}

#[test]
fn a_chain_to_no_root_of_ours_is_refused() {
    let root = root();
    // The same name, another key.
    let other = self::root();
    let leaf = other.signs(params("leaf"));
    assert!(check(&root, &[&leaf]).is_err());
    assert!(check(&root, &[&leaf, &other]).is_err());
    assert!(check(&root, &[&other]).is_err());
    // The certificate between is missing.
    let between = root.signs(authority("between"));
    assert!(check(&root, &[&between.signs(params("leaf"))]).is_err());
    let nothing = Roots::default().verify(&[leaf.der], NOW);
    assert!(nothing.is_err());
    assert!(check(&root, &[]).is_err());
}

#[test]
fn what_is_no_authority_signs_no_certificates() {
    let root = root();
    let leaf = root.signs(params("leaf"));
    let forged = leaf.signs(params("forged"));
    assert!(check(&root, &[&forged, &leaf]).is_err());
    // Nor does one that was told how far it reaches.
    let mut near = authority("near");
    near.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let near = root.signs(near);
    assert!(check(&root, &[&near.signs(params("leaf")), &near]).is_ok());
    let far = near.signs(authority("far"));
    assert!(check(&root, &[&far.signs(params("leaf")), &far, &near]).is_err());
}

#[test]
fn every_certificate_of_a_chain_has_to_be_valid_now() {
    let spans = [(2020, 2021), (2035, 2040)];
    for (from, until) in spans {
        let span = |mut params: CertificateParams| {
            params.not_before = date_time_ymd(from, 1, 1);
            params.not_after = date_time_ymd(until, 1, 1);
            params
        };
        let root = root();
        assert!(check(&root, &[&root.signs(span(params("leaf")))]).is_err());
        let between = root.signs(span(authority("between")));
        assert!(check(&root, &[&between.signs(params("leaf")), &between]).is_err());
        let root = root_of(span(authority("root")));
        assert!(check(&root, &[&root.signs(params("leaf"))]).is_err());
        assert!(check(&root, &[&root]).is_err());
    }
}

#[test]
fn a_chain_vouches_until_its_first_certificate_ends() {
    let root = root();
    let mut short = authority("short");
    short.not_after = date_time_ymd(2030, 1, 1);
    let short = root.signs(short);
    let leaf = short.signs(params("leaf"));
    assert_eq!(check(&root, &[&leaf, &short]).unwrap().until, seconds(2030));
}

#[test]
fn a_certificate_with_what_we_do_not_understand_is_refused() {
    let root = root();
    let mut params = params("leaf");
    let mut extension = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
    extension.set_criticality(true);
    params.custom_extensions = vec![extension];
    assert!(check(&root, &[&root.signs(params)]).is_err());
}

#[test]
fn what_is_no_certificate_is_refused() {
    let root = root();
    let mut roots = Roots::default();
    roots.add(&root.der).unwrap();
    let leaf = root.signs(params("leaf")).der;
    for der in [Vec::new(), vec![0x30, 0], leaf[..leaf.len() - 1].to_vec()] {
        assert!(roots.verify(std::slice::from_ref(&der), NOW).is_err());
        assert!(roots.verify(&[leaf.clone(), der.clone()], NOW).is_err());
        assert!(Roots::default().add(&der).is_err());
    }
    // A changed signature.
    let mut other = leaf;
    *other.last_mut().unwrap() ^= 1;
    assert!(roots.verify(&[other], NOW).is_err());
}
