//! What real clients do with a registry whose store fails: they come back when they are told to, and
//! go on with an upload where it stands.

use std::cell::Cell;
use std::net::SocketAddr;

use crate::client::{Answer, Request};
use crate::server::sha256;

/// No client asks more often.
const TRIES: usize = 20;

pub(super) struct Client {
    pub(super) address: SocketAddr,
    pub(super) repository: &'static str,
    /// How often it was told to come back.
    pub(super) refused: Cell<usize>,
    /// What is going wrong, for whoever reads of a failure.
    pub(super) context: String,
}

impl Client {
    pub(super) fn path(&self, rest: &str) -> String {
        format!("/v2/{}/{rest}", self.repository)
    }

    /// The answer once there is one: on a busy machine more may time out than was meant to.
    pub(super) fn get(&self, rest: &str) -> Answer {
        let path = self.path(rest);
        self.until(&[200, 404], || Request::new("GET", &path))
    }

    /// Whatever is not done is a fault of the store, and passes.
    fn must_be_told_to_come_back(&self, answer: &Answer) {
        let told = (answer.status, answer.header("retry-after"));
        assert_eq!(told, (503, "5"), "{}: {answer:?}", self.context);
        self.refused.set(self.refused.get() + 1);
    }

    /// Asks until it is answered with one of these.
    pub(super) fn until(&self, fine: &[u16], request: impl Fn() -> Request) -> Answer {
        for _ in 0..TRIES {
            let answer = request().send(self.address);
            if fine.contains(&answer.status) {
                return answer;
            }
            self.must_be_told_to_come_back(&answer);
        }
        panic!("{}: it never ends well", self.context);
    }

    fn begin(&self) -> String {
        let path = self.path("blobs/uploads/");
        let begun = self.until(&[202], || Request::new("POST", &path));
        begun.header("location").to_owned()
    }

    /// By POST and PUT.
    pub(super) fn push_at_once(&self, bytes: &[u8]) {
        let url = format!("{}&digest={}", self.begin(), sha256(bytes));
        self.until(&[201], || Request::new("PUT", &url).body(bytes));
    }

    /// By POST, PATCH for each piece, and PUT.
    pub(super) fn push_in_pieces(&self, bytes: &[u8], piece: usize) {
        let mut url = self.begin();
        let mut stands = 0;
        for _ in 0..TRIES {
            if stands == bytes.len() {
                break;
            }
            let end = bytes.len().min(stands + piece);
            let range = format!("{stands}-{}", end - 1);
            let patch = Request::new("PATCH", &url).header("Content-Range", &range);
            let mut answer = patch.body(&bytes[stands..end]).send(self.address);
            let done = answer.status == 202;
            if answer.status != 202 && answer.status != 416 {
                self.must_be_told_to_come_back(&answer);
                answer = self.until(&[204], || Request::new("GET", &url));
            }
            let there = self.standing(&answer);
            // What was acknowledged is never lost.
            assert!(
                there >= stands && there <= end,
                "{}: {answer:?}",
                self.context
            );
            assert!(!done || there == end, "{}: {answer:?}", self.context);
            stands = there;
            answer.header("location").clone_into(&mut url);
        }
        assert_eq!(stands, bytes.len(), "{}: it never ends", self.context);
        let url = format!("{url}&digest={}", sha256(bytes));
        self.until(&[201], || Request::new("PUT", &url));
    }

    fn standing(&self, answer: &Answer) -> usize {
        let range = answer.header("range").strip_prefix("0-");
        let last: usize = range.and_then(|last| last.parse().ok()).unwrap();
        // Nobody sends a single byte here.
        if last == 0 { 0 } else { last + 1 }
    }

    pub(super) fn put_manifest(&self, tag: &str, manifest: &str) {
        let path = self.path(&format!("manifests/{tag}"));
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let put = || Request::new("PUT", &path).header("Content-Type", kind);
        self.until(&[201], || put().body(manifest.as_bytes()));
    }

    /// Whoever was told to come back may find it done.
    pub(super) fn delete(&self, rest: &str) {
        let path = self.path(rest);
        let before = self.refused.get();
        let answer = self.until(&[202, 404], || Request::new("DELETE", &path));
        let again = self.refused.get() > before;
        assert!(
            answer.status == 202 || again,
            "{}: {answer:?}",
            self.context
        );
    }
}
