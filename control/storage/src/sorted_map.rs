//! An ordered map whose clone is a cheap snapshot; from the embedded engine and the watch cache; to their readers. Pure.
//!
//! Entries lie in sorted chunks which clones share. A write copies a chunk only while some snapshot still holds it, so
//! readers look at large ranges without a lock and without delaying writers.

use std::sync::Arc;

use bytes::Bytes;

use crate::key::KeyRange;

/// A full chunk is split in two.
const CHUNK_MAX: usize = 128;
/// A chunk this small is merged with its neighbour if both fit.
const CHUNK_MIN: usize = 32;

type Chunk<V> = Vec<(Bytes, V)>;

/// A map in key order. Cloning costs O(1); the first write after a clone costs O(n / 128).
#[derive(Debug)]
pub(crate) struct SortedMap<V> {
    chunks: Arc<Vec<Arc<Chunk<V>>>>,
    len: usize,
}

impl<V> Clone for SortedMap<V> {
    fn clone(&self) -> Self {
        Self { chunks: Arc::clone(&self.chunks), len: self.len }
    }
}

impl<V: Clone> Default for SortedMap<V> {
    fn default() -> Self {
        Self { chunks: Arc::default(), len: 0 }
    }
}

impl<V> SortedMap<V> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<&V> {
        let chunk = self.chunks.get(self.chunk_of(key))?;
        let at = chunk.binary_search_by(|(k, _)| k.as_ref().cmp(key)).ok()?;
        chunk.get(at).map(|(_, value)| value)
    }

    /// The entries of `range` in key order.
    pub(crate) fn range(&self, range: &KeyRange) -> impl Iterator<Item = (&Bytes, &V)> + use<'_, V> {
        let start = self.position(&range.start);
        let end = match &range.end {
            None => (self.chunks.len(), 0),
            Some(end) if *end <= range.start => start,
            Some(end) => self.position(end),
        };
        let chunks = self.chunks.get(start.0..self.chunks.len().min(end.0 + 1)).unwrap_or_default();
        chunks.iter().zip(start.0..).flat_map(move |(chunk, index)| {
            let from = if index == start.0 { start.1 } else { 0 };
            let to = if index == end.0 { end.1 } else { chunk.len() };
            chunk.get(from..to).unwrap_or_default().iter().map(|(key, value)| (key, value))
        })
    }

    /// How many entries lie in `range`, without looking at them one by one.
    pub(crate) fn count(&self, range: &KeyRange) -> usize {
        if range.is_empty() {
            return 0;
        }
        let start = self.position(&range.start);
        let end = range.end.as_ref().map_or((self.chunks.len(), 0), |end| self.position(end));
        let between: usize = self.chunks.get(start.0..end.0).unwrap_or_default().iter().map(|c| c.len()).sum();
        (between + end.1).saturating_sub(start.1)
    }

    /// The chunk that holds `key` or would hold it.
    fn chunk_of(&self, key: &[u8]) -> usize {
        let after = self.chunks.partition_point(|chunk| chunk.first().is_some_and(|(first, _)| first.as_ref() <= key));
        after.saturating_sub(1)
    }

    /// Chunk and place of the first entry at or after `key`.
    fn position(&self, key: &[u8]) -> (usize, usize) {
        let chunk = self.chunk_of(key);
        let entry = self.chunks.get(chunk).map_or(0, |c| c.partition_point(|(k, _)| k.as_ref() < key));
        (chunk, entry)
    }
}

impl<V: Clone> SortedMap<V> {
    /// Puts `value` at `key`; answers what was there.
    pub(crate) fn insert(&mut self, key: Bytes, value: V) -> Option<V> {
        let index = self.chunk_of(&key);
        let last = index + 1 >= self.chunks.len();
        let chunks = Arc::make_mut(&mut self.chunks);
        let Some(shared) = chunks.get_mut(index) else {
            chunks.push(Arc::new(vec![(key, value)]));
            self.len += 1;
            return None;
        };
        let chunk = Arc::make_mut(shared);
        match chunk.binary_search_by(|(k, _)| k.cmp(&key)) {
            Ok(at) => {
                let entry = chunk.get_mut(at)?;
                return Some(std::mem::replace(&mut entry.1, value));
            }
            Err(at) if chunk.len() < CHUNK_MAX => chunk.insert(at, (key, value)),
            // keys in ascending order fill their chunks
            Err(at) if last && at == chunk.len() => chunks.push(Arc::new(vec![(key, value)])),
            Err(at) => {
                let mut upper = chunk.split_off(CHUNK_MAX / 2);
                if at <= CHUNK_MAX / 2 {
                    chunk.insert(at, (key, value));
                } else {
                    upper.insert(at - CHUNK_MAX / 2, (key, value));
                }
                chunks.insert(index + 1, Arc::new(upper));
            }
        }
        self.len += 1;
        None
    }

    /// Removes `key`; answers what was there.
    pub(crate) fn remove(&mut self, key: &[u8]) -> Option<V> {
        let index = self.chunk_of(key);
        let at = self.chunks.get(index)?.binary_search_by(|(k, _)| k.as_ref().cmp(key)).ok()?;
        let chunks = Arc::make_mut(&mut self.chunks);
        let chunk = Arc::make_mut(chunks.get_mut(index)?);
        let (_, value) = chunk.remove(at);
        let left = chunk.len();
        self.len -= 1;
        if left == 0 {
            chunks.remove(index);
        } else if left < CHUNK_MIN && chunks.get(index + 1).is_some_and(|next| next.len() + left <= CHUNK_MAX / 2) {
            let next = chunks.remove(index + 1);
            if let Some(chunk) = chunks.get_mut(index) {
                Arc::make_mut(chunk).extend(next.iter().cloned());
            }
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests;
