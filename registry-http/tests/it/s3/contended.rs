//! The same thing at several servers at the same time.

use std::net::SocketAddr;
use std::sync::Barrier;
use std::thread;

use crate::client::{Answer, Request};
use crate::server::{Server, sha256};

/// How often two meet at one upload.
const ROUNDS: usize = 60;

/// All of these at the same moment, each at a server of its own; the answers in their order.
fn at_once(server: &Server, requests: Vec<Request>) -> Vec<Answer> {
    let barrier = Barrier::new(requests.len());
    let addresses: Vec<SocketAddr> = requests.iter().map(|_| server.next()).collect();
    let send = |(request, address): (Request, SocketAddr)| {
        barrier.wait();
        request.send(address)
    };
    thread::scope(|scope| {
        let sent = requests.into_iter().zip(addresses);
        let sent: Vec<_> = sent.map(|one| scope.spawn(|| send(one))).collect();
        sent.into_iter().map(|one| one.join().unwrap()).collect()
    })
}

fn begin(server: &Server) -> String {
    let begun = server.send(Request::new("POST", "/v2/app/blobs/uploads/"));
    assert_eq!(begun.status, 202);
    begun.header("location").to_owned()
}

/// Bytes that no other round and no other writer has, of a length that tells whose they are.
fn bytes(round: usize, writer: usize, step: usize) -> Vec<u8> {
    let text = format!("{round} {writer} {step} ");
    text.bytes().cycle().take(1000 + 100 * writer).collect()
}

/// Where an answer says that the upload stands.
fn stands(answer: &Answer) -> usize {
    let range = answer.header("range").strip_prefix("0-").unwrap();
    range.parse::<usize>().unwrap() + 1
}

/// Two send other bytes for the same place. One of them wins, and the other is told what is there.
fn race(server: &Server, url: &str, so_far: &mut Vec<u8>, round: usize, step: usize) {
    let pieces = [bytes(round, 0, step), bytes(round, 1, step)];
    let at = so_far.len();
    let patch = |piece: &Vec<u8>| {
        let range = format!("{at}-{}", at + piece.len() - 1);
        let patch = Request::new("PATCH", url).header("Content-Range", &range);
        patch.body(piece)
    };
    let answers = at_once(server, pieces.iter().map(patch).collect());
    let winner = answers.iter().position(|answer| answer.status == 202);
    let winner = winner.unwrap_or_else(|| panic!("nobody has won: {answers:?}"));
    answers[1 - winner].expect(416, "RANGE_INVALID");
    so_far.extend(&pieces[winner]);
    for answer in &answers {
        assert_eq!(stands(answer), so_far.len(), "{answers:?}");
    }
}

/// Whatever was said of them: what is served under a digest has it.
fn look_at(server: &Server, digest: &str, content: &[u8], expected: bool) {
    let found = server.get(&format!("/v2/app/blobs/{digest}"));
    assert_eq!(found.status == 200, expected, "{found:?}");
    assert!(!expected || found.body == content);
}

#[test]
pub(crate) fn of_two_servers_that_write_to_an_upload_one_is_told_where_it_stands() {
    let server = Server::start("replicas");
    for round in 0..ROUNDS {
        let url = begin(&server);
        let mut content = Vec::new();
        for step in 0..2 {
            race(&server, &url, &mut content, round, step);
            assert_eq!(stands(&server.get(&url)), content.len());
        }
        let digest = sha256(&content);
        let put = Request::new("PUT", &format!("{url}&digest={digest}"));
        let answer = server.send(put);
        assert_eq!(answer.status, 201, "{answer:?}");
        look_at(&server, &digest, &content, true);
    }
}

#[test]
pub(crate) fn what_two_servers_finish_at_once_is_whole_or_not_there() {
    let server = Server::start("replicas");
    let mut finished = 0;
    for round in 0..ROUNDS {
        let url = begin(&server);
        let first = bytes(round, 0, 0);
        if round % 2 == 0 {
            let patched = server.send(Request::new("PATCH", &url).body(&first));
            assert_eq!(patched.status, 202);
        }
        let before = match round % 2 == 0 {
            true => &first[..],
            false => &[],
        };
        let lasts = [bytes(round, 0, 1), bytes(round, 1, 1)];
        let wholes = lasts.each_ref().map(|last| [before, last].concat());
        let digests = wholes.each_ref().map(|whole| sha256(whole));
        let put = |at: usize| {
            let url = format!("{url}&digest={}", digests[at]);
            Request::new("PUT", &url).body(&lasts[at])
        };
        let answers = at_once(&server, vec![put(0), put(1)]);
        for at in 0..2 {
            let status = answers[at].status;
            assert!([201, 400, 404, 416].contains(&status), "{:?}", answers[at]);
            finished += usize::from(status == 201);
            look_at(&server, &digests[at], &wholes[at], status == 201);
        }
    }
    assert!(finished >= ROUNDS, "{finished} of {ROUNDS}");
}

#[test]
pub(crate) fn a_finish_beside_another_servers_piece_is_of_one_content() {
    let server = Server::start("replicas");
    for round in 0..ROUNDS {
        let url = begin(&server);
        let first = bytes(round, 0, 0);
        let patched = server.send(Request::new("PATCH", &url).body(&first));
        assert_eq!(patched.status, 202);
        let more = bytes(round, 1, 1);
        let short = sha256(&first);
        let range = format!("{}-{}", first.len(), first.len() + more.len() - 1);
        let put = Request::new("PUT", &format!("{url}&digest={short}"));
        let patch = Request::new("PATCH", &url).header("Content-Range", &range);
        let answers = at_once(&server, vec![put, patch.body(&more)]);
        let [put, patch] = [&answers[0], &answers[1]].map(|answer| answer.status);
        assert!([201, 400, 404, 416].contains(&put), "{answers:?}");
        assert!([202, 404, 416].contains(&patch), "{answers:?}");
        look_at(&server, &short, &first, put == 201);
        let long = [first, more].concat();
        let digest = sha256(&long);
        let put = Request::new("PUT", &format!("{url}&digest={digest}"));
        let then = server.send(put).status;
        look_at(&server, &digest, &long, then == 201);
    }
}
