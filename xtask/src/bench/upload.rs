//! Pushing blobs that nobody has pushed before.

use std::sync::Arc;

use anyhow::{Result, ensure};

use crate::digest::{Hasher, Noise, digest};
use crate::http::Connection;

const SMALL: usize = 4 << 10;
/// As docker sends it: what Go's copy loop reads at once.
const CHUNK: usize = 32 << 10;

/// How a large blob is sent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    /// POST, one PATCH of unknown length, PUT: docker, podman.
    Patch,
    /// POST, PUT: containerd, buildkit, crane.
    Put,
}

/// A large blob: a block repeated, but for the number at its very beginning.
#[derive(Debug)]
pub(super) struct Content {
    block: Arc<[u8]>,
    number: [u8; 16],
    pub(super) size: u64,
    pub(super) digest: String,
}

impl Content {
    /// `size` is a multiple of the block's length.
    pub(super) fn new(block: Arc<[u8]>, number: u64, size: u64) -> Self {
        let mut content = Self {
            block,
            number: [0; 16],
            size,
            digest: String::new(),
        };
        content.number[..8].copy_from_slice(&number.to_le_bytes());
        let mut hasher = Hasher::default();
        content.pieces().for_each(|piece| hasher.update(piece));
        content.digest = hasher.finish();
        content
    }

    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let times = self.size / self.block.len() as u64;
        let rest = (1..times).map(|_| &*self.block);
        [&self.number[..], &self.block[16..]]
            .into_iter()
            .chain(rest)
    }
}

pub(super) fn push(
    connection: &mut Connection,
    repository: &str,
    content: &Content,
    way: Way,
) -> Result<()> {
    let mut location = begin(connection, repository)?;
    if let Way::Patch = way {
        let headers = [("Transfer-Encoding", "chunked")];
        connection.send(
            connection
                .format("PATCH", &location, &headers, None)
                .as_bytes(),
        )?;
        let mut framed = Vec::with_capacity(CHUNK + 16);
        for chunk in content.pieces().flat_map(|piece| piece.chunks(CHUNK)) {
            framed.clear();
            framed.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            framed.extend_from_slice(chunk);
            framed.extend_from_slice(b"\r\n");
            connection.send(&framed)?;
        }
        connection.send(b"0\r\n\r\n")?;
        location = connection
            .answer(false)?
            .expect(202)?
            .location()?
            .to_owned();
    }
    let target = with_digest(&location, &content.digest);
    let length = match way {
        Way::Patch => 0,
        Way::Put => usize::try_from(content.size)?,
    };
    connection.send(
        connection
            .format("PUT", &target, &[], Some(length))
            .as_bytes(),
    )?;
    if let Way::Put = way {
        for piece in content.pieces().flat_map(|piece| piece.chunks(1 << 20)) {
            connection.send(piece)?;
        }
    }
    connection.answer(false)?.expect(201).map(|_| ())
}

/// A small blob with a number of its own.
pub(super) fn unique_small(number: u64) -> Vec<u8> {
    let mut blob = vec![0; SMALL];
    Noise::new(number).fill(&mut blob);
    blob[..8].copy_from_slice(&number.to_le_bytes());
    blob
}

pub(super) fn push_small(connection: &mut Connection, repository: &str, blob: &[u8]) -> Result<()> {
    let location = begin(connection, repository)?;
    let target = with_digest(&location, &digest(blob));
    connection
        .request("PUT", &target, &[], blob)?
        .expect(201)
        .map(|_| ())
}

fn begin(connection: &mut Connection, repository: &str) -> Result<String> {
    let target = format!("/v2/{repository}/blobs/uploads/");
    let answer = connection.request("POST", &target, &[], b"")?.expect(202)?;
    Ok(answer.location()?.to_owned())
}

fn with_digest(location: &str, digest: &str) -> String {
    let mark = if location.contains('?') { '&' } else { '?' };
    format!("{location}{mark}digest={digest}")
}

/// Reads the blob back and compares its digest: once, before anything is measured.
pub(super) fn verify(connection: &mut Connection, repository: &str, wanted: &str) -> Result<()> {
    let target = format!("/v2/{repository}/blobs/{wanted}");
    let text = connection.format("GET", &target, &[], None);
    let mut hasher = Hasher::default();
    connection.exchange(text.as_bytes(), false, |piece| hasher.update(piece))?;
    let found = hasher.finish();
    ensure!(found == wanted, "{found} comes back in place of {wanted}");
    Ok(())
}
