//! Where pods come from: the API (pods bound to this node) and a directory of manifests; to [`pods`](crate::pods). Performs IO.

use std::collections::HashSet;
use std::sync::Arc;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use tokio::sync::mpsc;

use crate::pod;

pub mod mirror;
pub mod static_pods;

/// A source of pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The API server.
    Api,
    /// Manifests in a directory.
    File,
    /// Only the runtime knows the pod: it is to be removed.
    Runtime,
}

/// News from a source.
#[derive(Clone, Debug)]
pub enum Change {
    /// The pod is new or has changed.
    Applied(Source, Arc<Pod>),
    /// The pod with that UID is gone.
    Removed(Source, String),
    /// These UIDs are all pods the source has.
    Complete(Source, HashSet<String>),
}

/// Watches the pods of a node; mirrors of static pods go to `mirrors`, all others to `changes`.
pub async fn watch_api(
    client: Client,
    node: &str,
    changes: mpsc::Sender<Change>,
    mirrors: mpsc::Sender<mirror::MirrorChange>,
) {
    let config = watcher::Config::default().fields(&format!("spec.nodeName={node}"));
    let mut events = watcher::watcher(Api::<Pod>::all(client), config).default_backoff().boxed();
    let mut listed = HashSet::new();
    while let Some(event) = events.next().await {
        let sent = match event {
            Ok(Event::Init) => {
                listed.clear();
                Ok(())
            }
            Ok(Event::InitApply(pod)) => {
                listed.insert(pod::uid(&pod).to_owned());
                applied(pod, &changes, &mirrors).await
            }
            Ok(Event::Apply(pod)) => applied(pod, &changes, &mirrors).await,
            Ok(Event::InitDone) => {
                tell(&mirrors, mirror::MirrorChange::Synced).await;
                let complete = Change::Complete(Source::Api, std::mem::take(&mut listed));
                changes.send(complete).await.map_err(drop)
            }
            Ok(Event::Delete(pod)) if is_mirror(&pod) => {
                tell(&mirrors, mirror::MirrorChange::Gone(Box::new(pod))).await;
                Ok(())
            }
            Ok(Event::Delete(pod)) => {
                // The last object says with which grace the pod was deleted.
                let uid = pod::uid(&pod).to_owned();
                let last = changes.send(Change::Applied(Source::Api, Arc::new(pod))).await.map_err(drop);
                changes.send(Change::Removed(Source::Api, uid)).await.map_err(drop).and(last)
            }
            Err(error) => {
                tracing::warn!(%error, "watch pods");
                Ok(())
            }
        };
        if sent.is_err() {
            return;
        }
    }
}

/// Nobody listens for mirrors when this kubelet has no static pods.
async fn tell(mirrors: &mpsc::Sender<mirror::MirrorChange>, change: mirror::MirrorChange) {
    if mirrors.send(change).await.is_err() {
        tracing::trace!("no static pods, no mirrors");
    }
}

fn is_mirror(pod: &Pod) -> bool {
    pod::annotation(pod, pod::CONFIG_MIRROR).is_some()
}

async fn applied(
    mut pod: Pod,
    changes: &mpsc::Sender<Change>,
    mirrors: &mpsc::Sender<mirror::MirrorChange>,
) -> Result<(), ()> {
    if is_mirror(&pod) {
        tell(mirrors, mirror::MirrorChange::Present(Box::new(pod))).await;
        return Ok(());
    }
    // Nothing here reads it, and it is the largest part of many objects.
    pod.metadata.managed_fields = None;
    changes.send(Change::Applied(Source::Api, Arc::new(pod))).await.map_err(drop)
}
