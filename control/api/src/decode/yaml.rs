//! Reads YAML as upstream does: YAML 1.1 truth values, then JSON; from request bodies; to the reader; pure.

use serde_json::Value;
use serde_saphyr::Options;
use serde_saphyr::options::DuplicateKeyPolicy;

use super::FieldValidation;
use crate::schema::canonical;

/// Reads one document. Also gives the words for duplicate keys, unless they are ignored.
pub(super) fn parse(body: &[u8], validation: FieldValidation) -> Result<(Value, Option<String>), String> {
    let text = std::str::from_utf8(body).map_err(|_source| "yaml: invalid leading UTF-8 octet".to_owned())?;
    let value = to_value(text)?;
    if validation == FieldValidation::Ignore {
        return Ok((value, None));
    }
    // The first pass took the last of several equal keys; a second one that refuses them tells where they are.
    let duplicate = match serde_saphyr::from_str_with_options::<Value>(text, options(DuplicateKeyPolicy::Error)) {
        Ok(_) => None,
        Err(error) => {
            if let serde_saphyr::Error::DuplicateMappingKey { key, location } = error.without_snippet() {
                let key = key.as_deref().unwrap_or_default();
                Some(format!("yaml: unmarshal errors:\n  line {}: key \"{key}\" already set in map", location.line()))
            } else {
                None
            }
        }
    };
    Ok((value, duplicate))
}

/// Reads one document; of equal keys the last one counts.
///
/// # Errors
/// The parser's words after `yaml: `. Aliases, depth and size are limited.
pub fn to_value(text: &str) -> Result<Value, String> {
    let mut value: Value =
        serde_saphyr::from_str_with_options(text, options(DuplicateKeyPolicy::LastWins)).map_err(|error| {
            let words = error.without_snippet().to_string();
            let first = words.lines().next().unwrap_or_default();
            // Upstream's parser does not say where in the first line.
            format!("yaml: {}", first.split(" at line ").next().unwrap_or(first))
        })?;
    whole_numbers(&mut value);
    Ok(value)
}

fn options(duplicate_keys: DuplicateKeyPolicy) -> Options {
    serde_saphyr::options! {
        duplicate_keys: duplicate_keys,
        legacy_octal_numbers: true,
        with_snippet: false,
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 100_000, max_alias_expansions_per_anchor: 10_000 },
    }
}

/// Turning YAML into JSON writes `1.0` as `1`.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            *value = number.as_f64().map_or(Value::Null, canonical::float);
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(map) => map.values_mut().for_each(whole_numbers),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
