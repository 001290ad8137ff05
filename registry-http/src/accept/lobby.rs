//! Who is in a handshake: so many at a time, and never so that newcomers have to wait.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::gate::say_again;
use crate::app::PeerAddr;

/// Where handshakes happen. One too many, and the oldest of the network that has most of them has
/// to go: whoever opens connections without end is then the first to lose them, and a client that
/// goes on with its handshake has had time for it.
#[derive(Debug)]
pub(super) struct Lobby {
    bound: usize,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    /// The oldest first.
    guests: Vec<Guest>,
    next: u64,
    said: Option<Instant>,
}

#[derive(Debug)]
struct Guest {
    id: u64,
    network: Option<IpAddr>,
    /// Dropped when it has to go.
    _stays: oneshot::Sender<()>,
}

/// A place in it, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    id: u64,
    lobby: Arc<Lobby>,
    dismissed: oneshot::Receiver<()>,
}

impl Lobby {
    pub(super) fn new(bound: usize) -> Self {
        Self {
            bound: bound.max(1),
            inside: Mutex::default(),
        }
    }

    /// Lets one more in.
    pub(super) fn enter(self: &Arc<Self>, peer: PeerAddr) -> Seat {
        let (stays, dismissed) = oneshot::channel();
        let mut inside = self.inside();
        let id = inside.next;
        inside.next += 1;
        if inside.guests.len() >= self.bound {
            let oldest = oldest_of_most(&inside.guests);
            inside.guests.remove(oldest);
            if say_again(&mut inside.said) {
                tracing::warn!(
                    "`extensions.limits.handshakes` is reached: the oldest that does not end has \
                     to go"
                );
            }
        }
        inside.guests.push(Guest {
            id,
            network: peer.0.map(|address| network(address.ip())),
            _stays: stays,
        });
        Seat {
            id,
            lobby: Arc::clone(self),
            dismissed,
        }
    }

    /// Nothing that is done with it can panic.
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Ends when its place is another's.
    pub(super) async fn dismissed(&mut self) {
        // Nothing is ever sent.
        let _ = (&mut self.dismissed).await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.lobby
            .inside()
            .guests
            .retain(|guest| guest.id != self.id);
    }
}

/// What one person can have many addresses of: a /64 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let bits = address.to_bits() & (u128::MAX << 64);
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        }
        address => address,
    }
}

fn oldest_of_most(guests: &[Guest]) -> usize {
    let mut networks: HashMap<Option<IpAddr>, (usize, usize)> = HashMap::new();
    for (at, guest) in guests.iter().enumerate() {
        let (_, count) = networks.entry(guest.network).or_insert((at, 0));
        *count += 1;
    }
    // Of networks with as many, the one that came first.
    let most = networks
        .values()
        .max_by_key(|(first, count)| (*count, usize::MAX - first));
    most.map_or(0, |(first, _)| *first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str) -> PeerAddr {
        PeerAddr(Some(format!("{address}:1").parse().unwrap()))
    }

    #[tokio::test]
    async fn the_oldest_of_the_network_with_most_has_to_go() {
        let lobby = Arc::new(Lobby::new(4));
        let mut seats = [
            "10.0.0.1",
            "[2001:db8::1]",
            "[2001:db8::ffff]",
            "[::ffff:10.0.0.2]",
        ]
        .map(|address| lobby.enter(peer(address)));
        let _fifth = lobby.enter(peer("10.0.0.3"));
        seats[1].dismissed().await;
        for at in [0, 2, 3] {
            let stays = seats[at].dismissed.try_recv();
            assert_eq!(stays, Err(oneshot::error::TryRecvError::Empty), "{at}");
        }
        // Of networks with one each, who came first.
        let _sixth = lobby.enter(peer("10.0.0.4"));
        seats[0].dismissed().await;
        drop(seats);
        let _seventh = lobby.enter(peer("10.0.0.5"));
        assert_eq!(lobby.inside().guests.len(), 3);
    }
}
