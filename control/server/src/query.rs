//! The query of a URL, percent-decoded. From the listener; to request info and verbs. Pure.

/// Parameters in the order they were sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads `a=b&c=d`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self(
            text.split('&')
                .filter(|pair| !pair.is_empty())
                .map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decode(name, true), decode(value, true))
                })
                .collect(),
        )
    }

    /// The first value of a parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The first value, or the empty text.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// All values of a parameter.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Whether a switch is on, by upstream's conversion: there, and neither `0` nor a spelling of false.
    #[must_use]
    pub fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| !(value == "0" || value.eq_ignore_ascii_case("false")))
    }
}

/// Replaces `%41` by `A` (and `+` by a blank in queries); a wrong escape stays as it is, wrong UTF-8 is replaced.
#[must_use]
pub fn decode(text: &str, plus_is_blank: bool) -> String {
    if !text.contains(['%', '+']) {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = (byte == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match (byte, escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (_, Some(value)) => {
                decoded.push(value);
                at += 3;
            }
            (b'+', None) if plus_is_blank => {
                decoded.push(b' ');
                at += 1;
            }
            (byte, None) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).unwrap_or_else(|wrong| String::from_utf8_lossy(wrong.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::{Query, decode};

    #[test]
    fn decodes() {
        assert_eq!(decode("a%2Fb+c%zz", true), "a/b c%zz");
        assert_eq!(decode("a+b", false), "a+b");
        let query = Query::parse("labelSelector=a+in+%28b%2Cc%29&watch&x=0");
        assert_eq!(query.text("labelSelector"), "a in (b,c)");
        assert!(query.is_true("watch"));
        assert!(!query.is_true("x"));
    }
}
