//! Rules for names, labels and other identifiers, with upstream's words; from metadata and kinds' validation; to field errors; pure.
//!
//! Every function returns the messages for a value; empty means valid.

/// At most 253 bytes: a DNS subdomain (RFC 1123). `prefix`: the value may end in a dash (`generateName`).
#[must_use]
pub fn dns_subdomain(value: &str, prefix: bool) -> Vec<String> {
    let value = without_dash(value, prefix);
    let mut errors = too_long(&value, 253);
    if !value.split('.').all(|part| is_label(part, true)) {
        errors.push(regex_error(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
            "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*",
            &["example.com"],
        ));
    }
    errors
}

/// A DNS subdomain whose first label is `*`, as hosts of Ingresses may be.
#[must_use]
pub fn wildcard_dns_subdomain(value: &str) -> Vec<String> {
    let mut errors = too_long(value, 253);
    let rest = value.strip_prefix("*.").unwrap_or_default();
    if rest.is_empty() || !rest.split('.').all(|part| is_label(part, true)) {
        errors.push(regex_error(
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
            "\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*",
            &["*.example.com"],
        ));
    }
    errors
}

/// At most 63 bytes: a DNS label (RFC 1123).
#[must_use]
pub fn dns_label(value: &str, prefix: bool) -> Vec<String> {
    let value = without_dash(value, prefix);
    let mut errors = too_long(&value, 63);
    if !is_label(&value, true) {
        if dns_subdomain(&value, false).is_empty() {
            errors.push("must not contain dots".to_owned());
        } else {
            errors.push(regex_error(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
                "[a-z0-9]([-a-z0-9]*[a-z0-9])?",
                &["my-name", "123-abc"],
            ));
        }
    }
    errors
}

/// At most 63 bytes: a DNS label that starts with a letter (RFC 1035), as names of Services are.
#[must_use]
pub fn dns1035_label(value: &str, prefix: bool) -> Vec<String> {
    let value = without_dash(value, prefix);
    let mut errors = too_long(&value, 63);
    if !is_label(&value, false) {
        errors.push(regex_error(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
            "[a-z]([-a-z0-9]*[a-z0-9])?",
            &["my-name", "abc-123"],
        ));
    }
    errors
}

/// A name that is one segment of a path, as names of RBAC objects are.
#[must_use]
pub fn path_segment(value: &str, prefix: bool) -> Vec<String> {
    if !prefix && (value == "." || value == "..") {
        return vec![format!("may not be '{value}'")];
    }
    ["/", "%"].iter().filter(|c| value.contains(**c)).map(|c| format!("may not contain '{c}'")).collect()
}

/// `[prefix/]name` as keys of labels, annotations and finalizers are.
#[must_use]
pub fn qualified_name(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    let parts: Vec<&str> = value.split('/').collect();
    let name = match parts.as_slice() {
        [name] => *name,
        [prefix, name] => {
            if prefix.is_empty() {
                errors.push("prefix part must be non-empty".to_owned());
            } else {
                errors.extend(dns_subdomain(prefix, false).into_iter().map(|m| format!("prefix part {m}")));
            }
            *name
        }
        _ => {
            return vec![format!(
                "a qualified name {} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
                regex_error(QUALIFIED_WORDS, QUALIFIED_PATTERN, &["MyName", "my.name", "123-abc"])
            )];
        }
    };
    if name.is_empty() {
        errors.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        errors.push("name part must be no more than 63 characters".to_owned());
    }
    if !is_word(name) {
        errors.push(format!(
            "name part {}",
            regex_error(QUALIFIED_WORDS, QUALIFIED_PATTERN, &["MyName", "my.name", "123-abc"])
        ));
    }
    errors
}

const QUALIFIED_WORDS: &str =
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
const QUALIFIED_PATTERN: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";

/// A value of a label: empty, or at most 63 bytes of letters, digits, `-`, `_` and `.`.
#[must_use]
pub fn label_value(value: &str) -> Vec<String> {
    let mut errors = too_long(value, 63);
    if !value.is_empty() && !is_word(value) {
        errors.push(regex_error(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
            "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?",
            &["MyValue", "my_value", "12345"],
        ));
    }
    errors
}

/// A key of a ConfigMap or Secret, that is a file name.
#[must_use]
pub fn config_key(value: &str) -> Vec<String> {
    let mut errors = too_long(value, 253);
    if value.is_empty() || !value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
        errors.push(regex_error(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
            "[-._a-zA-Z0-9]+",
            &["key.name", "KEY_NAME", "key-name"],
        ));
    }
    if value == "." {
        errors.push("must not be '.'".to_owned());
    } else if value == ".." {
        errors.push("must not be '..'".to_owned());
    } else if value.starts_with("..") {
        errors.push("must not start with '..'".to_owned());
    }
    errors
}

/// The words for a value that does not match a pattern.
#[must_use]
pub fn regex_error(message: &str, pattern: &str, examples: &[&str]) -> String {
    let quoted: Vec<String> = examples.iter().map(|e| format!("'{e}'")).collect();
    let examples = if quoted.is_empty() { String::new() } else { format!("e.g. {}, ", quoted.join(",  or ")) };
    format!("{message} ({examples}regex used for validation is '{pattern}')")
}

fn too_long(value: &str, max_bytes: usize) -> Vec<String> {
    if value.len() > max_bytes { vec![format!("must be no more than {max_bytes} characters")] } else { Vec::new() }
}

/// Letters and digits in lower case with dashes inside.
fn is_label(value: &str, digit_first: bool) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    match value.as_bytes() {
        [] => false,
        [first, ..] if *first == b'-' || (!digit_first && first.is_ascii_digit()) => false,
        bytes => bytes.last() != Some(&b'-') && bytes.iter().all(|&b| inner(b)),
    }
}

fn is_word(value: &str) -> bool {
    let bytes = value.as_bytes();
    let ends = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    ends(bytes.first())
        && ends(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// A prefix is checked as if its last dash were a letter.
fn without_dash(value: &str, prefix: bool) -> String {
    match value.strip_suffix('-') {
        Some(stem) if prefix && value.len() > 1 => format!("{stem}a"),
        _ => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert!(dns_subdomain("a.b-1", false).is_empty());
        assert!(dns_subdomain("a-", true).is_empty());
        assert_eq!(dns_subdomain("a-", false).len(), 1);
        assert!(dns_subdomain("Bad", false)[0].starts_with("a lowercase RFC 1123 subdomain must consist"));
        assert_eq!(dns_label("a.b", false), ["must not contain dots"]);
        assert_eq!(dns1035_label("1a", false).len(), 1);
        assert_eq!(path_segment("a/b", false), ["may not contain '/'"]);
    }

    #[test]
    fn keys_and_values() {
        assert!(qualified_name("example.com/My_Name").is_empty());
        assert_eq!(qualified_name("/x"), ["prefix part must be non-empty"]);
        assert!(label_value("").is_empty());
        assert!(label_value("-a")[0].contains("(e.g. 'MyValue',  or 'my_value',  or '12345', regex used"));
        assert_eq!(config_key("..a"), ["must not start with '..'"]);
    }
}
