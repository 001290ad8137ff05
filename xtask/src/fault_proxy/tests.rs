use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use super::connection::{PATIENCE, stream};
use super::faults::edited;
use super::wire::{self, Head, whole, write};
use super::*;
use crate::http::Connection as Client;

const PAGE: &str = "<R><Contents><Key>a</Key></Contents><Contents><Key>b</Key></Contents></R>";

/// A server that answers a listing with a page and all else with what it was sent, and how often
/// it was asked.
fn server() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let count = Arc::clone(&count);
            thread::spawn(move || {
                let mut client = stream(client).unwrap();
                while let Ok(Some(head)) = Head::read(&mut client) {
                    count.fetch_add(1, Ordering::SeqCst);
                    if head.header("expect").is_some() {
                        write(client.get_ref(), b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
                    }
                    let framing = head.framing_of_request().unwrap();
                    let mut body = whole(&mut client, framing, &mut wire::buffer()).unwrap();
                    if head.first().any(|word| word.contains("list-type")) {
                        body = PAGE.as_bytes().to_vec();
                    }
                    let answer = Head::new(format!(
                        "HTTP/1.1 200 OK\r\nX-Host: {}\r\n\r\n",
                        head.header("host").unwrap()
                    ));
                    let answer = answer.with_length(body.len());
                    write(client.get_ref(), answer.as_bytes()).unwrap();
                    if head.first().next() != Some("HEAD") {
                        write(client.get_ref(), &body).unwrap();
                    }
                }
            });
        }
    });
    (address, asked)
}

fn operations(proxy: &FaultProxy) -> Vec<(&'static str, Option<u16>)> {
    let log = proxy.take_log().into_iter();
    log.map(|seen| (seen.operation, seen.status)).collect()
}

#[test]
fn requests_pass_as_they_came_and_are_counted() {
    let (upstream, _) = server();
    let proxy = FaultProxy::start(&upstream).unwrap();
    let mut client = Client::open(&proxy.address).unwrap();
    let body = vec![7; 300_000];
    for expect in ["", "100-continue"] {
        let headers = [("Expect", expect)];
        let headers = if expect.is_empty() { &[][..] } else { &headers };
        let answer = client.request("PUT", "/b/key", headers, &body).unwrap();
        assert!(answer.body == body);
        assert_eq!(
            answer.head.header("x-host"),
            Some(&*proxy.address),
            "the host is signed"
        );
    }
    let chunked =
        "PUT /b/key HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    client.send(chunked.as_bytes()).unwrap();
    assert_eq!(client.answer(false).unwrap().body, b"abc");
    assert_eq!(
        client.request("HEAD", "/b/key", &[], b"").unwrap().status,
        200
    );
    assert_eq!(proxy.count(), 4);
    let log = proxy.take_log();
    assert_eq!(tally(&log), "HeadObject 1, PutObject 3");
    assert!(
        log.iter()
            .all(|seen| seen.key == "key" && seen.status == Some(200))
    );
    assert_eq!(proxy.count(), 0);
}

#[test]
fn a_fault_meets_the_requests_that_it_is_for_and_the_server_only_after() {
    let (upstream, asked) = server();
    let proxy = FaultProxy::start(&upstream).unwrap();
    let mut client = Client::open(&proxy.address).unwrap();
    for (when, more) in [(When::Before, 1), (When::After, 2)] {
        let before = asked.load(Ordering::SeqCst);
        proxy.fail(Failure::new(when, Fault::SLOW_DOWN).of("PutObject").skip(1));
        let mut put = || client.request("PUT", "/b/key", &[], b"content").unwrap();
        assert_eq!(put().status, 200);
        let failed = put();
        assert_eq!(failed.status, 503);
        assert!(String::from_utf8(failed.body).unwrap().contains("SlowDown"));
        assert_eq!(asked.load(Ordering::SeqCst) - before, more, "{when:?}");
        assert_eq!(proxy.stop_failing(), 0);
        let expected = [("PutObject", Some(200)), ("PutObject", Some(503))];
        assert_eq!(operations(&proxy), expected);
        proxy.fail(Failure::new(when, Fault::Reset).times(2));
        assert!(client.request("PUT", "/b/key", &[], b"content").is_err());
        assert_eq!(operations(&proxy), [("PutObject", None)]);
        assert_eq!(proxy.stop_failing(), 1);
    }
    proxy.fail(Failure::new(
        When::After,
        Fault::ErrorInBody("InternalError"),
    ));
    let answer = client.request("PUT", "/b/key", &[], b"content").unwrap();
    assert_eq!(answer.status, 200);
    assert!(
        String::from_utf8(answer.body)
            .unwrap()
            .contains("InternalError")
    );
}

#[test]
fn bodies_are_cut_and_pages_changed() {
    let (upstream, _) = server();
    let proxy = FaultProxy::start(&upstream).unwrap();
    let mut client = Client::open(&proxy.address).unwrap();
    proxy.fail(Failure::new(When::After, Fault::Cut(100_000)));
    let request = client.format("PUT", "/b/key", &[], Some(300_000));
    client.send(request.as_bytes()).unwrap();
    client.send(&vec![7; 300_000]).unwrap();
    let mut received = 0;
    assert!(
        client
            .receive(false, |piece| received += piece.len())
            .is_err()
    );
    assert!(received <= 100_000, "{received}");
    for (fault, expected) in [
        (Fault::Drop, edited(PAGE, false)),
        (Fault::Repeat, edited(PAGE, true)),
    ] {
        proxy.fail(Failure::new(When::After, fault).of("ListObjectsV2"));
        let page = client
            .request("GET", "/b?list-type=2", &[], b"")
            .unwrap()
            .body;
        assert_eq!(String::from_utf8(page).unwrap(), expected);
    }
}

#[test]
fn every_request_waits_and_who_waits_for_ever_is_let_go_at_the_end() {
    let (upstream, _) = server();
    let proxy = FaultProxy::start(&upstream).unwrap();
    let mut client = Client::open(&proxy.address).unwrap();
    let delay = Duration::from_millis(50);
    proxy.delay(delay);
    let begun = Instant::now();
    client.request("GET", "/b/key", &[], b"").unwrap();
    assert!(begun.elapsed() >= delay);
    proxy.delay(Duration::ZERO);
    proxy.fail(Failure::new(When::Before, Fault::Silence));
    let waiting = thread::spawn(move || client.request("GET", "/b/key", &[], b"").is_err());
    crate::sh::wait_for("the request", PATIENCE, || {
        Ok((proxy.count() == 2).then_some(()))
    })
    .unwrap();
    drop(proxy);
    assert!(waiting.join().unwrap());
}
