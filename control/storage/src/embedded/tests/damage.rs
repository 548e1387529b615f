//! A damaged file is refused wherever the damage is, unless it could be the trace of a crash.

use super::*;

async fn filled(options: Options) -> FaultyDisk {
    let disk = FaultyDisk::new(5);
    let store = open_on(&disk, options).unwrap();
    for number in 0..40 {
        store.txn(Txn::put(format!("/{}", number % 10), format!("value {number}"))).await.unwrap();
    }
    drop(store);
    disk
}

/// Damages each byte in turn.
async fn damage_everywhere(options: Options, ending: &str) {
    let disk = filled(options).await;
    let (path, size) = disk.files().into_iter().find(|(path, _)| path.to_str().unwrap().ends_with(ending)).unwrap();
    let whole = content(&open_on(&disk, options).unwrap()).await;
    for offset in 0..size {
        disk.damage(&path, offset);
        match open_on(&disk, options) {
            Err(StoreError::Damaged { file, offset: told, .. }) => {
                assert_eq!(file, path);
                assert!(told <= offset as u64, "byte {offset} is damaged, byte {told} is told");
            }
            Err(error) => panic!("byte {offset}: {error}"),
            // the end of the log: the last write looks like one that was never acknowledged
            Ok(store) => {
                assert!(ending == ".log" && offset + 60 > size, "damage of byte {offset} of {size} is not seen");
                let now = content(&store).await;
                assert_ne!(now, whole);
                return;
            }
        }
        disk.damage(&path, offset);
    }
    assert_ne!(ending, ".log");
}

#[tokio::test]
async fn a_damaged_log_is_refused() {
    damage_everywhere(Options::default(), ".log").await;
}

#[tokio::test]
async fn a_damaged_snapshot_is_refused() {
    damage_everywhere(Options { min_log_bytes: 100, ..Options::default() }, ".snapshot").await;
}

#[tokio::test]
async fn a_missing_segment_is_refused() {
    let options = Options { min_log_bytes: 100, ..Options::default() };
    let disk = filled(options).await;
    let (path, _) = disk.files().into_iter().find(|(path, _)| path.to_str().unwrap().ends_with(".log")).unwrap();
    let later = path.with_file_name(log::log_name(0xffff));
    disk.rename(&path, &later).unwrap();
    let error = open_on(&disk, options).unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
}

#[tokio::test]
async fn values_that_look_like_frames_are_no_frames() {
    let disk = filled(Options::default()).await;
    let (path, size) = disk.files().into_iter().find(|(path, _)| path.to_str().unwrap().ends_with(".log")).unwrap();
    let mut log = vec![0; size];
    assert_eq!(disk.open(&path).unwrap().read_at(&mut log, 0).unwrap(), size);
    let other = FaultyDisk::new(6);
    let store = open_on(&other, Options::default()).unwrap();
    store.txn(Txn::put("/log", log.clone())).await.unwrap();
    store.txn(Txn::put("/log", log)).await.unwrap();
    drop(store);
    let (path, size) = other.files().remove(0);
    // break the last write after its header: what looks like later frames lies inside of it
    other.damage(&path, size / 2 + 200);
    let store = open_on(&other, Options::default()).unwrap();
    assert_eq!(store.revision().await.unwrap(), 2);
}
