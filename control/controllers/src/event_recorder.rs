//! Writes Events about objects, merging repetitions. From controllers; to the API server, in the background.

use crate::informer::describe;
use correlation::{Correlation, Verdict};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

mod correlation;

/// Events that wait to be written; more are dropped, an event is not worth a stalled controller.
const BACKLOG: usize = 1000;

/// Takes events from controllers without making them wait.
#[derive(Clone, Debug)]
pub struct EventRecorder {
    sender: mpsc::Sender<Occurrence>,
}

/// Something that happened to an object.
#[derive(Clone, Debug)]
pub struct Occurrence {
    /// The controller that reports it, e.g. `deployment-controller`.
    pub component: &'static str,
    /// The object.
    pub about: ObjectReference,
    /// `Normal` or `Warning`.
    pub severity: &'static str,
    /// A word for programs.
    pub reason: &'static str,
    /// A sentence for people.
    pub message: String,
}

impl EventRecorder {
    /// A recorder and the task that writes what it takes.
    pub fn new(client: Client, stop: CancellationToken) -> (Self, impl Future<Output = ()>) {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        (Self { sender }, write_all(client, receiver, stop))
    }

    /// Reports that things go as they should.
    pub fn normal<K: Resource<DynamicType = ()>>(
        &self,
        component: &'static str,
        about: &K,
        reason: &'static str,
        message: String,
    ) {
        self.record(Occurrence { component, about: about.object_ref(&()), severity: "Normal", reason, message });
    }

    /// Reports that something is wrong.
    pub fn warning<K: Resource<DynamicType = ()>>(
        &self,
        component: &'static str,
        about: &K,
        reason: &'static str,
        message: String,
    ) {
        self.record(Occurrence { component, about: about.object_ref(&()), severity: "Warning", reason, message });
    }

    /// Reports an occurrence.
    pub fn record(&self, occurrence: Occurrence) {
        if let Err(error) = self.sender.try_send(occurrence) {
            tracing::warn!(%error, "event dropped");
        }
    }
}

async fn write_all(client: Client, mut occurrences: mpsc::Receiver<Occurrence>, stop: CancellationToken) {
    let mut correlation = Correlation::default();
    loop {
        let occurrence = tokio::select! {
            () = stop.cancelled() => return,
            occurrence = occurrences.recv() => occurrence,
        };
        let Some(occurrence) = occurrence else { return };
        let now = Timestamp::now();
        let verdict = correlation.judge(&occurrence, now);
        let outcome = match verdict {
            Verdict::Drop => Ok(()),
            Verdict::Create { name, message } => create(&client, &occurrence, name, message, now).await,
            Verdict::Count { name, message, count } => {
                match count_up(&client, &occurrence, &name, &message, count, now).await {
                    Err(kube::Error::Api(status)) if status.code == 404 => {
                        create(&client, &occurrence, name, message, now).await
                    }
                    other => other,
                }
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(reason = occurrence.reason, error = %describe(&error), "event not written");
        }
    }
}

fn namespace(occurrence: &Occurrence) -> &str {
    occurrence.about.namespace.as_deref().filter(|ns| !ns.is_empty()).unwrap_or("default")
}

async fn create(
    client: &Client,
    occurrence: &Occurrence,
    name: String,
    message: String,
    now: Timestamp,
) -> Result<(), kube::Error> {
    let event = Event {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: Some(namespace(occurrence).to_owned()),
            ..ObjectMeta::default()
        },
        involved_object: occurrence.about.clone(),
        reason: Some(occurrence.reason.to_owned()),
        message: Some(message),
        type_: Some(occurrence.severity.to_owned()),
        source: Some(EventSource { component: Some(occurrence.component.to_owned()), host: None }),
        reporting_component: Some(occurrence.component.to_owned()),
        reporting_instance: Some(String::new()),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        count: Some(1),
        ..Event::default()
    };
    let api: Api<Event> = Api::namespaced(client.clone(), namespace(occurrence));
    api.create(&PostParams::default(), &event).await.map(drop)
}

async fn count_up(
    client: &Client,
    occurrence: &Occurrence,
    name: &str,
    message: &str,
    count: i32,
    now: Timestamp,
) -> Result<(), kube::Error> {
    let api: Api<Event> = Api::namespaced(client.clone(), namespace(occurrence));
    let patch = json!({"count": count, "lastTimestamp": Time(now), "message": message});
    api.patch(name, &PatchParams::default(), &Patch::Strategic(patch)).await.map(drop)
}
