//! Ports by their names, as Go takes them: `:http-alt` is `:8080`.

use std::borrow::Cow;

/// Where the names are.
const SERVICES: &str = "/etc/services";

/// The address with its port as a number, where that has a name of this machine.
pub(super) fn numbered(addr: &str) -> Cow<'_, str> {
    let Some((host, name)) = addr.rsplit_once(':') else {
        return Cow::Borrowed(addr);
    };
    let is_name = name.contains(|c: char| c.is_ascii_alphabetic())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    match is_name
        .then(services)
        .and_then(|known| port_of(&known, name))
    {
        Some(port) => Cow::Owned(format!("{host}:{port}")),
        None => Cow::Borrowed(addr),
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "it is read once, before anything is served"
)]
fn services() -> String {
    std::fs::read_to_string(SERVICES).unwrap_or_default()
}

/// By services(5): a name, a port with its protocol, other names.
fn port_of(services: &str, name: &str) -> Option<u16> {
    services.lines().find_map(|line| {
        let line = line.split('#').next().unwrap_or_default();
        let mut fields = line.split_whitespace();
        let (own, port) = (fields.next()?, fields.next()?);
        let port = port.strip_suffix("/tcp")?.parse().ok()?;
        let mut names = std::iter::once(own).chain(fields);
        names.any(|known| known == name).then_some(port)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_port_of_tcp() {
        let services = "# names\nsyslog 514/udp\nshell\t514/tcp cmd syslog # no passwords\n\
                        http-alt 8080/tcp webcache\n\nbroken\n";
        for (name, port) in [
            ("http-alt", Some(8080)),
            ("webcache", Some(8080)),
            ("syslog", Some(514)),
            ("passwords", None),
            ("broken", None),
            ("names", None),
        ] {
            assert_eq!(port_of(services, name), port, "{name}");
        }
    }

    #[test]
    fn other_addresses_stay_as_they_are() {
        for addr in [
            ":5000",
            "nonsense",
            "[::1]:5000",
            "::",
            ":no such",
            ":nowhere-at-all",
        ] {
            assert_eq!(numbered(addr), addr);
        }
    }
}
