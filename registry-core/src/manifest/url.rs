//! Whether a layer's URL is one, as Go's parser and distribution's check have it.

/// Whether this names something on a host, by http or https: no fragment, no broken escapes.
pub(super) fn is_acceptable(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else {
        return false;
    };
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    ["http", "https"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known))
        && fragment.is_empty()
        && !url.bytes().any(|byte| byte.is_ascii_control())
        && !authority.contains([' ', '%', '\\'])
        && is_host(host)
        && escapes_are_whole(path)
}

/// A host, or an address in brackets, and perhaps a port.
fn is_host(text: &str) -> bool {
    let (host, port) = if let Some(inner) = text.strip_prefix('[') {
        let Some((address, port)) = inner.split_once(']') else {
            return false;
        };
        (address, port)
    } else {
        text.split_at(text.find(':').unwrap_or(text.len()))
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    !host.is_empty()
        && (port.is_empty() || port.starts_with(':'))
        && digits.bytes().all(|digit| digit.is_ascii_digit())
}

/// Whether two hexadecimal digits follow each percent sign of the path. A query keeps what it has.
fn escapes_are_whole(path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    path.split('%').skip(1).all(|after| {
        let digits = after.bytes().take(2);
        digits.filter(u8::is_ascii_hexdigit).count() == 2
    })
}

#[cfg(test)]
mod tests {
    use super::is_acceptable;

    #[test]
    fn a_layer_is_fetched_from_a_host_by_http() {
        for url in [
            "http://x",
            "HTTPS://x/y",
            "hTTp://x/y?z",
            "https://x:443/%41",
            "https://[::1]:5000/a b",
            "https://user:word@x/",
            "https://x/y#",
            "https://x/?a=%zz",
            "https://bücher.example/é",
        ] {
            assert!(is_acceptable(url), "{url}");
        }
        for url in [
            "",
            "x/y",
            "//x/y",
            "https:/x",
            "https:x",
            "ftp://x/y",
            "file:///etc/passwd",
            "http://",
            "https:///path",
            "https://?query",
            "https://:443/",
            "https://user@/",
            "https://x:port/",
            "https://[::1/",
            "https://[::1]x/",
            "https://x y/",
            "https://x/%4",
            "https://x/%zz",
            "https://x/y#part",
            "https://x/\n",
        ] {
            assert!(!is_acceptable(url), "{url}");
        }
    }
}
