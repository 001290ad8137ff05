//! YAML as the file of distribution is read: every scalar stays as it was written, and becomes a
//! boolean or a number only where the typed target wants one (`config/typed.rs`).

use std::borrow::Cow;
use std::collections::HashMap;

use figment::value::{Dict, Empty, Value};
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

/// Deeper nesting than any configuration has; it bounds the recursion below.
const MAX_DEPTH: usize = 64;

/// Aliases copy, so that a few lines could otherwise become gigabytes.
const MAX_NODES: usize = 100_000;

/// Where something stands in a text; both count from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl From<&Marker> for Place {
    fn from(marker: &Marker) -> Self {
        Self {
            line: marker.line(),
            column: marker.col() + 1,
        }
    }
}

/// A text that is not YAML, or not of the kind we read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    pub(crate) place: Place,
    pub(crate) message: String,
}

impl SyntaxError {
    fn new(span: Span, message: impl Into<String>) -> Self {
        Self {
            place: Place::from(&span.start),
            message: message.into(),
        }
    }
}

impl From<ScanError> for SyntaxError {
    fn from(error: ScanError) -> Self {
        Self {
            place: Place::from(error.marker()),
            message: error.info().to_owned(),
        }
    }
}

/// The first document of a text, and where each of its keys and items stands.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) value: Value,
    pub(crate) places: Vec<(Vec<String>, Place)>,
}

/// Reads the first document, as Go does; whatever follows it is not looked at.
pub(crate) fn parse(text: &str) -> Result<Document, SyntaxError> {
    let mut loader = Loader {
        parser: Parser::new_from_str(text.strip_prefix('\u{feff}').unwrap_or(text)),
        anchors: HashMap::new(),
        places: Vec::new(),
        path: Vec::new(),
        nodes: 0,
    };
    let value = loader.document()?;
    Ok(Document {
        value,
        places: loader.places,
    })
}

struct Loader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    anchors: HashMap<usize, Value>,
    places: Vec<(Vec<String>, Place)>,
    path: Vec<String>,
    nodes: usize,
}

type Step<'t> = (Event<'t>, Span);

impl<'t> Loader<'t> {
    fn next(&mut self) -> Result<Step<'t>, SyntaxError> {
        match self.parser.next_event() {
            Some(step) => Ok(step?),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn document(&mut self) -> Result<Value, SyntaxError> {
        let value = loop {
            let step = self.next()?;
            match step.0 {
                Event::StreamEnd => return Ok(null()),
                Event::Nothing | Event::StreamStart | Event::DocumentStart(_) => {}
                _ => break self.node(step, 0)?,
            }
        };
        // What is wrong right behind the value is noticed only when it is asked for.
        match self.next()? {
            (Event::DocumentEnd | Event::StreamEnd, _) => Ok(value),
            (_, span) => Err(SyntaxError::new(span, "this belongs to nothing")),
        }
    }

    fn node(&mut self, (event, span): Step<'t>, depth: usize) -> Result<Value, SyntaxError> {
        if depth > MAX_DEPTH {
            return Err(SyntaxError::new(span, "nested too deeply"));
        }
        self.count(1, span)?;
        let (anchor, value) = match event {
            Event::Scalar(text, style, anchor, tag) => (anchor, scalar(&text, style, tag.as_ref())),
            Event::SequenceStart(anchor, _) => (anchor, self.sequence(depth)?),
            Event::MappingStart(anchor, _) => (anchor, self.mapping(depth)?),
            Event::Alias(anchor) => {
                let Some(value) = self.anchors.get(&anchor).cloned() else {
                    return Err(SyntaxError::new(span, "an alias within its own anchor"));
                };
                self.count(size(&value), span)?;
                return Ok(value);
            }
            _ => return Err(SyntaxError::new(span, "a value is missing here")),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value)
    }

    fn count(&mut self, nodes: usize, span: Span) -> Result<(), SyntaxError> {
        self.nodes += nodes;
        if self.nodes > MAX_NODES {
            return Err(SyntaxError::new(span, "too many values"));
        }
        Ok(())
    }

    fn sequence(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        let mut items = Vec::new();
        loop {
            let step = self.next()?;
            if matches!(step.0, Event::SequenceEnd) {
                return Ok(Value::from(items));
            }
            self.enter(items.len().to_string(), step.1);
            items.push(self.node(step, depth + 1)?);
            self.path.pop();
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        let mut dict = Dict::new();
        let mut merged = Vec::new();
        loop {
            let (event, span) = self.next()?;
            let (key, plain) = match event {
                Event::MappingEnd => break,
                Event::Scalar(key, style, ..) => {
                    (key.into_owned(), matches!(style, ScalarStyle::Plain))
                }
                _ => return Err(SyntaxError::new(span, "a key must be a plain text")),
            };
            let step = self.next()?;
            if plain && key == "<<" {
                let value = self.node(step, depth + 1)?;
                merged.extend(mappings(value).ok_or_else(|| {
                    SyntaxError::new(span, "`<<` takes a mapping, or a list of mappings")
                })?);
                continue;
            }
            if dict.contains_key(&key) {
                return Err(SyntaxError::new(span, format!("`{key}` is there twice")));
            }
            self.enter(key.clone(), span);
            let value = self.node(step, depth + 1)?;
            self.path.pop();
            dict.insert(key, value);
        }
        // What is written out wins over what is merged, and of the merged the first.
        for (key, value) in merged.into_iter().flatten() {
            dict.entry(key).or_insert(value);
        }
        Ok(Value::from(dict))
    }

    fn enter(&mut self, key: String, span: Span) {
        self.path.push(key);
        self.places
            .push((self.path.clone(), Place::from(&span.start)));
    }
}

fn mappings(value: Value) -> Option<Vec<Dict>> {
    match value {
        Value::Dict(_, dict) => Some(vec![dict]),
        Value::Array(_, items) => items.into_iter().map(Value::into_dict).collect(),
        _ => None,
    }
}

fn size(value: &Value) -> usize {
    match value {
        Value::Dict(_, dict) => dict.values().map(|value| 1 + size(value)).sum(),
        Value::Array(_, items) => items.iter().map(|value| 1 + size(value)).sum(),
        _ => 0,
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Cow<'_, Tag>>) -> Value {
    let is_text = tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
    let plain = matches!(style, ScalarStyle::Plain) && !is_text;
    if plain && matches!(text, "" | "~" | "null" | "Null" | "NULL") {
        return null();
    }
    Value::from(text)
}

pub(crate) fn null() -> Value {
    Value::from(Empty::None)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(text: &str) -> String {
        match parse(text) {
            Ok(document) => serde_json::to_string(&document.value).unwrap(),
            Err(error) => format!(
                "{}:{} {}",
                error.place.line, error.place.column, error.message
            ),
        }
    }

    #[test]
    fn a_text_becomes_the_value_that_was_written() {
        let table = [
            ("", "null"),
            ("# nothing", "null"),
            ("a: yes", r#"{"a":"yes"}"#),
            ("a: 0755", r#"{"a":"0755"}"#),
            ("a: 0.1", r#"{"a":"0.1"}"#),
            ("a: 'it''s'", r#"{"a":"it's"}"#),
            ("a: ''", r#"{"a":""}"#),
            ("a:", r#"{"a":null}"#),
            ("a: ~", r#"{"a":null}"#),
            ("a: 'null'", r#"{"a":"null"}"#),
            ("a: !!str null", r#"{"a":"null"}"#),
            ("a: :5000", r#"{"a":":5000"}"#),
            ("{a: [b, {c: d}]}", r#"{"a":["b",{"c":"d"}]}"#),
            ("a:\n- b\n- c\n", r#"{"a":["b","c"]}"#),
            ("a: |\n  b\n  c\n", r#"{"a":"b\nc\n"}"#),
            ("a: &x {b: c}\nd: *x", r#"{"a":{"b":"c"},"d":{"b":"c"}}"#),
            (
                "a: &x {b: c, e: f}\nd: {<<: *x, b: g}",
                r#"{"a":{"b":"c","e":"f"},"d":{"b":"g","e":"f"}}"#,
            ),
            (
                "a: &x {b: c}\ne: &y {b: d, f: g}\nh: {<<: [*x, *y]}",
                r#"{"a":{"b":"c"},"e":{"b":"d","f":"g"},"h":{"b":"c","f":"g"}}"#,
            ),
            ("---\na: b\n---\nc: d\n", r#"{"a":"b"}"#),
            ("\u{feff}a: b", r#"{"a":"b"}"#),
        ];
        for (text, expected) in table {
            assert_eq!(json(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_its_place() {
        let table = [
            ("a: b\nc:\n  d: e\n  d: f\n", "4:3 `d` is there twice"),
            (
                "a: {<<: b}",
                "1:5 `<<` takes a mapping, or a list of mappings",
            ),
            ("[a, b]: c", "1:1 a key must be a plain text"),
            ("a: &x [*x]", "1:8 an alias within its own anchor"),
        ];
        for (text, expected) in table {
            assert_eq!(json(text), expected, "{text:?}");
        }
        assert!(json("a: *nowhere").starts_with("1:"));
        assert!(json("a: [b").starts_with("1:") || json("a: [b").starts_with("2:"));
        assert!(json("a: b: c").starts_with("1:"));
    }

    #[test]
    fn nesting_has_a_bound() {
        let nested = |depth: usize| format!("{}x{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(&nested(MAX_DEPTH)).is_ok());
        assert!(json(&nested(MAX_DEPTH + 1)).ends_with("nested too deeply"));
    }

    #[test]
    fn aliases_of_aliases_do_not_grow_without_bound() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..10 {
            let alias = format!("*a{}, ", level - 1).repeat(10);
            text.push_str(&format!("a{level}: &a{level} [{alias}]\n"));
        }
        assert!(json(&text).ends_with("too many values"));
    }

    #[test]
    fn every_key_and_item_has_its_place() {
        let document = parse("a:\n  b: [c,\n    d]\n").unwrap();
        let places: Vec<_> = document
            .places
            .iter()
            .map(|(path, place)| (path.join("."), place.line, place.column))
            .collect();
        let expected = [("a", 1, 1), ("a.b", 2, 3), ("a.b.0", 2, 7), ("a.b.1", 3, 5)];
        assert_eq!(
            places,
            expected.map(|(path, line, column)| (path.to_owned(), line, column))
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[-a-c:{}\\[\\]&*<'\"|>?!#%,\n ]{0,60}") {
            let _ = parse(&text);
        }
    }
}
