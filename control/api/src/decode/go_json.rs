//! What Go's JSON scanner says about malformed text; from request bodies; to messages; pure.

/// The words for the first syntax error; none when the text is well-formed JSON.
pub(crate) fn syntax_error(body: &[u8]) -> Option<String> {
    let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(body) else { return None };
    if error.is_eof() {
        return Some("unexpected end of JSON input".to_owned());
    }
    let at = offset(body, error.line(), error.column());
    let Some(byte) = body.get(at) else { return Some("unexpected end of JSON input".to_owned()) };
    let character = match byte {
        b'\'' => "'\\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        0x20..=0x7e => format!("'{}'", char::from(*byte)),
        b'\n' => "'\\n'".to_owned(),
        b'\t' => "'\\t'".to_owned(),
        b'\r' => "'\\r'".to_owned(),
        other => format!("'\\x{other:02x}'"),
    };
    let words = error.to_string();
    let context = [
        ("trailing characters", "after top-level value"),
        ("key must be a string", "looking for beginning of object key string"),
        ("expected `,` or `}`", "after object key:value pair"),
        ("expected `,` or `]`", "after array element"),
        ("expected `:`", "after object key"),
        ("trailing comma", "looking for beginning of value"),
        ("control character", "in string literal"),
        ("invalid escape", "in string escape code"),
        ("invalid number", "in numeric literal"),
        ("expected ident", "in literal"),
    ];
    let context =
        context.iter().find(|(ours, _)| words.starts_with(ours)).map_or("looking for beginning of value", |(_, go)| go);
    let literal = if context == "in literal" { literal(body, at).unwrap_or_default() } else { String::new() };
    Some(format!("invalid character {character} {context}{literal}"))
}

/// Which literal is broken at a place, and what should stand there.
fn literal(body: &[u8], at: usize) -> Option<String> {
    let before = body.get(..at)?;
    ["true", "false", "null"].into_iter().find_map(|literal| {
        let mut starts = (1..literal.len()).filter_map(|length| literal.split_at_checked(length));
        let (_, rest) = starts.find(|(start, _)| before.ends_with(start.as_bytes()))?;
        Some(format!(" {literal} (expecting '{}')", rest.chars().next()?))
    })
}

/// The byte behind a line and column, both counted from 1.
fn offset(body: &[u8], line: usize, column: usize) -> usize {
    let start = body.split_inclusive(|b| *b == b'\n').take(line.saturating_sub(1)).map(<[u8]>::len).sum::<usize>();
    start + column.saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::syntax_error;

    #[test]
    fn broken_literals_say_what_should_stand_there() {
        let said = |text: &str| syntax_error(text.as_bytes());
        assert_eq!(said("text").as_deref(), Some("invalid character 'e' in literal true (expecting 'r')"));
        assert_eq!(said("{\"a\": nulx}").as_deref(), Some("invalid character 'x' in literal null (expecting 'l')"));
        assert_eq!(said("true"), None);
    }
}
