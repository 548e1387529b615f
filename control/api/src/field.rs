//! Field paths and field errors in upstream's words; from validation; to the causes of a `Status`; pure.

use std::fmt;

use serde_json::Value;

/// A path into an object, written as upstream writes it: `spec.containers[0].env[A]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(String);

impl Path {
    /// A path that starts at the field `name`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// The path of the object itself; its first [`child`](Path::child) gets no leading dot.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// `self.name`; `name` may hold dots.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        let dot = if self.0.is_empty() { "" } else { "." };
        // Rules name paths by the hundred, mostly for nothing: this costs a third of `format!`.
        Self([self.0.as_str(), dot, name].concat())
    }

    /// `self[index]`.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// `self[key]`, for an entry of a map.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        Self(format!("{}[{key}]", self.0))
    }

    /// The written form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Upstream prints a nil path so.
        f.write_str(if self.0.is_empty() { "<nil>" } else { &self.0 })
    }
}

/// What is wrong with a field; decides the words and the cause's reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// A value that other parts of the object refer to does not exist.
    NotFound,
    /// A value must be given.
    Required,
    /// The value occurs twice where it must be unique.
    Duplicate,
    /// The value is malformed or out of range.
    Invalid,
    /// The value is not one of an enumeration.
    NotSupported,
    /// The field must not be set (now, or together with another).
    Forbidden,
    /// The text or list is too long in bytes.
    TooLong,
    /// The list has too many items.
    TooMany,
    /// A failure on our side.
    Internal,
    /// The value has the wrong type.
    TypeInvalid,
}

impl ErrorKind {
    /// The words in front of the value.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::NotFound => "Not found",
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::Internal => "Internal error",
        }
    }

    /// The `reason` of the cause in a `Status`.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotFound => "FieldValueNotFound",
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::Internal => "InternalError",
            Self::TypeInvalid => "FieldValueTypeInvalid",
        }
    }
}

/// One broken rule of one field.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// What is wrong.
    pub kind: ErrorKind,
    /// Where.
    pub path: Path,
    /// The value as it is printed (already quoted when it is a text); none for kinds that print no value.
    pub shown: Option<String>,
    /// More words; may be empty.
    pub detail: String,
}

impl FieldError {
    fn new(kind: ErrorKind, path: &Path, shown: Option<String>, detail: impl Into<String>) -> Self {
        Self { kind, path: path.clone(), shown, detail: detail.into() }
    }

    /// `path: Required value[: detail]`.
    #[must_use]
    pub fn required(path: &Path, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Required, path, None, detail)
    }

    /// `path: Invalid value: "v": detail`.
    #[must_use]
    pub fn invalid(path: &Path, value: &Value, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, path, Some(show(value)), detail)
    }

    /// [`invalid`](Self::invalid) of a text.
    #[must_use]
    pub fn invalid_text(path: &Path, value: &str, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, path, Some(go_quote(value)), detail)
    }

    /// [`invalid`](Self::invalid) of a number.
    #[must_use]
    pub fn invalid_number(path: &Path, value: i64, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, path, Some(value.to_string()), detail)
    }

    /// [`invalid`](Self::invalid) with the value's words given as they shall be printed.
    #[must_use]
    pub fn invalid_shown(path: &Path, shown: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, path, Some(shown.into()), detail)
    }

    /// `path: Invalid value: …` with the reason for a wrong type.
    #[must_use]
    pub fn type_invalid(path: &Path, value: &Value, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::TypeInvalid, path, Some(show(value)), detail)
    }

    /// `path: Unsupported value: "v": supported values: "a", "b"`; the values are printed in the order given.
    #[must_use]
    pub fn not_supported(path: &Path, value: &Value, supported: &[&str]) -> Self {
        let detail = if supported.is_empty() {
            String::new()
        } else {
            let quoted: Vec<String> = supported.iter().map(|s| go_quote(s)).collect();
            format!("supported values: {}", quoted.join(", "))
        };
        Self::new(ErrorKind::NotSupported, path, Some(show(value)), detail)
    }

    /// `path: Forbidden[: detail]`.
    #[must_use]
    pub fn forbidden(path: &Path, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Forbidden, path, None, detail)
    }

    /// `path: Duplicate value: "v"`.
    #[must_use]
    pub fn duplicate(path: &Path, value: &Value) -> Self {
        Self::new(ErrorKind::Duplicate, path, Some(show(value)), "")
    }

    /// `path: Not found: "v"`.
    #[must_use]
    pub fn not_found(path: &Path, value: &Value) -> Self {
        Self::new(ErrorKind::NotFound, path, Some(show(value)), "")
    }

    /// `path: Too long: may not be more than N bytes`.
    #[must_use]
    pub fn too_long(path: &Path, max_bytes: usize) -> Self {
        Self::new(ErrorKind::TooLong, path, None, format!("may not be more than {max_bytes} bytes"))
    }

    /// `path: Too many: N: must have at most M items`.
    #[must_use]
    pub fn too_many(path: &Path, actual: usize, max: usize) -> Self {
        let noun = if max == 1 { "item" } else { "items" };
        Self::new(ErrorKind::TooMany, path, Some(actual.to_string()), format!("must have at most {max} {noun}"))
    }

    /// `path: Internal error: detail`.
    #[must_use]
    pub fn internal(path: &Path, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, path, None, detail)
    }

    /// The message without the path: what a cause of a `Status` carries.
    #[must_use]
    pub fn body(&self) -> String {
        let mut text = self.kind.words().to_owned();
        if let Some(shown) = &self.shown {
            text.push_str(": ");
            text.push_str(shown);
        }
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }

    /// The cause of a `Status`: `{reason, message, field}`.
    #[must_use]
    pub fn cause(&self) -> Value {
        serde_json::json!({"reason": self.kind.reason(), "message": self.body(), "field": self.path.to_string()})
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.body())
    }
}

/// An object that breaks rules: the content of a 422 `Status`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub struct Invalid {
    /// API group, empty for core.
    pub group: String,
    /// Kind of the object.
    pub kind: String,
    /// Its name; may be empty.
    pub name: String,
    /// Never empty.
    pub errors: Vec<FieldError>,
}

impl Invalid {
    /// `details` of the `Status`: kind, group, name (left out when empty) and causes.
    #[must_use]
    pub fn details(&self) -> Value {
        let mut details = serde_json::Map::new();
        for (key, value) in [("name", &self.name), ("group", &self.group), ("kind", &self.kind)] {
            if !value.is_empty() {
                details.insert(key.to_owned(), Value::String(value.clone()));
            }
        }
        details.insert("causes".to_owned(), self.errors.iter().map(FieldError::cause).collect());
        Value::Object(details)
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        write!(f, " {} is invalid: ", go_quote(&self.name))?;
        let mut messages: Vec<String> = Vec::new();
        for error in &self.errors {
            let message = error.to_string();
            if !messages.contains(&message) {
                messages.push(message);
            }
        }
        match messages.as_slice() {
            [one] => f.write_str(one),
            many => write!(f, "[{}]", many.join(", ")),
        }
    }
}

/// A value as a field error prints it: texts quoted, numbers and booleans bare, the rest as JSON.
#[must_use]
pub fn show(value: &Value) -> String {
    match value {
        Value::String(text) => go_quote(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// A text in quotes as Go's `%q` writes it.
#[must_use]
pub fn go_quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if u32::from(c) < 0x20 || c == '\u{7f}' => {
                out.push_str(&format!("\\x{:02x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A value as Go's `%v` prints decoded JSON: `map[a:1 b:[x y]]`.
#[must_use]
pub fn go_format(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => n.to_string(),
        Value::String(s) => s.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(go_format).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let entries: Vec<String> = map.iter().map(|(k, v)| format!("{k}:{}", go_format(v))).collect();
            format!("map[{}]", entries.join(" "))
        }
    }
}

#[cfg(test)]
mod tests;
