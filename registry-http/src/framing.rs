//! What HTTP/1.1 demands of a head beyond what the parser sees to: a request that two servers
//! could read in two ways is answered by none of them.

use http::header::{HOST, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Uri, Version};

use crate::error::ApiError;

/// Whether host and framing of a request are clear (RFC 9112, sections 3.2 and 6.1).
pub(crate) fn check(version: Version, headers: &HeaderMap) -> Result<(), ApiError> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (_, Some(_)) => return Err(ApiError::Framing("more than one Host header")),
        (None, None) if version == Version::HTTP_11 => {
            return Err(ApiError::Framing("no Host header"));
        }
        (Some(host), None) if !is_host(host) => {
            return Err(ApiError::Framing("malformed Host header"));
        }
        _ => {}
    }
    codings(headers)
}

/// Empty where the target has no host.
fn is_host(value: &HeaderValue) -> bool {
    let authority = Authority::try_from(value.as_bytes());
    value.is_empty() || authority.is_ok_and(|authority| !authority.as_str().contains('@'))
}

/// Bodies come plain or in chunks. The parser has undone the chunks, and would take what is
/// coded beneath them for content.
fn codings(headers: &HeaderMap) -> Result<(), ApiError> {
    let mut chunked = 0;
    let mut other = false;
    for value in headers.get_all(TRANSFER_ENCODING) {
        let codings = value.as_bytes().split(|byte| *byte == b',');
        for coding in codings.map(<[u8]>::trim_ascii) {
            match coding {
                [] => {}
                coding if coding.eq_ignore_ascii_case(b"chunked") => chunked += 1,
                _ => other = true,
            }
        }
    }
    match (chunked, other) {
        (2.., _) => Err(ApiError::Framing("chunked more than once")),
        (_, true) => Err(ApiError::TransferCoding),
        _ => Ok(()),
    }
}

/// With a target in absolute form it is that which names the host, whatever the header says
/// (RFC 9112, section 3.2.2).
pub(crate) fn settle_host(uri: &Uri, headers: &mut HeaderMap) {
    let authority = uri.authority().map(Authority::as_str).unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    if !host.is_empty()
        && let Ok(host) = HeaderValue::try_from(host)
    {
        headers.insert(HOST, host);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(version: Version, headers: &[(&'static str, &str)]) -> u16 {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        check(version, &map).map_or_else(|error| error.status().as_u16(), |()| 200)
    }

    #[test]
    fn a_request_has_one_host() {
        let hosts = |hosts: &[&str]| {
            let headers: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
            status(Version::HTTP_11, &headers)
        };
        for host in [
            "a",
            "a:5000",
            "10.0.0.1:5000",
            "[::1]:5000",
            "",
            "a_b.example",
        ] {
            assert_eq!(hosts(&[host]), 200, "{host:?}");
        }
        for host in ["a b", "a/b", "user@a", "a, b", "http://a"] {
            assert_eq!(hosts(&[host]), 400, "{host:?}");
        }
        assert_eq!(hosts(&[]), 400);
        assert_eq!(hosts(&["a", "a"]), 400);
        assert_eq!(status(Version::HTTP_10, &[]), 200);
        assert_eq!(
            status(Version::HTTP_10, &[("host", "a"), ("host", "b")]),
            400
        );
    }

    #[test]
    fn a_body_is_in_chunks_or_plain() {
        let coded = |lines: &[&str]| {
            let mut headers = vec![("host", "a")];
            headers.extend(lines.iter().map(|line| ("transfer-encoding", *line)));
            status(Version::HTTP_11, &headers)
        };
        assert_eq!(coded(&[]), 200);
        assert_eq!(coded(&["chunked"]), 200);
        assert_eq!(coded(&[" , Chunked"]), 200);
        assert_eq!(coded(&["gzip, chunked"]), 501);
        assert_eq!(coded(&["gzip", "chunked"]), 501);
        assert_eq!(coded(&["chunked, chunked"]), 400);
        assert_eq!(coded(&["chunked", "gzip, chunked"]), 400);
    }

    #[test]
    fn an_absolute_target_names_the_host() {
        let host = |uri: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("header"));
            settle_host(&uri.parse().unwrap(), &mut headers);
            headers[HOST].to_str().unwrap().to_owned()
        };
        assert_eq!(host("/v2/"), "header");
        assert_eq!(host("http://target:5000/v2/"), "target:5000");
        assert_eq!(host("http://user:word@target/v2/"), "target");
    }
}
