//! The line itself; `tests/it/access.rs` has the real ones.

use std::time::{Duration, UNIX_EPOCH};

use jiff::tz;

use super::*;
use crate::app::PeerAddr;

fn line(request: http::request::Builder) -> AccessLine {
    let request = request.body(Body::empty()).unwrap();
    let peer = request.extensions().get::<PeerAddr>().copied();
    let client = Client {
        peer: peer.unwrap_or(PeerAddr(None)),
        behind: None,
    };
    let mut line = AccessLine::new(&request, client, Span::none(), None);
    line.begun = UNIX_EPOCH + Duration::from_secs(971_211_336);
    line
}

impl AccessLine {
    fn with(mut self, status: u16, sent: u64) -> Self {
        (self.status, self.sent) = (status, sent);
        self
    }
}

#[test]
fn a_line_is_what_apache_calls_combined() {
    let peer = |text: &str| PeerAddr(Some(text.parse().unwrap()));
    let west = TimeZone::fixed(tz::offset(-7));
    let table = [
        (
            line(
                Request::get("/v2/")
                    .extension(peer("127.0.0.1:4711"))
                    .header("Referer", "http://www.example.com/start.html")
                    .header("User-Agent", "Mozilla/4.08 [en] (Win98; I ;Nav)"),
            )
            .with(200, 2326),
            "127.0.0.1 - - [10/Oct/2000:13:55:36 -0700] \"GET /v2/ HTTP/1.1\" 200 2326 \
             \"http://www.example.com/start.html\" \"Mozilla/4.08 [en] (Win98; I ;Nav)\"\n",
        ),
        (
            line(Request::head("/v2/_catalog?n=1&last=a").extension(peer("[::ffff:10.0.0.1]:1")))
                .with(404, 0),
            "10.0.0.1 - - [10/Oct/2000:13:55:36 -0700] \"HEAD /v2/_catalog?n=1&last=a HTTP/1.1\" \
             404 0 \"\" \"\"\n",
        ),
        (
            line(
                Request::put("/v2/a/blobs/uploads/b?_state=c&digest=d")
                    .version(Version::HTTP_10)
                    .extension(peer("[fe80::1]:1")),
            ),
            "fe80::1 - - [10/Oct/2000:13:55:36 -0700] \"PUT /v2/a/blobs/uploads/b HTTP/1.0\" \
             499 0 \"\" \"\"\n",
        ),
        (
            line(Request::get("http://user:password@a/v2/")).with(200, 2),
            "@ - - [10/Oct/2000:13:55:36 -0700] \"GET /v2/ HTTP/1.1\" 200 2 \"\" \"\"\n",
        ),
        (
            line(Request::connect("user:password@a:1").version(Version::HTTP_2)).with(405, 2),
            "@ - - [10/Oct/2000:13:55:36 -0700] \"CONNECT a HTTP/2.0\" 405 2 \"\" \"\"\n",
        ),
    ];
    for (line, expected) in table {
        assert_eq!(line.combined(&west), expected);
    }
}

#[test]
fn a_query_with_a_secret_is_left_out_however_its_name_is_written() {
    for (query, kept) in [
        ("n=1", true),
        ("password=x", false),
        ("a=b&pass%77ord=x", false),
        ("PASSWORD=x", false),
        ("client_secret=x", false),
        ("passwords=x", true),
    ] {
        let line = line(Request::get(format!("/auth/token?{query}")));
        let said = line.combined(&TimeZone::UTC);
        assert_eq!(said.contains(query), kept, "{said}");
        assert_eq!(said.contains("=x"), kept && query.contains("=x"), "{said}");
    }
}

#[test]
fn no_text_leaves_its_quotes_or_its_line() {
    let table: [(&[u8], &str); 9] = [
        (b"containerd/1.7 (it's)", "containerd/1.7 (it's)"),
        (b"\" 200 0 \"", "\\\" 200 0 \\\""),
        (b"\\", "\\\\"),
        (b"a\r\n\tb", "a\\r\\n\\tb"),
        (b"\0\x1b[31m", "\\x00\\x1b[31m"),
        (b"\x7f\xc2\x9b", "\\u007f\\u009b"),
        (b"\xff\xc2 \xe2\x82", "\\xff\\xc2 \\xe2\\x82"),
        (
            "é\u{202e}\u{2028}\u{a0}".as_bytes(),
            "é\\u202e\\u2028\\u00a0",
        ),
        ("\u{e0001}".as_bytes(), "\\U000e0001"),
    ];
    for (text, expected) in table {
        let mut line = String::new();
        quote(&mut line, text);
        assert_eq!(line, expected, "{text:?}");
    }
}
