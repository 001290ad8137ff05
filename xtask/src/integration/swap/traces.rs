//! What crashes of distribution leave behind, planted by hand.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::content;
use super::party::Party;
use super::place::Place;
use super::shelf::{Holds, Shelf};
use super::writer::{Writer, text};
use crate::image::MANIFEST;

const TORN: &str = "swap/torn";
/// The repository with a manifest that is rotten, beside which nothing may be collected.
const ROTTEN: &str = "swap/rotten";
/// A repository that came no further than an upload.
const UNBORN: &str = "swap/unborn";
const UUID: &str = "6f0c1a34-7a3e-4e5c-9d1d-0b6a5f2e91c4";

/// In distribution's tree.
struct Tree(PathBuf);

impl Tree {
    fn repository(&self, name: &str) -> PathBuf {
        self.0.join("repositories").join(name)
    }

    fn tag(&self, tag: &str) -> PathBuf {
        self.repository(TORN).join("_manifests/tags").join(tag)
    }

    fn revision(&self, digest: &str) -> PathBuf {
        let below = self.repository(TORN).join("_manifests/revisions");
        below.join(digest.replacen(':', "/", 1))
    }

    fn layer(&self, digest: &str) -> PathBuf {
        let below = self.repository(TORN).join("_layers");
        below.join(digest.replacen(':', "/", 1))
    }

    fn blob(&self, digest: &str) -> PathBuf {
        let (algorithm, hex) = digest.split_once(':').unwrap_or_default();
        let shard = hex.get(..2).unwrap_or_default();
        self.0.join("blobs").join(algorithm).join(shard).join(hex)
    }
}

/// What was torn.
#[derive(Default)]
struct Torn {
    /// Repository, seed and tag.
    images: Vec<(&'static str, u64, Option<String>)>,
    /// Files that no collection may take.
    kept: Vec<PathBuf>,
    /// Of the artifacts.
    subject: Value,
}

/// An image to be damaged.
struct Victim {
    digest: String,
    /// Of the layer that no other image has.
    layer: String,
}

/// Ours serves around all of it, and collects nothing that lives because of it.
pub(super) fn run(theirs: &Party, ours: &Party, others: &[Party], place: &Place) -> Result<()> {
    let tree = Tree(place.tree());
    let mut shelf = Shelf::default();
    let mut torn = Torn::default();
    theirs.serve(place, |to| content::write(to, theirs, 1, false, &mut shelf))?;
    theirs.serve(place, |to| {
        let mut writer = Writer {
            to,
            shelf: &mut shelf,
        };
        tear(&mut writer, &tree, &mut torn)
    })?;
    litter(&tree, &shelf)?;

    ours.serve(place, |from| {
        shelf.check(from, ours)?;
        shelf.check_gone(from)?;
        let rotten = format!("/v2/{ROTTEN}/manifests/latest");
        from.request("GET", &rotten, &[], b"")?.expect(404)?;
        Ok(())
    })?;
    // What was torn is pushed again, in a place that is there already.
    theirs.serve(place, |to| {
        let mut writer = Writer {
            to,
            shelf: &mut shelf,
        };
        writer.artifact(TORN, &torn.subject, "torn").map(|_| ())
    })?;
    for flags in [
        &["--dry-run"][..],
        &[],
        &["--now"],
        &["-m"],
        &["--now", "-m"],
    ] {
        ours.collect(place, flags)?;
        match flags.contains(&"-m") {
            true => shelf.keep_held(Holds::Subjects, true),
            false if !flags.contains(&"--dry-run") => shelf.keep_needed(),
            false => {}
        }
        for data in &torn.kept {
            ensure!(data.is_file(), "{flags:?} took {}", data.display());
        }
        ours.serve(place, |from| {
            shelf.check(from, ours)?;
            shelf.check_gone(from)
        })
        .with_context(|| format!("after our collection with {flags:?}"))?;
    }
    // Whatever is pushed again is whole again.
    ours.serve(place, |to| {
        let mut writer = Writer {
            to,
            shelf: &mut shelf,
        };
        for (repository, seed, tag) in &torn.images {
            writer.image(repository, MANIFEST, *seed, tag.as_deref())?;
        }
        shelf.check(to, ours)
    })
    .context("pushed again")?;
    for party in others {
        party.serve(place, |from| shelf.check(from, party))?;
    }
    Ok(())
}

/// Tears images, and notes what has to be kept of them.
fn tear(writer: &mut Writer<'_>, tree: &Tree, torn: &mut Torn) -> Result<()> {
    let (mut seed, kept, images) = (5000, &mut torn.kept, &mut torn.images);
    let mut push = |writer: &mut Writer<'_>, tag: Option<&str>| -> Result<Victim> {
        seed += 10;
        images.push((TORN, seed, tag.map(str::to_owned)));
        let image = writer.image(TORN, MANIFEST, seed, tag)?;
        let digest = text(&image["digest"])?;
        let blobs = writer.shelf.blobs_of(TORN, &digest);
        let layer = blobs.get(1).context("no layer")?.clone();
        Ok(Victim { digest, layer })
    };

    let image = push(writer, Some("empty-current"))?;
    empty(&tree.tag("empty-current").join("current/link"))?;
    writer.shelf.halve_tag(TORN, "empty-current");
    writer.shelf.hold(TORN, &image.digest);

    push(writer, Some("no-current"))?;
    fs::remove_dir_all(tree.tag("no-current").join("current"))?;
    writer.shelf.halve_tag(TORN, "no-current");

    push(writer, Some("tmp-current"))?;
    let current = tree.tag("tmp-current").join("current");
    fs::rename(
        current.join("link"),
        current.join(format!("link.{UUID}.tmp")),
    )?;
    writer.shelf.halve_tag(TORN, "tmp-current");

    fs::create_dir_all(tree.tag("nothing"))?;
    writer.shelf.halve_tag(TORN, "nothing");

    let image = push(writer, Some("empty-index"))?;
    let index = tree.tag("empty-index").join("index");
    empty(&index.join(image.digest.replacen(':', "/", 1)).join("link"))?;

    let whole = push(writer, Some("no-index"))?;
    fs::remove_dir_all(tree.tag("no-index").join("index"))?;

    let image = push(writer, Some("empty-revision"))?;
    empty(&tree.revision(&image.digest).join("link"))?;
    writer.shelf.hide_revision(TORN, &image.digest);
    kept.push(tree.blob(&image.digest).join("data"));

    let image = push(writer, None)?;
    let revision = tree.revision(&image.digest);
    fs::rename(
        revision.join("link"),
        revision.join(format!("link.{UUID}.tmp")),
    )?;
    writer.shelf.remove_revision(TORN, &image.digest);

    let image = push(writer, Some("empty-layer"))?;
    empty(&tree.layer(&image.layer).join("link"))?;
    writer.shelf.remove_blob(TORN, &image.layer);
    kept.push(tree.blob(&image.layer).join("data"));

    let image = push(writer, Some("no-data"))?;
    fs::remove_dir_all(tree.blob(&image.layer))?;
    writer.shelf.remove_blob(TORN, &image.layer);

    let image = push(writer, Some("no-body"))?;
    fs::remove_file(tree.blob(&image.digest).join("data"))?;
    writer.shelf.remove_revision(TORN, &image.digest);

    let subject = json!({ "mediaType": MANIFEST, "digest": whole.digest, "size": 1 });
    writer.artifact(TORN, &subject, "whole")?;
    for (what, name) in [("torn", "link"), ("lost", "data")] {
        let artifact = writer.artifact(TORN, &subject, what)?;
        let digest = text(&artifact["digest"])?;
        match name {
            "link" => empty(&tree.revision(&digest).join(name))?,
            _ => fs::remove_dir_all(tree.blob(&digest))?,
        }
        writer.shelf.remove_revision(TORN, &digest);
    }

    // Absent for who reads, until it is pushed again; but no collection takes it for that.
    let image = writer.image(ROTTEN, MANIFEST, 6000, Some("latest"))?;
    images.push((ROTTEN, 6000, Some("latest".to_owned())));
    let digest = text(&image["digest"])?;
    empty(&tree.blob(&digest).join("data"))?;
    writer.shelf.rot_manifest(ROTTEN, &digest);
    torn.subject = subject;
    Ok(())
}

/// Leaves files about that nothing leads to.
fn litter(tree: &Tree, shelf: &Shelf) -> Result<()> {
    let tmp = format!("link.{UUID}.tmp");
    let live = shelf.tagged(TORN, "no-index").context("no image")?;
    let layers = shelf.blobs_of(TORN, live);
    let absent = "sha256:00000000000000000000000000000000000000000000000000000000000000aa";
    for folder in [
        tree.tag("no-index").join("current"),
        tree.revision(live),
        tree.revision(absent),
        tree.layer(&layers[1]),
        tree.layer(absent),
    ] {
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(&tmp), b"")?;
    }
    // Beside what lives, beside what does not, and alone.
    let torn = shelf.tagged(TORN, "no-body").context("no image")?;
    for digest in [live, torn, absent] {
        let folder = tree.blob(digest);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("data.{UUID}.tmp")), b"half of it")?;
    }
    for digit in ["b", "c"] {
        let empty = absent.replace('a', digit);
        for folder in [tree.revision(&empty), tree.layer(&empty), tree.blob(&empty)] {
            fs::create_dir_all(folder)?;
        }
    }
    for (name, files) in [
        (TORN, &["data"][..]),
        (UNBORN, &["data", "startedat", "hashstates/sha256/0"]),
        (UNBORN, &["startedat"]),
    ] {
        let uuid = format!("{}{}", &UUID[..35], files.len());
        let folder = tree.repository(name).join("_uploads").join(uuid);
        for file in files {
            let file = folder.join(file);
            fs::create_dir_all(file.parent().unwrap_or(&folder))?;
            fs::write(file, b"")?;
        }
    }
    Ok(())
}

/// As a crash leaves a file that was just made.
fn empty(file: &Path) -> Result<()> {
    ensure!(file.is_file(), "there is no {}", file.display());
    fs::write(file, b"").with_context(|| file.display().to_string())
}
