//! The headers by which proxies tell of their clients: `Forwarded` (RFC 7239), and those that were
//! there before it. What is malformed is as if it were not there.

use std::net::{IpAddr, SocketAddr};

use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue};

pub(super) const FORWARDED: HeaderName = http::header::FORWARDED;
pub(super) const X_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(super) const X_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Those that say who asks, and nothing else.
pub(super) const OF_CLIENTS: [HeaderName; 2] = [X_FOR, X_REAL_IP];

/// What one proxy says in `Forwarded`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    /// Whom it had the request from: an address, a name it made up, or `unknown`.
    pub(super) from: Option<String>,
    host: Option<String>,
    proto: Option<String>,
}

impl Element {
    pub(super) fn address(&self) -> Option<IpAddr> {
        address(self.from.as_ref()?)
    }
}

/// The scheme that the client spoke, as the first of several proxies says it.
pub(super) fn scheme(headers: &HeaderMap) -> Option<&'static str> {
    let known = |told: &str| {
        let mut known = ["https", "http"].into_iter();
        known.find(|scheme| told.eq_ignore_ascii_case(scheme))
    };
    let element = outermost(headers).and_then(|element| known(&element.proto?));
    element.or_else(|| known(first(headers, &X_PROTO)?))
}

/// The host that the client asked, as the first of several proxies says it.
pub(super) fn host(headers: &HeaderMap) -> Option<String> {
    let element = outermost(headers).and_then(|element| element.host);
    let usable = |host: &String| is_host(host);
    element
        .filter(usable)
        .or_else(|| Some(first(headers, &X_HOST)?.to_owned()).filter(usable))
}

/// The way of a request by `X-Forwarded-For`, the nearest first; nothing where that is not there.
pub(super) fn listed(headers: &HeaderMap) -> Option<impl Iterator<Item = Option<IpAddr>>> {
    let lines = headers.get_all(X_FOR).iter();
    let items = lines.rev().flat_map(|line| text(line).rsplit(','));
    headers.contains_key(X_FOR).then(|| items.map(address))
}

/// The address in `X-Real-Ip`.
pub(super) fn real(headers: &HeaderMap) -> Option<IpAddr> {
    address(text(headers.get(X_REAL_IP)?))
}

/// All of `Forwarded`, the nearest proxy last; nothing where that is not there, or is malformed.
pub(super) fn elements(headers: &HeaderMap) -> Option<Vec<Element>> {
    let mut all = Vec::new();
    for line in headers.get_all(FORWARDED) {
        for item in unquoted(text(line), ',') {
            all.push(element(item)?);
        }
    }
    (!all.is_empty()).then_some(all)
}

fn outermost(headers: &HeaderMap) -> Option<Element> {
    elements(headers)?.into_iter().next()
}

fn first<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let line = text(headers.get(name)?);
    Some(line.split(',').next().unwrap_or_default().trim())
}

/// What is no text is no address and no name, either.
fn text(value: &HeaderValue) -> &str {
    value.to_str().unwrap_or("\"")
}

/// A name or an address, and perhaps a port, and nothing that means something in a URL.
fn is_host(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    // What stands behind the host, if anything, is a port.
    let is_whole = |host: &Authority| host.host() == text || host.port_u16().is_some();
    text.bytes().all(plain)
        && text
            .parse::<Authority>()
            .is_ok_and(|host| !host.host().is_empty() && is_whole(&host))
}

/// One of IPv6 may have brackets, and either a port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address = match bare {
        Some(bare) => bare.parse().ok().filter(IpAddr::is_ipv6),
        None => text.parse().ok(),
    };
    let with_port = || text.parse::<SocketAddr>().ok().map(|addr| addr.ip());
    address
        .or_else(with_port)
        .map(|address| address.to_canonical())
}

/// Pairs of which each is there once.
fn element(text: &str) -> Option<Element> {
    let mut element = Element::default();
    for pair in unquoted(text, ';') {
        let (name, value) = pair.split_once('=')?;
        let value = value_of(value.trim_end())?;
        let place = match name.trim_start().to_ascii_lowercase().as_str() {
            "for" => &mut element.from,
            "host" => &mut element.host,
            "proto" => &mut element.proto,
            _ => continue,
        };
        if place.replace(value).is_some() {
            return None;
        }
    }
    Some(element)
}

/// A token, or what is within quotes, where a backslash makes the next character one like any other.
fn value_of(text: &str) -> Option<String> {
    let Some(rest) = text.strip_prefix('"') else {
        let is_token = !text.is_empty() && !text.contains(['"', '\\', ' ', '\t']);
        return is_token.then(|| text.to_owned());
    };
    let mut value = String::new();
    let mut rest = rest.chars();
    loop {
        match rest.next()? {
            '"' => break,
            '\\' => value.push(rest.next()?),
            c => value.push(c),
        }
    }
    rest.next().is_none().then_some(value)
}

/// Splits where a separator is not within quotes.
fn unquoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c| {
        let escapes = quoted && c == '\\' && !escaped;
        if c == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = escapes;
        c == separator && !quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            headers.append(*name, value);
        }
        headers
    }

    #[test]
    fn a_host_may_have_a_port_and_nothing_else() {
        for text in ["a", "a.b:443", "192.0.2.1:65535", "[2001:db8::1]:5000"] {
            assert!(is_host(text), "{text:?}");
        }
        for text in ["", "a:", "a:65536", "a:b", ":443", "a/b", "u@a", "a b"] {
            assert!(!is_host(text), "{text:?}");
        }
    }

    #[test]
    fn an_address_may_have_brackets_and_a_port() {
        for (text, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            (" 192.0.2.1\t", "192.0.2.1"),
            ("192.0.2.1:47011", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:47011", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(address(text), expected.parse().ok(), "{text:?}");
        }
        for text in [
            "",
            "unknown",
            "_hidden",
            "192.0.2",
            "192.0.2.1:",
            "192.0.2.1:65536",
            "[192.0.2.1]",
            "[2001:db8::1",
            "fe80::1%eth0",
            "192.0.2.1 192.0.2.2",
            "a.example",
            "\"192.0.2.1\"",
        ] {
            assert_eq!(address(text), None, "{text:?}");
        }
    }

    #[test]
    fn forwarded_is_read_as_the_rfc_has_it() {
        let element = |from: &str, proto: &str, host: &str| {
            let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            Element {
                from: text(from),
                host: text(host),
                proto: text(proto),
            }
        };
        let table = [
            ("for=\"_gazonk\"", vec![element("_gazonk", "", "")]),
            (
                "For=\"[2001:db8:cafe::17]:4711\"",
                vec![element("[2001:db8:cafe::17]:4711", "", "")],
            ),
            (
                "for=192.0.2.60;proto=http;by=203.0.113.43",
                vec![element("192.0.2.60", "http", "")],
            ),
            (
                "for=192.0.2.43, for=198.51.100.17; host=a.example:5000",
                vec![
                    element("192.0.2.43", "", ""),
                    element("198.51.100.17", "", "a.example:5000"),
                ],
            ),
            (
                "by=\"a, for=1.1.1.1; \\\" host=b\";proto=https",
                vec![element("", "https", "")],
            ),
        ];
        for (line, expected) in table {
            let read = elements(&headers(&[("forwarded", line)]));
            assert_eq!(read, Some(expected), "{line}");
        }
        let both = headers(&[("forwarded", "for=a"), ("forwarded", "for=b")]);
        let expected = vec![element("a", "", ""), element("b", "", "")];
        assert_eq!(elements(&both), Some(expected));
        for line in [
            "",
            "for",
            "for=",
            "for=\"a",
            "for=a\"",
            "for=\"a\"b",
            "for=\"a\\\"",
            "for=a;for=b",
            "for=a;",
            "for=a,",
            "for=a b",
            "\u{e9}",
            "for=\u{e9}",
        ] {
            assert_eq!(elements(&headers(&[("forwarded", line)])), None, "{line:?}");
        }
    }

    #[test]
    fn scheme_and_host_are_those_of_the_outermost_proxy_and_of_forwarded_first() {
        let told = |lines: &[(&'static str, &str)]| {
            let headers = headers(lines);
            (scheme(&headers), host(&headers))
        };
        let host = |host: &str| Some(host.to_owned());
        assert_eq!(told(&[]), (None, None));
        assert_eq!(
            told(&[
                ("x-forwarded-proto", "HTTPS, http"),
                ("x-forwarded-host", "a:1, b")
            ]),
            (Some("https"), host("a:1"))
        );
        assert_eq!(
            told(&[
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "a"),
                (
                    "forwarded",
                    "proto=http;host=\"[::1]:5000\", proto=https;host=c"
                ),
            ]),
            (Some("http"), host("[::1]:5000"))
        );
        assert_eq!(
            told(&[
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "a"),
                ("forwarded", "proto=ftp;host=\"a b\""),
            ]),
            (Some("https"), host("a"))
        );
        for wrong in [
            "", "a b", "a/b", "a@b", "a?b", "a#b", "a\\b", "a\"b", ":1", "a:b:c", "é",
        ] {
            assert_eq!(
                told(&[("x-forwarded-host", wrong)]),
                (None, None),
                "{wrong}"
            );
            assert_eq!(
                told(&[("x-forwarded-proto", wrong)]),
                (None, None),
                "{wrong}"
            );
        }
    }
}
