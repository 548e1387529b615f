//! Keeps container logs from filling the disk: a log that grew too large is put aside, and the oldest of those go; from the
//! pods' log directories; to the runtime, which opens a new file. Performs IO.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::cri::observed::Phase;
use crate::kubelet::Kubelet;

/// Size at which a log is put aside (upstream's containerLogMaxSize).
const LIMIT_BYTES: u64 = 10 << 20;
/// Files per container, the current one included (upstream's containerLogMaxFiles).
const FILES: usize = 5;
/// Time between looks.
const PERIOD: Duration = Duration::from_secs(10);

/// Looks at the logs of running containers until stopped.
pub async fn run(kubelet: Arc<Kubelet>, stop: CancellationToken) {
    loop {
        let views: Vec<_> = kubelet.pods.read().values().map(|view| Arc::clone(&view.state)).collect();
        let containers = views.iter().flat_map(|state| &state.containers);
        for container in containers.filter(|container| container.phase == Phase::Running) {
            let path = PathBuf::from(&container.log_path);
            let large = std::fs::metadata(&path).is_ok_and(|metadata| metadata.len() > LIMIT_BYTES);
            if !large {
                continue;
            }
            if let Err(error) = put_aside(&path, jiff::Timestamp::now()) {
                tracing::warn!(path = %path.display(), %error, "rotate log");
                continue;
            }
            if let Err(error) = kubelet.runtime.reopen_log(&container.id).await {
                tracing::warn!(path = %path.display(), %error, "reopen log");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}

/// Renames the log, and removes the oldest of the files put aside before.
fn put_aside(path: &Path, now: jiff::Timestamp) -> std::io::Result<()> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    let prefix = format!("{}.", name.to_string_lossy());
    let mut old: Vec<PathBuf> = std::fs::read_dir(directory)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix)))
        .collect();
    old.sort();
    // Besides the current file and the one about to be made.
    let surplus = (old.len() + 2).saturating_sub(FILES);
    for path in old.iter().take(surplus) {
        std::fs::remove_file(path)?;
    }
    std::fs::rename(path, directory.join(format!("{prefix}{}", now.strftime("%Y%m%d-%H%M%S%6f"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_a_number_of_files() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.log");
        for second in 0..8 {
            std::fs::write(&path, second.to_string()).unwrap();
            put_aside(&path, jiff::Timestamp::from_second(second).unwrap()).unwrap();
        }
        let mut texts: Vec<_> = std::fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
            .collect();
        texts.sort();
        assert_eq!(texts, ["4", "5", "6", "7"]);
    }
}
