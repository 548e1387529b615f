use super::*;
use crate::sorted_map::SortedMap;

fn change(revision: Revision, key: &str, previous: Option<u32>, current: Option<u32>) -> Arc<Change<u32>> {
    Arc::new(Change::new(revision, Bytes::copy_from_slice(key.as_bytes()), previous, current, 10))
}

fn at(map: &SortedMap<u32>, history: &History<u32>, revision: Revision) -> Vec<(String, u32)> {
    let all = KeyRange::all();
    overlay(map.range(&all), history.undo(revision, &all))
        .map(|(key, value)| (String::from_utf8_lossy(&key).into_owned(), value))
        .collect()
}

#[test]
fn tells_every_state_since_its_floor() {
    let mut history = History::new(1);
    let mut map = SortedMap::default();
    map.insert("b".into(), 20);
    history.push(change(2, "b", None, Some(20)));
    map.insert("a".into(), 10);
    history.push(change(3, "a", None, Some(10)));
    map.insert("b".into(), 21);
    history.push(change(4, "b", Some(20), Some(21)));
    map.remove(b"a");
    history.push(change(5, "a", Some(10), None));

    assert_eq!(at(&map, &history, 1), []);
    assert_eq!(at(&map, &history, 2), [("b".into(), 20)]);
    assert_eq!(at(&map, &history, 3), [("a".into(), 10), ("b".into(), 20)]);
    assert_eq!(at(&map, &history, 4), [("a".into(), 10), ("b".into(), 21)]);
    assert_eq!(at(&map, &history, 5), [("b".into(), 21)]);

    assert_eq!(history.after(3).map(|c| c.revision).collect::<Vec<_>>(), [4, 5]);
    history.forget(3);
    assert_eq!((history.floor(), history.oldest(), history.weight(), history.len()), (3, Some(4), 20, 2));
    assert_eq!(history.pop_after(4).map(|c| c.revision), Some(5));
    assert!(history.pop_after(4).is_none());
}
