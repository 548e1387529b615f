//! Snapshot, restore and verify; from operator commands; to files outside of the store. The format is that of snapshots.

use std::path::Path;
use std::sync::Arc;

use tokio::time::Instant;

use super::disk::{Disk as _, RealDisk};
use super::log::snapshot_name;
use super::snapshot::{self, Content};
use super::{Embedded, Report};
use crate::store::{Status, StoreError};

impl Embedded {
    /// Writes the store's content to `file` while it goes on serving; answers what the file holds.
    ///
    /// # Errors
    /// `Io`, `Full`, `Unavailable`.
    pub async fn snapshot(self: &Arc<Self>, file: &Path) -> Result<Status, StoreError> {
        let (content, live_bytes, waiter) = {
            let mut core = self.shared.core.lock();
            core.check_running()?;
            (Content::of(&core.state), core.state.live_bytes, core.wait_for_state())
        };
        Self::durable(waiter).await?;
        let (store, file) = (Arc::clone(self), file.to_owned());
        let write = tokio::task::spawn_blocking(move || {
            let disk = store.shared.disk.as_ref();
            let part = file.with_extension("part");
            let disk_bytes = snapshot::write(disk, &part, 1, &content)?;
            publish(disk, &part, &file)?;
            let keys = content.map.len() as u64;
            let &Content { revision, compacted, .. } = &content;
            Ok(Status { revision, compacted, disk_bytes, live_bytes, keys })
        });
        write.await.map_err(|error| StoreError::Unavailable { reason: error.to_string() })?
    }

    /// Makes a store in `directory`, which must be empty or missing, from a snapshot file.
    ///
    /// # Errors
    /// `Damaged` for the file, `Invalid` when the directory holds a store, `Io`.
    pub fn restore(file: &Path, directory: &Path) -> Result<Report, StoreError> {
        let disk = RealDisk;
        let (state, _) = snapshot::read(&disk, file, Instant::now())?;
        let io = |operation| {
            move |source: std::io::Error| StoreError::Io {
                operation,
                path: directory.to_owned(),
                source: source.into(),
            }
        };
        disk.create_directory(directory).map_err(io("create the directory"))?;
        let _lock = disk
            .lock(directory)
            .map_err(io("lock the directory"))?
            .ok_or_else(|| StoreError::Locked { directory: directory.to_owned() })?;
        if disk.list(directory).map_err(io("list"))?.iter().any(|name| name != "lock") {
            let reason = format!("{} is not empty: restore into a new directory", directory.display());
            return Err(StoreError::Invalid { reason });
        }
        let path = directory.join(snapshot_name(1));
        let part = path.with_extension("part");
        snapshot::write(&disk, &part, 1, &Content::of(&state))?;
        publish(&disk, &part, &path)?;
        Ok(Report {
            revision: state.revision,
            keys: state.map.len() as u64,
            live_bytes: state.live_bytes,
            torn_bytes: 0,
        })
    }

    /// Reads all files of a store that no process has open, and checks them; changes nothing.
    ///
    /// # Errors
    /// `Damaged` with the first damage found, `Locked`, `Io`.
    pub fn verify(directory: &Path) -> Result<Report, StoreError> {
        let disk = RealDisk;
        let io = |source: std::io::Error| StoreError::Io {
            operation: "lock the directory",
            path: directory.to_owned(),
            source: source.into(),
        };
        let _lock =
            disk.lock(directory).map_err(io)?.ok_or_else(|| StoreError::Locked { directory: directory.to_owned() })?;
        let found = super::recover::recover(&disk, directory, Instant::now(), 0)?;
        Ok(Report {
            revision: found.state.revision,
            keys: found.state.map.len() as u64,
            live_bytes: found.state.live_bytes,
            torn_bytes: found.tail.map_or(0, |tail| tail.torn_bytes),
        })
    }
}

/// Gives a finished file its name, durably.
fn publish(disk: &dyn super::disk::Disk, part: &Path, file: &Path) -> Result<(), StoreError> {
    let io = |operation| {
        move |source: std::io::Error| StoreError::Io { operation, path: file.to_owned(), source: source.into() }
    };
    disk.rename(part, file).map_err(io("rename"))?;
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    disk.sync_directory(directory).map_err(io("sync the directory of"))
}
