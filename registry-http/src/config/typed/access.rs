//! The entries of a map, the items of a list, the variant of an enum.

use std::collections::btree_map;

use figment::value::Value;
use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

use super::{Path, TypeError, Typed};

pub(super) struct Entries<'v> {
    pub(super) of: Typed<'v>,
    pub(super) entries: btree_map::Iter<'v, String, Value>,
    pub(super) pending: Option<(&'v String, &'v Value)>,
    pub(super) wanted: Option<&'static [&'static str]>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = TypeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, TypeError> {
        for (key, value) in self.entries.by_ref() {
            // In Go an empty value leaves the field as it was: the default counts.
            let known = self.wanted.is_some_and(|keys| keys.contains(&key.as_str()));
            if known && matches!(value, Value::Empty(..)) {
                continue;
            }
            self.pending = Some((key, value));
            let key: StrDeserializer<'_, TypeError> = key.as_str().into_deserializer();
            return seed.deserialize(key).map(Some);
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, TypeError> {
        let Some((key, value)) = self.pending.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        let path = Path::Key {
            parent: &self.of.path,
            key,
        };
        seed.deserialize(Typed {
            value,
            path,
            unwanted: self.of.unwanted,
            siblings: self.wanted.unwrap_or_default(),
        })
        .map_err(|error| error.at(&path))
    }
}

pub(super) struct Items<'v> {
    pub(super) of: Typed<'v>,
    pub(super) items: std::iter::Enumerate<std::slice::Iter<'v, Value>>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = TypeError;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, TypeError> {
        let Some((index, value)) = self.items.next() else {
            return Ok(None);
        };
        let path = Path::Item {
            parent: &self.of.path,
            index,
        };
        seed.deserialize(Typed {
            value,
            path,
            ..self.of
        })
        .map(Some)
        .map_err(|error| error.at(&path))
    }
}

/// An enum with content, written as a mapping of one key.
pub(super) struct Variant<'v> {
    pub(super) key: &'v str,
    pub(super) value: Typed<'v>,
}

impl<'de, 'v> EnumAccess<'de> for Variant<'v> {
    type Error = TypeError;
    type Variant = Typed<'v>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Typed<'v>), TypeError> {
        let key: StrDeserializer<'_, TypeError> = self.key.into_deserializer();
        Ok((seed.deserialize(key)?, self.value))
    }
}

impl<'de> VariantAccess<'de> for Typed<'_> {
    type Error = TypeError;

    fn unit_variant(self) -> Result<(), TypeError> {
        de::Deserialize::deserialize(self)
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, TypeError> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, TypeError> {
        self.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, TypeError> {
        self.map(Some(fields), visitor)
    }
}
