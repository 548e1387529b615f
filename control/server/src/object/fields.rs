//! The members that field selectors can name, read without parsing the rest of an object. From its stored members; to [`super::Object`]. Pure.

use std::borrow::Cow;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

/// An object of what [`skep_api::strategy::Strategy::selectable_field`] may look at: for a label such as `status.phase` the scalars of
/// `status`, and the named member whole.
///
/// # Errors
/// When a member is no JSON.
pub(super) fn selectable(members: &[(Cow<'_, str>, &RawValue)], labels: &[&str]) -> Result<Value, serde_json::Error> {
    let mut object = Map::new();
    for (name, member) in members {
        let mut whole = Vec::new();
        let mut is_named = false;
        for label in labels {
            let (first, rest) = label.split_once('.').unwrap_or((label, ""));
            if first == name {
                is_named = true;
                whole.push(rest);
            }
        }
        if is_named {
            let mut source = serde_json::Deserializer::from_str(member.get());
            let value = Pick { whole: &whole, is_inner: false }.deserialize(&mut source)?;
            object.insert(name.clone().into_owned(), value.unwrap_or_default());
        }
    }
    Ok(Value::Object(object))
}

/// Reads scalars, and of the outer object its scalars and the members named in `whole`.
#[derive(Clone, Copy)]
struct Pick<'a> {
    whole: &'a [&'a str],
    is_inner: bool,
}

impl<'de> DeserializeSeed<'de> for Pick<'_> {
    type Value = Option<Value>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Pick<'_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Self::Value, E> {
        Ok(Some(Value::Bool(truth)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Some(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Some(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Number::from_f64(number).map(Value::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(text.into()))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        if self.is_inner {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(None);
        }
        let mut picked = Map::new();
        while let Some(name) = map.next_key::<super::Name<'de>>()? {
            let value = if self.whole.contains(&&*name.0) {
                Some(map.next_value()?)
            } else {
                map.next_value_seed(Pick { is_inner: true, ..self })?
            };
            if let Some(value) = value {
                picked.insert(name.0.into_owned(), value);
            }
        }
        Ok(Some(Value::Object(picked)))
    }
}
