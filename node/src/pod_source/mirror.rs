//! Mirror pods: how static pods show in the API; from [`static_pods`](super::static_pods) and the API watch; to the API.
//! Performs IO.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::{Api, Client};
use tokio::sync::{mpsc, watch};

use crate::pod::{self, CONFIG_HASH, CONFIG_MIRROR};

/// News of mirror pods.
#[derive(Debug)]
pub enum MirrorChange {
    /// A mirror pod is in the API.
    Present(Box<Pod>),
    /// It is no more.
    Gone(Box<Pod>),
    /// All of them have been listed.
    Synced,
}

/// Keeps one mirror per static pod, and no others; counts those it made on `made`.
pub async fn keep(
    client: Client,
    node: String,
    mut current: watch::Receiver<Vec<Arc<Pod>>>,
    mut changes: mpsc::Receiver<MirrorChange>,
    made: watch::Sender<u64>,
) {
    let mut mirrors: HashMap<(String, String), Pod> = HashMap::new();
    let mut synced = false;
    loop {
        let failed = if synced {
            let wanted = current.borrow_and_update().clone();
            adjust(&client, &node, &wanted, &mirrors, &made).await
        } else {
            false
        };
        let pause = if failed { Duration::from_secs(2) } else { Duration::from_secs(60) };
        tokio::select! {
            change = changes.recv() => match change {
                None => return,
                Some(MirrorChange::Synced) => synced = true,
                Some(MirrorChange::Present(pod)) => {
                    mirrors.insert(key(&pod), *pod);
                }
                Some(MirrorChange::Gone(pod)) => {
                    mirrors.remove(&key(&pod));
                }
            },
            // No sender: there are no static pods, and never will be; their old mirrors still have to go.
            Ok(()) = current.changed() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

fn key(pod: &Pod) -> (String, String) {
    (pod::namespace(pod).to_owned(), pod::name(pod).to_owned())
}

/// Deletes what should not be there, creates what is missing; whether anything failed.
async fn adjust(
    client: &Client,
    node: &str,
    wanted: &[Arc<Pod>],
    mirrors: &HashMap<(String, String), Pod>,
    made: &watch::Sender<u64>,
) -> bool {
    let mut failed = false;
    for (key, mirror) in mirrors {
        let original = wanted.iter().find(|pod| self::key(pod) == *key);
        let hash = pod::annotation(mirror, CONFIG_MIRROR);
        let right = original.is_some_and(|original| pod::annotation(original, CONFIG_HASH) == hash);
        if right && mirror.metadata.deletion_timestamp.is_none() {
            continue;
        }
        let pods: Api<Pod> = Api::namespaced(client.clone(), &key.0);
        let preconditions = Some(Preconditions { uid: mirror.metadata.uid.clone(), resource_version: None });
        let params = DeleteParams { preconditions, ..DeleteParams::default().grace_period(0) };
        match pods.delete(&key.1, &params).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            Err(error) => {
                failed = true;
                tracing::warn!(pod = key.1, %error, "delete mirror pod");
            }
        }
    }
    let missing = wanted.iter().filter(|pod| !mirrors.contains_key(&key(pod)));
    for pod in missing {
        let pods: Api<Pod> = Api::namespaced(client.clone(), pod::namespace(pod));
        match create(client, node, &pods, pod).await {
            Ok(()) => made.send_modify(|count| *count += 1),
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => {
                failed = true;
                tracing::warn!(pod = pod::formatted(pod), %error, "create mirror pod");
            }
        }
    }
    failed
}

async fn create(client: &Client, node: &str, pods: &Api<Pod>, original: &Pod) -> Result<(), kube::Error> {
    let owner = Api::<Node>::all(client.clone()).get(node).await?;
    let mut mirror = original.clone();
    let hash = pod::annotation(original, CONFIG_HASH).unwrap_or_default().to_owned();
    mirror.metadata.annotations.get_or_insert_default().insert(CONFIG_MIRROR.to_owned(), hash);
    mirror.metadata.uid = None;
    mirror.metadata.resource_version = None;
    mirror.metadata.owner_references = Some(vec![OwnerReference {
        api_version: "v1".to_owned(),
        controller: Some(true),
        kind: "Node".to_owned(),
        name: node.to_owned(),
        uid: owner.metadata.uid.unwrap_or_default(),
        ..OwnerReference::default()
    }]);
    mirror.status = None;
    pods.create(&PostParams::default(), &mirror).await.map(drop)
}
