//! Hashing as bytes pass, with a state that can be kept and taken up again.

use std::fmt;

use sha2::digest::common::hazmat::SerializableState;
use sha2::digest::common::hazmat::SerializedState;
use sha2::{Digest as _, Sha256, Sha512};

use crate::digest::{Algorithm, Digest};

/// Computes one digest over bytes as they arrive.
#[derive(Clone)]
pub struct Hasher {
    state: State,
    len: u64,
}

#[derive(Clone)]
enum State {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    /// Nothing hashed yet.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        let state = match algorithm {
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
            Algorithm::Sha512 => State::Sha512(Sha512::new()),
        };
        Self { state, len: 0 }
    }

    /// Which digest this will be.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self.state {
            State::Sha256(_) => Algorithm::Sha256,
            State::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// How many bytes were hashed.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing was hashed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        match &mut self.state {
            State::Sha256(hash) => hash.update(bytes),
            State::Sha512(hash) => hash.update(bytes),
        }
    }

    /// The digest of all bytes taken.
    #[must_use]
    pub fn finish(self) -> Digest {
        match self.state {
            State::Sha256(hash) => Digest::Sha256(hash.finalize().into()),
            State::Sha512(hash) => Digest::Sha512(hash.finalize().into()),
        }
    }

    /// The state, for [`Hasher::restore`]. Its form is sha2's own and is kept stable there.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        match &self.state {
            State::Sha256(hash) => hash.serialize().to_vec(),
            State::Sha512(hash) => hash.serialize().to_vec(),
        }
    }

    /// Goes on from a saved state, or `None` when it is of another form.
    #[must_use]
    pub fn restore(algorithm: Algorithm, len: u64, saved: &[u8]) -> Option<Self> {
        let state = match algorithm {
            Algorithm::Sha256 => {
                let saved = SerializedState::<Sha256>::try_from(saved).ok()?;
                State::Sha256(Sha256::deserialize(&saved).ok()?)
            }
            Algorithm::Sha512 => {
                let saved = SerializedState::<Sha512>::try_from(saved).ok()?;
                State::Sha512(Sha512::deserialize(&saved).ok()?)
            }
        };
        Some(Self { state, len })
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher")
            .field("algorithm", &self.algorithm())
            .field("len", &self.len)
            .finish()
    }
}

/// The digest of bytes at hand.
#[must_use]
pub fn digest_of(algorithm: Algorithm, bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let braces = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        assert_eq!(digest_of(Algorithm::Sha256, b"").to_string(), empty);
        assert_eq!(digest_of(Algorithm::Sha256, b"{}").to_string(), braces);
        assert!(
            digest_of(Algorithm::Sha512, b"abc")
                .to_string()
                .starts_with("sha512:ddaf35a193617aba")
        );
    }

    #[test]
    fn a_saved_state_goes_on_at_every_cut() {
        let content: Vec<u8> = (0..300u16).map(|byte| byte as u8).collect();
        for algorithm in Algorithm::ALL {
            let whole = digest_of(algorithm, &content);
            for cut in 0..content.len() {
                let mut first = Hasher::new(algorithm);
                first.update(&content[..cut]);
                let mut second = Hasher::restore(algorithm, cut as u64, &first.save()).unwrap();
                second.update(&content[cut..]);
                assert_eq!(second.len(), content.len() as u64);
                assert_eq!(second.finish(), whole, "{algorithm} cut at {cut}");
            }
        }
    }

    #[test]
    fn a_state_of_another_form_is_not_taken() {
        assert!(Hasher::restore(Algorithm::Sha256, 0, b"short").is_none());
        let other = Hasher::new(Algorithm::Sha512).save();
        assert!(Hasher::restore(Algorithm::Sha256, 0, &other).is_none());
    }
}
