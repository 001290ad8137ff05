//! The signed state in the URL of an upload: a POST writes nothing, so the URL carries what is
//! known of the upload until its first bytes make a record.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::Options;
use crate::access::Identity;
use crate::digest::Algorithm;
use crate::error::RegistryError;
use crate::layout::Key;
use crate::name::RepositoryName;
use crate::storage::{Durability, Outcome, PutMode, RecordStore, StorageError, UploadId};

/// Length of the signature in bytes.
const MAC: usize = 32;

/// Signs and verifies the state of uploads.
#[derive(Clone)]
pub(super) struct Signer {
    key: Hmac<Sha256>,
}

/// What a signed state says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signed {
    pub(super) started: SystemTime,
    pub(super) algorithm: Algorithm,
    pub(super) owner: Option<Owner>,
}

/// Whose an upload is: a keyed digest, so that no name lies in the store or in a URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Owner(String);

#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    repository: &'a str,
    id: String,
    /// Seconds since 1970.
    started: u64,
    algorithm: &'a str,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<Owner>,
}

impl Signer {
    /// With the configured secret, else with a key that all replicas find in the store. A full
    /// store can be read, so that it is no reason to stop.
    pub(super) async fn open(
        records: &dyn RecordStore,
        options: &Options,
    ) -> Result<Self, RegistryError> {
        if let Some(secret) = &options.secret {
            return Ok(Self::new(secret.expose().as_bytes()));
        }
        let path = Key::UploadSecret.path();
        for _ in 0..3 {
            let found = records.get(&path).await?;
            if let Some(record) = found.as_ref().filter(|found| found.value.len() >= MAC) {
                return Ok(Self::new(&record.value));
            }
            let fresh = (options.ambient.random)().to_vec();
            if options.read_only {
                return Ok(Self::new(&fresh));
            }
            // An empty one is what a crash may leave: it signs nothing and may be replaced. What
            // another has written since this look may not.
            let mode = match found {
                Some(torn) => PutMode::IfVersion(torn.version),
                None => PutMode::Create,
            };
            let put = records.put(&path, Bytes::from(fresh.clone()), mode, Durability::Durable);
            match put.await {
                Ok(Outcome::Done(_)) => return Ok(Self::new(&fresh)),
                Ok(Outcome::Conflict) => {}
                Err(StorageError::Full) => {
                    tracing::warn!(
                        "the store is full: the key of uploads is not kept, and those that have \
                         sent nothing yet end with this process"
                    );
                    return Ok(Self::new(&fresh));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(StorageError::backend(
            "registry",
            "making the key of uploads",
            "others keep winning",
        )
        .into())
    }

    fn new(secret: &[u8]) -> Self {
        // HMAC takes keys of any length (RFC 2104, section 2), so this cannot fail; a key of
        // zeros would only make every state invalid elsewhere.
        let key = Hmac::new_from_slice(secret).unwrap_or_else(|_| Hmac::new(&Default::default()));
        Self { key }
    }

    /// The state of a new upload, for its URL.
    pub(super) fn sign(&self, repository: &RepositoryName, id: UploadId, state: &Signed) -> String {
        let started = state
            .started
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let wire = Wire {
            repository: repository.as_str(),
            id: id.to_string(),
            started,
            algorithm: state.algorithm.as_str(),
            owner: state.owner.clone(),
        };
        let body = serde_json::to_vec(&wire).unwrap_or_default();
        let mut mac = self.key.clone();
        mac.update(&body);
        let mut signed = mac.finalize().into_bytes().to_vec();
        signed.extend_from_slice(&body);
        URL_SAFE_NO_PAD.encode(signed)
    }

    /// What a state says, if it is of our making and of this upload.
    pub(super) fn verify(
        &self,
        repository: &RepositoryName,
        id: UploadId,
        text: &str,
    ) -> Option<Signed> {
        let signed = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()?;
        let (signature, body) = signed.split_at_checked(MAC)?;
        let mut mac = self.key.clone();
        mac.update(body);
        mac.verify_slice(signature).ok()?;
        let wire: Wire<'_> = serde_json::from_slice(body).ok()?;
        if wire.repository != repository.as_str() || wire.id != id.to_string() {
            return None;
        }
        let started = UNIX_EPOCH.checked_add(Duration::from_secs(wire.started))?;
        Some(Signed {
            started,
            algorithm: wire.algorithm.parse().ok()?,
            owner: wire.owner,
        })
    }

    /// Whose an upload is that this one begins; `None` for nobody in particular. A user is the same
    /// by a password and by a token, which clients change in the middle of an upload.
    pub(super) fn owner(&self, id: UploadId, who: &Identity) -> Option<Owner> {
        let principal = who.principals().next()?;
        Some(self.owned_by(id, &principal))
    }

    /// Whether this one is the owner: who logs in on top of a certificate goes on with what it has
    /// begun.
    pub(super) fn is_owner(&self, id: UploadId, who: &Identity, owner: &Owner) -> bool {
        let mut principals = who.principals();
        principals.any(|principal| self.owned_by(id, &principal) == *owner)
    }

    fn owned_by(&self, id: UploadId, principal: &str) -> Owner {
        let mut mac = self.key.clone();
        // No state begins like that.
        mac.update(format!("owner {id} {principal}").as_bytes());
        let mac = mac.finalize().into_bytes();
        Owner(URL_SAFE_NO_PAD.encode(&mac[..16]))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future;

    use super::*;
    use crate::access::{Certificate, Scheme};
    use crate::storage::{MemoryDriver, Storage};
    use crate::testing::ambient;
    use crate::testing::faults::Faulty;

    /// Whether both take each other's states.
    fn are_one(one: &Signer, other: &Signer) -> bool {
        let (name, id) = ("a".parse().unwrap(), UploadId::new(7));
        let state = Signed {
            started: UNIX_EPOCH,
            algorithm: Algorithm::Sha256,
            owner: None,
        };
        other
            .verify(&name, id, &one.sign(&name, id, &state))
            .is_some()
    }

    #[tokio::test]
    async fn who_opens_beside_another_has_its_key_whichever_comes_first() {
        let options = Options::new(ambient());
        for torn in [false, true] {
            // The look, and the write.
            for call in 0..2 {
                let storage = Storage::from_driver(MemoryDriver::new(ambient()));
                if torn {
                    let (path, mode) = (Key::UploadSecret.path(), PutMode::Create);
                    let put = storage
                        .records
                        .put(&path, Bytes::new(), mode, Durability::Durable);
                    let _ = put.await.unwrap();
                }
                let (stopped, control) = Faulty::wrap(storage.clone());
                let pause = control.pause_before(call);
                let first = Signer::open(&*stopped.records, &options);
                let second = async {
                    pause.reached().await;
                    let second = Signer::open(&*storage.records, &options).await;
                    pause.release();
                    second
                };
                let (first, second) = future::join(first, second).await;
                let (first, second) = (first.unwrap(), second.unwrap());
                assert!(are_one(&first, &second), "{torn}, {call}");
                let later = Signer::open(&*storage.records, &options).await.unwrap();
                assert!(are_one(&first, &later), "{torn}, {call}");
            }
        }
    }

    #[test]
    fn a_state_holds_for_its_repository_and_upload_alone() {
        let signer = Signer::new(b"secret");
        let (name, id) = ("a/b".parse().unwrap(), UploadId::new(7));
        let started = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let state = Signed {
            started,
            algorithm: Algorithm::Sha512,
            owner: signer.owner(id, &Identity::named("alice", Scheme::Basic)),
        };
        let text = signer.sign(&name, id, &state);
        assert_eq!(signer.verify(&name, id, &text).as_ref(), Some(&state));
        assert_eq!(signer.verify(&"a/c".parse().unwrap(), id, &text), None);
        assert_eq!(signer.verify(&name, UploadId::new(8), &text), None);
        assert_eq!(Signer::new(b"other").verify(&name, id, &text), None);
        for broken in ["", "x", &text[1..], &format!("{text}AA"), "é"] {
            assert_eq!(signer.verify(&name, id, broken), None, "{broken:?}");
        }
    }

    #[test]
    fn an_owner_is_one_user_of_one_upload_by_whatever_credentials() {
        let signer = Signer::new(b"secret");
        let id = UploadId::new(7);
        let of = |name: &str, scheme| signer.owner(id, &Identity::named(name, scheme));
        let alice = of("alice", Scheme::Basic);
        assert!(alice.is_some());
        assert_eq!(of("alice", Scheme::Bearer), alice);
        for other in [
            of("bob", Scheme::Basic),
            of("Alice", Scheme::Basic),
            of("alice", Scheme::Certificate),
            signer.owner(UploadId::new(8), &Identity::named("alice", Scheme::Basic)),
            Signer::new(b"other").owner(id, &Identity::named("alice", Scheme::Basic)),
        ] {
            assert!(other.is_some() && other != alice, "{other:?}");
        }
        // A token that names nobody.
        assert_eq!(of("", Scheme::Bearer), None);
        let certified = |who: Identity, name: &str| {
            let name = format!("certificate:dns={name}").parse().unwrap();
            who.with_certificate(Certificate::default().with(name).into())
        };
        let build = certified(Identity::anonymous(), "build");
        let owner = signer.owner(id, &build).unwrap();
        let both = certified(Identity::named("alice", Scheme::Bearer), "build");
        assert_eq!(
            signer.owner(id, &both),
            alice,
            "the user's, if there is one"
        );
        assert!(signer.is_owner(id, &build, &owner) && signer.is_owner(id, &both, &owner));
        assert!(signer.is_owner(id, &both, &alice.clone().unwrap()));
        assert!(!signer.is_owner(id, &build, &alice.unwrap()));
        let other = certified(Identity::named("build", Scheme::Basic), "other");
        assert!(!signer.is_owner(id, &other, &owner));
        assert_eq!(signer.owner(id, &Identity::anonymous()), None);
    }

    #[test]
    fn a_state_of_before_there_were_owners_is_nobodys() {
        let signer = Signer::new(b"secret");
        let (name, id) = ("a/b".parse().unwrap(), UploadId::new(7));
        let body = format!(
            r#"{{"repository":"a/b","id":"{id}","started":1700000000,"algorithm":"sha256"}}"#
        );
        let mut mac = signer.key.clone();
        mac.update(body.as_bytes());
        let signed = [&mac.finalize().into_bytes()[..], body.as_bytes()].concat();
        let state = signer.verify(&name, id, &URL_SAFE_NO_PAD.encode(signed));
        assert_eq!(state.unwrap().owner, None);
    }
}
