//! From the untyped values of the layers to typed settings: a scalar becomes what the target
//! wants, an error knows its key, and keys nobody wanted are collected.

mod access;
mod scalar;
mod words;

use std::cell::RefCell;
use std::fmt;

use figment::value::{Dict, Value};
use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeOwned, Deserializer, IntoDeserializer, Unexpected, Visitor};

use self::access::{Entries, Items, Variant};
pub(crate) use self::scalar::boolean;
use self::scalar::integer;
use self::words::{said, told};

/// A key that the target does not know, and those it does.
#[derive(Debug)]
pub(crate) struct Unwanted {
    pub(crate) path: Vec<String>,
    pub(crate) wanted: &'static [&'static str],
}

/// A value that does not fit, with its key.
#[derive(Debug)]
pub(crate) struct TypeError {
    pub(crate) path: Option<Vec<String>>,
    missing: Option<&'static str>,
    pub(crate) message: String,
}

impl fmt::Display for TypeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for TypeError {}

impl de::Error for TypeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self {
            path: None,
            missing: None,
            message: message.to_string(),
        }
    }

    fn invalid_type(found: Unexpected<'_>, wanted: &dyn de::Expected) -> Self {
        Self::custom(format!(
            "{} is wanted here, not {}",
            said(wanted),
            told(&found)
        ))
    }

    fn invalid_value(found: Unexpected<'_>, wanted: &dyn de::Expected) -> Self {
        Self::invalid_type(found, wanted)
    }

    fn missing_field(field: &'static str) -> Self {
        Self {
            missing: Some(field),
            ..Self::custom("this key is mandatory and missing")
        }
    }
}

impl TypeError {
    fn at(mut self, path: &Path<'_>) -> Self {
        if self.path.is_none() {
            let mut keys = path.keys();
            keys.extend(self.missing.map(str::to_owned));
            self.path = Some(keys);
        }
        self
    }
}

/// Makes a `T` of the value that stands under `base`.
pub(crate) fn typed<T: DeserializeOwned>(
    value: &Value,
    base: &[&str],
) -> Result<(T, Vec<Unwanted>), TypeError> {
    fn descend<T: DeserializeOwned>(
        value: &Value,
        base: &[&str],
        parent: Path<'_>,
        unwanted: &RefCell<Vec<Unwanted>>,
    ) -> Result<T, TypeError> {
        if let Some((key, rest)) = base.split_first() {
            let path = Path::Key {
                parent: &parent,
                key,
            };
            return descend(value, rest, path, unwanted);
        }
        let typed = Typed {
            value,
            path: parent,
            unwanted,
            siblings: &[],
        };
        // Of one that looks at a whole section, too.
        T::deserialize(typed).map_err(|error: TypeError| error.at(&parent))
    }
    let unwanted = RefCell::new(Vec::new());
    let made = descend(value, base, Path::Root, &unwanted)?;
    Ok((made, unwanted.into_inner()))
}

#[derive(Clone, Copy)]
enum Path<'p> {
    Root,
    Key { parent: &'p Self, key: &'p str },
    Item { parent: &'p Self, index: usize },
}

impl Path<'_> {
    fn keys(&self) -> Vec<String> {
        match self {
            Self::Root => Vec::new(),
            Self::Key { parent, key } => {
                let mut keys = parent.keys();
                keys.push((*key).to_owned());
                keys
            }
            Self::Item { parent, index } => {
                let mut keys = parent.keys();
                keys.push(index.to_string());
                keys
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Typed<'v> {
    value: &'v Value,
    path: Path<'v>,
    unwanted: &'v RefCell<Vec<Unwanted>>,
    /// The keys that the struct around this value knows.
    siblings: &'static [&'static str],
}

impl Typed<'_> {
    fn wrong(&self, expected: &dyn de::Expected) -> TypeError {
        let unexpected = match self.value {
            Value::String(_, text) => Unexpected::Str(text),
            Value::Dict(..) => Unexpected::Map,
            Value::Array(..) => Unexpected::Seq,
            Value::Empty(..) => Unexpected::Unit,
            _ => Unexpected::Other("another kind of value"),
        };
        <TypeError as de::Error>::invalid_type(unexpected, expected).at(&self.path)
    }

    fn text<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        match self.value {
            Value::String(_, text) => visitor.visit_str(text),
            Value::Empty(..) => visitor.visit_str(""),
            _ => return Err(self.wrong(&visitor)),
        }
        .map_err(|error: TypeError| error.at(&self.path))
    }

    fn number<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        let number = match self.value {
            Value::String(_, text) => integer(text),
            Value::Empty(..) => Some(0),
            _ => None,
        };
        let Some(number) = number else {
            return Err(self.wrong(&visitor));
        };
        match (u64::try_from(number), i64::try_from(number)) {
            (Ok(number), _) => visitor.visit_u64(number),
            (_, Ok(number)) => visitor.visit_i64(number),
            _ => return Err(self.wrong(&visitor)),
        }
        .map_err(|error: TypeError| error.at(&self.path))
    }

    fn map<'de, V: Visitor<'de>>(
        self,
        wanted: Option<&'static [&'static str]>,
        visitor: V,
    ) -> Result<V::Value, TypeError> {
        let empty = Dict::new();
        let dict = match self.value {
            Value::Dict(_, dict) => dict,
            Value::Empty(..) => &empty,
            _ => return Err(self.wrong(&visitor)),
        };
        visitor
            .visit_map(Entries {
                of: self,
                entries: dict.iter(),
                pending: None,
                wanted,
            })
            .map_err(|error| error.at(&self.path))
    }
}

macro_rules! numbers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
            self.number(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for Typed<'_> {
    type Error = TypeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        match self.value {
            Value::Dict(..) => self.map(None, visitor),
            Value::Array(..) => self.deserialize_seq(visitor),
            Value::Empty(..) => visitor.visit_unit(),
            _ => self.text(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        let known = match self.value {
            Value::String(_, text) => boolean(text),
            Value::Empty(..) => Some(false),
            _ => None,
        };
        match known {
            Some(value) => visitor.visit_bool(value),
            None => Err(self.wrong(&visitor)),
        }
    }

    numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        match self.value {
            Value::String(_, text) if let Ok(number) = text.parse() => visitor.visit_f64(number),
            _ => Err(self.wrong(&visitor)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        match self.value {
            Value::Empty(..) => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    /// A section without settings: a key in it is one that nobody wants.
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        self.map(Some(&[]), de::IgnoredAny)?;
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, TypeError> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, TypeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        let items: &[Value] = match self.value {
            Value::Array(_, items) => items,
            Value::Empty(..) => &[],
            _ => return Err(self.wrong(&visitor)),
        };
        visitor
            .visit_seq(Items {
                of: self,
                items: items.iter().enumerate(),
            })
            .map_err(|error| error.at(&self.path))
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, TypeError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, TypeError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        self.map(None, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, TypeError> {
        self.map(Some(fields), visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, TypeError> {
        match self.value {
            Value::String(_, text) => {
                let text: StrDeserializer<'_, TypeError> = text.as_str().into_deserializer();
                visitor.visit_enum(text)
            }
            Value::Dict(_, dict)
                if let (1, Some((key, value))) = (dict.len(), dict.iter().next()) =>
            {
                visitor.visit_enum(Variant {
                    key,
                    value: Typed { value, ..self },
                })
            }
            _ => return Err(self.wrong(&visitor)),
        }
        .map_err(|error| error.at(&self.path))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        self.unwanted.borrow_mut().push(Unwanted {
            path: self.path.keys(),
            wanted: self.siblings,
        });
        visitor.visit_unit()
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        self.text(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        self.text(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        self.text(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        self.text(visitor)
    }

    serde::forward_to_deserialize_any! { bytes byte_buf }
}

#[cfg(test)]
mod tests;
