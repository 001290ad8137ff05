//! How pieces are named by a checkpoint.

use super::pieces::Pieces;
use crate::storage::Checkpoint;

fn checkpoint(len: u64, token: &str) -> Checkpoint {
    Checkpoint {
        len,
        token: token.to_owned().into(),
    }
}

#[test]
fn a_checkpoint_grows_with_writers_and_not_with_pieces() {
    let mut pieces = Pieces::default();
    for _ in 0..10_000 {
        pieces.push(1, 100);
    }
    pieces.push(1, 7);
    pieces.push(2, 100);
    let checkpoint = pieces.to_checkpoint().unwrap();
    assert_eq!(checkpoint.len, 1_000_107);
    assert!(checkpoint.token.len() < 250);
    assert_eq!(pieces.count(), 10_002);
    assert_eq!(Pieces::from_checkpoint(&checkpoint).unwrap(), pieces);
}

#[test]
fn a_garbled_token_is_refused() {
    let run = |count: u64, size: u64, last: u64| {
        format!(
            r#"{{"version":1,"runs":[{{"writer":"1f","count":{count},"size":{size},"last":{last}}}]}}"#
        )
    };
    let check = |len, token: &str| Pieces::from_checkpoint(&checkpoint(len, token)).is_ok();
    assert!(check(25, &run(3, 10, 5)));
    assert!(check(0, ""));
    for (len, token) in [
        (1, String::new()),
        (25, run(3, 10, 5).replace(":1,", ":2,")),
        (25, run(3, 10, 5).replace("1f", "1g")),
        (25, run(3, 10, 5).replace("\"last\"", "\"more\"")),
        (24, run(3, 10, 5)),
        (5, run(0, 10, 5)),
        (20, run(3, 10, 0)),
        (31, run(3, 10, 11)),
        (5, run(u64::MAX, 0, 5)),
        (5, run(u64::MAX, u64::MAX, 5)),
    ] {
        assert!(!check(len, &token), "{len}: {token}");
    }
}
