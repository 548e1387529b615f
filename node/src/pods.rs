//! Gives every pod its worker, and workers their news.
//!
//! From [`pod_source`](crate::pod_source), [`relist`](crate::relist) and [`objects`](crate::objects); to
//! [`pod_worker`](crate::pod_worker). Starts tasks.
//!
//! Channels: [`Change`] (pods of all sources), UIDs to wake → `Desired` and `wake` of each worker.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::kubelet::Kubelet;
use crate::pod_source::{Change, Source};
use crate::pod_worker::{Desired, Worker};
use crate::relist::Seen;
use crate::status_publisher::{self, Report, overwritten};
use crate::{orphans, pod};

/// Time between searches of the node for what is left of pods.
const SEARCH: Duration = Duration::from_secs(60);

struct Handle {
    desired: watch::Sender<Desired>,
    wake: Arc<Notify>,
    /// Shared with the worker.
    report: watch::Sender<Option<Report>>,
    source: Source,
}

/// The workers of this node.
pub struct Pods {
    kubelet: Arc<Kubelet>,
    workers: HashMap<String, Handle>,
    running: JoinSet<String>,
    /// Sources that have delivered all their pods once.
    complete: HashSet<Source>,
    wanted: HashSet<Source>,
    /// Static pods that wait for an older pod of the same name to end.
    held: Vec<Arc<Pod>>,
    /// When the node was last searched for pods that nobody knows.
    searched: Option<Instant>,
}

impl Pods {
    /// No pods yet; nothing that the runtime already has is touched before all `wanted` sources are complete.
    pub fn new(kubelet: Arc<Kubelet>, wanted: HashSet<Source>) -> Self {
        Self {
            kubelet,
            workers: HashMap::new(),
            running: JoinSet::new(),
            complete: HashSet::new(),
            wanted,
            held: Vec::new(),
            searched: None,
        }
    }

    /// Serves until stopped. Workers are dropped then; what they started keeps running.
    pub async fn run(
        mut self,
        mut changes: mpsc::Receiver<Change>,
        mut seen: mpsc::Receiver<Seen>,
        mut objects: mpsc::UnboundedReceiver<String>,
        stop: CancellationToken,
    ) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(change) = changes.recv() => self.change(change),
                Some(seen) = seen.recv() => self.seen(seen),
                Some(uid) = objects.recv() => self.wake(&uid),
                Some(ended) = self.running.join_next() => self.ended(ended),
                else => return,
            }
        }
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::Applied(source, pod) => self.applied(source, pod),
            Change::Removed(source, uid) => self.removed(source, &uid),
            Change::Complete(source, uids) => {
                let gone: Vec<String> = self
                    .workers
                    .iter()
                    .filter(|(uid, handle)| handle.source == source && !uids.contains(*uid))
                    .map(|(uid, _)| uid.clone())
                    .collect();
                for uid in gone {
                    self.removed(source, &uid);
                }
                self.complete.insert(source);
            }
        }
    }

    fn applied(&mut self, source: Source, pod: Arc<Pod>) {
        let uid = pod::uid(&pod).to_owned();
        if let Some(handle) = self.workers.get(&uid) {
            // Others may say that the pod is not ready, as the node life cycle does: only for as long as we do not.
            handle.report.send_if_modified(|report| match report {
                Some(report) if overwritten(&pod, &report.status) => {
                    report.pod = Arc::clone(&pod);
                    true
                }
                _ => false,
            });
            handle.desired.send_if_modified(|desired| {
                let changed = differs(&desired.pod, &pod) || desired.removed;
                let version = desired.version + u64::from(changed);
                *desired = Desired { pod, removed: false, version };
                changed
            });
            return;
        }
        if source == Source::File && self.same_name(&pod) {
            self.held.push(pod);
            return;
        }
        self.start(source, Desired { pod, removed: false, version: 0 });
    }

    /// Whether a static pod of this name still runs.
    fn same_name(&self, pod: &Pod) -> bool {
        self.workers.values().filter(|handle| handle.source == Source::File).any(|handle| {
            let other = &handle.desired.borrow().pod;
            pod::name(other) == pod::name(pod) && pod::namespace(other) == pod::namespace(pod)
        })
    }

    fn removed(&mut self, source: Source, uid: &str) {
        self.held.retain(|pod| pod::uid(pod) != uid);
        let Some(handle) = self.workers.get(uid).filter(|handle| handle.source == source) else { return };
        handle.desired.send_modify(|desired| {
            desired.removed = true;
            desired.version += 1;
        });
    }

    fn start(&mut self, source: Source, desired: Desired) {
        let uid = pod::uid(&desired.pod).to_owned();
        let (sender, receiver) = watch::channel(desired);
        let (report, reports) = watch::channel(None);
        let wake = Arc::new(Notify::new());
        let worker = Worker::new(Arc::clone(&self.kubelet), receiver, Arc::clone(&wake), report.clone());
        if let Some(client) = self.kubelet.client.clone() {
            let mirrors = self.kubelet.mirrors.subscribe();
            tokio::spawn(status_publisher::publish(client, reports, mirrors));
        }
        self.workers.insert(uid.clone(), Handle { desired: sender, wake, report, source });
        self.running.spawn(async move {
            Box::pin(worker.run()).await;
            uid
        });
    }

    fn seen(&mut self, seen: Seen) {
        for uid in &seen.changed {
            self.wake(uid);
        }
        if !self.wanted.is_subset(&self.complete) {
            return;
        }
        if self.searched.is_none_or(|at| at.elapsed() > SEARCH) {
            self.searched = Some(Instant::now());
            let in_runtime: HashSet<&str> = seen.pods.iter().map(|pod| pod::uid(pod)).collect();
            orphans::remove(&self.kubelet, |uid| self.workers.contains_key(uid) || in_runtime.contains(uid));
        }
        // Pods of ours that no source has: they were deleted while this kubelet was away.
        for orphan in seen.pods {
            if !self.workers.contains_key(pod::uid(&orphan)) {
                tracing::info!(pod = pod::formatted(&orphan), "remove a pod that no source has");
                self.start(Source::Runtime, Desired { pod: orphan, removed: true, version: 0 });
            }
        }
    }

    fn wake(&self, uid: &str) {
        if let Some(handle) = self.workers.get(uid) {
            handle.wake.notify_one();
        }
    }

    fn ended(&mut self, ended: Result<String, tokio::task::JoinError>) {
        match ended {
            Ok(uid) => {
                // A pod may have come back while its worker ended.
                if let Some(handle) = self.workers.remove(&uid) {
                    let desired = handle.desired.borrow().clone();
                    if !desired.removed {
                        self.start(handle.source, desired);
                    }
                }
            }
            Err(error) => {
                tracing::error!(%error, "a pod worker failed: its pod is taken up again");
                self.restart_lost();
            }
        }
        for pod in std::mem::take(&mut self.held) {
            self.applied(Source::File, pod);
        }
    }

    /// Starts workers anew whose task is gone without having ended.
    fn restart_lost(&mut self) {
        let lost: Vec<String> =
            self.workers.iter().filter(|(_, handle)| handle.desired.is_closed()).map(|(uid, _)| uid.clone()).collect();
        for uid in lost {
            if let Some(handle) = self.workers.remove(&uid) {
                let desired = handle.desired.borrow().clone();
                self.start(handle.source, desired);
            }
        }
    }
}

/// Whether anything changed that a worker must act on; its own status reports are not.
fn differs(old: &Pod, new: &Pod) -> bool {
    let meta = |pod: &Pod| {
        let meta = &pod.metadata;
        (
            meta.deletion_timestamp.clone(),
            meta.deletion_grace_period_seconds,
            meta.labels.clone(),
            meta.annotations.clone(),
        )
    };
    let gates = |pod: &Pod| {
        let gates = pod::spec(pod).readiness_gates.as_ref()?;
        let conditions = pod.status.as_ref()?.conditions.as_ref()?;
        let of_gates = conditions.iter().filter(|c| gates.iter().any(|gate| gate.condition_type == c.type_));
        Some(of_gates.map(|condition| (condition.type_.clone(), condition.status.clone())).collect::<Vec<_>>())
    };
    old.spec != new.spec || meta(old) != meta(new) || gates(old) != gates(new)
}
