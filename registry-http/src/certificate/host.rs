//! The names and addresses that a certificate is for.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Where clients reach the registry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Host {
    pub(super) name: Name,
    /// `None` for that of HTTPS.
    pub(super) port: Option<u16>,
}

/// What a certificate says of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Name {
    /// In lower case; the first label may be `*`.
    Dns(String),
    Address(IpAddr),
}

/// Why a text is no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadHost {
    #[error("it is empty")]
    Empty,
    #[error("a URL: NAME or NAME:PORT is wanted")]
    Url,
    #[error("a port is a number from 1 to 65535")]
    Port,
    #[error("not an address")]
    Address,
    #[error("nobody connects to an address that stands for all")]
    Unspecified,
    #[error("a name of DNS has letters of ASCII: write it as it is there, with xn--")]
    NotAscii,
    #[error(
        "a name of DNS has labels of letters, digits, - and _, 63 at most and 253 in all, which \
         neither begin nor end with -"
    )]
    Dns,
    #[error("* stands for a whole first label, with two more behind it: clients take no other")]
    Wildcard,
}

impl FromStr for Host {
    type Err = BadHost;

    fn from_str(text: &str) -> Result<Self, BadHost> {
        if text.is_empty() {
            return Err(BadHost::Empty);
        }
        if text.contains('/') {
            return Err(BadHost::Url);
        }
        // Without brackets, an IPv6 address has no port.
        if let Ok(address) = text.parse::<IpAddr>() {
            return Self::at(address, None);
        }
        if let Some(rest) = text.strip_prefix('[') {
            let (address, rest) = rest.split_once(']').ok_or(BadHost::Address)?;
            let address = address.parse().map_err(|_| BadHost::Address)?;
            let port = match rest {
                "" => None,
                _ => Some(port(rest.strip_prefix(':').ok_or(BadHost::Port)?)?),
            };
            return Self::at(IpAddr::V6(address), port);
        }
        let (name, port) = match text.split_once(':') {
            Some((_, rest)) if rest.contains(':') => return Err(BadHost::Address),
            Some((name, rest)) => (name, Some(port(rest)?)),
            None => (text, None),
        };
        match name.parse() {
            Ok(address) => Self::at(address, port),
            Err(_) => Ok(Self {
                name: Name::Dns(dns(name)?),
                port,
            }),
        }
    }
}

impl Host {
    fn at(address: IpAddr, port: Option<u16>) -> Result<Self, BadHost> {
        match address.is_unspecified() {
            true => Err(BadHost::Unspecified),
            false => Ok(Self {
                name: Name::Address(address),
                port,
            }),
        }
    }

    pub(super) fn is_wildcard(&self) -> bool {
        matches!(&self.name, Name::Dns(name) if name.starts_with('*'))
    }
}

fn port(text: &str) -> Result<u16, BadHost> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let port = text.parse().ok().filter(|port| *port != 0 && digits);
    port.ok_or(BadHost::Port)
}

fn dns(text: &str) -> Result<String, BadHost> {
    if !text.is_ascii() {
        return Err(BadHost::NotAscii);
    }
    // The dot of the root is in no certificate.
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if name.len() > 253 {
        return Err(BadHost::Dns);
    }
    let plain = match name.strip_prefix("*.") {
        Some(rest) if !rest.contains('.') => return Err(BadHost::Wildcard),
        Some(rest) => rest,
        None => &name,
    };
    if plain.contains('*') {
        return Err(BadHost::Wildcard);
    }
    if !plain.split('.').all(is_label) {
        return Err(BadHost::Dns);
    }
    // Clients take what ends in a number for an address.
    let last = plain.rsplit('.').next().unwrap_or_default();
    match last.bytes().all(|byte| byte.is_ascii_digit()) {
        true => Err(BadHost::Address),
        false => Ok(name),
    }
}

fn is_label(label: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=63).contains(&label.len())
        && label.bytes().all(known)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// As it is in the name of an image, and in the folders of clients.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Name::Address(IpAddr::V6(address)) => write!(f, "[{address}]")?,
            name => name.fmt(f)?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_taken_with_and_without_a_port() {
        for (text, shown) in [
            ("registry", "registry"),
            ("Registry.Example:5000", "registry.example:5000"),
            ("registry.example.", "registry.example"),
            ("my_registry:5000", "my_registry:5000"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("*.registry.example", "*.registry.example"),
            ("127.0.0.1", "127.0.0.1"),
            ("10.0.0.1:443", "10.0.0.1:443"),
            ("::1", "[::1]"),
            ("fd00:0::A", "[fd00::a]"),
            ("[::1]", "[::1]"),
            ("[::1]:5000", "[::1]:5000"),
            ("4.example", "4.example"),
        ] {
            let host: Host = text.parse().unwrap();
            assert_eq!(host.to_string(), shown);
            assert_eq!(host.to_string().parse(), Ok(host));
        }
    }

    #[test]
    fn what_clients_would_not_believe_is_refused_and_says_why() {
        let long = format!("{}.example", "a".repeat(64));
        let longer = ["abcdefgh"; 29].join(".");
        for (text, why) in [
            ("", BadHost::Empty),
            ("https://registry.example", BadHost::Url),
            ("registry.example/v2", BadHost::Url),
            ("registry:", BadHost::Port),
            ("registry:0", BadHost::Port),
            ("registry:+5", BadHost::Port),
            ("registry:65536", BadHost::Port),
            ("[::1]5000", BadHost::Port),
            ("[::1", BadHost::Address),
            ("[127.0.0.1]", BadHost::Address),
            ("[fe80::1%eth0]", BadHost::Address),
            ("::1:x", BadHost::Address),
            ("1.2.3", BadHost::Address),
            ("256.0.0.1:5000", BadHost::Address),
            ("0.0.0.0", BadHost::Unspecified),
            ("[::]:5000", BadHost::Unspecified),
            ("bücher.example", BadHost::NotAscii),
            ("a b", BadHost::Dns),
            (".example", BadHost::Dns),
            ("a..example", BadHost::Dns),
            ("-a.example", BadHost::Dns),
            ("a-.example", BadHost::Dns),
            (":5000", BadHost::Dns),
            (&long, BadHost::Dns),
            (&longer, BadHost::Dns),
            ("*", BadHost::Wildcard),
            ("*.example", BadHost::Wildcard),
            ("a*.registry.example", BadHost::Wildcard),
            ("a.*.example", BadHost::Wildcard),
        ] {
            assert_eq!(text.parse::<Host>(), Err(why), "{text}");
        }
    }
}
