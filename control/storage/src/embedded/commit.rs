//! The committer: one thread that makes batches durable; from transactions; to the log, then to answers and watches.
//!
//! While it waits for the disk the next batch fills: one sync serves everybody who came in the meantime. It also ends
//! leases, and starts a snapshot in a thread of its own when the log has become large.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::Options;
use super::core::{Batch, Core};
use super::disk::Disk;
use super::log::{AppendError, Log, snapshot_name};
use super::snapshot::{self, Content};
use crate::store::StoreError;

/// A batch buffer larger than this is given back to the allocator.
const KEEP_BUFFER_BYTES: usize = 256 << 10;

/// Above this rate of writes …
const BUSY_PER_SECOND: f64 = 2000.0;
/// … a batch is given this long to fill: a sync costs processor time that the writers need.
const FILL_TIME: Duration = Duration::from_millis(1);
/// How often the rate is looked at.
const RATE_PERIOD: Duration = Duration::from_millis(20);

/// How many writes come at present.
struct Rate {
    since: Instant,
    served: u32,
    is_busy: bool,
}

impl Rate {
    fn new() -> Self {
        Self { since: Instant::now(), served: 0, is_busy: false }
    }

    /// Counts the callers of a batch.
    fn add(&mut self, callers: usize) {
        self.served = self.served.saturating_add(u32::try_from(callers).unwrap_or(u32::MAX));
        let now = Instant::now();
        let passed = now.duration_since(self.since);
        if passed >= RATE_PERIOD {
            self.is_busy = f64::from(self.served) > BUSY_PER_SECOND * passed.as_secs_f64();
            (self.since, self.served) = (now, 0);
        }
    }
}

/// What committer, snapshot thread and callers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) directory: PathBuf,
    pub(crate) options: Options,
    pub(crate) core: Mutex<Core>,
    /// Wakes the committer.
    pub(crate) work: Condvar,
    /// Wakes who waits for the end of a snapshot.
    pub(crate) snapshot_done: Condvar,
}

/// Runs until the engine is closed or fails.
pub(crate) fn run(shared: &Arc<Shared>, mut log: Log) {
    let mut spare = Vec::new();
    // a rotation that failed is tried again when the log has grown by this much more
    let mut retry_at = 0;
    let mut rate = Rate::new();
    while let Some(bytes) = take_batch(shared, &mut spare) {
        spare = bytes;
        match log.append(&mut spare) {
            Ok(()) => rate.add(finish(shared, log.bytes())),
            Err(AppendError::Full(error)) => {
                warn!(%error, file = %log.path().display(), "the disk is full, writes are refused");
                let error = StoreError::Full { reason: format!("write {}: {error}", log.path().display()) };
                let waiters = shared.core.lock().roll_back();
                for waiter in waiters {
                    drop(waiter.send(Err(error.clone())));
                }
            }
            Err(AppendError::Broken(operation, source)) => {
                error!(%source, operation, file = %log.path().display(), "the log cannot be written, the store stops");
                let path = log.path().to_owned();
                fail(shared, &StoreError::Io { operation, path, source: source.into() });
                return;
            }
        }
        spare.clear();
        spare.shrink_to(KEEP_BUFFER_BYTES);
        if rate.is_busy {
            thread::sleep(FILL_TIME);
        }
        if log.bytes() >= retry_at && log_is_large(shared, log.bytes()) {
            retry_at = match start_snapshot(shared, &mut log) {
                Ok(()) => 0,
                Err(error) => {
                    warn!(%error, "no new log segment, will retry");
                    log.bytes() + shared.options.min_log_bytes
                }
            };
        }
    }
}

/// Waits for a batch, ends leases meanwhile; `None` when the engine is closed.
fn take_batch(shared: &Shared, spare: &mut Vec<u8>) -> Option<Vec<u8>> {
    let mut core = shared.core.lock();
    loop {
        let now = Instant::now();
        while let Some((deadline, lease)) = core.state.first_deadline()
            && deadline <= now
        {
            debug!(lease = lease.0, "lease ended");
            let (state, log) = core.log();
            let old = state.revoke_lease(lease, log);
            core.next.lease_undo.push((lease, old));
            core.logged();
        }
        if !core.next.bytes.is_empty() {
            let mut bytes = std::mem::take(spare);
            std::mem::swap(&mut bytes, &mut core.next.bytes);
            core.flying = Some(Batch { bytes: Vec::new(), ..std::mem::take(&mut core.next) });
            return Some(bytes);
        }
        // waiters without records saw something of a batch that is durable by now
        for waiter in std::mem::take(&mut core.next.waiters) {
            drop(waiter.send(Ok(())));
        }
        if core.stop {
            return None;
        }
        match core.state.first_deadline() {
            Some((deadline, _)) => drop(shared.work.wait_until(&mut core, deadline.into_std())),
            None => shared.work.wait(&mut core),
        }
    }
}

/// The batch is durable: tells everybody; answers how many waited.
fn finish(shared: &Shared, log_bytes: u64) -> usize {
    let (wakers, waiters) = {
        let mut core = shared.core.lock();
        let Some(batch) = core.flying.take() else { return 0 };
        core.log_bytes = log_bytes;
        let wakers = core.publish(batch.revision);
        let durable = core.durable;
        core.state.trim(shared.options.history_bytes, durable);
        (wakers, batch.waiters)
    };
    wakers.into_iter().for_each(std::task::Waker::wake);
    let callers = waiters.len();
    for waiter in waiters {
        drop(waiter.send(Ok(())));
    }
    callers
}

/// The engine stops with `error`.
fn fail(shared: &Shared, error: &StoreError) {
    let (wakers, waiters) = {
        let mut core = shared.core.lock();
        core.failed = Some(error.clone());
        let waiters = core.roll_back();
        (core.wake_all(), waiters)
    };
    for waiter in waiters {
        drop(waiter.send(Err(error.clone())));
    }
    wakers.into_iter().for_each(std::task::Waker::wake);
}

/// Whether the disk holds more than twice the live data, apart from a small log.
fn log_is_large(shared: &Shared, log_bytes: u64) -> bool {
    let core = shared.core.lock();
    let logs = core.sealed_bytes + log_bytes;
    !core.snapshot_running
        && logs > shared.options.min_log_bytes
        && core.snapshot_bytes + logs > 2 * core.state.live_bytes
}

/// Begins a new segment and writes a snapshot that makes the older ones superfluous.
fn start_snapshot(shared: &Arc<Shared>, log: &mut Log) -> Result<(), StoreError> {
    let (durable, compacted) = {
        let core = shared.core.lock();
        (core.durable, core.state.compacted)
    };
    let sealed = log.bytes();
    log.rotate(durable, compacted)?;
    let segment = log.segment;
    let (content, rollbacks) = {
        let mut core = shared.core.lock();
        core.sealed_bytes += sealed;
        core.log_bytes = log.bytes();
        core.snapshot_running = true;
        (Content::of(&core.state), core.rollbacks)
    };
    let background = Arc::clone(shared);
    let spawned = thread::Builder::new().name("store-snapshot".to_owned()).spawn(move || {
        if let Err(error) = take_snapshot(&background, segment, content, rollbacks) {
            warn!(%error, "no snapshot, the log is kept");
        }
        let mut core = background.core.lock();
        core.snapshot_running = false;
        background.snapshot_done.notify_all();
    });
    if let Err(error) = spawned {
        warn!(%error, "no thread for the snapshot, will retry");
        shared.core.lock().snapshot_running = false;
    }
    Ok(())
}

fn take_snapshot(shared: &Arc<Shared>, segment: u64, content: Content, rollbacks: u64) -> Result<(), StoreError> {
    let disk = shared.disk.as_ref();
    let path = shared.directory.join(snapshot_name(segment));
    let part = path.with_extension("part");
    let revision = content.revision;
    let io = |operation| {
        let path = path.clone();
        move |source: std::io::Error| StoreError::Io { operation, path, source: source.into() }
    };
    let bytes = snapshot::write(disk, &part, segment, &content).inspect_err(|_| {
        if let Err(error) = disk.remove(&part) {
            debug!(%error, "remove the unfinished snapshot");
        }
    })?;
    drop(content);
    // the snapshot must not show what a crash could still take back
    let waiter = {
        let mut core = shared.core.lock();
        core.check_running()?;
        if core.durable < revision { core.wait_for_state() } else { None }
    };
    shared.work.notify_one();
    if let Some(waiter) = waiter {
        waiter
            .blocking_recv()
            .unwrap_or_else(|_closed| Err(StoreError::Unavailable { reason: "the store is closed".to_owned() }))?;
    }
    if shared.core.lock().rollbacks != rollbacks {
        disk.remove(&part).map_err(io("remove"))?;
        return Err(StoreError::Unavailable { reason: "writes in the snapshot were taken back".to_owned() });
    }
    disk.rename(&part, &path).map_err(io("rename"))?;
    disk.sync_directory(&shared.directory).map_err(io("sync the directory of"))?;
    let old = disk.list(&shared.directory).map_err(io("list the directory of"))?;
    for name in old {
        let number = super::log::parse_name(&name, "log").or_else(|| super::log::parse_name(&name, "snapshot"));
        if number.is_some_and(|number| number < segment) {
            disk.remove(&shared.directory.join(&name)).map_err(io("remove what is older than"))?;
        }
    }
    disk.sync_directory(&shared.directory).map_err(io("sync the directory of"))?;
    let mut core = shared.core.lock();
    core.snapshot_bytes = bytes;
    core.sealed_bytes = 0;
    info!(revision, bytes, "snapshot of the store written, older log removed");
    Ok(())
}
