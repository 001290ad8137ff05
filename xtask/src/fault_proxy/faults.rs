//! What is to go wrong, with which requests, and how often.

use super::operation::Seen;

/// Whether the store has done what was asked when it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// It was never asked.
    Before,
    /// It has, and only its answer is lost.
    After,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// An error of this status and code.
    Status(u16, &'static str),
    /// 200 with an error in its body.
    ErrorInBody(&'static str),
    /// The connection ends without an answer.
    Reset,
    /// There is no answer, and the connection stays until whoever asks has enough of it.
    Silence,
    /// The answer ends after so many bytes of its body, and the connection with it.
    Cut(u64),
    /// A page of a listing lacks its last key.
    Drop,
    /// A page of a listing has its last key twice.
    Repeat,
}

impl Fault {
    pub(crate) const INTERNAL: Self = Self::Status(500, "InternalError");
    pub(crate) const SLOW_DOWN: Self = Self::Status(503, "SlowDown");
    pub(crate) const CONFLICT: Self = Self::Status(409, "ConditionalRequestConflict");
    pub(crate) const PRECONDITION: Self = Self::Status(412, "PreconditionFailed");
}

/// A fault, and the requests that it meets: the next one, unless it is told otherwise.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    when: When,
    fault: Fault,
    operation: Option<&'static str>,
    skip: usize,
    times: usize,
}

impl Failure {
    pub(crate) fn new(when: When, fault: Fault) -> Self {
        Self {
            when,
            fault,
            operation: None,
            skip: 0,
            times: 1,
        }
    }

    /// Only where this is asked for, by AWS's name.
    pub(crate) fn of(mut self, operation: &'static str) -> Self {
        self.operation = Some(operation);
        self
    }

    /// Not the first so many of those.
    pub(crate) fn skip(mut self, requests: usize) -> Self {
        self.skip = requests;
        self
    }

    /// So many of those, one after the other.
    pub(crate) fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }
}

/// What has not happened yet. What was told first is tried first.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Failure>);

impl Faults {
    pub(super) fn add(&mut self, failure: Failure) {
        self.0.push(failure);
    }

    /// How many were left.
    pub(super) fn clear(&mut self) -> usize {
        std::mem::take(&mut self.0).len()
    }

    pub(super) fn meet(&mut self, request: &Seen) -> Option<(When, Fault)> {
        let meets = |one: &Failure| one.operation.is_none_or(|name| name == request.operation);
        let at = self.0.iter().position(meets)?;
        let failure = &mut self.0[at];
        if failure.skip > 0 {
            failure.skip -= 1;
            return None;
        }
        let met = (failure.when, failure.fault);
        failure.times = failure.times.saturating_sub(1);
        if failure.times == 0 {
            self.0.remove(at);
        }
        Some(met)
    }
}

/// The page of a listing without its last key or directory, or with that twice; unchanged where it
/// has none.
pub(super) fn edited(page: &str, repeat: bool) -> String {
    let last = ["Contents", "CommonPrefixes"].into_iter().find_map(|name| {
        let end = format!("</{name}>");
        let begin = page.rfind(&format!("<{name}>"))?;
        Some((begin, page.rfind(&end)? + end.len()))
    });
    let Some((begin, end)) = last.filter(|(begin, end)| begin < end) else {
        return page.to_owned();
    };
    let (before, entry, after) = (&page[..begin], &page[begin..end], &page[end..]);
    match repeat {
        true => format!("{before}{entry}{entry}{after}"),
        false => format!("{before}{after}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_key_of_a_page_is_dropped_or_repeated() {
        let key = |name: &str| format!("<Contents><Key>{name}</Key></Contents>");
        let page = format!("<R><T>x</T>{}{}<N/></R>", key("a"), key("b"));
        let dropped = format!("<R><T>x</T>{}<N/></R>", key("a"));
        assert_eq!(edited(&page, false), dropped);
        let (a, b) = (key("a"), key("b"));
        assert_eq!(edited(&page, true), format!("<R><T>x</T>{a}{b}{b}<N/></R>"));
        let dir = "<CommonPrefixes><Prefix>a/</Prefix></CommonPrefixes>";
        assert_eq!(edited(dir, true), format!("{dir}{dir}"));
        assert_eq!(edited("<R></R>", false), "<R></R>");
    }
}
