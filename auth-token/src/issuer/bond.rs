//! What ties a token to its user: a proof of what the user was known by when it was made, which
//! fails once that is something else, also where the name is the same.

use std::num::NonZeroU64;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::{constant_time, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use registry_core::access::Secret;

/// Whom a token is for.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs)]
pub struct Subject<'a> {
    /// The name of the user.
    pub name: &'a str,
    /// What the user is known by at present, such as the hash of the password. The token ends here
    /// when it changes.
    pub credential: &'a Secret<Vec<u8>>,
}

/// What a verified token says of that, and what it was found to be true of.
#[derive(Debug)]
pub(crate) struct Bond {
    token: String,
    proof: String,
    /// There is one that it is true of, so that it is made out once for each token.
    proved: OnceLock<Secret<Vec<u8>>>,
    /// The generation of the users in which it was last found true, or 0.
    held: AtomicU64,
}

impl Bond {
    /// As it stands in the token with this id.
    pub(crate) fn new(token: &str, proof: &str) -> Self {
        Self {
            token: token.to_owned(),
            proof: proof.to_owned(),
            proved: OnceLock::new(),
            held: AtomicU64::new(0),
        }
    }

    /// Whether it was found true of users that are the same still.
    pub(crate) fn held_at(&self, generation: NonZeroU64) -> bool {
        self.held.load(Ordering::Relaxed) == generation.get()
    }

    /// That it was found true of these.
    pub(crate) fn hold_at(&self, generation: NonZeroU64) {
        self.held.store(generation.get(), Ordering::Relaxed);
    }

    /// Whether the user is still known by the same.
    pub(super) fn holds(&self, key: &hmac::Key, subject: Subject<'_>) -> bool {
        let credential = subject.credential.expose();
        if let Some(proved) = self.proved.get() {
            return proved.expose() == credential;
        }
        let proof = prove(key, &self.token, subject);
        let same = constant_time::verify_slices_are_equal(proof.as_bytes(), self.proof.as_bytes());
        if same.is_ok() {
            // Another request may have done so meanwhile, with the same.
            let _ = self.proved.set(subject.credential.clone());
        }
        same.is_ok()
    }
}

/// The proof for the token with this id: another one in each, and to who has no key it says nothing
/// of the credential, nor whether two tokens have the same.
pub(super) fn prove(key: &hmac::Key, token: &str, subject: Subject<'_>) -> String {
    let mut context = hmac::Context::with_key(key);
    context.update(b"token\0");
    for part in [token, subject.name] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    context.update(subject.credential.expose());
    URL_SAFE_NO_PAD.encode(&context.sign().as_ref()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bond_holds_for_one_token_one_name_and_one_credential() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[1; 32]);
        let other_key = hmac::Key::new(hmac::HMAC_SHA256, &[2; 32]);
        let secret = |text: &str| Secret::new(text.as_bytes().to_vec());
        let (hash, other_hash, cut) = (secret("hash"), secret("other"), secret("ehash"));
        let subject = |name, credential| Subject { name, credential };
        let alice = subject("alice", &hash);
        let proof = prove(&key, "id", alice);
        assert!(Bond::new("id", &proof).holds(&key, alice));
        for (token, key, subject) in [
            ("di", &key, alice),
            ("id", &other_key, alice),
            ("id", &key, subject("alice", &other_hash)),
            ("id", &key, subject("alic", &cut)),
        ] {
            assert!(!Bond::new(token, &proof).holds(key, subject), "{subject:?}");
        }
        // What was found of one credential is not taken for another.
        let bond = Bond::new("id", &proof);
        for (credential, expected) in [(&other_hash, false), (&hash, true), (&other_hash, false)] {
            assert_eq!(bond.holds(&key, subject("alice", credential)), expected);
        }
        assert!(bond.holds(&key, alice));
        assert_ne!(prove(&key, "id 2", alice), proof);
    }
}
