//! One bcrypt hash as it stands in the file.

use std::fmt;

use base64::Engine;
use base64::alphabet::BCRYPT;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// The costs that are accepted: below, a hash is no protection; above, a login is an attack on
/// the server.
pub const COSTS: std::ops::RangeInclusive<u32> = 4..=17;

/// The cost of a hash that we make, unless another is asked for; as in Go and distribution.
pub const DEFAULT_COST: u32 = 10;

/// Bytes of a password that bcrypt looks at.
pub const MAX_PASSWORD: usize = 72;

/// Old tools left bits in the last characters that mean nothing.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &BCRYPT,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// A bcrypt hash: what is needed to tell whether a password is the right one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hash {
    cost: u32,
    salt: [u8; 16],
    sum: [u8; 23],
}

/// Why a text is no hash that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unusable {
    /// MD5, SHA, crypt, or the password itself.
    #[error("is not bcrypt")]
    NotBcrypt,
    /// It begins as bcrypt does, and goes on otherwise.
    #[error("is bcrypt cut short or damaged")]
    Damaged,
    /// Outside [`COSTS`].
    #[error("has the cost {0}, and 4 to 17 are accepted")]
    Cost(u32),
}

/// What comes of comparing a password with a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compared {
    /// It is the one.
    Right,
    /// Another program would take it for the one: all that bcrypt looks at is right, and there is
    /// more.
    Longer,
    /// It is not.
    Wrong,
}

/// Why a password cannot be anybody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadPassword {
    /// Nothing is not a password.
    #[error("the password is empty")]
    Empty,
    /// What is behind a NUL counts for some programs and not for others.
    #[error("the password has a NUL in it")]
    Nul,
    /// The rest would not count.
    #[error("the password is longer than the {MAX_PASSWORD} bytes that bcrypt looks at")]
    Long,
}

impl Hash {
    /// Reads `$2a$`, `$2b$` or `$2y$`, which all mean the same here, as Go does.
    ///
    /// # Errors
    /// [`Unusable`]: no password matches this text.
    pub fn parse(text: &str) -> Result<Self, Unusable> {
        let rest = ["$2a$", "$2b$", "$2y$"]
            .iter()
            .find_map(|version| text.strip_prefix(version))
            .ok_or(Unusable::NotBcrypt)?;
        let damaged = |_| Unusable::Damaged;
        let (cost, rest) = rest.split_once('$').ok_or(Unusable::Damaged)?;
        let digits = cost.len() == 2 && cost.bytes().all(|byte| byte.is_ascii_digit());
        if !digits || rest.len() != 53 || !rest.is_ascii() {
            return Err(Unusable::Damaged);
        }
        let cost = cost.parse().map_err(|_| Unusable::Damaged)?;
        let (salt, sum) = rest.split_at(22);
        let salt = BASE64.decode(salt).map_err(damaged)?;
        let sum = BASE64.decode(sum).map_err(damaged)?;
        if !COSTS.contains(&cost) {
            return Err(Unusable::Cost(cost));
        }
        Ok(Self {
            cost,
            salt: salt.try_into().map_err(|_| Unusable::Damaged)?,
            sum: sum.try_into().map_err(|_| Unusable::Damaged)?,
        })
    }

    /// Hashes a new password.
    ///
    /// # Errors
    /// [`BadPassword`]. A cost outside [`COSTS`] is raised or lowered to the nearest in it.
    pub fn make(password: &[u8], cost: u32, salt: [u8; 16]) -> Result<Self, BadPassword> {
        check(password)?;
        if password.len() > MAX_PASSWORD {
            return Err(BadPassword::Long);
        }
        let cost = cost.clamp(*COSTS.start(), *COSTS.end());
        Ok(Self {
            cost,
            salt,
            sum: sum(password, cost, salt),
        })
    }

    /// What nobody's password matches, and takes as long to find that out.
    pub(crate) fn of_nobody(cost: u32, random: impl Fn() -> [u8; 32]) -> Self {
        let (mut salt, mut sum) = ([0; 16], [0; 23]);
        salt.copy_from_slice(&random()[..16]);
        sum.copy_from_slice(&random()[..23]);
        Self { cost, salt, sum }
    }

    /// Whether this is the password. It takes 2^cost steps, whatever comes out. What is longer
    /// than [`MAX_PASSWORD`] is nobody's, other than for Apache and Go, which pass over the rest:
    /// there a part of the password is enough.
    #[must_use]
    pub fn matches(&self, password: &[u8]) -> bool {
        self.compare(password) == Compared::Right
    }

    /// The same, with what it is that does not match.
    pub(crate) fn compare(&self, password: &[u8]) -> Compared {
        let found = sum(password, self.cost, self.salt);
        let differing = found
            .iter()
            .zip(&self.sum)
            .fold(0, |all, (a, b)| all | (a ^ b));
        if differing != 0 || check(password).is_err() {
            Compared::Wrong
        } else if password.len() > MAX_PASSWORD {
            Compared::Longer
        } else {
            Compared::Right
        }
    }

    /// 2 to the power of this are the steps it takes.
    #[must_use]
    pub fn cost(&self) -> u32 {
        self.cost
    }

    /// All of it, for a key of what was verified.
    pub(crate) fn bytes(&self) -> [&[u8]; 2] {
        [&self.salt, &self.sum]
    }
}

/// As htpasswd writes it.
impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (salt, sum) = (BASE64.encode(self.salt), BASE64.encode(self.sum));
        write!(f, "$2y${:02}${salt}{sum}", self.cost)
    }
}

/// Without what an attacker would want.
impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hash")
            .field("cost", &self.cost)
            .finish_non_exhaustive()
    }
}

/// What no password of anybody is, whatever the file says.
pub(crate) fn check(password: &[u8]) -> Result<(), BadPassword> {
    match password {
        [] => Err(BadPassword::Empty),
        _ if password.contains(&0) => Err(BadPassword::Nul),
        _ => Ok(()),
    }
}

fn sum(password: &[u8], cost: u32, salt: [u8; 16]) -> [u8; 23] {
    let mut key = password[..password.len().min(MAX_PASSWORD)].to_vec();
    if key.len() < MAX_PASSWORD {
        key.push(0);
    }
    let mut sum = [0; 23];
    sum.copy_from_slice(&bcrypt::bcrypt(cost, salt, &key)[..23]);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of Apache's htpasswd, of jBCrypt, and of Python's bcrypt.
    const KNOWN: &[(&str, &str)] = &[
        (
            "$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe",
            "a",
        ),
        (
            "$2a$08$aTsUwsyowQuzRrDqFflhgekJ8d9/7Z3GV3UcgvzQW3J5zMyrTvlz.",
            "abcdefghijklmnopqrstuvwxyz",
        ),
    ];

    #[test]
    fn hashes_of_other_programs_match_their_passwords_under_each_version() {
        for (text, password) in KNOWN {
            for version in ["$2a$", "$2b$", "$2y$"] {
                let hash = Hash::parse(&text.replacen("$2a$", version, 1)).unwrap();
                assert!(hash.matches(password.as_bytes()), "{text}");
                for wrong in [&password[1..], &format!("{password}x"), "", "\0"] {
                    assert!(!hash.matches(wrong.as_bytes()), "{text} {wrong:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_made_is_read_again() {
        let hash = Hash::make("päss:word ".as_bytes(), 4, [7; 16]).unwrap();
        let text = hash.to_string();
        assert!(text.starts_with("$2y$04$") && text.len() == 60, "{text}");
        assert_eq!(Hash::parse(&text), Ok(hash));
        assert!(hash.matches("päss:word ".as_bytes()));
        assert!(!format!("{hash:?}").contains(&text[30..]));
    }

    #[test]
    fn what_is_longer_than_bcrypt_looks_is_not_the_password() {
        let longest = [b'p'; MAX_PASSWORD];
        let hash = Hash::make(&longest, 4, [1; 16]).unwrap();
        assert!(hash.matches(&longest));
        for (password, expected) in [
            ([b'p'; MAX_PASSWORD + 1].as_slice(), Compared::Longer),
            (&[b'p'; MAX_PASSWORD - 1], Compared::Wrong),
            (&[b'q'; MAX_PASSWORD + 1], Compared::Wrong),
        ] {
            assert_eq!(hash.compare(password), expected);
            assert!(!hash.matches(password));
        }
        let with_nul = [longest.as_slice(), b"\0"].concat();
        assert_eq!(hash.compare(&with_nul), Compared::Wrong);
    }

    #[test]
    fn what_is_no_password_is_not_hashed_and_never_matches() {
        let table = [
            (vec![], BadPassword::Empty),
            (b"a\0b".to_vec(), BadPassword::Nul),
            (vec![b'p'; MAX_PASSWORD + 1], BadPassword::Long),
        ];
        for (password, expected) in table {
            assert_eq!(Hash::make(&password, 4, [0; 16]), Err(expected));
        }
        // The key is repeated, so that for bcrypt alone these two are the same.
        let hash = Hash::make(b"abc", 4, [0; 16]).unwrap();
        assert!(!hash.matches(b"abc\0abc"));
    }

    #[test]
    fn what_is_no_hash_that_counts_is_told_apart() {
        let good = KNOWN[0].0;
        let table = [
            ("", Unusable::NotBcrypt),
            ("secret", Unusable::NotBcrypt),
            ("$apr1$aKQOaT48$yIghbgBsJj1fe6Y5Bz9y20", Unusable::NotBcrypt),
            ("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", Unusable::NotBcrypt),
            (&good.replace("$2a$", "$2x$"), Unusable::NotBcrypt),
            (&good.replace("$2a$", "$2$"), Unusable::NotBcrypt),
            (&good[..59], Unusable::Damaged),
            (&format!("{good}."), Unusable::Damaged),
            (&good.replace("$06$", "$6$"), Unusable::Damaged),
            (&good.replace("$06$", "$+6$"), Unusable::Damaged),
            (&good.replace("m0Cr", "m0é"), Unusable::Damaged),
            (&good.replace("m0Cr", "m0=r"), Unusable::Damaged),
            ("$2y$", Unusable::Damaged),
            ("$2y$éé$é", Unusable::Damaged),
            (&good.replace("$06$", "$03$"), Unusable::Cost(3)),
            (&good.replace("$06$", "$18$"), Unusable::Cost(18)),
            (&good.replace("$06$", "$99$"), Unusable::Cost(99)),
        ];
        for (text, expected) in table {
            assert_eq!(Hash::parse(text), Err(expected), "{text}");
        }
        for cost in COSTS {
            let text = good.replace("$06$", &format!("${cost:02}$"));
            assert_eq!(Hash::parse(&text).unwrap().cost(), cost);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_too_odd_to_be_judged(text in "(\\$2[aby]\\$)?[0-9$]{0,4}.{0,60}") {
            let _ = Hash::parse(&text);
        }
    }
}
