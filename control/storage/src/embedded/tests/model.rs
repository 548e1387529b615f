//! The engine against a model that keeps every state.

use proptest::prelude::*;

use super::*;
use crate::store::Compare;

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u16),
    /// Put, if the key is as it was at this share of all revisions.
    Update(u8, u8),
    Delete(u8),
    DeleteRange(u8, u8),
    Both(u8, u8),
    Read(u8, u8, u8),
    Watch(u8),
    Compact(u8),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0u8..12;
    let step = prop_oneof![
        6 => (key.clone(), any::<u16>()).prop_map(|(key, size)| Step::Put(key, size % 600)),
        3 => (key.clone(), any::<u8>()).prop_map(|(key, at)| Step::Update(key, at)),
        2 => key.clone().prop_map(Step::Delete),
        1 => (key.clone(), key.clone()).prop_map(|(from, to)| Step::DeleteRange(from, to)),
        1 => (key.clone(), key.clone()).prop_map(|(a, b)| Step::Both(a, b)),
        4 => (any::<u8>(), key, 0u8..6).prop_map(|(at, from, limit)| Step::Read(at, from, limit)),
        2 => any::<u8>().prop_map(Step::Watch),
        1 => any::<u8>().prop_map(Step::Compact),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..120)
}

/// Key → (value, revision of creation, revision of the last put, version).
type Items = BTreeMap<Bytes, (Bytes, Revision, Revision, u64)>;

struct Model {
    /// `states[r - 1]` is the state at revision r.
    states: Vec<Items>,
    compacted: Revision,
}

impl Model {
    fn revision(&self) -> Revision {
        self.states.len() as Revision
    }

    fn at(&self, revision: Revision) -> &Items {
        &self.states[usize::try_from(revision).unwrap() - 1]
    }

    /// A revision between the first and the newest one.
    fn share(&self, part: u8) -> Revision {
        1 + (self.revision() - 1) * u64::from(part) / 255
    }

    fn write(&mut self, puts: &[(Bytes, Bytes)], deletes: &KeyRange) {
        let revision = self.revision() + 1;
        let mut next = self.at(revision - 1).clone();
        next.retain(|key, _| !deletes.contains(key));
        let changed = next.len() != self.at(revision - 1).len();
        for (key, value) in puts {
            let (created, version) = next.get(key).map_or((revision, 0), |old| (old.1, old.3));
            next.insert(key.clone(), (value.clone(), created, revision, version + 1));
        }
        if changed || !puts.is_empty() {
            self.states.push(next);
        }
    }

    /// (key, revision, whether it is a put) of every change from `from` on.
    fn events(&self, from: Revision) -> Vec<(Revision, Bytes, bool)> {
        let mut events = Vec::new();
        for revision in from.max(2)..=self.revision() {
            let (old, new) = (self.at(revision - 1), self.at(revision));
            let mut changes: Vec<_> = new
                .iter()
                .filter(|(_, item)| item.2 == revision)
                .map(|(key, _)| (revision, key.clone(), true))
                .chain(old.keys().filter(|key| !new.contains_key(*key)).map(|key| (revision, key.clone(), false)))
                .collect();
            changes.sort();
            events.extend(changes);
        }
        events
    }
}

fn key(number: u8) -> Bytes {
    Bytes::from(format!("/k/{number:02}"))
}

fn nothing() -> KeyRange {
    KeyRange::between("b", "a")
}

async fn check(steps: Vec<Step>) {
    let options = Options { min_log_bytes: 3000, ..Options::default() };
    let disk = FaultyDisk::new(7);
    let mut store = open_on(&disk, options).unwrap();
    let mut model = Model { states: vec![Items::new()], compacted: 0 };
    for step in steps {
        match step.clone() {
            Step::Put(number, size) => {
                let value = Bytes::from(vec![b'x'; usize::from(size)]);
                let answer = store.txn(Txn::put(key(number), value.clone())).await.unwrap();
                model.write(&[(key(number), value)], &nothing());
                assert_eq!(answer.revision, model.revision());
            }
            Step::Update(number, at) => {
                let seen = model.at(model.share(at)).get(&key(number)).map_or(0, |item| item.2);
                let now = model.at(model.revision()).get(&key(number)).map_or(0, |item| item.2);
                let answer = store.txn(Txn::update(key(number), seen, "updated", LeaseId::NONE)).await.unwrap();
                assert_eq!(answer.succeeded, seen == now, "{step:?}");
                if seen == now {
                    model.write(&[(key(number), "updated".into())], &nothing());
                } else {
                    assert_eq!(answer.current().map_or(0, |item| item.mod_revision), now);
                }
            }
            Step::Delete(number) => {
                let now = model.at(model.revision()).get(&key(number)).map_or(0, |item| item.2);
                store.txn(Txn::delete(key(number), now)).await.unwrap();
                model.write(&[], &KeyRange::single(key(number)));
            }
            Step::DeleteRange(from, to) => {
                let range = KeyRange::between(key(from), key(to));
                let before = model.at(model.revision()).len();
                let delete = Op::Delete { range: range.clone() };
                let answer = store.txn(Txn { success: vec![delete], ..Txn::default() }).await.unwrap();
                model.write(&[], &range);
                let deleted = (before - model.at(model.revision()).len()) as u64;
                assert_eq!(answer.responses, [crate::store::OpResponse::Delete { deleted }]);
            }
            Step::Both(put, delete) => {
                let steps = vec![
                    Op::Put { key: key(put), value: "both".into(), lease: LeaseId::NONE },
                    Op::Delete { range: KeyRange::single(key(delete)) },
                ];
                let compares = vec![Compare::Exists { key: key(put) }];
                let exists = model.at(model.revision()).contains_key(&key(put));
                let answer = store.txn(Txn { compares, success: steps, failure: vec![] }).await;
                if put == delete && exists {
                    assert!(matches!(answer, Err(StoreError::Invalid { .. })));
                } else {
                    assert_eq!(answer.unwrap().succeeded, exists);
                    if exists {
                        model.write(&[(key(put), "both".into())], &KeyRange::single(key(delete)));
                    }
                }
            }
            Step::Read(at, from, limit) => {
                let at = model.share(at);
                let range = KeyRange::prefix("/k/").starting_at(key(from));
                let answer = store.range(RangeRequest::new(range.clone()).at(at).limit(limit.into())).await;
                let Ok(answer) = answer else {
                    assert!(matches!(answer, Err(StoreError::Compacted { compacted }) if compacted > at), "{answer:?}");
                    continue;
                };
                assert!(at >= model.compacted, "a compacted revision was read");
                let want: Vec<_> = model.at(at).iter().filter(|(key, _)| range.contains(key)).collect();
                assert_eq!(answer.count, want.len() as u64);
                let cut = if limit == 0 { want.len() } else { want.len().min(limit.into()) };
                assert_eq!((answer.items.len(), answer.more), (cut, cut < want.len()));
                for (item, (key, (value, created, modified, version))) in answer.items.iter().zip(want) {
                    assert_eq!((&item.key, &item.value), (key, value));
                    assert_eq!(
                        (item.create_revision, item.mod_revision, item.version),
                        (*created, *modified, *version)
                    );
                }
            }
            Step::Watch(from) => {
                let from = model.share(from);
                let Ok(events) = events(&store, from).await else { continue };
                assert!(from >= model.compacted);
                let mut seen: Vec<_> = events
                    .iter()
                    .map(|event| (event.revision(), event.key().clone(), matches!(event, Event::Put(_))))
                    .collect();
                assert!(seen.is_sorted_by_key(|event| event.0));
                seen.sort();
                assert_eq!(seen, model.events(from));
            }
            Step::Compact(at) => {
                let at = model.share(at);
                let done = store.compact(at).await.is_ok();
                assert_eq!(done, at > model.compacted);
                model.compacted = model.compacted.max(at);
            }
            Step::Reopen => {
                drop(store);
                store = open_on(&disk, options).unwrap();
            }
        }
        assert_eq!(store.revision().await.unwrap(), model.revision(), "{step:?}");
    }
    let now: BTreeMap<Bytes, Bytes> =
        model.at(model.revision()).iter().map(|(key, item)| (key.clone(), item.0.clone())).collect();
    assert_eq!(content(&store).await, now);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn behaves_like_the_model(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(steps));
    }
}
