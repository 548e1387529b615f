//! Map types ↔ bytes. For `typed_maps`.

#![expect(unsafe_code, reason = "map types are plain bytes by `Pod`")]

use std::borrow::Borrow;

use aya::Pod;

/// The bytes of a value.
pub(super) fn of<T: Pod>(value: &T) -> &[u8] {
    // SAFETY: `Pod` types are `repr(C)` without padding, see `map_type!`; the slice lives as long as the value.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) }
}

/// A value from its bytes; `None` when there are too few.
pub(super) fn read<T: Pod>(bytes: &[u8]) -> Option<T> {
    let bytes = bytes.get(..size_of::<T>())?;
    // SAFETY: enough bytes, any of which make a valid `Pod`; the read does not assume alignment.
    Some(unsafe { std::ptr::read_unaligned(bytes.as_ptr().cast()) })
}

/// The bytes of many values, one after the other.
pub(super) fn concat<T: Pod>(values: impl ExactSizeIterator<Item: Borrow<T>>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len().saturating_mul(size_of::<T>()));
    values.for_each(|value| bytes.extend_from_slice(of(value.borrow())));
    bytes
}

/// Room for `count` values.
pub(super) fn zeroed(count: u32, size: usize) -> Vec<u8> {
    vec![0; size.saturating_mul(usize::try_from(count).unwrap_or(0))]
}
