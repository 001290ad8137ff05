//! The grammars of `Range` (RFC 9110, section 14.2) and of the uploads' `Content-Range`.

use registry_core::storage::{ByteRange, RangeSpec};

/// Most ranges in one request; with more the whole blob is served.
const MAX_RANGES: usize = 1024;

/// What a `Range` header comes to for a blob of known size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// No range, or one that is not for us: the whole blob.
    Whole,
    One(ByteRange),
    Many(Vec<ByteRange>),
    /// Nothing that was asked for lies inside: 416.
    Nothing,
}

/// The ranges of a header; `None` when it is not one of bytes.
pub(crate) fn parse(header: &str) -> Option<Vec<Option<RangeSpec>>> {
    let sets = header.trim().strip_prefix("bytes=")?;
    let specs = sets
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    Some(specs.map(spec).collect())
}

fn spec(part: &str) -> Option<RangeSpec> {
    let (first, last) = part.split_once('-')?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    match (first.trim(), last.trim()) {
        ("", last) => number(last).map(RangeSpec::Last),
        (first, "") => number(first).map(RangeSpec::From),
        (first, last) => Some(RangeSpec::Between(number(first)?, number(last)?)),
    }
}

/// Which bytes to serve. An empty blob is served whole whatever is asked, for clients that put
/// a range on everything.
pub(crate) fn select(header: Option<&str>, size: u64) -> Selection {
    let Some(specs) = header.and_then(parse) else {
        return Selection::Whole;
    };
    if size == 0 || specs.len() > MAX_RANGES {
        return Selection::Whole;
    }
    let inside: Vec<ByteRange> = specs
        .into_iter()
        .flatten()
        .filter_map(|spec| spec.resolve(size))
        .collect();
    let total = inside
        .iter()
        .fold(0u64, |sum, range| sum.saturating_add(range.len));
    match inside.as_slice() {
        [] => Selection::Nothing,
        [one] => Selection::One(*one),
        _ if total > size => Selection::Whole,
        _ => Selection::Many(inside),
    }
}

/// `Content-Range` of an upload: `<start>-<end>`, inclusive; `bytes ` and `/total` are forgiven.
/// First byte and length, or `None` when it is malformed. A length of 0 is that of a range which
/// ends before it begins; one that cannot be counted is as large as can be, as no body is.
pub(crate) fn content_range(header: &str) -> Option<(u64, u64)> {
    let text = header.trim();
    let text = text
        .strip_prefix("bytes ")
        .or_else(|| text.strip_prefix("bytes="))
        .unwrap_or(text);
    let text = text.split('/').next().unwrap_or_default();
    match spec(text)? {
        RangeSpec::Between(start, last) => {
            let span = last.checked_sub(start);
            Some((start, span.map_or(0, |span| span.saturating_add(1))))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(header: &str, size: u64, expected: impl Into<Selection>) {
        assert_eq!(select(Some(header), size), expected.into(), "{header}");
    }

    #[test]
    fn one_range_many_or_none() {
        let part = |start, len| ByteRange { start, len };
        check("bytes=0-", 10, Selection::One(part(0, 10)));
        check("bytes=2-3", 10, Selection::One(part(2, 2)));
        check("bytes=-4", 10, Selection::One(part(6, 4)));
        check(
            "bytes=0-0, 5-6",
            10,
            Selection::Many(vec![part(0, 1), part(5, 2)]),
        );
        check("bytes=0-0,50-60", 10, Selection::One(part(0, 1)));
        check("bytes=5-0", 10, Selection::Nothing);
        check("bytes=10-", 10, Selection::Nothing);
        check("bytes=0-8,1-9", 10, Selection::Whole);
        check("bytes=x", 10, Selection::Nothing);
        check("items=0-1", 10, Selection::Whole);
        check("bytes=0-", 0, Selection::Whole);
        let many = format!("bytes={}", "0-0,".repeat(1025));
        check(&many, 10_000, Selection::Whole);
        assert_eq!(select(None, 10), Selection::Whole);
    }

    #[test]
    fn the_content_range_of_uploads_is_bare_and_forgiving() {
        assert_eq!(content_range("0-9"), Some((0, 10)));
        assert_eq!(content_range("bytes 5-9/10"), Some((5, 5)));
        assert_eq!(content_range("9-0"), Some((9, 0)));
        assert_eq!(content_range("9-8"), Some((9, 0)));
        let most = u64::MAX;
        assert_eq!(content_range(&format!("0-{most}")), Some((0, most)));
        assert_eq!(content_range(&format!("1-{most}")), Some((1, most)));
        assert_eq!(content_range(&format!("0-{most}0")), Some((0, most)));
        for bad in ["", "x", "5-", "-5", "1-2-3", "0x1-2", "+1-2"] {
            assert_eq!(content_range(bad), None, "{bad:?}");
        }
    }
}
