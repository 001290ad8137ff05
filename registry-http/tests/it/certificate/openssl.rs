//! What OpenSSL says of it, and what it makes itself.

use std::io::Write as _;
use std::process::Command;

use super::{Folder, HOSTS};

/// What OpenSSL says, if it is here. In CI it has to be.
fn openssl(folder: &Folder, line: &str) -> Option<String> {
    let mut command = Command::new("openssl");
    command.args(line.split(' ')).current_dir(folder.0.path());
    match command.output() {
        Ok(output) => {
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8(said).unwrap();
            assert!(output.status.success(), "{line}: {said}");
            Some(said)
        }
        Err(error) => {
            let ci = std::env::var("CI").unwrap_or_default();
            assert!(ci.is_empty() || ci == "false", "openssl: {error}");
            let mut told = std::io::stderr();
            let _ = writeln!(told, "SKIP certificates by OpenSSL: no openssl");
            None
        }
    }
}

#[test]
fn openssl_verifies_what_is_made_and_its_authorities_are_used() {
    let folder = Folder::new();
    folder.make(&HOSTS);
    let Some(names) = openssl(&folder, "x509 -in registry.crt -noout -ext subjectAltName") else {
        return;
    };
    let wanted = "DNS:registry.example, DNS:*.mirror.example, IP Address:10.1.2.3, \
                  IP Address:FD00:0:0:0:0:0:0:1, IP Address:0:0:0:0:0:0:0:1\n";
    assert!(names.ends_with(wanted), "{names}");
    for (name, host) in [
        ("registry", "-verify_hostname registry.example"),
        ("mirror", "-verify_ip fd00::1"),
    ] {
        let strict = format!("verify -x509_strict -purpose sslserver {host} -CAfile");
        if name == "registry" {
            openssl(&folder, &format!("{strict} registry.crt registry.crt"));
        }
        folder.make(&[&HOSTS[..], &["--ca", "--name", name, "--force"]].concat());
        openssl(&folder, &format!("{strict} ca.crt {name}.crt"));
    }

    // Keys of SEC1 and of RSA, names that are ours and names that are not.
    let folder = Folder::new();
    openssl(
        &folder,
        "ecparam -name prime256v1 -genkey -noout -out ca.key",
    );
    let own = "req -x509 -key ca.key -out ca.crt -days 30 -subj";
    openssl(&folder, &format!("{own} /CN=mine"));
    folder.make(&["--host", "a", "--ca"]);
    openssl(
        &folder,
        "verify -verify_hostname a -CAfile ca.crt registry.crt",
    );
    assert_eq!(
        folder.validity("registry.crt").1,
        folder.validity("ca.crt").1
    );
    openssl(&folder, &format!("{own} /O=company/CN=mine"));
    let said = folder.refuses(&["--host", "a", "--ca", "--name", "b"]);
    assert!(said.contains("more than one part"), "{said}");
    openssl(&folder, "genrsa -out ca.key 2048");
    openssl(&folder, &format!("{own} /CN=mine"));
    folder.make(&["--host", "a", "--ca", "--force"]);
    openssl(&folder, "verify -CAfile ca.crt registry.crt");
}
