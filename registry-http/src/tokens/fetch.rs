//! `auth.token.jwks` as a URL: keys that their issuer publishes.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use registry_core::BoxError;

use crate::builtin::tokens::FetchKeys;
use crate::cli::chain;
use crate::client::{Client, Question, bare_host};

/// How long a connection may take, and then the handshake of TLS: less than half of what all of it
/// may take, so that it is told which of them was slow.
const STEP: Duration = Duration::from_secs(4);

/// Where the keys are.
#[derive(Debug)]
pub(super) struct Published {
    uri: Uri,
    client: Client,
}

impl Published {
    /// Whether this is a URL, and not the path of a file.
    pub(super) fn is_url(text: &str) -> bool {
        text.contains("://")
    }

    /// Asks nobody yet: the issuer may be started later.
    ///
    /// # Errors
    /// A URL that cannot be used, and a system that knows no certificate authority.
    pub(super) async fn open(url: &str) -> Result<Self, BoxError> {
        let uri = parse(url).map_err(|why| format!("`jwks`: {why}"))?;
        let client = Client::default();
        if uri.scheme_str() == Some("https") {
            let ready = client.tls().await;
            ready.map_err(|error| format!("`jwks`: {}", chain(&error)))?;
        }
        Ok(Self { uri, client })
    }
}

/// Says what is wrong with it without the URL itself, which may have a password.
fn parse(url: &str) -> Result<Uri, &'static str> {
    let uri: Option<Uri> = url.parse().ok();
    let uri = uri.filter(|uri| !bare_host(uri).is_empty());
    let uri =
        uri.ok_or("neither the path of a file nor a URL such as https://auth.example/keys")?;
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    if authority.contains('@') {
        return Err("a user and a password in the URL would not be sent");
    }
    match uri.scheme_str() {
        Some("https") => Ok(uri),
        Some("http") if is_this_machine(bare_host(&uri)) => Ok(uri),
        Some("http") => Err(
            "only https will do, other than for this machine: whoever is on the way could put keys \
             of his own in place of these",
        ),
        _ => Err("only https URLs can be fetched, and files read by their path"),
    }
}

fn is_this_machine(host: &str) -> bool {
    let address: Option<IpAddr> = host.parse().ok();
    match address {
        Some(IpAddr::V4(address)) => address.is_loopback(),
        Some(IpAddr::V6(address)) => address == Ipv6Addr::LOCALHOST,
        None => host.eq_ignore_ascii_case("localhost"),
    }
}

#[async_trait]
impl FetchKeys for Published {
    async fn fetch(&self, limit: usize) -> Result<Vec<u8>, BoxError> {
        let mut headers = HeaderMap::new();
        let kinds = HeaderValue::from_static("application/jwk-set+json, application/json");
        headers.insert(header::ACCEPT, kinds);
        let question = Question {
            method: Method::GET,
            uri: &self.uri,
            headers,
            status: StatusCode::OK,
            limit,
            step: STEP,
        };
        let fetched = self.client.ask(question).await;
        let fetched = fetched.map_err(|error| {
            let host = self.uri.authority().map_or("", |host| host.as_str());
            format!("asking {host}: {}", chain(&error))
        });
        Ok(fetched?.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, wrong: Option<&str>) {
        let said = parse(url).err();
        let as_expected = match (said, wrong) {
            (None, None) => true,
            (Some(said), Some(wrong)) => said.contains(wrong),
            _ => false,
        };
        assert!(as_expected, "{url}: {said:?}");
    }

    #[test]
    fn only_an_answer_that_nobody_on_the_way_can_change_is_asked_for() {
        let insecure = Some("only https will do");
        for (url, wrong) in [
            ("https://auth.example/keys", None),
            ("HTTPS://auth.example:8443", None),
            ("http://127.0.0.1:5001/keys?a=b", None),
            ("http://127.7.7.7/keys", None),
            ("http://[::1]:5001/keys", None),
            ("http://LOCALHOST/keys", None),
            ("http://auth.example/keys", insecure),
            ("http://localhost.example/keys", insecure),
            ("http://10.0.0.1/keys", insecure),
            ("http://[::2]/keys", insecure),
            ("http://0.0.0.0/keys", insecure),
            ("https://me:hush@auth.example/keys", Some("a password")),
            ("http://localhost@auth.example/keys", Some("a password")),
            ("https:///keys", Some("neither the path")),
            ("file:///keys", Some("neither the path")),
            ("ftp://auth.example/keys", Some("only https URLs")),
        ] {
            check(url, wrong);
        }
    }
}
