//! HTTP/1.1 as it passes: heads as they came, bodies by their framing.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use anyhow::{Context as _, Result, bail};

/// No head is larger.
const MOST_HEAD: usize = 64 << 10;

/// Bytes of a body that are moved at once.
const PIECE: usize = 128 << 10;

/// A connection of which heads are read.
pub(super) type Stream = BufReader<TcpStream>;

/// The first line and the headers, of a request or of an answer.
#[derive(Clone, Debug)]
pub(super) struct Head {
    /// All of it, with the empty line at its end.
    text: String,
}

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
    /// Until the connection ends.
    ToTheEnd,
}

/// Buffers of which each connection has one.
pub(super) fn buffer() -> Vec<u8> {
    vec![0; PIECE]
}

impl Head {
    pub(super) fn new(text: String) -> Self {
        Self { text }
    }

    /// The next one; `None` where the other side has ended the connection.
    pub(super) fn read(stream: &mut Stream) -> Result<Option<Self>> {
        let mut text = String::new();
        loop {
            let read = stream.read_line(&mut text)?;
            if read == 0 {
                match text.is_empty() {
                    true => return Ok(None),
                    false => bail!("the connection ends within a head"),
                }
            }
            if text.len() > MOST_HEAD {
                bail!("the head is too long");
            }
            if text.ends_with("\r\n\r\n") {
                return Ok(Some(Self { text }));
            }
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// The words of the first line.
    pub(super) fn first(&self) -> impl Iterator<Item = &str> {
        self.text.lines().next().unwrap_or_default().split(' ')
    }

    /// Of an answer.
    pub(super) fn status(&self) -> Result<u16> {
        let word = self.first().nth(1).and_then(|word| word.parse().ok());
        word.with_context(|| format!("not an answer: {:?}", self.first().collect::<Vec<_>>()))
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.text.lines().skip(1);
        lines.find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(super) fn closes(&self) -> bool {
        self.header("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// Of the body of a request.
    pub(super) fn framing_of_request(&self) -> Result<Framing> {
        match self.framing()? {
            Framing::ToTheEnd => Ok(Framing::Length(0)),
            framing => Ok(framing),
        }
    }

    /// Of the body of an answer to this method.
    pub(super) fn framing_of_answer(&self, method: &str) -> Result<Framing> {
        let status = self.status()?;
        if method == "HEAD" || status < 200 || matches!(status, 204 | 304) {
            return Ok(Framing::Length(0));
        }
        self.framing()
    }

    fn framing(&self) -> Result<Framing> {
        if self.header("transfer-encoding").is_some() {
            return Ok(Framing::Chunked);
        }
        match self.header("content-length") {
            Some(length) => Ok(Framing::Length(length.parse().context("not a length")?)),
            None => Ok(Framing::ToTheEnd),
        }
    }

    /// The same for a body of this length.
    pub(super) fn with_length(&self, length: usize) -> Self {
        let framing = ["content-length", "transfer-encoding"];
        let other = |line: &&str| {
            let name = line.split(':').next().unwrap_or_default();
            !line.is_empty() && !framing.iter().any(|one| name.eq_ignore_ascii_case(one))
        };
        let mut text: String = self
            .text
            .lines()
            .filter(other)
            .flat_map(|line| [line, "\r\n"])
            .collect();
        text += &format!("Content-Length: {length}\r\n\r\n");
        Self { text }
    }
}

/// Hands a body over as it is framed, at most this many bytes of it. `Ok(false)` where it was
/// longer than that.
pub(super) fn pass(
    from: &mut Stream,
    framing: Framing,
    buffer: &mut [u8],
    mut most: u64,
    mut to: impl FnMut(&[u8]) -> Result<()>,
) -> Result<bool> {
    match framing {
        Framing::Length(length) => {
            let within = length.min(most);
            exactly(from, within, buffer, &mut to)?;
            Ok(within == length)
        }
        Framing::Chunked => loop {
            let mut line = String::new();
            from.read_line(&mut line)?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16).context("not the size of a chunk")?;
            if size > most {
                return Ok(false);
            }
            most -= size;
            to(line.as_bytes())?;
            // With the end of its line; trailers are not known here.
            exactly(from, size + 2, buffer, &mut to)?;
            if size == 0 {
                return Ok(true);
            }
        },
        Framing::ToTheEnd => loop {
            let read = from.read(buffer)?;
            if read == 0 {
                return Ok(true);
            }
            to(&buffer[..read])?;
        },
    }
}

fn exactly(
    from: &mut Stream,
    mut left: u64,
    buffer: &mut [u8],
    to: &mut impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    while left > 0 {
        let most = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let read = from.read(&mut buffer[..most])?;
        if read == 0 {
            bail!("the body ends {left} bytes early");
        }
        to(&buffer[..read])?;
        left -= read as u64;
    }
    Ok(())
}

/// A whole body, without its framing.
pub(super) fn whole(from: &mut Stream, framing: Framing, buffer: &mut [u8]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    match framing {
        Framing::Chunked => {
            let mut framed = Vec::new();
            pass(from, framing, buffer, u64::MAX, |piece| {
                framed.extend_from_slice(piece);
                Ok(())
            })?;
            let mut rest = framed.as_slice();
            loop {
                let mut line = String::new();
                rest.read_line(&mut line)?;
                let size = line.split(';').next().unwrap_or_default().trim();
                let size = usize::from_str_radix(size, 16).context("not the size of a chunk")?;
                if size == 0 {
                    return Ok(body);
                }
                let (chunk, after) = rest.split_at_checked(size + 2).context("half a chunk")?;
                body.extend_from_slice(&chunk[..size]);
                rest = after;
            }
        }
        framing => pass(from, framing, buffer, u64::MAX, |piece| {
            body.extend_from_slice(piece);
            Ok(())
        })?,
    };
    Ok(body)
}

pub(super) fn write(to: &TcpStream, bytes: &[u8]) -> Result<()> {
    let mut to = to;
    to.write_all(bytes).context("the other side is gone")
}
