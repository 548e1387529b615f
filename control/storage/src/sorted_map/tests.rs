use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn behaves_like_a_btree_map_and_keeps_snapshots(
        steps in proptest::collection::vec((any::<bool>(), 0u16..900, any::<u32>()), 1..2500),
        (from, to) in (0u16..1000, 0u16..1000),
    ) {
        let mut map = SortedMap::default();
        let mut model = BTreeMap::new();
        let mut old = None;
        for (step, (put, key, value)) in steps.iter().enumerate() {
            let key = Bytes::from(format!("{key:04}"));
            if *put || step % 7 != 0 {
                prop_assert_eq!(map.insert(key.clone(), *value), model.insert(key, *value));
            } else {
                prop_assert_eq!(map.remove(&key), model.remove(&key));
            }
            if step == steps.len() / 2 {
                old = Some((map.clone(), model.clone()));
            }
        }
        let range = KeyRange::between(format!("{from:04}"), format!("{to:04}"));
        for (map, model) in old.iter().map(|(a, b)| (a, b)).chain([(&map, &model)]) {
            let want: Vec<_> = model.iter().filter(|(key, _)| range.contains(key)).collect();
            prop_assert_eq!(map.range(&range).collect::<Vec<_>>(), want.clone());
            prop_assert_eq!(map.count(&range), want.len());
            prop_assert_eq!(map.len(), model.len());
            prop_assert_eq!(map.range(&KeyRange::all()).count(), model.len());
            for (key, value) in model {
                prop_assert_eq!(map.get(key), Some(value));
            }
        }
    }
}
