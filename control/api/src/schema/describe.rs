//! Descriptions of types and fields, for OpenAPI; from the compressed generated text; pure.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Read as _;

/// The unpacked descriptions; about a megabyte, so keep it no longer than needed.
#[derive(Debug)]
pub struct Descriptions {
    text: String,
    /// Where a type's lines begin and end.
    types: HashMap<String, (usize, usize)>,
}

/// Unpacks all descriptions.
#[must_use]
pub fn descriptions() -> Descriptions {
    let mut text = String::new();
    let packed: &[u8] = include_bytes!("../generated/descriptions.deflate");
    // The content is our own; were it damaged, documents would lack descriptions and nothing else.
    if flate2::read::DeflateDecoder::new(packed).read_to_string(&mut text).is_err() {
        text.clear();
    }
    let mut types = HashMap::new();
    let mut at = 0;
    let mut open: Option<(String, usize)> = None;
    for line in text.split_inclusive('\n') {
        if let Some(heading) = line.strip_prefix('@') {
            if let Some((name, start)) = open.take() {
                types.insert(name, (start, at));
            }
            open = Some((heading.split(['\t', '\n']).next().unwrap_or_default().to_owned(), at));
        }
        at += line.len();
    }
    types.extend(open.map(|(name, start)| (name, (start, at))));
    Descriptions { text, types }
}

impl Descriptions {
    /// The description of a type.
    #[must_use]
    pub fn of_type(&self, type_name: &str) -> Option<Cow<'_, str>> {
        let heading = self.lines(type_name).next()?;
        heading.split_once('\t').map(|(_, words)| unescape(words)).filter(|w| !w.is_empty())
    }

    /// The description of a field of a type.
    #[must_use]
    pub fn of_field(&self, type_name: &str, field: &str) -> Option<Cow<'_, str>> {
        self.lines(type_name)
            .skip(1)
            .find_map(|line| line.split_once('\t').filter(|(name, _)| *name == field))
            .map(|(_, words)| unescape(words))
    }

    fn lines(&self, type_name: &str) -> std::str::Lines<'_> {
        let range = self.types.get(type_name).copied().unwrap_or_default();
        self.text.get(range.0..range.1).unwrap_or_default().lines()
    }
}

fn unescape(words: &str) -> Cow<'_, str> {
    if !words.contains('\\') {
        return Cow::Borrowed(words);
    }
    let mut out = String::with_capacity(words.len());
    let mut chars = words.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.push(if chars.next() == Some('n') { '\n' } else { '\\' }),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}
