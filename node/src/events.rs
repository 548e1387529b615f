//! Events: what `kubectl describe` shows at the end; from every part; to the API. Performs IO.
//!
//! Channels: [`Events::record`] → a queue → one task that creates or counts up Event objects.

use std::collections::HashMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, EventSource, Node, ObjectReference, Pod};
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::mpsc;

use crate::pod;
use crate::status::whole_seconds;

/// How many events wait at most; more are dropped, with a log line.
const QUEUE: usize = 1000;
/// How long equal events are counted up instead of created anew.
const SERIES: Duration = Duration::from_secs(600);
/// Longest message of an event, in bytes (the API's limit is 1024).
const MESSAGE_LIMIT: usize = 1024;

/// Severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Things go as they should.
    Normal,
    /// Something is wrong.
    Warning,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Message {
    namespace: String,
    kind: Kind,
    reason: String,
    text: String,
    uid: String,
    name: String,
    field_path: String,
    object_kind: &'static str,
}

/// Takes events from everywhere; cheap to clone.
#[derive(Clone, Debug)]
pub struct Events {
    queue: Option<mpsc::Sender<(Message, ObjectReference)>>,
}

impl Events {
    /// Starts the task that sends events of the node `host`; without a client events only go to the log.
    pub fn new(client: Option<Client>, host: &str) -> Self {
        let queue = client.map(|client| {
            let (sender, receiver) = mpsc::channel(QUEUE);
            tokio::spawn(send(client, host.to_owned(), receiver));
            sender
        });
        Self { queue }
    }

    /// An event about a pod, or about one of its containers.
    pub fn pod(&self, pod: &Pod, container: Option<&str>, kind: Kind, reason: &str, text: impl Into<String>) {
        let field_path = container.map_or_else(String::new, |name| {
            let list = match pod::find_container(pod, name).map(|(role, _)| role) {
                Some(pod::Role::Init | pod::Role::Sidecar) => "initContainers",
                Some(pod::Role::Ephemeral) => "ephemeralContainers",
                Some(pod::Role::App) | None => "containers",
            };
            format!("spec.{list}{{{name}}}")
        });
        let reference = ObjectReference {
            api_version: Some("v1".to_owned()),
            field_path: Some(field_path.clone()).filter(|path| !path.is_empty()),
            kind: Some("Pod".to_owned()),
            name: Some(pod::name(pod).to_owned()),
            namespace: Some(pod::namespace(pod).to_owned()),
            resource_version: pod.metadata.resource_version.clone(),
            uid: Some(pod::annotation(pod, pod::CONFIG_HASH).unwrap_or_else(|| pod::uid(pod)).to_owned()),
        };
        self.record(kind, reason, text.into(), field_path, "Pod", reference);
    }

    /// An event about the node itself.
    pub fn node(&self, node: &Node, kind: Kind, reason: &str, text: impl Into<String>) {
        let name = node.metadata.name.clone();
        let reference = ObjectReference {
            kind: Some("Node".to_owned()),
            uid: node.metadata.uid.clone().or_else(|| name.clone()),
            name,
            ..ObjectReference::default()
        };
        self.record(kind, reason, text.into(), String::new(), "Node", reference);
    }

    fn record(
        &self,
        kind: Kind,
        reason: &str,
        mut text: String,
        field_path: String,
        object_kind: &'static str,
        reference: ObjectReference,
    ) {
        if text.len() > MESSAGE_LIMIT {
            let end = (0..=MESSAGE_LIMIT - 3).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
            text.truncate(end);
            text.push_str("...");
        }
        let name = reference.name.clone().unwrap_or_default();
        let namespace = reference.namespace.clone().unwrap_or_else(|| "default".to_owned());
        tracing::info!(object = object_kind, %namespace, %name, reason, message = %text, "event");
        let message = Message {
            namespace,
            kind,
            reason: reason.to_owned(),
            text,
            uid: reference.uid.clone().unwrap_or_default(),
            name,
            field_path,
            object_kind,
        };
        if let Some(queue) = &self.queue
            && queue.try_send((message, reference)).is_err()
        {
            tracing::warn!("events come faster than the API server takes them: one is lost");
        }
    }
}

struct Sent {
    name: String,
    count: i32,
    at: tokio::time::Instant,
}

async fn send(client: Client, host: String, mut queue: mpsc::Receiver<(Message, ObjectReference)>) {
    let mut sent: HashMap<Message, Sent> = HashMap::new();
    while let Some((message, reference)) = queue.recv().await {
        let now = tokio::time::Instant::now();
        sent.retain(|_, sent| now.duration_since(sent.at) < SERIES);
        let events: Api<Event> = Api::namespaced(client.clone(), &message.namespace);
        if let Some(known) = sent.get_mut(&message) {
            known.count += 1;
            known.at = now;
            let patch = json!({"count": known.count, "lastTimestamp": whole_seconds(jiff::Timestamp::now())});
            match events.patch(&known.name, &PatchParams::default(), &Patch::Merge(patch)).await {
                Ok(_) => continue,
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => {
                    tracing::debug!(%error, "count up event");
                    continue;
                }
            }
        }
        let event = event(&message, reference, &host);
        let name = event.metadata.name.clone().unwrap_or_default();
        // The API server may be away for a while, as at its own restart.
        for attempt in 0_u64..5 {
            match events.create(&PostParams::default(), &event).await {
                Ok(_) => {
                    sent.insert(message, Sent { name, count: 1, at: now });
                    break;
                }
                // Refused for good, for example as the namespace is going away.
                Err(kube::Error::Api(status)) => {
                    tracing::debug!(%status, "create event");
                    break;
                }
                Err(error) => {
                    tracing::debug!(%error, "create event");
                    tokio::time::sleep(Duration::from_millis(200 * (attempt + 1))).await;
                }
            }
        }
    }
}

fn event(message: &Message, reference: ObjectReference, host: &str) -> Event {
    let now = jiff::Timestamp::now();
    let seconds = whole_seconds(now);
    let source = EventSource { component: Some("kubelet".to_owned()), host: Some(host.to_owned()) };
    Event {
        count: Some(1),
        first_timestamp: Some(seconds.clone()),
        involved_object: reference,
        last_timestamp: Some(seconds),
        message: Some(message.text.clone()),
        metadata: ObjectMeta {
            name: Some(format!("{}.{:x}", message.name, now.as_nanosecond())),
            namespace: Some(message.namespace.clone()),
            ..ObjectMeta::default()
        },
        reason: Some(message.reason.clone()),
        reporting_component: Some("kubelet".to_owned()),
        reporting_instance: Some(host.to_owned()),
        source: Some(source),
        type_: Some(match message.kind {
            Kind::Normal => "Normal".to_owned(),
            Kind::Warning => "Warning".to_owned(),
        }),
        ..Event::default()
    }
}
