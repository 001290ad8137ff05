//! What a client does all day, and what it knows of what was said to be done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::Dice;
use super::fleet::Fleet;
use crate::client::{Answer, Request, try_send};
use crate::server::sha256;

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";

/// Tries of anything, which is far more than there are servers to be killed in a row.
const TRIES: usize = 100;

pub(super) struct Load<'a> {
    fleet: &'a Fleet,
    dice: Dice,
    repo: String,
    /// Whether a server was lost since the present task began.
    lost: bool,
    blobs: BTreeMap<String, Vec<u8>>,
    manifests: BTreeMap<String, String>,
    tags: BTreeMap<String, String>,
    /// Of each subject.
    referrers: BTreeMap<String, BTreeSet<String>>,
}

impl<'a> Load<'a> {
    pub(super) fn new(fleet: &'a Fleet, client: u64, dice: Dice) -> Self {
        Self {
            fleet,
            dice,
            repo: format!("of/client-{client}"),
            lost: false,
            blobs: BTreeMap::new(),
            manifests: BTreeMap::new(),
            tags: BTreeMap::new(),
            referrers: BTreeMap::new(),
        }
    }

    /// Works until enough servers were killed.
    pub(super) fn work_on(mut self) -> Self {
        let _over = self.fleet.over();
        let mut round = 0;
        while !self.fleet.is_over() && !self.fleet.enough.load(Ordering::Relaxed) {
            self.work(round);
            round += 1;
        }
        self
    }

    fn work(&mut self, round: u64) {
        // One that takes several parts; the others are contents that all clients push.
        let layer = match round {
            0 => content(7, 6_000_000),
            _ => content(round, 2_000 + 700 * self.dice.below(4) as usize),
        };
        let tag = format!("t{}", self.dice.below(4));
        let manifest = self.push_image(&layer, round);
        self.put_manifest(&tag, &manifest);
        self.tags.insert(tag.clone(), sha256(manifest.as_bytes()));
        self.refer(&sha256(manifest.as_bytes()), round);
        self.pull(&tag);
        if self.dice.below(3) == 0 {
            self.delete_tag(&tag);
        }
    }

    /// Asks one of the servers that are there. None is no answer, of one that was killed.
    fn ask(&mut self, request: &Request) -> Option<Answer> {
        for _ in 0..10_000 {
            let slot = self.dice.below(self.fleet.len());
            // Only one is away at any time, so another is soon found.
            let Some((address, life)) = self.fleet.at(slot) else {
                continue;
            };
            let Some(answer) = try_send(request, address) else {
                let killed = self.fleet.was_killed(slot, life);
                assert!(killed, "no answer of a server that was not killed");
                self.lost = true;
                return None;
            };
            assert!(answer.status < 500, "{answer:?}");
            self.fleet.count();
            return Some(answer);
        }
        panic!("there is no server");
    }

    /// Asks again whenever a server was killed meanwhile.
    fn insist(&mut self, request: &Request) -> Answer {
        let answer = (0..TRIES).find_map(|_| self.ask(request));
        answer.expect("one of so many is answered")
    }

    fn get(&mut self, path: &str) -> Answer {
        let path = format!("/v2/{}/{path}", self.repo);
        self.insist(&Request::new("GET", &path))
    }

    /// A blob by several requests, each to whichever server it comes to.
    fn push_blob(&mut self, content: &[u8]) -> String {
        let digest = sha256(content);
        self.lost = false;
        let pushed = (0..TRIES).any(|_| self.upload(content, &digest));
        assert!(pushed, "one of so many uploads comes to an end");
        self.blobs.insert(digest.clone(), content.to_vec());
        digest
    }

    /// Whether it came to its end. One at which a server was lost may have to begin anew.
    fn upload(&mut self, content: &[u8], digest: &str) -> bool {
        let path = format!("/v2/{}/blobs/uploads/", self.repo);
        let begun = self.insist(&Request::new("POST", &path));
        assert_eq!(begun.status, 202, "{begun:?}");
        let url = begun.header("location").to_owned();
        let (mut sent, piece) = (0, (content.len() / 3).max(2));
        for _ in 0..TRIES {
            let last = sent + piece >= content.len();
            let to = if last { content.len() } else { sent + piece };
            let request = match last {
                true => Request::new("PUT", &format!("{url}&digest={digest}")),
                false => Request::new("PATCH", &url),
            };
            let range = format!("{sent}-{}", to - 1);
            let request = request.header("Content-Range", &range);
            let answer = self.ask(&request.body(&content[sent..to]));
            let stands = match answer {
                Some(answer) if answer.status == 201 && last => return true,
                Some(answer) if answer.status == 202 && !last => answer,
                // What was sent to the server that was killed counts, or does not.
                Some(answer) if self.lost && answer.status == 416 => answer,
                Some(answer) if self.lost && answer.status == 404 => return false,
                Some(answer) => panic!("{sent}-{to}: {answer:?}"),
                None if last => continue,
                None => self.insist(&Request::new("GET", &url)),
            };
            if stands.status == 404 {
                return false;
            }
            sent = match stands.header("range").strip_prefix("0-").unwrap() {
                "0" => 0,
                last => last.parse::<usize>().unwrap() + 1,
            };
            assert!(sent < content.len(), "{stands:?}");
        }
        panic!("an upload that comes to no end");
    }

    fn descriptor(&mut self, kind: &str, content: &[u8]) -> Value {
        let digest = self.push_blob(content);
        json!({"mediaType": kind, "digest": digest, "size": content.len()})
    }

    fn push_image(&mut self, layer: &[u8], round: u64) -> String {
        let config = format!("{{\"round\":{round}}}");
        let config = self.descriptor(
            "application/vnd.oci.image.config.v1+json",
            config.as_bytes(),
        );
        let layer = self.descriptor("application/vnd.oci.image.layer.v1.tar", layer);
        json!({"schemaVersion": 2, "mediaType": OCI, "config": config, "layers": [layer]})
            .to_string()
    }

    fn put_manifest(&mut self, reference: &str, body: &str) {
        let path = format!("/v2/{}/manifests/{reference}", self.repo);
        let put = Request::new("PUT", &path).header("Content-Type", OCI);
        let answer = self.insist(&put.body(body.as_bytes()));
        assert_eq!(answer.status, 201, "{answer:?}");
        let digest = sha256(body.as_bytes());
        assert_eq!(answer.header("docker-content-digest"), digest);
        self.manifests.insert(digest, body.to_owned());
    }

    /// An artifact of this manifest, which every server lists from now on.
    fn refer(&mut self, subject: &str, round: u64) {
        let config = self.descriptor("application/vnd.oci.empty.v1+json", b"{}");
        let body = json!({
            "schemaVersion": 2, "mediaType": OCI, "artifactType": "a/b", "config": config,
            "layers": [], "subject": {"mediaType": OCI, "digest": subject, "size": 1},
            "annotations": {"round": round.to_string()},
        });
        let body = body.to_string();
        let digest = sha256(body.as_bytes());
        self.put_manifest(&digest, &body);
        let all = self.referrers.entry(subject.to_owned()).or_default();
        all.insert(digest);
        let all = all.clone();
        assert_eq!(self.listed(subject), all);
    }

    fn listed(&mut self, subject: &str) -> BTreeSet<String> {
        let list = self.get(&format!("referrers/{subject}")).json();
        let digest = |entry: &Value| entry["digest"].as_str().unwrap().to_owned();
        let entries = list["manifests"].as_array().unwrap();
        entries.iter().map(digest).collect()
    }

    fn pull(&mut self, tag: &str) {
        let manifest = self.get(&format!("manifests/{tag}"));
        assert_eq!(sha256(&manifest.body), self.tags[tag], "{manifest:?}");
        let layer = manifest.json()["layers"][0]["digest"].clone();
        let layer = layer.as_str().unwrap();
        assert!(self.get(&format!("blobs/{layer}")).body == self.blobs[layer]);
    }

    fn delete_tag(&mut self, tag: &str) {
        let path = format!("/v2/{}/manifests/{tag}", self.repo);
        self.lost = false;
        let answer = self.insist(&Request::new("DELETE", &path));
        let again = self.lost && answer.status == 404;
        assert!(answer.status == 202 || again, "{answer:?}");
        self.tags.remove(tag);
        assert_eq!(self.get(&format!("manifests/{tag}")).status, 404);
    }

    /// At every server there is all that was said to be done, and nothing that was taken away.
    pub(super) fn look_at_everything(&self) {
        for slot in 0..self.fleet.len() {
            let (address, _) = self.fleet.at(slot).unwrap();
            let get = |path: &str| {
                Request::new("GET", &format!("/v2/{}/{path}", self.repo)).send(address)
            };
            for (digest, content) in &self.blobs {
                assert!(get(&format!("blobs/{digest}")).body == *content, "{digest}");
            }
            for (digest, body) in &self.manifests {
                let found = get(&format!("manifests/{digest}"));
                assert_eq!(found.body, body.as_bytes());
            }
            for (tag, digest) in &self.tags {
                let found = get(&format!("manifests/{tag}"));
                assert_eq!(found.header("docker-content-digest"), digest);
            }
            let tags: Vec<&String> = self.tags.keys().collect();
            assert_eq!(get("tags/list").json()["tags"], json!(tags));
            for (subject, expected) in &self.referrers {
                let list = get(&format!("referrers/{subject}")).json();
                let found = list["manifests"].as_array().unwrap();
                let found = found.iter().map(|entry| entry["digest"].as_str().unwrap());
                assert!(found.eq(expected.iter()), "{list}");
            }
        }
    }
}

/// Bytes that are the same for everybody who pushes them.
fn content(seed: u64, len: usize) -> Vec<u8> {
    let mut dice = Dice(seed);
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend(dice.below(u64::MAX).to_be_bytes());
    }
    bytes.truncate(len);
    bytes
}
