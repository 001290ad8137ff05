//! A client that sends exactly what it is told and shows exactly what comes back.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub(crate) struct Request {
    method: String,
    path: String,
    host: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    chunked: bool,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn new(method: &str, path: &str) -> Self {
        let (method, path) = (method.to_owned(), path.to_owned());
        Self {
            method,
            path,
            host: "registry".to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            chunked: false,
        }
    }

    /// By which name the registry is asked.
    #[cfg_attr(
        not(all(feature = "fs", feature = "htpasswd", feature = "token")),
        allow(dead_code, reason = "nobody is sent to it")
    )]
    pub(crate) fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self
    }

    /// Without a length beforehand, as docker pushes.
    pub(crate) fn chunked(mut self, body: &[u8]) -> Self {
        self.chunked = true;
        self.body(body)
    }

    /// Head and body as they go over the wire.
    pub(crate) fn wire(&self) -> Vec<u8> {
        let mut text = format!(
            "{} {} HTTP/1.1\r\nHost: {}\r\n",
            self.method, self.path, self.host
        );
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.chunked {
            text.push_str("Transfer-Encoding: chunked\r\n");
        } else if !self.body.is_empty() || ["POST", "PUT", "PATCH"].contains(&self.method.as_str())
        {
            text.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        text.push_str("Connection: close\r\n\r\n");
        let mut wire = text.into_bytes();
        if self.chunked {
            for piece in self.body.chunks(1000) {
                wire.extend(format!("{:x}\r\n", piece.len()).bytes());
                wire.extend(piece);
                wire.extend(b"\r\n");
            }
            wire.extend(b"0\r\n\r\n");
        } else {
            wire.extend(&self.body);
        }
        wire
    }

    pub(crate) fn send(self, address: SocketAddr) -> Answer {
        let answer = exchange(address, &self.wire());
        let answer = parse(&answer).unwrap_or_else(|| panic!("no answer: {answer:?}"));
        let length = answer
            .all("content-length")
            .first()
            .map(|len| len.parse::<usize>().unwrap());
        match (self.method.as_str(), answer.status) {
            ("HEAD", _) | (_, 204 | 304) => assert!(answer.body.is_empty(), "{answer:?}"),
            _ => assert_eq!(
                length,
                Some(answer.body.len()),
                "Content-Length is always there and true"
            ),
        }
        assert_eq!(
            answer.header("docker-distribution-api-version"),
            "registry/2.0"
        );
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        answer
    }
}

/// As [`Request::send`] of a server that may go away meanwhile: no answer, and a part of one, is none.
#[cfg(feature = "s3")]
pub(crate) fn try_send(request: &Request, address: SocketAddr) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).ok()?;
    let long = Some(Duration::from_secs(60));
    stream.set_read_timeout(long).ok()?;
    // The server may answer and close before it has read everything.
    let _ = stream.write_all(&request.wire());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = parse(&answer)?;
    let length = answer.header("content-length").parse::<usize>();
    let whole = request.method == "HEAD" || length.is_ok_and(|length| length == answer.body.len());
    (whole || answer.status == 204).then_some(answer)
}

/// Sends bytes and reads until the server closes.
pub(crate) fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    // The server may answer and close before it has read everything.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

pub(crate) fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    });
    Some(Answer {
        status,
        headers: headers.collect(),
        body: bytes[end + 4..].to_vec(),
    })
}

impl Answer {
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let matching = self.headers.iter().filter(|(key, _)| key == name);
        matching.map(|(_, value)| value.as_str()).collect()
    }

    /// The one value of this header; empty when it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        let all = self.all(name);
        assert!(all.len() < 2, "{name} twice: {self:?}");
        all.first().copied().unwrap_or_default()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// The code of the first error.
    pub(crate) fn code(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            "application/json; charset=utf-8"
        );
        self.json()["errors"][0]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    #[track_caller]
    pub(crate) fn expect(&self, status: u16, code: &str) {
        assert_eq!(
            (self.status, self.code().as_str()),
            (status, code),
            "{self:?}"
        );
    }
}
