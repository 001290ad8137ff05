//! What is read, and what is left to the client.

use futures_util::FutureExt as _;
use proptest::prelude::*;
use tokio::io::{AsyncWriteExt as _, duplex};

use super::*;

const ONE: &[u8] = &[192, 0, 2, 1];
const TWO: &[u8] = &[192, 0, 2, 2];

/// A binary header.
fn binary(command: u8, family: u8, rest: &[&[u8]]) -> Vec<u8> {
    let rest = rest.concat();
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, &rest].concat()
}

/// Whom a header tells of, and that it is all that is read.
fn client(header: &[u8]) -> Result<Option<SocketAddr>> {
    let sent = [header, b"GET /"].concat();
    let mut rest = sent.as_slice();
    let read = read(&mut rest).now_or_never().unwrap()?;
    assert_eq!((read.as_slice(), rest), (header, b"GET /".as_slice()));
    said(&read)
}

fn headers() -> Vec<(Vec<u8>, Option<&'static str>)> {
    let ports: &[u8] = &[0x12, 0x34, 0x13, 0x88];
    let v6 = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let line = |text: &str| format!("PROXY {text}\r\n").into_bytes();
    vec![
        (
            line("TCP4 192.0.2.1 192.0.2.2 4660 5000"),
            Some("192.0.2.1:4660"),
        ),
        (
            line("TCP6 2001:db8::1 ::1 4660 5000"),
            Some("[2001:db8::1]:4660"),
        ),
        (line("UNKNOWN"), None),
        (line("UNKNOWN 192.0.2.1 192.0.2.2 4660 5000"), None),
        (
            binary(0x21, 0x11, &[ONE, TWO, ports]),
            Some("192.0.2.1:4660"),
        ),
        (
            // With something that we do not read.
            binary(
                0x21,
                0x11,
                &[ONE, TWO, ports, &[2, 0, 1, b'a'], &[0xee; 300]],
            ),
            Some("192.0.2.1:4660"),
        ),
        (
            binary(0x21, 0x21, &[&v6, &v6, ports]),
            Some("[2001:db8::1]:4660"),
        ),
        (binary(0x21, 0x31, &[&[b'/'; 216]]), None),
        (binary(0x21, 0x00, &[]), None),
        (binary(0x21, 0x00, &[&[0; 9]]), None),
        (binary(0x20, 0x00, &[]), None),
        (binary(0x20, 0x11, &[ONE, TWO, ports]), None),
    ]
}

#[test]
fn each_form_is_read_to_its_end_and_no_further() {
    for (header, expected) in headers() {
        let expected = expected.map(|address| address.parse().unwrap());
        assert_eq!(client(&header).unwrap(), expected, "{header:?}");
    }
}

#[tokio::test]
async fn it_may_come_byte_by_byte() {
    for (header, _) in headers() {
        let (mut near, mut far) = duplex(1);
        let sent = far.write_all(&header);
        let (read, sent) = tokio::join!(read(&mut near), sent);
        sent.unwrap();
        assert_eq!(read.unwrap(), header);
    }
}

#[test]
fn what_is_malformed_or_too_long_is_an_error() {
    let line = |text: &str| text.as_bytes().to_vec();
    let long = format!("PROXY UNKNOWN {}\r\n", "a".repeat(92));
    assert_eq!(long.len(), 108);
    for header in [
        line("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03 and so on".to_vec(),
        line("PROXY TCP4 192.0.2.1 192.0.2.2 4660 5000\n "),
        line("PROXY TCP4 192.0.2.1 192.0.2.2 4660 65536\r\n"),
        line("PROXY TCP4 2001:db8::1 ::1 4660 5000\r\n"),
        line("PROXY TCP4 192.0.2.1 192.0.2.2 4660\r\n"),
        line("PROXY TCP4 192.0.2.1\r\n a b\r\n"),
        line("PROXY UDP4 192.0.2.1 192.0.2.2 4660 5000\r\n"),
        line("PROXY \r\n and some\r\n"),
        line("proxy unknown\r\n"),
        line(&long),
        binary(0x21, 0x11, &[ONE, TWO, &[0, 1]]),
        binary(0x21, 0x41, &[ONE, TWO, &[0; 4]]),
        binary(0x22, 0x11, &[ONE, TWO, &[0; 4]]),
        binary(0x11, 0x11, &[ONE, TWO, &[0; 4]]),
        binary(0x21, 0x31, &[&[b'/'; 215]]),
        binary(0x21, 0x00, &[&[0; LONGEST + 1]]),
    ] {
        let mut rest = header.as_slice();
        let read = read(&mut rest).now_or_never().unwrap();
        let said = read.and_then(|header| said(&header));
        assert!(
            said.is_err(),
            "{said:?}: {:?}",
            String::from_utf8_lossy(&header)
        );
    }
}

#[test]
fn one_that_ends_too_early_is_an_error() {
    for (header, _) in headers() {
        for end in 0..header.len() {
            let mut part = &header[..end];
            let error = read(&mut part).now_or_never().unwrap().unwrap_err();
            let expected = match end {
                0 => ErrorKind::NotConnected,
                _ => ErrorKind::UnexpectedEof,
            };
            assert_eq!(error.kind(), expected, "{end} of {header:?}");
        }
    }
}

proptest! {
    #[test]
    fn whatever_comes_is_no_panic(
        begin in prop::sample::select(vec![&b"PROXY "[..], b"PROXY TCP4 ", b"PROXY TCP6 1::", SIGNATURE]),
        rest in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let sent = [begin, &rest].concat();
        let mut left = sent.as_slice();
        let read = read(&mut left).now_or_never().unwrap();
        if let Ok(header) = read {
            prop_assert_eq!([&header, left].concat(), sent);
            let _ = said(&header);
        }
    }

    #[test]
    fn a_header_with_one_byte_changed_is_no_panic(
        which in 0..12_usize, at: prop::sample::Index, byte: u8,
    ) {
        let (mut header, _) = headers().swap_remove(which);
        let at = at.index(header.len());
        header[at] = byte;
        let mut left = header.as_slice();
        if let Ok(header) = read(&mut left).now_or_never().unwrap() {
            let _ = said(&header);
        }
    }
}
