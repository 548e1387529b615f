//! Ranges of keys; from callers of the store; to its engines. Pure.

use bytes::Bytes;

/// A half-open range of keys in byte order: `start` ≤ key < `end`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyRange {
    /// The first key of the range.
    pub start: Bytes,
    /// The first key behind the range; `None` means that the range is open to the right.
    pub end: Option<Bytes>,
}

impl KeyRange {
    /// Every key there is.
    pub fn all() -> Self {
        Self { start: Bytes::new(), end: None }
    }

    /// Exactly one key.
    pub fn single(key: impl Into<Bytes>) -> Self {
        let start = key.into();
        let end = Some(key_after(&start));
        Self { start, end }
    }

    /// All keys which begin with `prefix`.
    pub fn prefix(prefix: impl Into<Bytes>) -> Self {
        let start = prefix.into();
        let end = prefix_end(&start);
        Self { start, end }
    }

    /// All keys from `start` up to, not including, `end`.
    pub fn between(start: impl Into<Bytes>, end: impl Into<Bytes>) -> Self {
        Self { start: start.into(), end: Some(end.into()) }
    }

    /// The same range without the keys before `start` (a `start` before the range changes nothing).
    #[must_use]
    pub fn starting_at(mut self, start: Bytes) -> Self {
        if start > self.start {
            self.start = start;
        }
        self
    }

    /// Whether `key` lies in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        key >= self.start.as_ref() && self.end.as_ref().is_none_or(|end| key < end.as_ref())
    }

    /// Whether no key can lie in the range.
    pub fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| end <= &self.start)
    }

    /// Whether the range holds exactly one possible key.
    pub fn is_single(&self) -> bool {
        self.end
            .as_ref()
            .is_some_and(|end| end.len() == self.start.len() + 1 && end.ends_with(&[0]) && end.starts_with(&self.start))
    }
}

/// The first key after `key` in byte order: where a page that ended with `key` goes on.
pub fn key_after(key: &[u8]) -> Bytes {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    Bytes::from(next)
}

/// The first key behind all keys which begin with `prefix`; `None` if there is none.
pub fn prefix_end(prefix: &[u8]) -> Option<Bytes> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix.get(..=last)?.to_vec();
    if let Some(byte) = end.last_mut() {
        *byte = byte.saturating_add(1);
    }
    Some(Bytes::from(end))
}

#[cfg(test)]
mod tests;
