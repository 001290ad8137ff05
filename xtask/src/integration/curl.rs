//! curl: a download that is cut goes on where it was, and the sessions that tutorials print.

mod session;

use std::fs::{self, File};
use std::io::Read as _;

use anyhow::{Result, ensure};

use super::fixture::Fixture;
use super::proxy::CuttingProxy;
use super::{skopeo, step};
use crate::digest::{Hasher, Noise};
use crate::sh;

const REPOSITORY: &str = "curl/blobs";

pub(super) fn run(fixture: &Fixture) -> Result<()> {
    let mut blob = vec![0; 24 << 20];
    Noise::new(40).fill(&mut blob);
    let mut digest = String::new();
    step("upload a blob", || {
        digest = fixture.put_blob(REPOSITORY, &blob)?;
        Ok(())
    })?;
    step("a download cut twice goes on where it was", || {
        let proxy = CuttingProxy::start(fixture.address(), 10 << 20, 2)?;
        let file = fixture.folder("curl")?.join("blob");
        let url = format!("http://{}/v2/{REPOSITORY}/blobs/{digest}", proxy.address);
        let mut command = sh::command("curl");
        command.args([
            "--silent",
            "--show-error",
            "--fail",
            "--continue-at",
            "-",
            "--output",
        ]);
        command.arg(&file).arg(&url);
        for attempt in 0.. {
            match sh::output(&mut command) {
                Ok(_) => break,
                Err(error) if attempt == 2 => return Err(error),
                Err(_) => {} // cut
            }
        }
        proxy.expect_resumed()?;
        ensure!(fs::read(&file)? == blob, "the file differs");
        Ok(())
    })?;
    if crate::server::is_stand_in() {
        sh::skip("sessions", "the server in place of ours has no users");
    } else {
        step("a session with a password is as tutorials print it", || {
            session::with_a_password(fixture)
        })?;
        step("a session with a token is as tutorials print it", || {
            session::with_a_token(fixture)
        })?;
    }
    if sh::which("skopeo").is_some() {
        step("a layer of 1 GiB is what was pushed", || {
            whole_gigabyte(fixture)
        })?;
    }
    Ok(())
}

/// Pushed by skopeo, read by us: nothing but the bytes is compared.
fn whole_gigabyte(fixture: &Fixture) -> Result<()> {
    let (layout, image) = fixture.big()?;
    skopeo::push(fixture, layout, "big", "curl/big:one")?;
    fixture.expect("curl/big", "one", &image.digest)?;
    let manifest: serde_json::Value =
        serde_json::from_reader(File::open(layout.file(&image.digest))?)?;
    let digest = manifest["layers"][0]["digest"].as_str().unwrap_or_default();
    let file = fixture.folder("curl")?.join("layer");
    let url = format!("http://{}/v2/curl/big/blobs/{digest}", fixture.address());
    sh::output(sh::command("curl").args(["-sSf", "-o"]).arg(&file).arg(url))?;
    let mut hasher = Hasher::default();
    let mut file = File::open(file)?;
    let mut buffer = vec![0; 1 << 20];
    while let read @ 1.. = file.read(&mut buffer)? {
        hasher.update(&buffer[..read]);
    }
    let found = hasher.finish();
    ensure!(found == digest, "{found} in place of {digest}");
    Ok(())
}
