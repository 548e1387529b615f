//! In which order a strategically merged list stands; from [`super::strategic`]; to it; pure.

use serde_json::Value;

/// What tells an item apart: the value of the merge key, or the item itself for scalars.
pub(super) fn identity<'a>(item: &'a Value, key: Option<&str>) -> Option<&'a Value> {
    match key {
        Some(key) => item.get(key),
        None => Some(item),
    }
}

fn position(list: &[Value], item: &Value, key: Option<&str>) -> Option<usize> {
    let wanted = identity(item, key)?;
    list.iter().position(|i| identity(i, key) == Some(wanted))
}

/// Orders `merged`: items named in `order` as they stand there, the others as they stood in `before`; the second are inserted among the
/// first where `before` had them.
pub(super) fn arrange(merged: Vec<Value>, order: &[Value], before: &[Value], key: Option<&str>) -> Vec<Value> {
    let (mut named, mut others): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|item| position(order, item, key).is_some());
    named.sort_by_key(|item| position(order, item, key));
    others.sort_by_key(|item| position(before, item, key).unwrap_or(usize::MAX));
    let mut result = Vec::with_capacity(named.len() + others.len());
    let mut named = named.into_iter().peekable();
    for other in others {
        // Named items come first unless the old list had `other` before them.
        while let Some(next) = named.peek() {
            let before_next = match (position(before, &other, key), position(before, next, key)) {
                (Some(other), Some(next)) => other < next,
                _ => false,
            };
            if before_next {
                break;
            }
            result.extend(named.next());
        }
        result.push(other);
    }
    result.extend(named);
    result
}
