//! Writes Events (events.k8s.io) about scheduling. From the scheduler; to the API server, in the background.

use crate::pending_pod::PendingPod;
use crate::pod_info::PodInfo;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::{Event, EventSeries};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use std::collections::HashMap;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Events that wait to be written; more are dropped.
const BACKLOG: usize = 4096;
/// Remembered events; beyond that the memory starts anew.
const MEMORY: usize = 4096;

/// Something that happened to a pod.
#[derive(Clone, Debug)]
pub struct Occurrence {
    pub about: ObjectReference,
    pub related: Option<ObjectReference>,
    /// `Normal` or `Warning`.
    pub severity: &'static str,
    pub reason: &'static str,
    pub action: &'static str,
    pub note: String,
}

impl Occurrence {
    /// A node was found.
    pub fn scheduled(pod: &PendingPod, node: &str) -> Self {
        let note = format!("Successfully assigned {} to {node}", pod.key());
        Self { about: reference(pod), related: None, severity: "Normal", reason: "Scheduled", action: "Binding", note }
    }

    /// No node was found, or binding failed.
    pub fn failed(pod: &PendingPod, note: String) -> Self {
        Self {
            about: reference(pod),
            related: None,
            severity: "Warning",
            reason: "FailedScheduling",
            action: "Scheduling",
            note,
        }
    }

    /// A pod must go to make room for another.
    pub fn preempted(victim: &PodInfo, by: &PendingPod, node: &str) -> Self {
        Self {
            about: ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                namespace: Some(victim.namespace.clone()),
                name: Some(victim.name.clone()),
                uid: Some(victim.uid.clone()),
                ..ObjectReference::default()
            },
            related: Some(reference(by)),
            severity: "Normal",
            reason: "Preempted",
            action: "Preempting",
            note: format!("Preempted by pod {} on node {node}", by.info.uid),
        }
    }
}

fn reference(pod: &PendingPod) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        namespace: Some(pod.info.namespace.clone()),
        name: Some(pod.info.name.clone()),
        uid: Some(pod.info.uid.clone()),
        resource_version: pod.resource_version.clone(),
        ..ObjectReference::default()
    }
}

/// Takes events without making the scheduler wait.
#[derive(Clone, Debug)]
pub struct Events {
    sender: mpsc::Sender<Occurrence>,
}

impl Events {
    /// The taker, and the task that writes what it takes, reporting as `scheduler`.
    pub fn new(client: Client, scheduler: String, stop: CancellationToken) -> (Self, impl Future<Output = ()>) {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        (Self { sender }, write_all(client, scheduler, receiver, stop))
    }

    /// Reports an occurrence.
    pub fn record(&self, occurrence: Occurrence) {
        if let Err(error) = self.sender.try_send(occurrence) {
            tracing::warn!(%error, "event dropped");
        }
    }
}

async fn write_all(
    client: Client,
    scheduler: String,
    mut occurrences: mpsc::Receiver<Occurrence>,
    stop: CancellationToken,
) {
    // Pod uid and reason → name of the event and how often it happened.
    let mut written: HashMap<(Option<String>, &'static str), (String, i32)> = HashMap::new();
    loop {
        let occurrence = tokio::select! {
            () = stop.cancelled() => return,
            occurrence = occurrences.recv() => occurrence,
        };
        let Some(occurrence) = occurrence else { return };
        if written.len() > MEMORY {
            written.clear();
        }
        let namespace = occurrence.about.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
        let now = Timestamp::now();
        let key = (occurrence.about.uid.clone(), occurrence.reason);
        let outcome = if let Some((name, count)) = written.get_mut(&key) {
            *count = count.saturating_add(1);
            // The first repetition makes a series; later ones are only counted: a pod that waits for hours must not
            // write at every attempt.
            if *count != 2 {
                continue;
            }
            let series = EventSeries { count: *count, last_observed_time: MicroTime(now) };
            api.patch(name, &PatchParams::default(), &Patch::Merge(json!({"series": series}))).await.map(drop)
        } else {
            let name = format!("{}.{:x}", occurrence.about.name.as_deref().unwrap_or_default(), now.as_nanosecond());
            written.insert(key, (name.clone(), 1));
            api.create(&PostParams::default(), &event(occurrence, name, namespace, &scheduler, now)).await.map(drop)
        };
        if let Err(error) = outcome {
            tracing::debug!(%error, "event not written");
        }
    }
}

fn event(occurrence: Occurrence, name: String, namespace: String, scheduler: &str, now: Timestamp) -> Event {
    Event {
        metadata: ObjectMeta { name: Some(name), namespace: Some(namespace), ..ObjectMeta::default() },
        event_time: Some(MicroTime(now)),
        reporting_controller: Some(scheduler.to_owned()),
        reporting_instance: Some(format!("{scheduler}-skep")),
        action: Some(occurrence.action.to_owned()),
        reason: Some(occurrence.reason.to_owned()),
        regarding: Some(occurrence.about),
        related: occurrence.related,
        note: Some(occurrence.note),
        type_: Some(occurrence.severity.to_owned()),
        ..Event::default()
    }
}
