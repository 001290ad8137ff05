//! Real object stores as child processes, and what one asks them from outside.

mod garage;
mod minio;

use anyhow::{Context as _, Result, bail};

pub(crate) use self::garage::Garage;
pub(crate) use self::minio::Minio;
use crate::sh;

/// What an answer is followed by, to tell its status.
const MARK: &str = "\nstatus ";

/// Where an object store answers, over plain HTTP, and as whom to ask.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    /// Host and port. Whoever stands in front puts their own here.
    pub(crate) address: String,
    pub(crate) region: &'static str,
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
}

/// Without it Garage answers nobody.
const UNSIGNED: &str = "x-amz-content-sha256: UNSIGNED-PAYLOAD";

/// An answer of the store.
#[derive(Debug)]
struct Answer {
    status: u16,
    body: String,
}

impl Endpoint {
    /// The section of a configuration of this bucket: any of the three registries takes it.
    pub(crate) fn section(&self, bucket: &str) -> String {
        self.section_with(bucket, "")
    }

    /// The same with more keys, each followed by a comma.
    pub(crate) fn section_with(&self, bucket: &str, more: &str) -> String {
        format!(
            "s3: {{{more} bucket: {bucket}, region: {}, regionendpoint: 'http://{}', \
             forcepathstyle: true, accesskey: {}, secretkey: '{}'}}",
            self.region, self.address, self.access_key, self.secret_key
        )
    }

    /// Makes a bucket that is not there.
    pub(crate) fn make_bucket(&self, name: &str) -> Result<()> {
        let answer = self.ask("PUT", &format!("/{name}"), &[])?;
        answer.expect(200).map(|_| ())
    }

    /// The keys of all objects that begin like this, in order.
    pub(crate) fn keys(&self, bucket: &str, prefix: &str) -> Result<Vec<String>> {
        let mut all = Vec::new();
        let mut token: Option<String> = None;
        loop {
            // In order, as they are signed.
            let mut query = String::new();
            if let Some(token) = &token {
                query += &format!("continuation-token={}&", escaped(token));
            }
            query += &format!("list-type=2&prefix={}", escaped(prefix));
            let page = self.ask("GET", &format!("/{bucket}?{query}"), &[])?;
            let page = page.expect(200)?;
            all.extend(elements(&page, "Key"));
            token = elements(&page, "NextContinuationToken").next();
            if token.is_none() {
                return Ok(all);
            }
        }
    }

    /// Whether there is a multipart upload to this key. MinIO tells of none by less than that.
    pub(crate) fn is_begun(&self, bucket: &str, key: &str) -> Result<bool> {
        let target = format!("/{bucket}?prefix={}&uploads=", escaped(key));
        let page = self.ask("GET", &target, &[])?.expect(200)?;
        Ok(elements(&page, "UploadId").next().is_some())
    }

    /// Copies all that is in a bucket into another, in the store.
    pub(crate) fn copy_all(&self, from: &str, to: &str) -> Result<()> {
        let folder = sh::TempDir::new("s3-copy")?;
        let list = folder.path().join("curl");
        // One curl for all of them, on one connection.
        let one = |key: String| {
            format!(
                "{}\nrequest = PUT\nurl = \"http://{}/{to}/{key}\"\nheader = \"x-amz-copy-source: \
                 /{from}/{key}\"\noutput = /dev/null\n",
                self.signed_by(),
                self.address
            )
        };
        let all: Vec<String> = self.keys(from, "")?.into_iter().map(one).collect();
        std::fs::write(&list, all.join("next\n"))?;
        sh::output(sh::command("curl").arg("--config").arg(&list)).map(|_| ())
    }

    /// As curl's file of options has it.
    fn signed_by(&self) -> String {
        format!(
            "silent\nshow-error\nfail\naws-sigv4 = \"aws:amz:{}:s3\"\nuser = \"{}:{}\"\n\
             header = \"{UNSIGNED}\"",
            self.region, self.access_key, self.secret_key
        )
    }

    /// Whether it lets us in: an answer to a signed request.
    fn answers(&self) -> bool {
        self.ask("GET", "/", &[])
            .is_ok_and(|answer| answer.status == 200)
    }

    /// A signed request. The query is escaped and its words are in order already.
    fn ask(&self, method: &str, target: &str, more: &[&str]) -> Result<Answer> {
        let mut curl = sh::command("curl");
        curl.args(["--silent", "--show-error", "--max-time", "60"]);
        curl.args(["--aws-sigv4", &format!("aws:amz:{}:s3", self.region)]);
        curl.args([
            "--user",
            &format!("{}:{}", self.access_key, self.secret_key),
        ]);
        curl.args(["--header", UNSIGNED, "--request", method, "--write-out"]);
        curl.arg(format!("{MARK}%{{http_code}}")).args(more);
        let said = sh::output(curl.arg(format!("http://{}{target}", self.address)))?;
        let (body, status) = said.rsplit_once(MARK).context("curl tells no status")?;
        Ok(Answer {
            status: status.parse().context("not a status")?,
            body: body.to_owned(),
        })
    }
}

impl Answer {
    /// The body, or an error unless the status is the wanted one.
    fn expect(self, status: u16) -> Result<String> {
        if self.status != status {
            bail!(
                "the bucket says {} in place of {status}: {}",
                self.status,
                self.body
            );
        }
        Ok(self.body)
    }
}

/// What the elements of this name hold.
fn elements(xml: &str, name: &str) -> impl Iterator<Item = String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    xml.split(&open)
        .skip(1)
        .filter_map(|rest| rest.split_once(&close))
        .map(|(text, _)| {
            text.replace("&lt;", "<")
                .replace("&gt;", ">")
                .replace("&quot;", "\"")
                .replace("&#34;", "\"")
                .replace("&#39;", "'")
                .replace("&amp;", "&")
        })
        .collect::<Vec<_>>()
        .into_iter()
}

/// As a signed query has it.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte));
            }
            _ => escaped += &format!("%{byte:02X}"),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read() {
        let page = "<R><Key>a&amp;b</Key><NextContinuationToken>t</NextContinuationToken>\
                    <Contents><Key>c &lt;d&gt;</Key></Contents></R>";
        assert!(elements(page, "Key").eq(["a&b", "c <d>"]));
        assert!(elements(page, "NextContinuationToken").eq(["t"]));
        assert_eq!(elements(page, "Prefix").next(), None);
    }

    #[test]
    fn a_query_is_escaped() {
        assert_eq!(escaped("a/b c~d+é"), "a%2Fb%20c~d%2B%C3%A9");
    }
}
