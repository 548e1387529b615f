//! Requests about pods: bind, say why not, end victims. From the scheduler; to the API server; results as inputs.

use crate::events::{Events, Occurrence};
use crate::inputs::{Done, Input};
use crate::pending_pod::PendingPod;
use crate::pod_info::PodInfo;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Binding, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::Status;
use kube::{Api, Client};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};

/// Makes requests beside the scheduler's task, a limited number at once.
#[derive(Clone)]
pub struct Requests {
    client: Client,
    events: Events,
    inputs: mpsc::Sender<Input>,
    permits: Arc<Semaphore>,
}

/// Why a pod has no node yet, and where room is being made for it.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// `Unschedulable` or `SchedulerError`.
    pub reason: &'static str,
    pub message: String,
    /// The node on which room is being made.
    pub nominated: Option<String>,
}

impl Requests {
    /// At most `parallel` requests at once; results go to `inputs`.
    pub fn new(client: Client, events: Events, inputs: mpsc::Sender<Input>, parallel: usize) -> Self {
        Self { client, events, inputs, permits: Arc::new(Semaphore::new(parallel)) }
    }

    fn pods(&self, namespace: &str) -> Api<Pod> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Gives the pod its node; the result comes as [`Input::Done`].
    pub fn bind(&self, pod: Arc<PendingPod>, node: String) {
        let this = self.clone();
        tokio::spawn(async move {
            let _permit = this.permits.acquire().await;
            let uid = pod.info.uid.clone();
            let done = match this.post_binding(&pod, &node).await {
                Ok(()) => {
                    this.events.record(Occurrence::scheduled(&pod, &node));
                    Done::Bound { uid }
                }
                Err(error) => Done::NotBound { uid, error: message_of(&error) },
            };
            if this.inputs.send(Input::Done(done)).await.is_err() {
                tracing::debug!("scheduler stopped before a binding ended");
            }
        });
    }

    async fn post_binding(&self, pod: &PendingPod, node: &str) -> Result<(), kube::Error> {
        let binding = Binding {
            metadata: ObjectMeta {
                name: Some(pod.info.name.clone()),
                namespace: Some(pod.info.namespace.clone()),
                uid: Some(pod.info.uid.clone()),
                ..ObjectMeta::default()
            },
            target: ObjectReference {
                kind: Some("Node".to_owned()),
                name: Some(node.to_owned()),
                ..ObjectReference::default()
            },
        };
        let api = self.pods(&pod.info.namespace);
        api.create_subresource::<_, Status>("binding", &pod.info.name, &PostParams::default(), &binding).await.map(drop)
    }

    /// Writes why the pod has no node: an event, and condition `PodScheduled` unless it says so already.
    pub fn refuse(&self, pod: Arc<PendingPod>, refusal: Refusal) {
        self.events.record(Occurrence::failed(&pod, refusal.message.clone()));
        let same =
            pod.told.as_ref().is_some_and(|(reason, message)| reason == refusal.reason && *message == refusal.message);
        if same && refusal.nominated == pod.nominated {
            return;
        }
        let this = self.clone();
        tokio::spawn(async move {
            let _permit = this.permits.acquire().await;
            let patch = Patch::Strategic(refusal_patch(&pod, &refusal));
            let api = this.pods(&pod.info.namespace);
            if let Err(error) = api.patch_status(&pod.info.name, &PatchParams::default(), &patch).await {
                tracing::debug!(pod = %pod.key(), %error, "condition not written");
            }
        });
    }

    /// Ends the victims so that the pod can have their room.
    pub fn preempt(&self, pod: Arc<PendingPod>, victims: Vec<Arc<PodInfo>>, node: String) {
        let this = self.clone();
        tokio::spawn(async move {
            let _permit = this.permits.acquire().await;
            for victim in victims {
                match this.end(&victim).await {
                    Ok(()) => this.events.record(Occurrence::preempted(&victim, &pod, &node)),
                    Err(error) => tracing::warn!(victim = %victim.name, %error, "victim not deleted"),
                }
            }
        });
    }

    async fn end(&self, victim: &PodInfo) -> Result<(), kube::Error> {
        let api = self.pods(&victim.namespace);
        let patch = json!({"metadata": {"uid": victim.uid}, "status": {"conditions": [{
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "PreemptionByScheduler",
            "message": "default-scheduler: preempting to accommodate a higher priority pod",
            "lastTransitionTime": now(),
        }]}});
        match api.patch_status(&victim.name, &PatchParams::default(), &Patch::Strategic(patch)).await {
            Err(error) if !is_missing(&error) => return Err(error),
            Ok(_) | Err(_) => {}
        }
        let only_this = Preconditions { uid: Some(victim.uid.clone()), resource_version: None };
        let params = DeleteParams { preconditions: Some(only_this), ..DeleteParams::default() };
        match api.delete(&victim.name, &params).await {
            Err(error) if !is_missing(&error) => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

fn refusal_patch(pod: &PendingPod, refusal: &Refusal) -> Value {
    let mut condition = json!({
        "type": "PodScheduled",
        "status": "False",
        "reason": refusal.reason,
        "message": refusal.message,
        "lastProbeTime": null,
    });
    if let Some(generation) = pod.generation {
        condition["observedGeneration"] = json!(generation);
    }
    if pod.told.is_none() {
        condition["lastTransitionTime"] = json!(now());
    }
    let mut status = json!({"conditions": [condition]});
    if refusal.nominated != pod.nominated {
        status["nominatedNodeName"] = json!(refusal.nominated);
    }
    json!({"metadata": {"uid": pod.info.uid}, "status": status})
}

fn now() -> Time {
    Time(Timestamp::now())
}

fn is_missing(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404 || status.code == 409)
}

fn message_of(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error { status.message.clone() } else { error.to_string() }
}
