//! Query strings: from request URIs; to the handlers. Pure.

/// Names and values of a query string, decoded, in order.
pub fn parse(query: &str) -> Vec<(String, String)> {
    let pair = |part: &str| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        (decode(name), decode(value))
    };
    query.split('&').filter(|part| !part.is_empty()).map(pair).collect()
}

/// The first value of a name.
pub fn first<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// Whether any of the names is set to something true.
pub fn flag(pairs: &[(String, String)], names: &[&str]) -> bool {
    names.iter().any(|name| matches!(first(pairs, name), Some("1" | "true" | "t" | "T" | "True" | "TRUE")))
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => match tail.split_at_checked(2).and_then(|(hex, tail)| Some((hex_byte(hex)?, tail))) {
                Some((byte, tail)) => {
                    bytes.push(byte);
                    rest = tail;
                }
                None => bytes.push(b'%'),
            },
            byte => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex_byte(hex: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes() {
        let pairs = parse("command=sh&command=-c&command=echo+%22a%26b%22%3D&input=1&bad=%zz%4");
        let commands: Vec<_> = pairs.iter().filter(|(name, _)| name == "command").map(|(_, v)| v.as_str()).collect();
        assert_eq!(commands, ["sh", "-c", "echo \"a&b\"="]);
        assert!(flag(&pairs, &["stdin", "input"]) && !flag(&pairs, &["tty"]));
        assert_eq!(first(&pairs, "bad"), Some("%zz%4"));
    }
}
