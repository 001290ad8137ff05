//! Refresh tokens: what a client keeps in place of a password, until that password changes.

use aws_lc_rs::{constant_time, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// Longest refresh token, in bytes.
const MAX: usize = 4 * 1024;

/// Why a refresh token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RefreshError {
    /// It is not one of ours.
    #[error("not a refresh token of ours")]
    Unknown,
    /// It is for another service, or of another client.
    #[error("a refresh token for another service or client")]
    NotForThis,
    /// Its time is over.
    #[error("an expired refresh token")]
    Expired,
    /// The user has another password now, or is gone.
    #[error("a refresh token for credentials that have changed")]
    Changed,
}

/// What a refresh token says.
#[derive(Debug, Serialize, Deserialize)]
struct Said {
    sub: String,
    service: String,
    client: String,
    exp: i64,
    /// Keyed hash of what the user was known by.
    proof: String,
}

/// Whose it is: a user, at a service, with a client.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs)]
pub struct Holder<'a> {
    /// The name of the user.
    pub subject: &'a str,
    /// The service that its tokens are for.
    pub service: &'a str,
    /// What the client calls itself: its `client_id`.
    pub client: &'a str,
}

/// A refresh token of ours that has not expired. Whether it still holds is seen by what its user
/// is known by now.
#[derive(Debug)]
#[must_use = "it proves nothing before `prove`"]
pub struct Refresh {
    said: Said,
    key: hmac::Key,
}

impl Refresh {
    /// Who it says its holder is: the name to look up.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.said.sub
    }

    /// The name of the user, if `credential` is the same as when the token was made.
    ///
    /// # Errors
    /// [`RefreshError::Changed`] if it is not.
    pub fn prove(self, credential: &[u8]) -> Result<String, RefreshError> {
        let proof = proof(&self.key, &self.said.sub, credential);
        let same =
            constant_time::verify_slices_are_equal(proof.as_bytes(), self.said.proof.as_bytes());
        match same {
            Ok(()) => Ok(self.said.sub),
            Err(_) => Err(RefreshError::Changed),
        }
    }
}

/// Writes one. `None` if it would be too long.
pub(super) fn write(
    key: &hmac::Key,
    holder: Holder<'_>,
    credential: &[u8],
    expires: i64,
) -> Option<String> {
    let said = Said {
        sub: holder.subject.to_owned(),
        service: holder.service.to_owned(),
        client: holder.client.to_owned(),
        exp: expires,
        proof: proof(key, holder.subject, credential),
    };
    let said = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&said).ok()?);
    let tag = URL_SAFE_NO_PAD.encode(tag(key, &said));
    let token = format!("{said}.{tag}");
    (token.len() <= MAX).then_some(token)
}

/// Reads one of ours.
pub(super) fn read(
    key: &hmac::Key,
    token: &str,
    service: &str,
    client: &str,
    now: i64,
) -> Result<Refresh, RefreshError> {
    let unknown = RefreshError::Unknown;
    if token.len() > MAX {
        return Err(unknown);
    }
    let (said, sent) = token.split_once('.').ok_or(unknown)?;
    let sent = URL_SAFE_NO_PAD.decode(sent).map_err(|_| unknown)?;
    constant_time::verify_slices_are_equal(tag(key, said).as_ref(), &sent).map_err(|_| unknown)?;
    let said = URL_SAFE_NO_PAD.decode(said).map_err(|_| unknown)?;
    let said: Said = serde_json::from_slice(&said).map_err(|_| unknown)?;
    if said.service != service || said.client != client {
        return Err(RefreshError::NotForThis);
    }
    if now > said.exp {
        return Err(RefreshError::Expired);
    }
    let key = key.clone();
    Ok(Refresh { said, key })
}

fn tag(key: &hmac::Key, said: &str) -> hmac::Tag {
    hmac::sign(key, format!("refresh\0{said}").as_bytes())
}

/// Says nothing of the credential to who has no key.
fn proof(key: &hmac::Key, subject: &str, credential: &[u8]) -> String {
    let mut context = hmac::Context::with_key(key);
    context.update(b"credential\0");
    context.update(&(subject.len() as u64).to_be_bytes());
    context.update(subject.as_bytes());
    context.update(credential);
    URL_SAFE_NO_PAD.encode(&context.sign().as_ref()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLDER: Holder<'_> = Holder {
        subject: "alice",
        service: "registry",
        client: "docker",
    };

    fn key(byte: u8) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &[byte; 32])
    }

    fn token() -> String {
        write(&key(1), HOLDER, b"$2y$05$hash", 1000).unwrap()
    }

    fn check(token: &str, service: &str, client: &str, now: i64) -> Result<String, RefreshError> {
        read(&key(1), token, service, client, now)?.prove(b"$2y$05$hash")
    }

    #[test]
    fn a_refresh_token_is_good_for_its_holder_until_it_expires() {
        let token = token();
        assert_eq!(
            check(&token, "registry", "docker", 1000),
            Ok("alice".into())
        );
        let late = check(&token, "registry", "docker", 1001);
        assert_eq!(late, Err(RefreshError::Expired));
        for (service, client) in [("other", "docker"), ("registry", "other")] {
            let other = check(&token, service, client, 0);
            assert_eq!(other, Err(RefreshError::NotForThis));
        }
        assert!(!token.contains("alice") && !token.contains("hash"));
    }

    #[test]
    fn a_refresh_token_ends_with_the_password() {
        let refresh = read(&key(1), &token(), "registry", "docker", 0).unwrap();
        assert_eq!(refresh.subject(), "alice");
        assert_eq!(refresh.prove(b"$2y$05$other"), Err(RefreshError::Changed));
    }

    #[test]
    fn what_was_changed_or_made_by_others_is_not_taken() {
        let token = token();
        let (said, tag) = token.split_once('.').unwrap();
        let other = String::from_utf8(URL_SAFE_NO_PAD.decode(said).unwrap()).unwrap();
        let other = URL_SAFE_NO_PAD.encode(other.replace("alice", "admin"));
        let long = "a".repeat(MAX + 1);
        let cut = &token[..token.len() - 1];
        let forged = format!("{other}.{tag}");
        for text in ["", ".", "a.b", said, &forged, &long, cut] {
            let found = check(text, "registry", "docker", 0);
            assert_eq!(found, Err(RefreshError::Unknown), "{text}");
        }
        let other = read(&key(2), &token, "registry", "docker", 0);
        assert_eq!(other.unwrap_err(), RefreshError::Unknown);
    }

    #[test]
    fn names_that_are_too_long_for_a_token_get_none() {
        let client = "c".repeat(MAX);
        let holder = Holder {
            client: &client,
            ..HOLDER
        };
        assert_eq!(write(&key(1), holder, b"", 0), None);
    }
}
