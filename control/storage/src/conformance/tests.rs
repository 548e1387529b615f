use super::*;
use crate::embedded::{Embedded, Options};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_engine_conforms() {
    for case in CASES {
        eprintln!("{}", case.name);
        let directory = tempfile::tempdir().unwrap();
        let options = Options { history_bytes: 1 << 30, ..Options::default() };
        case.run(Embedded::open(directory.path(), options).unwrap()).await;
    }
}

/// A log that is compacted all the time must not be noticed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_engine_conforms_while_it_takes_snapshots() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { min_log_bytes: 1, ..Options::default() };
    let store = Embedded::open(directory.path(), options).unwrap();
    for case in CASES {
        case.run(Arc::clone(&store) as Arc<dyn Store>).await;
    }
    assert!(
        std::fs::read_dir(directory.path())
            .unwrap()
            .any(|file| { file.unwrap().file_name().to_str().unwrap().ends_with(".snapshot") })
    );
}
