//! One task per pod UID, from the first sight of the pod to its last trace; from [`pods`](crate::pods); to the runtime, volumes,
//! cgroups and [`status_publisher`](crate::status_publisher).
//!
//! Channels: [`Desired`] (watch) and `wake` (notify: runtime, probes, objects) → [`Report`] (watch). Performs IO.
//!
//! The life of a pod: `sync` until it is deleted or has nothing left to run → `terminate` → `clean_up` → wait until the
//! source forgets it → remove what the runtime keeps.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use tokio::sync::{Mutex, Notify, watch};
use tokio::task::JoinError;

use crate::actions::Verdicts;
use crate::backoff::Backoff;
use crate::cri::CriError;
use crate::cri::observed::{Phase, PodState};
use crate::events::Kind;
use crate::kubelet::{Kubelet, PodView};
use crate::last_words;
use crate::pod;
use crate::probes::Probes;
use crate::status::{self, Failure, Waiting};
use crate::status_publisher::Report;

mod clean_up;
mod mounts;
mod start;
mod sync;
mod terminate;

/// How long a healthy pod rests between full looks; contents of volumes and tokens are renewed then.
const RESYNC: Duration = Duration::from_secs(60);

/// What the source wants of a pod.
#[derive(Clone, Debug)]
pub struct Desired {
    /// The newest object.
    pub pod: Arc<Pod>,
    /// The source has it no more.
    pub removed: bool,
    /// Grows when anything but the status changes.
    pub version: u64,
}

impl Desired {
    /// Whether the pod shall end.
    pub fn must_end(&self) -> bool {
        self.removed || self.pod.metadata.deletion_timestamp.is_some()
    }

    /// Seconds the containers get to end by themselves.
    pub fn grace_seconds(&self) -> i64 {
        self.pod.metadata.deletion_grace_period_seconds.unwrap_or_else(|| pod::grace_seconds(&self.pod))
    }
}

/// Waits until the wish fulfils a condition (or nobody wishes anything any more).
async fn until(desired: &mut watch::Receiver<Desired>, condition: impl FnMut(&Desired) -> bool + Send) {
    drop(desired.wait_for(condition).await);
}

/// The task's state.
pub struct Worker {
    kubelet: Arc<Kubelet>,
    desired: watch::Receiver<Desired>,
    wake: Arc<Notify>,
    report: watch::Sender<Option<Report>>,
    state: PodState,
    probes: Probes,
    verdicts: Verdicts,
    waiting: HashMap<String, Waiting>,
    last_words: HashMap<String, String>,
    backoff: Backoff<String>,
    failures: u32,
    failure: Option<Failure>,
    status: PodStatus,
    /// Held while the runtime makes something of the pod.
    making: Arc<Mutex<()>>,
}

impl Worker {
    /// A worker for a pod; `report` is read by the status publisher.
    pub fn new(
        kubelet: Arc<Kubelet>,
        desired: watch::Receiver<Desired>,
        wake: Arc<Notify>,
        report: watch::Sender<Option<Report>>,
    ) -> Self {
        let probes = Probes::new(kubelet.runtime.clone(), kubelet.events.clone(), Arc::clone(&wake));
        let status = desired.borrow().pod.status.clone().unwrap_or_default();
        Self {
            kubelet,
            desired,
            wake,
            report,
            state: PodState::default(),
            probes,
            verdicts: Verdicts::new(),
            waiting: HashMap::new(),
            last_words: HashMap::new(),
            backoff: Backoff::new(Duration::from_secs(10), Duration::from_secs(300)),
            failures: 0,
            failure: None,
            status,
            making: Arc::default(),
        }
    }

    /// Runs until no trace of the pod is left.
    pub async fn run(mut self) {
        let uid = pod::uid(&self.pod()).to_owned();
        Box::pin(self.live()).await;
        Box::pin(self.terminate()).await;
        self.clean_up().await;
        self.finish().await;
        self.remove_traces().await;
        self.kubelet.pods.write().remove(&uid);
    }

    /// Lets a call that makes something of the pod come to its end, though the pod must end meanwhile: containerd that is interrupted
    /// keeps a container that it can neither stop nor remove.
    async fn make<T: Send + 'static>(
        &self,
        call: impl Future<Output = Result<T, CriError>> + Send + 'static,
    ) -> Result<T, CriError> {
        let making = Arc::clone(&self.making).lock_owned().await;
        let task = tokio::spawn(async move {
            let _making = making;
            call.await
        });
        match task.await.map_err(JoinError::try_into_panic) {
            Ok(made) => made,
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            // The kubelet stops.
            Err(Err(_cancelled)) => std::future::pending().await,
        }
    }

    fn pod(&self) -> Arc<Pod> {
        Arc::clone(&self.desired.borrow().pod)
    }

    /// Keeps the pod running until it must end or has ended by itself.
    async fn live(&mut self) {
        if matches!(self.status.phase.as_deref(), Some("Succeeded" | "Failed")) || self.refused().await {
            return;
        }
        let mut ending = self.desired.clone();
        let mut health = self.kubelet.health.clone();
        loop {
            let seen = ending.borrow_and_update().version;
            let ended = tokio::select! {
                biased;
                // A closed channel means that the kubelet stops; the task is dropped then.
                () = until(&mut ending, Desired::must_end) => return,
                next = self.sync() => next,
            };
            let (pause, wakes) = match ended {
                sync::Next::Ended => return,
                sync::Next::Wait(pause) => (pause, true),
                sync::Next::Hold(pause) => (pause, false),
            };
            tokio::select! {
                () = until(&mut ending, |desired| desired.must_end() || desired.version != seen) => {}
                () = self.wake.notified(), if wakes => {}
                // A failed sender means that the kubelet stops.
                Ok(()) = health.changed() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Whether the pod is new and does not fit the node; it fails then.
    async fn refused(&mut self) -> bool {
        let pod = self.pod();
        let known = self.observe(false).await.is_ok() && !self.state.sandboxes.is_empty();
        if known || self.desired.borrow().must_end() {
            return false;
        }
        let refusal = {
            // Others that arrive meanwhile must count this one.
            let mut pods = self.kubelet.pods.write();
            let live = |view: &&PodView| {
                let ended = matches!(view.status.phase.as_deref(), Some("Succeeded" | "Failed"));
                !ended && pod::uid(&view.pod) != pod::uid(&pod)
            };
            let others: Vec<Arc<Pod>> = pods.values().filter(live).map(|view| Arc::clone(&view.pod)).collect();
            let refusal = crate::admission::refusal(&pod, &others, &self.kubelet.allocatable);
            if refusal.is_none() {
                let (state, status) = (Arc::new(self.state.clone()), Arc::new(self.status.clone()));
                pods.insert(pod::uid(&pod).to_owned(), PodView { pod: Arc::clone(&pod), state, status });
            }
            refusal
        };
        if let Some(failure) = refusal {
            self.kubelet.events.pod(&pod, None, Kind::Warning, &failure.reason, failure.message.clone());
            self.failure = Some(failure);
            return true;
        }
        false
    }

    /// Reads the runtime's state anew, with probes and last words following it.
    async fn observe(&mut self, terminates: bool) -> Result<(), CriError> {
        let pod = self.pod();
        self.state = self.kubelet.runtime.observe(pod::uid(&pod), &self.state).await?;
        for container in self.state.containers.iter().filter(|container| container.phase == Phase::Exited) {
            self.last_words.entry(container.id.clone()).or_insert_with(|| last_words::read(container));
        }
        let ids: std::collections::HashSet<&str> = self.state.containers.iter().map(|c| c.id.as_str()).collect();
        self.last_words.retain(|id, _| ids.contains(id.as_str()));
        self.judge(terminates);
        Ok(())
    }

    /// Starts and ends probes by the state, and takes their verdicts.
    fn judge(&mut self, terminates: bool) {
        let pod = self.pod();
        let address = status::pod_ips(&pod, &self.state, &self.kubelet.host_ips).first().copied();
        self.probes.adjust(&pod, &self.state, address, terminates, &self.status);
        self.verdicts = self.probes.verdicts(&pod, &self.state);
    }

    /// Computes the status and hands it to the publisher.
    fn publish(&mut self, terminal: bool, finished: bool) {
        let pod = self.pod();
        let status = status::pod_status(&status::Input {
            pod: &pod,
            state: &self.state,
            verdicts: &self.verdicts,
            waiting: &self.waiting,
            last_words: &self.last_words,
            failure: self.failure.as_ref(),
            terminal,
            previous: &self.status,
            host_ips: &self.kubelet.host_ips,
            now: jiff::Timestamp::now(),
        });
        self.status = status;
        self.send(finished);
    }

    /// Hands the last computed status to the publisher.
    fn send(&self, finished: bool) {
        let pod = self.pod();
        let view = PodView {
            pod: Arc::clone(&pod),
            state: Arc::new(self.state.clone()),
            status: Arc::new(self.status.clone()),
        };
        self.kubelet.pods.write().insert(pod::uid(&pod).to_owned(), view);
        let report = Report { pod, status: self.status.clone(), finished };
        self.report.send_if_modified(|current| {
            let changed = current.as_ref() != Some(&report);
            *current = Some(report);
            changed
        });
    }
}
