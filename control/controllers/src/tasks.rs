//! Runs the controllers' workers: takes keys, calls the work, repeats what failed. From queues; to controllers.

use crate::informer::describe;
use crate::sync::SyncError;
use crate::work_queue::WorkQueue;
use std::fmt::Display;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// All tasks of the controllers. They end together, when `stop` is cancelled.
#[derive(Debug)]
pub struct Tasks {
    set: JoinSet<()>,
    stop: CancellationToken,
    ready: watch::Sender<bool>,
}

impl Tasks {
    /// No tasks yet.
    pub fn new(stop: CancellationToken) -> Self {
        Self { set: JoinSet::new(), stop, ready: watch::Sender::new(false) }
    }

    /// Cancelled when the tasks must end.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Starts a task at once; it must watch [`Tasks::stop`] itself.
    pub fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.set.spawn(task);
    }

    /// Starts a task once the informers are synced; it is dropped at the end.
    pub fn spawn_when_ready(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        let (stop, mut ready) = (self.stop.clone(), self.ready.subscribe());
        self.set.spawn(async move {
            let task = async move {
                if ready.wait_for(|ready| *ready).await.is_ok() {
                    task.await;
                }
            };
            stop.run_until_cancelled(task).await;
        });
    }

    /// Lets the workers work: the informers are synced.
    pub fn ready(&self) {
        self.ready.send_replace(true);
    }

    /// Waits for the end of some task.
    ///
    /// # Errors
    /// When it panicked.
    pub async fn next_end(&mut self) -> Option<Result<(), tokio::task::JoinError>> {
        self.set.join_next().await
    }

    /// Starts `count` workers that call `work` for each key of `queue`.
    pub fn spawn_workers<T, F, Fut>(&mut self, name: &'static str, count: usize, queue: &Arc<WorkQueue<T>>, work: F)
    where
        T: Clone + Eq + Hash + Display + Send + Sync + 'static,
        F: Fn(T) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<(), SyncError>> + Send,
    {
        for _ in 0..count {
            let (queue, stop, work) = (Arc::clone(queue), self.stop.clone(), work.clone());
            self.spawn_when_ready(async move {
                while let Some(key) = queue.next(&stop).await {
                    match work(key.clone()).await {
                        Ok(()) => queue.forget(&key),
                        Err(error) => {
                            report(name, &key, &error, queue.failures(&key));
                            queue.add_rate_limited(key.clone());
                        }
                    }
                    queue.done(&key);
                }
            });
        }
    }
}

/// A first failure is mostly a conflict with another writer or a lagging cache: only lasting ones matter to people.
fn report(controller: &'static str, key: &impl Display, error: &SyncError, failures: u32) {
    if error.is_conflict() || failures < 3 {
        tracing::debug!(controller, %key, error = %describe(error), "will retry");
    } else {
        tracing::warn!(controller, %key, failures, error = %describe(error), "will retry");
    }
}
