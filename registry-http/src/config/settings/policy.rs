//! `policy`: what kind of thing may be pushed.

use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawPolicy {
    repository: RawRepository,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawRepository {
    classes: Vec<String>,
}

impl RawPolicy {
    pub(super) fn classes(self) -> Vec<String> {
        self.repository.classes
    }
}
