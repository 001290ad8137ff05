//! A client of the proxy: its requests one after the other, and what becomes of them.

use std::io::{BufReader, Read as _};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::faults::{Fault, When, edited};
use super::operation::Seen;
use super::wire::{self, Head, Stream, pass, whole, write};
use super::{Shared, lock};

/// How long either side may be silent before its connection counts as lost.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// A connection to the server that was silent for longer is not used again: the server may be about
/// to end it, which the client, with a connection of its own, would not see.
const FRESH: Duration = Duration::from_secs(10);

/// A client, and the connection to the server that is its own.
pub(super) struct Connection<'a> {
    shared: &'a Shared,
    client: Stream,
    server: Option<Stream>,
    /// When it was last used.
    used: Instant,
    buffer: Vec<u8>,
}

/// What of a request is needed to pass its answer on.
struct Asked {
    /// Its place in the log.
    number: usize,
    method: String,
    closes: bool,
}

pub(super) fn stream(stream: TcpStream) -> Result<Stream> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(BufReader::with_capacity(16 << 10, stream))
}

impl<'a> Connection<'a> {
    pub(super) fn new(shared: &'a Shared, client: TcpStream) -> Result<Self> {
        Ok(Self {
            shared,
            client: stream(client)?,
            server: None,
            used: Instant::now(),
            buffer: wire::buffer(),
        })
    }

    /// One request; whether there may be another.
    pub(super) fn serve(&mut self) -> Result<bool> {
        let Some(head) = Head::read(&mut self.client)? else {
            return Ok(false);
        };
        let mut seen = Seen::of(&head);
        let met = lock(&self.shared.faults).meet(&seen);
        seen.failed = met.is_some();
        let mut asked = Asked {
            number: self.note(seen),
            method: head.first().next().unwrap_or_default().to_owned(),
            closes: head.closes(),
        };
        let latency = Duration::from_micros(self.shared.latency.load(Ordering::SeqCst));
        if !latency.is_zero() {
            // tidy: sleep: slowness is what was asked for
            thread::sleep(latency);
        }
        if let Some((When::Before, fault)) = met
            && !matches!(fault, Fault::Cut(_) | Fault::Drop | Fault::Repeat)
        {
            if matches!(fault, Fault::Status(..) | Fault::ErrorInBody(_)) {
                self.refuse_body(&head)?;
            }
            return self.fail(&asked, fault);
        }
        let answer = self.ask(&head, &mut asked)?;
        match met {
            None => self.answer(&asked, &answer, u64::MAX),
            Some((_, Fault::Cut(after))) => self.answer(&asked, &answer, after),
            Some((_, fault)) => self.spoil(&asked, &answer, fault),
        }
    }

    pub(super) fn end(&self) {
        // The client may have ended it.
        let _ = self.client.get_ref().shutdown(Shutdown::Both);
    }

    fn note(&self, seen: Seen) -> usize {
        let mut log = lock(&self.shared.log);
        log.seen.push(seen);
        log.before + log.seen.len() - 1
    }

    /// If the log was taken meanwhile, nobody is interested any more.
    fn note_status(&self, asked: &Asked, status: u16) {
        let mut log = lock(&self.shared.log);
        let place = asked.number.checked_sub(log.before);
        if let Some(seen) = place.and_then(|place| log.seen.get_mut(place)) {
            seen.status = Some(status);
        }
    }

    /// Sends a request on, and returns the head of its answer.
    fn ask(&mut self, head: &Head, asked: &mut Asked) -> Result<Head> {
        if self.used.elapsed() > FRESH {
            self.server = None;
        }
        self.used = Instant::now();
        let server = match &mut self.server {
            Some(server) => server,
            none => none.insert(stream(TcpStream::connect(&self.shared.upstream)?)?),
        };
        write(server.get_ref(), head.as_bytes())?;
        let waits = head.header("expect").is_some();
        if waits {
            let first = Head::read(server)?.context("no answer")?;
            if first.status()? >= 200 {
                // The body is not wanted, and may come all the same.
                asked.closes = true;
                return Ok(first);
            }
            write(self.client.get_ref(), first.as_bytes())?;
        }
        let framing = head.framing_of_request()?;
        let to = server.get_ref();
        let sent = pass(
            &mut self.client,
            framing,
            &mut self.buffer,
            u64::MAX,
            |piece| write(to, piece),
        );
        // A server that has answered before it has read everything may close.
        let answer = loop {
            match Head::read(server) {
                Ok(Some(answer)) if answer.status()? < 200 => {}
                Ok(Some(answer)) => break answer,
                Ok(None) => return Err(sent.err().context("no answer")?),
                Err(error) => return Err(sent.err().unwrap_or(error)),
            }
        };
        Ok(answer)
    }

    /// Hands an answer over, but no more than so many bytes of its body.
    fn answer(&mut self, asked: &Asked, answer: &Head, most: u64) -> Result<bool> {
        self.note_status(asked, answer.status()?);
        let server = self.server.as_mut().context("no server")?;
        let client = self.client.get_ref();
        write(client, answer.as_bytes())?;
        let framing = answer.framing_of_answer(&asked.method)?;
        let all = pass(server, framing, &mut self.buffer, most, |piece| {
            write(client, piece)
        })?;
        let stays = framing != wire::Framing::ToTheEnd && !answer.closes();
        Ok(all && stays && !asked.closes)
    }

    /// The store has done what was asked; its answer becomes another.
    fn spoil(&mut self, asked: &Asked, answer: &Head, fault: Fault) -> Result<bool> {
        let server = self.server.as_mut().context("no server")?;
        let framing = answer.framing_of_answer(&asked.method)?;
        let body = whole(server, framing, &mut self.buffer)?;
        if let Fault::Drop | Fault::Repeat = fault {
            let page = edited(&String::from_utf8(body)?, fault == Fault::Repeat);
            self.note_status(asked, answer.status()?);
            let client = self.client.get_ref();
            write(client, answer.with_length(page.len()).as_bytes())?;
            write(client, page.as_bytes())?;
            return Ok(!asked.closes && !answer.closes());
        }
        self.fail(asked, fault)
    }

    /// Reads the body of a request that goes no further.
    fn refuse_body(&mut self, head: &Head) -> Result<()> {
        if head.header("expect").is_some() {
            write(self.client.get_ref(), b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let framing = head.framing_of_request()?;
        pass(
            &mut self.client,
            framing,
            &mut self.buffer,
            u64::MAX,
            |_| Ok(()),
        )?;
        Ok(())
    }

    /// Answers in the place of the store, or does not.
    fn fail(&mut self, asked: &Asked, fault: Fault) -> Result<bool> {
        let (status, code) = match fault {
            Fault::Status(status, code) => (status, code),
            Fault::ErrorInBody(code) => (200, code),
            Fault::Silence => {
                // Until the client has enough of it.
                while self.client.read(&mut self.buffer)? > 0 {}
                return Ok(false);
            }
            _ => return Ok(false),
        };
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code>\
             <Message>told to fail</Message></Error>"
        );
        let head = format!("HTTP/1.1 {status} {code}\r\nContent-Type: application/xml\r\n\r\n");
        self.note_status(asked, status);
        let client = self.client.get_ref();
        write(client, Head::new(head).with_length(body.len()).as_bytes())?;
        if asked.method != "HEAD" {
            write(client, body.as_bytes())?;
        }
        Ok(!asked.closes)
    }
}
