//! Continue tokens: which state a list shows, and where its next page starts. From and to clients. Pure.
//!
//! The form is upstream's (`meta.k8s.io/v1` JSON in URL-safe base64), because some clients look inside.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// A decoded token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Continuation {
    /// The state listed; none: whatever is newest (after the state was forgotten).
    pub revision: Option<u64>,
    /// First key of the page, below the resource's prefix.
    pub start: String,
}

#[derive(Serialize, Deserialize)]
struct Encoded {
    v: String,
    rv: i64,
    start: String,
}

const VERSION: &str = "meta.k8s.io/v1";

impl Continuation {
    /// Reads a token.
    ///
    /// # Errors
    /// Why it is none, in upstream's words.
    pub fn parse(token: &str) -> Result<Self, String> {
        let decoded = URL_SAFE_NO_PAD.decode(token).map_err(|_not_base64| {
            format!("continue key is not valid: illegal base64 data at input byte {}", wrong_byte(token))
        })?;
        let encoded: Encoded =
            serde_json::from_slice(&decoded).map_err(|why| format!("continue key is not valid: {why}"))?;
        if encoded.v != VERSION {
            return Err("continue key is not valid: server does not recognize this encoded version".to_owned());
        }
        if encoded.rv == 0 {
            return Err("continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)"
                .to_owned());
        }
        // Keys never go up a directory; a token that does was made by hand.
        if encoded.start.is_empty() || encoded.start.split('/').any(|part| part == "..") {
            return Err("continue key is not valid: empty encoded start key (version meta.k8s.io/v1)".to_owned());
        }
        Ok(Self { revision: u64::try_from(encoded.rv).ok(), start: encoded.start })
    }
}

impl std::fmt::Display for Continuation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rv = self.revision.map_or(-1, |r| i64::try_from(r).unwrap_or(-1));
        let encoded = Encoded { v: VERSION.to_owned(), rv, start: self.start.clone() };
        let json = serde_json::to_vec(&encoded).map_err(|_numbers_and_texts| std::fmt::Error)?;
        f.write_str(&URL_SAFE_NO_PAD.encode(json))
    }
}

/// Where Go's decoder would stop.
fn wrong_byte(token: &str) -> usize {
    let is_letter = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    token.bytes().position(|b| !is_letter(b)).unwrap_or(token.len() - token.len() % 4)
}

#[cfg(test)]
mod tests {
    use super::Continuation;

    #[test]
    fn round_trip() {
        for revision in [Some(7), None] {
            let token = Continuation { revision, start: "d/p\0".to_owned() };
            assert_eq!(Continuation::parse(&token.to_string()), Ok(token));
        }
    }

    #[test]
    fn refuses() {
        let error = Continuation::parse("x").expect_err("one letter");
        assert_eq!(error, "continue key is not valid: illegal base64 data at input byte 0");
        assert!(Continuation::parse("e30").is_err());
    }
}
