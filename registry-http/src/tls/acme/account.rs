//! The account at the authority: a key, which makes one by itself.

use instant_acme::{Account, Key};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::ask::Ask;
use super::certificate::{key_pem, pkcs8};
use super::folder::Folder;
use super::{AcmeError, blocking};

const KEY: &str = "acme_account+key";
/// What autocert called it once.
const FORMER: &str = "acme_account.key";
/// Where one goes that cannot be used, for whoever may miss it.
const ASIDE: &str = "acme_account+key.unusable";

/// The account of the key in the folder, which is made if it is missing. The terms of the
/// authority are agreed to, as distribution does.
pub(super) async fn open(
    folder: &Folder,
    ask: &Ask,
    directory: &str,
    email: Option<&str>,
) -> Result<Account, AcmeError> {
    let folder = folder.clone();
    let der = blocking(move || key(&folder)).await?;
    let wrong = |source| AcmeError::Authority {
        authority: directory.to_owned(),
        source,
    };
    let key = Key::from_pkcs8_der(der.clone_key()).map_err(wrong)?;
    let key = (key, PrivateKeyDer::Pkcs8(der));
    let building = Account::builder_with_http(Box::new(ask.clone()));
    let made = building.create_from_key(key, directory.to_owned()).await;
    let (account, _credentials) = made.map_err(wrong)?;
    if let Some(email) = email {
        let contact = format!("mailto:{email}");
        // Nothing hangs on it: Let's Encrypt does not even keep it.
        if let Err(error) = account.update_contacts(&[&contact]).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, email, "the authority does not take this address");
        }
    }
    Ok(account)
}

/// It is written before anyone hears of it.
fn key(folder: &Folder) -> Result<PrivatePkcs8KeyDer<'static>, AcmeError> {
    for name in [KEY, FORMER] {
        let Some(text) = folder.read(name)? else {
            continue;
        };
        match pkcs8(&text) {
            Ok(key) => return Ok(key),
            Err(why) => {
                tracing::warn!(
                    path = %folder.path(name).display(),
                    aside = ASIDE,
                    "the key of the account at the authority is of no use ({why}), and is put aside; there will be another account"
                );
                folder.put_aside(name, ASIDE)?;
            }
        }
    }
    let made = Key::generate_pkcs8();
    let (_, der) = made.map_err(|error| AcmeError::Crypto(error.into()))?;
    folder.write(KEY, key_pem(der.secret_pkcs8_der())?.as_bytes())?;
    Ok(der)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        (dir, folder)
    }

    fn names(dir: &tempfile::TempDir) -> Vec<String> {
        let entries = std::fs::read_dir(dir.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn a_key_is_made_once_and_is_written_as_autocert_writes_it() {
        let (dir, folder) = folder();
        let made = key(&folder).unwrap();
        assert_eq!(key(&folder).unwrap(), made);
        assert_eq!(names(&dir), [KEY]);
        let text = folder.read(KEY).unwrap().unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.starts_with("-----BEGIN EC PRIVATE KEY-----\n"));
        assert!(text.ends_with("-----END EC PRIVATE KEY-----\n"));
        assert!(text.lines().all(|line| line.len() <= 64));
    }

    #[test]
    fn a_key_of_an_old_name_or_of_another_form_counts() {
        let (dir, folder) = folder();
        let made = key(&folder).unwrap();
        folder.put_aside(KEY, FORMER).unwrap();
        assert_eq!(key(&folder).unwrap(), made);
        assert_eq!(names(&dir), [FORMER]);
        let pkcs8 = crate::tls::acme::certificate::pem("PRIVATE KEY", made.secret_pkcs8_der());
        folder.write(KEY, pkcs8.as_bytes()).unwrap();
        assert_eq!(key(&folder).unwrap(), made);
    }

    #[test]
    fn a_key_that_cannot_be_used_is_put_aside() {
        let (dir, folder) = folder();
        let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let other = crate::tls::acme::certificate::pem("PRIVATE KEY", &other.serialize_der());
        for text in ["", "hush", other.as_str()] {
            folder.write(KEY, text.as_bytes()).unwrap();
            let made = key(&folder).unwrap();
            assert_eq!(key(&folder).unwrap(), made);
            assert_eq!(names(&dir), [KEY, ASIDE]);
            let aside = folder.read(ASIDE).unwrap().unwrap();
            assert_eq!(aside, text.as_bytes());
        }
    }
}
