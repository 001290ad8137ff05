//! Servers that are killed at random while clients push, pull, tag and delete: nobody notices who
//! was not just being answered by one of them, and nothing that was said to be done is lost.
//!
//! `REGISTRY_TEST_KILLS` is how often at least, and `REGISTRY_TEST_SEED` says which.

mod fleet;
mod load;

use std::sync::atomic::Ordering;
use std::thread;

use self::fleet::Fleet;
use self::load::Load;

/// So many at once, each in a repository of its own, of which it knows all.
const CLIENTS: u64 = 3;

fn variable(name: &str, unless: u64) -> u64 {
    std::env::var(name).map_or(unless, |text| text.parse().unwrap())
}

/// The same numbers again for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % n
    }
}

#[test]
fn nobody_notices_a_server_that_is_killed_but_whom_it_was_answering() {
    let kills = variable("REGISTRY_TEST_KILLS", 6);
    let seed = variable("REGISTRY_TEST_SEED", 1);
    let fleet = Fleet::start();
    let loads: Vec<Load<'_>> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let load = Load::new(&fleet, client, Dice(seed * 1_000 + client));
                scope.spawn(move || load.work_on())
            })
            .collect();
        // Clients go on until there were enough; if this ends in another way, they end as well.
        let _over = fleet.over();
        let mut dice = Dice(seed);
        for _ in 0..kills {
            if !fleet.wait_for_requests(1 + dice.below(40)) {
                break;
            }
            fleet.kill_one(dice.below(fleet.len()));
        }
        fleet.enough.store(true, Ordering::Relaxed);
        let done = clients.into_iter().map(|client| client.join().unwrap());
        done.collect()
    });
    for load in &loads {
        load.look_at_everything();
    }
}
