//! The built-in engine: one directory, group commit, everything in memory; from the `Store` trait; to log and snapshots.
//!
//! ```text
//! txn ─► state (memory) ─► batch ─► committer: log, one sync for all ─► answers, watches
//!                                      └─ log larger than the live data ─► snapshot beside it, older log removed
//! open ─► recover: newest snapshot + log ─► state
//! ```
//!
//! Files: `lock`; `<n>.log`, segments of the log; `<n>.snapshot`, the state before segment n. Memory holds live keys and
//! values and a bounded history of what was superseded; a watch or read of an older revision answers `Compacted`.

use std::any::Any;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;
use tokio::time::Instant;

use self::commit::Shared;
use self::core::Core;
use self::disk::{Disk, RealDisk};
use self::log::Log;
use crate::store::{Op, RangeRequest, RangeResponse, Revision, StoreError, Txn, TxnResponse};

pub mod disk;
mod frame;
mod record;

mod state;

mod log;
mod snapshot;

mod commit;
mod core;
mod recover;
mod serve;

mod backup;
#[cfg(any(test, feature = "testing"))]
pub mod faulty_disk;

/// A batch takes no more transactions when it has this size; it also bounds the memory of waiting writes.
const BATCH_BYTES: usize = 32 << 20;
/// A range answer with more items than this is put together on a thread that may block.
const LARGE_RANGE: u64 = 10_000;

/// Limits of the engine.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Superseded values are kept for watches and reads of the past up to so many bytes of memory.
    pub history_bytes: usize,
    /// The log grows to this size before it is compacted, however small the live data is.
    pub min_log_bytes: u64,
    /// Keys and values of one transaction may have so many bytes together (etcd: 1.5 MiB).
    pub max_request_bytes: usize,
    /// Puts are refused while the live keys and values have more bytes than this.
    pub quota_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { history_bytes: 64 << 20, min_log_bytes: 8 << 20, max_request_bytes: 3 << 19, quota_bytes: 8 << 30 }
    }
}

/// What [`Embedded::verify`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Newest revision.
    pub revision: Revision,
    /// Number of keys.
    pub keys: u64,
    /// Bytes of keys and values.
    pub live_bytes: u64,
    /// Bytes at the end of the log which a crash left and which were never acknowledged.
    pub torn_bytes: u64,
}

/// The embedded store. The last drop waits for running writes and frees the directory.
#[derive(Debug)]
pub struct Embedded {
    shared: Arc<Shared>,
    committer: Option<JoinHandle<()>>,
    /// Frees the directory when dropped, after the committer has ended.
    _lock: Box<dyn Any + Send + Sync>,
}

impl Embedded {
    /// Opens the store in `directory`, or makes one there. Blocks while it reads the files.
    ///
    /// # Errors
    /// `Locked` when another process has it, `Damaged` when a file is, `Io`.
    pub fn open(directory: &Path, options: Options) -> Result<Arc<Self>, StoreError> {
        Self::open_on(Arc::new(RealDisk), directory, options)
    }

    /// The same on a given disk.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub fn open_on(disk: Arc<dyn Disk>, directory: &Path, options: Options) -> Result<Arc<Self>, StoreError> {
        let io = |operation, path: &Path| {
            let path = path.to_owned();
            move |source: std::io::Error| StoreError::Io { operation, path, source: source.into() }
        };
        disk.create_directory(directory).map_err(io("create the directory", directory))?;
        let lock = disk
            .lock(directory)
            .map_err(io("lock the directory", directory))?
            .ok_or_else(|| StoreError::Locked { directory: directory.to_owned() })?;
        let found = recover::recover(disk.as_ref(), directory, Instant::now(), options.history_bytes)?;
        for path in found.stale {
            disk.remove(&path).map_err(io("remove", &path))?;
        }
        let log = match found.tail {
            Some(mut tail) => {
                if tail.torn_bytes > 0 {
                    tail.file.set_len(tail.offset).map_err(io("truncate", &tail.path))?;
                }
                // what was read may not be durable: the process that wrote it may have died before its sync
                tail.file.sync().map_err(io("sync", &tail.path))?;
                disk.sync_directory(directory).map_err(io("sync", directory))?;
                Log::resume(&disk, tail.path, tail.file, (found.segment, tail.offset, tail.number, tail.salt))
            }
            None => Log::create(&disk, directory, found.segment + 1, found.state.revision, found.state.compacted)?,
        };
        let mut core = Core::new(found.state);
        core.snapshot_bytes = found.snapshot_bytes;
        core.sealed_bytes = found.sealed_bytes;
        core.log_bytes = log.bytes();
        let shared = Arc::new(Shared {
            disk,
            directory: directory.to_owned(),
            options,
            core: Mutex::new(core),
            work: Condvar::new(),
            snapshot_done: Condvar::new(),
        });
        let committer = {
            let shared = Arc::clone(&shared);
            thread::Builder::new()
                .name("store-commit".to_owned())
                .spawn(move || commit::run(&shared, log))
                .map_err(io("start a thread for", directory))?
        };
        Ok(Arc::new(Self { shared, committer: Some(committer), _lock: lock }))
    }

    /// The store's directory.
    pub fn directory(&self) -> &Path {
        &self.shared.directory
    }

    /// Waits for a batch, or for nothing.
    async fn durable(waiter: Option<oneshot::Receiver<Result<(), StoreError>>>) -> Result<(), StoreError> {
        match waiter {
            None => Ok(()),
            Some(waiter) => waiter.await.unwrap_or_else(|_closed| Err(closed())),
        }
    }

    async fn read(&self, request: RangeRequest) -> Result<RangeResponse, StoreError> {
        let (view, waiter) = {
            let mut core = self.shared.core.lock();
            core.check_running()?;
            (core.state.view(&request)?, core.wait_for_state())
        };
        Self::durable(waiter).await?;
        if request.count_only || request.limit != 0 || view.count(&request.range) <= LARGE_RANGE {
            return Ok(view.read(&request));
        }
        let read = tokio::task::spawn_blocking(move || view.read(&request));
        read.await.map_err(|error| StoreError::Unavailable { reason: error.to_string() })
    }

    async fn write(&self, txn: Txn) -> Result<TxnResponse, StoreError> {
        let bytes = request_bytes(&txn);
        let limit = self.shared.options.max_request_bytes;
        if bytes > limit {
            return Err(StoreError::TooLarge { bytes, limit });
        }
        self.wait_for_room().await?;
        let (response, waiter) = {
            let mut core = self.shared.core.lock();
            core.check_running()?;
            if bytes > 0 && core.state.live_bytes + bytes as u64 > self.shared.options.quota_bytes {
                let quota = self.shared.options.quota_bytes;
                let reason = format!("{} bytes of keys and values, the quota is {quota}", core.state.live_bytes);
                return Err(StoreError::Full { reason });
            }
            let (state, log) = core.log();
            let response = state.txn(txn, log);
            let logged = core.logged();
            let response = response?;
            (response, if logged { Some(core.wait_for_next()) } else { core.wait_for_state() })
        };
        self.shared.work.notify_one();
        Self::durable(waiter).await?;
        Ok(response)
    }

    /// Waits while the batch that is being filled is large enough.
    async fn wait_for_room(&self) -> Result<(), StoreError> {
        loop {
            let waiter = {
                let mut core = self.shared.core.lock();
                if core.next.bytes.len() < BATCH_BYTES {
                    return Ok(());
                }
                core.wait_for_next()
            };
            Self::durable(Some(waiter)).await?;
        }
    }

    /// Appends to the log what `change` does; waits until it is durable.
    async fn record<T>(&self, change: impl FnOnce(&mut Core) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let (answer, waiter) = {
            let mut core = self.shared.core.lock();
            core.check_running()?;
            let answer = change(&mut core)?;
            let logged = core.logged();
            (answer, logged.then(|| core.wait_for_next()))
        };
        self.shared.work.notify_one();
        Self::durable(waiter).await?;
        Ok(answer)
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable { reason: "the store is closed".to_owned() }
}

/// Bytes that a transaction may write.
fn request_bytes(txn: &Txn) -> usize {
    let size = |op: &Op| match op {
        Op::Put { key, value, .. } => key.len() + value.len(),
        Op::Delete { .. } | Op::Range(_) => 0,
    };
    let sum = |ops: &[Op]| ops.iter().map(size).sum::<usize>();
    sum(&txn.success).max(sum(&txn.failure))
}

impl Drop for Embedded {
    fn drop(&mut self) {
        let wakers = {
            let mut core = self.shared.core.lock();
            core.stop = true;
            core.wake_all()
        };
        wakers.into_iter().for_each(std::task::Waker::wake);
        self.shared.work.notify_all();
        if let Some(committer) = self.committer.take()
            && committer.join().is_err()
        {
            tracing::error!("the committer of the store panicked");
        }
        let mut core = self.shared.core.lock();
        while core.snapshot_running {
            self.shared.snapshot_done.wait(&mut core);
        }
    }
}

#[cfg(test)]
mod tests;
