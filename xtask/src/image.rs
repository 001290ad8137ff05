//! Images made on the spot: an OCI layout folder with random layers, as gzipped tar files.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::digest::{Hasher, Noise, digest};

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// As much as a block that is only stored can hold.
const BLOCK: usize = 65_535;

/// A layout folder, and what its index names.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) path: PathBuf,
    named: Vec<Value>,
}

/// Something stored in a layout.
#[derive(Clone, Debug)]
pub(crate) struct Descriptor {
    pub(crate) media_type: &'static str,
    pub(crate) digest: String,
    pub(crate) size: u64,
}

impl Descriptor {
    pub(crate) fn json(&self) -> Value {
        json!({ "mediaType": self.media_type, "digest": self.digest, "size": self.size })
    }
}

impl Layout {
    pub(crate) fn create(path: PathBuf) -> Result<Self> {
        fs::create_dir_all(path.join("blobs/sha256"))
            .with_context(|| format!("cannot make {}", path.display()))?;
        fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
        Ok(Self {
            path,
            named: Vec::new(),
        })
    }

    /// An image with one layer of each size, made from `seed`.
    pub(crate) fn image(&self, seed: u64, architecture: &str, sizes: &[u64]) -> Result<Descriptor> {
        let mut layers = Vec::new();
        let mut diff_ids = Vec::new();
        for (number, size) in (0..).zip(sizes) {
            let (layer, diff_id) = self.layer(seed + number, *size)?;
            layers.push(layer.json());
            diff_ids.push(diff_id);
        }
        let config = json!({
            "architecture": architecture,
            "os": "linux",
            "config": { "Cmd": ["/none"], "Labels": { "seed": seed.to_string() } },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        let config = self.document(CONFIG, &config)?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.json(),
            "layers": layers,
        });
        self.document(MANIFEST, &manifest)
    }

    /// An index of images with their architectures.
    pub(crate) fn index(&self, images: &[(&Descriptor, &str)]) -> Result<Descriptor> {
        let children: Vec<_> = images
            .iter()
            .map(|(image, architecture)| {
                let mut child = image.json();
                child["platform"] = json!({ "architecture": architecture, "os": "linux" });
                child
            })
            .collect();
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": children });
        self.document(INDEX, &index)
    }

    /// Gives it a name in the layout.
    pub(crate) fn name(&mut self, name: &str, what: &Descriptor) -> Result<()> {
        let mut entry = what.json();
        entry["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
        self.named.push(entry);
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": self.named });
        fs::write(self.path.join("index.json"), index.to_string())?;
        Ok(())
    }

    /// Stores a document.
    pub(crate) fn document(&self, media_type: &'static str, what: &Value) -> Result<Descriptor> {
        let bytes = what.to_string().into_bytes();
        let digest = digest(&bytes);
        fs::write(self.file(&digest), &bytes)?;
        Ok(Descriptor {
            media_type,
            digest,
            size: bytes.len() as u64,
        })
    }

    /// Where the bytes of a digest are.
    pub(crate) fn file(&self, digest: &str) -> PathBuf {
        self.path.join("blobs").join(digest.replacen(':', "/", 1))
    }

    /// A tar of one file of `size` random bytes, and the digest of the unpacked tar.
    fn layer(&self, seed: u64, size: u64) -> Result<(Descriptor, String)> {
        let part = self.path.join(format!("part-{seed}"));
        let mut gzip = Gzip::create(&part)?;
        gzip.write(&tar_header(&format!("data-{seed}"), size))?;
        let mut noise = Noise::new(seed);
        let mut buffer = vec![0; BLOCK];
        let mut left = size;
        while left > 0 {
            let now = buffer
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            noise.fill(&mut buffer[..now]);
            gzip.write(&buffer[..now])?;
            left -= now as u64;
        }
        // Up to a whole block of 512, and two empty ones for the end.
        let padding = usize::try_from(size.next_multiple_of(512) - size)?;
        gzip.write(&vec![0; padding + 1024])?;
        let (digest, diff_id, size) = gzip.finish()?;
        fs::rename(&part, self.file(&digest))?;
        Ok((
            Descriptor {
                media_type: LAYER,
                digest,
                size,
            },
            diff_id,
        ))
    }
}

/// The name and digest in a layout that a client has written, if it holds exactly one.
pub(crate) fn only_digest(layout: &Path) -> Result<String> {
    let text = fs::read_to_string(layout.join("index.json")).context("no layout was written")?;
    let index: Value = serde_json::from_str(&text)?;
    let all = index["manifests"].as_array().map_or(&[][..], Vec::as_slice);
    anyhow::ensure!(all.len() == 1, "the layout holds {} images", all.len());
    Ok(all[0]["digest"].as_str().context("no digest")?.to_owned())
}

fn tar_header(name: &str, size: u64) -> [u8; 512] {
    let mut header = [0; 512];
    let mut put =
        |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{size:011o}\0"));
    put(136, "00000000000\0");
    put(148, "        "); // the sum is taken with blanks in its place
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().copied().map(u32::from).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

/// A gzip file of stored blocks: random bytes do not compress, and it takes no library.
#[derive(Debug)]
struct Gzip {
    file: BufWriter<File>,
    packed: Hasher,
    plain: Hasher,
    table: [u32; 256],
    crc: u32,
    plain_size: u64,
    packed_size: u64,
}

impl Gzip {
    fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot make {}", path.display()))?;
        let mut gzip = Self {
            file: BufWriter::with_capacity(1 << 20, file),
            packed: Hasher::default(),
            plain: Hasher::default(),
            table: crc_table(),
            crc: !0,
            plain_size: 0,
            packed_size: 0,
        };
        gzip.put(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255])?;
        Ok(gzip)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.plain.update(bytes);
        self.plain_size += bytes.len() as u64;
        for byte in bytes {
            self.crc = self.table[(self.crc as u8 ^ byte) as usize] ^ (self.crc >> 8);
        }
        bytes
            .chunks(BLOCK)
            .try_for_each(|block| self.block(0, block))
    }

    fn block(&mut self, last: u8, bytes: &[u8]) -> Result<()> {
        let length = u16::try_from(bytes.len())?;
        let [a, b] = length.to_le_bytes();
        self.put(&[last, a, b, !a, !b])?;
        self.put(bytes)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.packed.update(bytes);
        self.packed_size += bytes.len() as u64;
        self.file.write_all(bytes).context("cannot write a layer")
    }

    /// The digests packed and plain, and the packed size.
    fn finish(mut self) -> Result<(String, String, u64)> {
        self.block(1, &[])?;
        self.put(&(!self.crc).to_le_bytes())?;
        self.put(&(self.plain_size as u32).to_le_bytes())?; // modulo 2^32, says the format
        self.file.flush()?;
        Ok((self.packed.finish(), self.plain.finish(), self.packed_size))
    }
}

fn crc_table() -> [u32; 256] {
    let mut table = [0; 256];
    for (entry, index) in table.iter_mut().zip(0u32..) {
        *entry = (0..8).fold(index, |c, _| {
            if c & 1 == 1 {
                0xEDB8_8320 ^ (c >> 1)
            } else {
                c >> 1
            }
        });
    }
    table
}
