//! Who stands in front of this server, and what is believed of what they say: who asks, by which
//! scheme, and of which host. Why so is in `docs/decisions/0006-proxies.md`.

mod forwarded;

use std::fmt;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use ipnet::IpNet;

use self::forwarded::{FORWARDED, X_HOST, X_PROTO};
use crate::app::PeerAddr;

/// Of so many who are not believed it is said.
const SAID: usize = 8;

/// Whom the configuration names as a proxy of this server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Proxies {
    /// Whether that was said at all. Where it was not, a scheme is believed of everyone: it is told
    /// to nobody but the one who said it.
    named: bool,
    everyone: bool,
    /// Whoever comes by a socket of the file system.
    sockets: bool,
    networks: Vec<IpNet>,
}

impl Proxies {
    /// As they are listed: `all`, `unix`, addresses and networks.
    ///
    /// # Errors
    /// The place of one that is none of these.
    pub(crate) fn named(list: &[String]) -> Result<Self, usize> {
        let mut proxies = Self {
            named: true,
            ..Self::default()
        };
        for (at, name) in list.iter().enumerate() {
            match name.as_str() {
                "all" => proxies.everyone = true,
                "unix" => proxies.sockets = true,
                name => proxies.networks.push(network(name).ok_or(at)?),
            }
        }
        Ok(proxies)
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        !self.everyone && !self.sockets && self.networks.is_empty()
    }

    /// Whether this is one of them; who has no address comes by a socket of the file system.
    pub(crate) fn trusts(&self, peer: Option<IpAddr>) -> bool {
        let within = |peer: IpAddr| {
            let peer = peer.to_canonical();
            self.networks.iter().any(|network| network.contains(&peer))
        };
        self.everyone || peer.map_or(self.sockets, within)
    }

    /// Follows a request back over those who are trusted; the nearest comes first, and what is no
    /// address ends the way.
    fn follow(
        &self,
        peer: Option<IpAddr>,
        way: impl IntoIterator<Item = Option<IpAddr>>,
    ) -> Option<IpAddr> {
        let mut farthest = None;
        for hop in way {
            if !self.trusts(farthest.or(peer)) {
                break;
            }
            match hop {
                Some(address) => farthest = Some(address),
                None => break,
            }
        }
        farthest
    }

    /// Who asks, if the proxies say so. A client can send a header that its proxy does not know and
    /// hands on, so that nothing is believed where two tell different things.
    fn client(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<IpAddr> {
        let listed = forwarded::listed(headers).map(|way| self.follow(peer, way));
        let elements = forwarded::elements(headers).filter(|elements| {
            let mut elements = elements.iter();
            elements.any(|element| element.from.is_some())
        });
        let told = elements.map(|elements| {
            let way = elements.iter().rev();
            self.follow(peer, way.map(|element| element.address()))
        });
        match (listed, told) {
            (Some(one), Some(other)) => one.filter(|_| one == other),
            (Some(address), None) | (None, Some(address)) => address,
            (None, None) => self.follow(peer, [forwarded::real(headers)]),
        }
    }
}

fn network(name: &str) -> Option<IpNet> {
    let network = name.parse().ok();
    network.or_else(|| Some(IpNet::from(name.parse::<IpAddr>().ok()?)))
}

/// Reads what proxies say, and tells of those who are not believed.
#[derive(Debug, Default)]
pub(crate) struct Front {
    proxies: Proxies,
    said: Mutex<Vec<Option<IpAddr>>>,
}

/// Where a request came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    /// The other end of the connection.
    pub(crate) peer: PeerAddr,
    /// Who asks, where that is a proxy.
    pub(crate) behind: Option<IpAddr>,
}

impl Client {
    /// Its address, if it has one.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.behind.or(self.peer.0.map(|peer| peer.ip()))
    }
}

/// With a port where that is known.
impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.behind {
            Some(address) => address.fmt(f),
            None => self.peer.fmt(f),
        }
    }
}

/// How whoever asks sees this server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outside {
    /// `http` or `https`, if a proxy says so.
    pub(crate) scheme: Option<&'static str>,
    /// With its port; empty if nobody says it.
    pub(crate) host: String,
    /// Whether TLS is spoken here.
    pub(crate) secure: bool,
}

impl Outside {
    /// What URLs begin with.
    pub(crate) fn scheme(&self) -> &'static str {
        self.scheme.unwrap_or(match self.secure {
            true => "https",
            false => "http",
        })
    }
}

impl Front {
    pub(crate) fn new(proxies: Proxies) -> Self {
        Self {
            proxies,
            said: Mutex::default(),
        }
    }

    /// Who asks.
    pub(crate) fn client(&self, peer: PeerAddr, headers: &HeaderMap) -> Client {
        let address = peer.0.map(|peer| peer.ip().to_canonical());
        let behind = match self.proxies.trusts(address) {
            true => self.proxies.client(address, headers),
            false => {
                self.tell(address, headers);
                None
            }
        };
        Client { peer, behind }
    }

    /// As what this server is asked, `secure` where that is over TLS. `Host` is believed where no
    /// proxy knows better.
    pub(crate) fn outside(&self, peer: PeerAddr, headers: &HeaderMap, secure: bool) -> Outside {
        let trusted = self.proxies.trusts(peer.0.map(|peer| peer.ip()));
        let text = |value: &HeaderValue| value.to_str().map(str::to_owned).ok();
        let host = || headers.get(header::HOST).and_then(text);
        let told = trusted.then(|| forwarded::host(headers)).flatten();
        Outside {
            scheme: match trusted || !self.proxies.named {
                true => forwarded::scheme(headers),
                false => None,
            },
            host: told.or_else(host).unwrap_or_default(),
            secure,
        }
    }

    /// Says of the first few that they are not believed: most likely a proxy that was not named.
    fn tell(&self, peer: Option<IpAddr>, headers: &HeaderMap) {
        let Some(name) = self.unheard(headers) else {
            return;
        };
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() == SAID || said.contains(&peer) {
            return;
        }
        said.push(peer);
        drop(said);
        let (from, named) = match peer {
            Some(peer) => (peer.to_string(), format!("'{peer}'")),
            None => ("a socket".to_owned(), "unix".to_owned()),
        };
        tracing::warn!(
            "{name} from {from} is not believed: `extensions.proxies` does not name it. If it is a \
             proxy of yours, write `extensions: {{proxies: [{named}]}}`, or else its clients are \
             one, in the log and for failed logins"
        );
    }

    /// A header that is there for nothing.
    fn unheard(&self, headers: &HeaderMap) -> Option<HeaderName> {
        let always = forwarded::OF_CLIENTS.into_iter().chain([X_HOST]);
        // Where nobody is named, the scheme counts.
        let schemes = [FORWARDED, X_PROTO].into_iter();
        let mut names = always.chain(schemes.filter(|_| self.proxies.named));
        names.find(|name| headers.contains_key(name))
    }
}

#[cfg(test)]
mod tests;
