//! HTTP/1.1 as far as a registry's client needs it, over one connection that is kept.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// Nothing measured or tested here may stall for longer.
const PATIENCE: Duration = Duration::from_secs(120);

/// A connection, opened again when the server has closed it.
#[derive(Debug)]
pub(crate) struct Connection {
    address: String,
    stream: Option<BufReader<TcpStream>>,
}

/// Status and headers.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
}

impl Head {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter();
        all.find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

impl Answer {
    /// An error with the body in it, unless the status is the wanted one.
    pub(crate) fn expect(self, status: u16) -> Result<Self> {
        if self.status != status {
            let body = String::from_utf8_lossy(&self.body);
            bail!(
                "status {} in place of {status}: {}",
                self.status,
                body.trim()
            );
        }
        Ok(self)
    }

    /// The path and query of `Location`, which may name the host.
    pub(crate) fn location(&self) -> Result<&str> {
        let location = self.head.header("location").context("no Location")?;
        match location.split_once("://") {
            Some((_, rest)) => Ok(&rest[rest.find('/').context("a Location without path")?..]),
            None => Ok(location),
        }
    }
}

impl Connection {
    pub(crate) fn open(address: &str) -> Result<Self> {
        let mut connection = Self {
            address: address.to_owned(),
            stream: None,
        };
        connection.stream()?;
        Ok(connection)
    }

    fn stream(&mut self) -> Result<&mut BufReader<TcpStream>> {
        let stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(&self.address)
                    .with_context(|| format!("cannot connect to {}", self.address))?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                BufReader::with_capacity(64 << 10, stream)
            }
        };
        Ok(self.stream.insert(stream))
    }

    /// The text of a request, to be sent any number of times.
    pub(crate) fn format(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        length: Option<usize>,
    ) -> String {
        let mut text = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n", self.address);
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        if let Some(length) = length {
            text += &format!("Content-Length: {length}\r\n");
        }
        text + "\r\n"
    }

    /// One request with a small body, and its whole answer.
    pub(crate) fn request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer> {
        let length = (!matches!(method, "GET" | "HEAD")).then_some(body.len());
        let mut text = self.format(method, target, headers, length).into_bytes();
        text.extend_from_slice(body);
        self.send(&text)
            .and_then(|()| self.answer(method == "HEAD"))
            .with_context(|| format!("{method} {target}"))
    }

    /// Receives a whole answer with a small body.
    pub(crate) fn answer(&mut self, headless: bool) -> Result<Answer> {
        let mut body = Vec::new();
        let head = self.receive(headless, |piece| body.extend_from_slice(piece))?;
        Ok(Answer {
            status: head.status,
            head,
            body,
        })
    }

    /// Sends what was formatted and hands the body of the answer over in pieces.
    pub(crate) fn exchange(
        &mut self,
        request: &[u8],
        headless: bool,
        sink: impl FnMut(&[u8]),
    ) -> Result<Head> {
        self.send(request)?;
        self.receive(headless, sink)
    }

    /// Sends a part of a request.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let sent = self.stream()?.get_mut().write_all(bytes);
        if sent.is_err() {
            self.stream = None;
        }
        sent.context("the server does not take the request")
    }

    /// Receives an answer; one to HEAD has no body whatever its length says.
    pub(crate) fn receive(&mut self, headless: bool, sink: impl FnMut(&[u8])) -> Result<Head> {
        // Whatever goes wrong, the connection is not used again.
        let mut stream = self.stream.take().context("nothing was sent")?;
        let head = read_head(&mut stream)?;
        let keep = read_body(&mut stream, &head, headless, sink)?;
        let close = head
            .header("connection")
            .is_some_and(|v| v.eq_ignore_ascii_case("close"));
        if keep && !close {
            self.stream = Some(stream);
        }
        Ok(head)
    }
}

fn read_head(stream: &mut BufReader<TcpStream>) -> Result<Head> {
    loop {
        let line = read_line(stream)?;
        let status = line.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status: u16 = status.with_context(|| format!("not a status line: {line:?}"))?;
        let mut headers = Vec::new();
        loop {
            let line = read_line(stream)?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').context("a header without colon")?;
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        if status >= 200 {
            return Ok(Head { status, headers });
        }
    }
}

/// Whether the connection can be used again.
fn read_body(
    stream: &mut BufReader<TcpStream>,
    head: &Head,
    headless: bool,
    mut sink: impl FnMut(&[u8]),
) -> Result<bool> {
    if headless || matches!(head.status, 204 | 304) {
        return Ok(true);
    }
    if head.header("transfer-encoding").is_some() {
        loop {
            let line = read_line(stream)?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16).context("not the size of a chunk")?;
            copy(stream, size, &mut sink)?;
            read_line(stream)?;
            if size == 0 {
                return Ok(true);
            }
        }
    }
    if let Some(length) = head.header("content-length") {
        copy(stream, length.parse().context("not a length")?, &mut sink)?;
        return Ok(true);
    }
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest)?;
    sink(&rest);
    Ok(false)
}

/// Large bodies go around the buffer of the connection, in pieces of a megabyte.
fn copy(
    stream: &mut BufReader<TcpStream>,
    mut left: u64,
    sink: &mut impl FnMut(&[u8]),
) -> Result<()> {
    let mut buffer = vec![0; usize::try_from(left.min(1 << 20))?];
    while left > 0 {
        let most = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = stream.read(&mut buffer[..most])?;
        if read == 0 {
            bail!("the body ends {left} bytes early");
        }
        sink(&buffer[..read]);
        left -= read as u64;
    }
    Ok(())
}

fn read_line(stream: &mut BufReader<TcpStream>) -> Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        bail!("the server closed the connection");
    }
    line.truncate(line.trim_end_matches(['\r', '\n']).len());
    Ok(line)
}
