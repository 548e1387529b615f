//! The power is cut at every kind of moment, again and again on the same disk.

use super::*;

/// What a writer may find after a cut: what was acknowledged, or what it tried then.
#[derive(Clone, Debug, Default)]
struct Written {
    acknowledged: Option<(Revision, String)>,
    tried: Option<String>,
}

async fn rounds(seed: u64, rounds: u64) {
    let options = Options { min_log_bytes: 2000, history_bytes: 20_000, ..Options::default() };
    let mut disk = FaultyDisk::new(seed);
    let mut random = seed;
    let mut written = BTreeMap::<String, Written>::new();
    let mut newest = 1;
    for round in 0..rounds {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        disk.cut_power_after(random >> 33 & 0x3f);
        let store = open_on(&disk, options).ok();
        if let Some(store) = store {
            let mut seen = store.watch(KeyRange::all(), 0).await.unwrap();
            let mut watched = Vec::new();
            for batch in 0..40 {
                let puts = (0..4).map(|writer| {
                    let key = format!("/{writer}/{}", (round + batch) % 5);
                    let value = format!("{round}.{batch}.{}", "x".repeat(usize::try_from(writer * 400).unwrap()));
                    let put = store.txn(Txn::put(key.clone(), value.clone()));
                    async move { (key, value, put.await) }
                });
                let answers = futures::future::join_all(puts).await;
                let cut = answers.iter().any(|(_, _, answer)| answer.is_err());
                for (key, value, answer) in answers {
                    let entry = written.entry(key).or_default();
                    match answer {
                        Ok(answer) => {
                            *entry = Written { acknowledged: Some((answer.revision, value)), tried: None };
                            newest = newest.max(answer.revision);
                        }
                        Err(_) => entry.tried = Some(value),
                    }
                }
                while let Some(Some(Ok(WatchItem::Events(events)))) = seen.items.next().now_or_never() {
                    watched.extend(events.iter().map(|event| (event.revision(), event.key().clone())));
                }
                if cut {
                    break;
                }
            }
            if let Some((revision, _)) = watched.last() {
                newest = newest.max(*revision);
            }
            assert!(watched.windows(2).all(|pair| pair[0].0 + 1 == pair[1].0), "gap in {watched:?}");
        }
        disk = disk.after_power_cut();
        let store = open_on(&disk, options).unwrap_or_else(|error| panic!("seed {seed} round {round}: {error}"));
        let revision = store.revision().await.unwrap();
        assert!(revision >= newest, "seed {seed} round {round}: revision {revision} after {newest}");
        newest = revision;
        let now = content(&store).await;
        for (key, entry) in &mut written {
            let value = now.get(key.as_bytes()).map(|value| String::from_utf8(value.to_vec()).unwrap());
            let acknowledged = entry.acknowledged.as_ref().map(|(_, value)| value.clone());
            assert!(
                value == acknowledged || (value.is_some() && value == entry.tried),
                "seed {seed} round {round}: {key} has {value:?}, written {entry:?}"
            );
            *entry = Written { acknowledged: value.map(|value| (revision, value)), tried: None };
        }
    }
}

#[tokio::test]
async fn acknowledged_writes_survive_power_cuts() {
    let seeds = if std::env::var_os("SKEP_TEST_LONG").is_some() { 400 } else { 20 };
    for seed in 0..seeds {
        rounds(seed, 12).await;
    }
}
