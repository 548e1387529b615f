//! The scheduler's one task: takes in what changed, then places the next pod. From [`crate::inputs`]; to
//! [`crate::requests`].

use crate::cluster_state::{ClusterState, NodeIndex};
use crate::config::Config;
use crate::cycle::Finder;
use crate::events::Events;
use crate::framework::Diagnosis;
use crate::inputs::{Done, Input, KINDS, Seen, follow_all, key_of};
use crate::pending_pod::{PendingPod, default_spread};
use crate::pod_info::PodInfo;
use crate::preemption::{self, Budget};
use crate::queue::{Changed, Queue};
use crate::requests::{Refusal, Requests};
use crate::selectors::Selector;
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Client;
use skep_controllers::leader::run_leading;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Runs the scheduler until `stop`; with leader election only while the lease is held.
///
/// # Errors
/// When the lease is lost or a watch ends by itself.
pub async fn run(config: Config, client: Client, stop: CancellationToken) -> anyhow::Result<()> {
    if !config.leader_elect {
        return work(config, client, stop).await;
    }
    let of = client.clone();
    run_leading(client, "kube-scheduler", &stop, |leading| work(config, of, leading)).await
}

async fn work(config: Config, client: Client, stop: CancellationToken) -> anyhow::Result<()> {
    let stop = stop.child_token();
    let _ends_all = stop.clone().drop_guard();
    let mut tasks = JoinSet::new();
    let (sender, inputs) = follow_all(&client, &mut tasks, &stop);
    let (events, writing) = Events::new(client.clone(), config.scheduler_name.clone(), stop.clone());
    tasks.spawn(writing);
    let scheduler = Scheduler {
        name: config.scheduler_name,
        state: ClusterState::default(),
        queue: Queue::default(),
        finder: Finder::new(rand::random()),
        uids: HashMap::new(),
        budgets: HashMap::new(),
        requests: Requests::new(client, events, sender, config.parallel_requests),
        kinds_to_list: KINDS,
    };
    let working = scheduler.work(inputs, &stop);
    tokio::select! {
        () = working => Ok(()),
        ended = tasks.join_next() => {
            if let Some(ended) = ended {
                ended?;
            }
            if stop.is_cancelled() { Ok(()) } else { anyhow::bail!("scheduler: a task ended by itself") }
        }
    }
}

struct Scheduler {
    name: String,
    state: ClusterState,
    queue: Queue,
    finder: Finder,
    /// `namespace/name` → uid of pods that are known.
    uids: HashMap<String, String>,
    budgets: HashMap<String, Budget>,
    requests: Requests,
    /// Kinds whose first list is not in; before that nothing is placed.
    kinds_to_list: usize,
}

impl Scheduler {
    async fn work(mut self, mut inputs: Receiver<Input>, stop: &CancellationToken) {
        loop {
            while let Ok(input) = inputs.try_recv() {
                self.take_in(input);
            }
            if stop.is_cancelled() {
                return;
            }
            let next = if self.kinds_to_list == 0 { self.queue.pop(Instant::now()) } else { None };
            if let Some(pod) = next {
                self.place(pod);
                // Requests and watches share the threads.
                tokio::task::yield_now().await;
                continue;
            }
            let wake_at = self.queue.wake_at().filter(|_| self.kinds_to_list == 0);
            let pause = async {
                match wake_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = pause => {}
                input = inputs.recv() => match input {
                    Some(input) => self.take_in(input),
                    None => return,
                },
            }
        }
    }

    fn place(&mut self, pod: Arc<PendingPod>) {
        Finder::prepare(&mut self.state, &pod);
        match self.finder.find(&self.state, &pod) {
            Ok(index) => {
                let Some(node) = self.state.node(index).map(|node| node.name.clone()) else { return };
                self.state.place(Arc::clone(&pod.info), &node, true);
                self.forget_nomination(&pod.info.uid);
                self.requests.bind(pod, node);
            }
            Err(diagnosis) => self.refuse(&pod, *diagnosis),
        }
    }

    fn refuse(&mut self, pod: &Arc<PendingPod>, diagnosis: Diagnosis) {
        let mut nominated = None;
        let message = if diagnosis.nodes == 0 {
            "no nodes available to schedule pods".to_owned()
        } else {
            let budgets: Vec<Budget> = self.budgets.values().cloned().collect();
            let mut message = diagnosis.message(&self.state.names);
            match preemption::find(&mut self.state, pod, &diagnosis, &budgets) {
                Ok(candidate) => {
                    let name = self.state.node(candidate.node).map(|node| node.name.clone()).unwrap_or_default();
                    self.nominate(pod, candidate.node);
                    self.requests.preempt(Arc::clone(pod), candidate.victims, name.clone());
                    nominated = Some(name);
                }
                Err(why) => message.push_str(&format!(" no new claims to deallocate, preemption: {why}")),
            }
            message
        };
        self.queue.refused(&pod.info.uid, diagnosis.plugins, Instant::now());
        self.requests.refuse(Arc::clone(pod), Refusal { reason: "Unschedulable", message, nominated });
    }

    fn nominate(&mut self, pod: &PendingPod, index: NodeIndex) {
        self.forget_nomination(&pod.info.uid);
        self.state.nominated.entry(index).or_default().push(Arc::clone(&pod.info));
    }

    fn forget_nomination(&mut self, uid: &str) {
        self.state.nominated.retain(|_, pods| {
            pods.retain(|pod| pod.uid != uid);
            !pods.is_empty()
        });
    }

    fn take_in(&mut self, input: Input) {
        match input {
            Input::Listed => self.kinds_to_list = self.kinds_to_list.saturating_sub(1),
            Input::Pod(Seen::Now(pod)) => self.pod_now(&pod),
            Input::Pod(Seen::Gone(key)) => self.pod_gone(&key),
            Input::Node(Seen::Now(node)) => self.node_now(&node),
            Input::Node(Seen::Gone(key)) => {
                self.state.remove_node(key.trim_start_matches('/'));
                self.queue.changed(Changed::NODE_REMOVED);
            }
            Input::Namespace(Seen::Now(namespace)) => {
                let name = namespace.metadata.name.unwrap_or_default();
                let labels = namespace.metadata.labels.unwrap_or_default();
                if self.state.namespaces.get(&name) != Some(&labels) {
                    self.state.namespaces.insert(name, labels);
                    self.queue.changed(Changed::NAMESPACE);
                }
            }
            Input::Namespace(Seen::Gone(key)) => {
                self.state.namespaces.remove(key.trim_start_matches('/'));
            }
            Input::Service(Seen::Now(service)) => self.service_now(&service),
            Input::Service(Seen::Gone(key)) => {
                if let Some((namespace, name)) = key.split_once('/')
                    && let Some(services) = self.state.services.get_mut(namespace)
                {
                    services.remove(name);
                }
            }
            Input::Budget(Seen::Now(budget)) => {
                self.budgets.insert(key_of(&*budget), to_budget(&budget));
            }
            Input::Budget(Seen::Gone(key)) => {
                self.budgets.remove(&key);
            }
            Input::Done(Done::Bound { uid }) => self.queue.remove(&uid),
            Input::Done(Done::NotBound { uid, error }) => self.not_bound(&uid, &error),
        }
    }

    fn not_bound(&mut self, uid: &str, error: &str) {
        if self.state.pod(uid).is_some_and(|placed| placed.assumed) {
            self.state.take(uid);
            self.queue.changed(Changed::POD_REMOVED);
        }
        let Some(pod) = self.queue.get(uid).cloned() else { return };
        tracing::debug!(pod = %pod.key(), error, "binding failed");
        self.queue.failed(uid, Instant::now());
        let message = format!("binding rejected: {error}");
        self.requests.refuse(pod, Refusal { reason: "SchedulerError", message, nominated: None });
    }

    fn pod_now(&mut self, pod: &Pod) {
        let key = key_of(pod);
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        if self.uids.get(&key).is_some_and(|known| *known != uid) {
            self.pod_gone(&key);
        }
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
        if matches!(phase, "Succeeded" | "Failed") {
            self.pod_gone(&key);
            return;
        }
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).filter(|name| !name.is_empty());
        match node {
            Some(node) => {
                self.uids.insert(key, uid);
                self.pod_on_node(pod, node);
            }
            None if pod.metadata.deletion_timestamp.is_some() => self.pod_gone(&key),
            None => {
                let scheduler = pod.spec.as_ref().and_then(|spec| spec.scheduler_name.as_deref());
                if scheduler.unwrap_or("default-scheduler") == self.name {
                    self.uids.insert(key, uid);
                    self.pod_waits(pod);
                }
            }
        }
    }

    fn pod_on_node(&mut self, pod: &Pod, node: &str) {
        let info = PodInfo::of(pod, &mut self.state.names);
        self.queue.remove(&info.uid);
        self.forget_nomination(&info.uid);
        let before = self.state.pod(&info.uid);
        let unchanged = before.is_some_and(|placed| {
            !placed.assumed
                && placed.info.class == info.class
                && placed.info.requests == info.requests
                && placed.info.started == info.started
                && self.state.node(placed.node).is_some_and(|row| row.name == node)
        });
        if unchanged {
            return;
        }
        let changed = match before {
            None => Changed::POD_ADDED,
            Some(placed) if placed.assumed => Changed::POD_ADDED,
            Some(placed) if placed.info.class == info.class => Changed::POD_REMOVED,
            Some(_) => Changed::POD_LABELS,
        };
        self.state.place(Arc::new(info), node, false);
        self.queue.changed(changed);
    }

    fn pod_waits(&mut self, pod: &Pod) {
        let mut pending = PendingPod::of(pod, &mut self.state.names);
        if self.state.pod(&pending.info.uid).is_some() {
            // Assumed: the news is older than our decision.
            return;
        }
        if !pending.own_spread {
            let labels = &pending.info.class.labels;
            let services = self.state.services.get(&pending.info.namespace);
            let selectors = services.into_iter().flat_map(HashMap::values).map(Selector::of_labels);
            pending.soft_spread = default_spread(pod, selectors.filter(|selector| selector.matches(labels)));
        }
        if let Some(index) = pending.nominated.as_ref().and_then(|name| self.state.row(name)) {
            self.nominate(&pending, index);
        }
        let before = self.queue.get(&pending.info.uid);
        // News of the status alone (our own writing) changes nothing for placement.
        let changed = before
            .is_some_and(|before| before.generation != pending.generation || before.info.class != pending.info.class);
        self.queue.add(Arc::new(pending), changed);
    }

    fn pod_gone(&mut self, key: &str) {
        let Some(uid) = self.uids.remove(key) else { return };
        self.queue.remove(&uid);
        self.forget_nomination(&uid);
        if self.state.take(&uid).is_some() {
            self.queue.changed(Changed::POD_REMOVED);
        }
    }

    fn node_now(&mut self, node: &Node) {
        let name = node.metadata.name.clone().unwrap_or_default();
        let before = self.state.row(&name).and_then(|index| {
            let row = self.state.node(index)?;
            let amounts: Vec<i64> =
                (0..self.state.names.len()).map(|id| self.state.allocatable.get(id, index)).collect();
            Some((row.labels.clone(), row.taints.clone(), row.unschedulable, row.allowed_pods, amounts))
        });
        let index = self.state.set_node(node);
        let Some((labels, taints, unschedulable, allowed_pods, mut amounts)) = before else {
            self.queue.changed(Changed::NODE_ADDED);
            return;
        };
        let Some(row) = self.state.node(index) else { return };
        amounts.resize(self.state.names.len(), 0);
        let resources = allowed_pods != row.allowed_pods
            || amounts.iter().enumerate().any(|(id, amount)| self.state.allocatable.get(id, index) != *amount);
        let changes = [
            (labels != row.labels, Changed::NODE_LABELS),
            (taints != row.taints || unschedulable != row.unschedulable, Changed::NODE_TAINTS),
            (resources, Changed::NODE_RESOURCES),
        ];
        for (_, change) in changes.into_iter().filter(|(changed, _)| *changed) {
            self.queue.changed(change);
        }
    }

    fn service_now(&mut self, service: &Service) {
        let namespace = service.metadata.namespace.clone().unwrap_or_default();
        let name = service.metadata.name.clone().unwrap_or_default();
        let services = self.state.services.entry(namespace).or_default();
        match service.spec.as_ref().and_then(|spec| spec.selector.clone()).filter(|selector| !selector.is_empty()) {
            Some(selector) => services.insert(name, selector),
            None => services.remove(&name),
        };
    }
}

fn to_budget(budget: &PodDisruptionBudget) -> Budget {
    Budget {
        namespace: budget.metadata.namespace.clone().unwrap_or_default(),
        selector: Selector::of(budget.spec.as_ref().and_then(|spec| spec.selector.as_ref())),
        allowed: budget.status.as_ref().map_or(0, |status| status.disruptions_allowed),
    }
}
