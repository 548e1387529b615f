//! Moments as the API writes them; from client texts; to canonical texts; pure, the current time is handed in.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// `2026-01-02T03:04:05Z`: UTC, whole seconds.
#[must_use]
pub fn seconds(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `2026-01-02T03:04:05.000006Z`: UTC, microseconds.
#[must_use]
pub fn micros(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Reads RFC 3339 with any offset.
///
/// # Errors
/// The words of Go's parser.
pub fn parse(text: &str) -> Result<Timestamp, String> {
    const LAYOUT: &str = "2006-01-02T15:04:05Z07:00";
    let wrong = |rest: &str, element: &str| {
        let (quoted, rest) = (crate::field::go_quote(text), crate::field::go_quote(rest));
        format!("parsing time {quoted} as \"{LAYOUT}\": cannot parse {rest} as \"{element}\"")
    };
    // Go's layout, element by element, for the words; the numbers are left to jiff.
    let mut rest = text;
    for (element, digits) in [
        ("2006", 4),
        ("-", 0),
        ("01", 2),
        ("-", 0),
        ("02", 2),
        ("T", 0),
        ("15", 2),
        (":", 0),
        ("04", 2),
        (":", 0),
        ("05", 2),
    ] {
        let next = if digits == 0 {
            rest.strip_prefix(element)
        } else {
            let head = rest.get(..digits).filter(|d| d.bytes().all(|b| b.is_ascii_digit()));
            head.and_then(|_| rest.get(digits..))
        };
        rest = next.ok_or_else(|| wrong(rest, element))?;
    }
    if let Some(fraction) = rest.strip_prefix(['.', ',']) {
        rest = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    let offset = rest.as_bytes();
    let is_offset = matches!(offset, [b'Z'])
        || matches!(offset, [b'+' | b'-', a, b, b':', c, d] if [a, b, c, d].iter().all(|x| x.is_ascii_digit()));
    if !is_offset {
        return Err(wrong(rest, "Z07:00"));
    }
    text.replace(',', ".")
        .parse()
        .map_err(|_source: jiff::Error| format!("parsing time {}: value out of range", crate::field::go_quote(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_forms() {
        let at = parse("2026-01-02T05:04:05.123456789+02:00").expect("valid");
        assert_eq!(seconds(at), "2026-01-02T03:04:05Z");
        assert_eq!(micros(at), "2026-01-02T03:04:05.123456Z");
    }

    #[test]
    fn words_of_go() {
        let error = parse("x").expect_err("not a time");
        assert_eq!(error, "parsing time \"x\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"x\" as \"2006\"");
        assert!(parse("2026-01-02T03:04:05").expect_err("no offset").ends_with("cannot parse \"\" as \"Z07:00\""));
        assert!(parse("2026-13-02T03:04:05Z").expect_err("month 13").ends_with("value out of range"));
    }
}
