//! Notices what changes in the runtime: its event stream where it has one, and a full list every second; from the runtime;
//! to [`pods`](crate::pods). Performs IO.
//!
//! Channels: runtime events and a clock → [`Seen`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use kube::api::ObjectMeta;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::cri::{CriError, LABEL_CONTAINER_NAME, LABEL_POD_NAME, LABEL_POD_NAMESPACE, LABEL_POD_UID, Runtime};

/// Time between full lists.
const PERIOD: Duration = Duration::from_secs(1);
/// Time from an event to the look at its effect, and between the looks that follow.
const SETTLE: Duration = Duration::from_millis(20);
const ECHO: Duration = Duration::from_millis(100);
const ECHOES: u32 = 6;

/// What one look found.
#[derive(Debug, Default)]
pub struct Seen {
    /// UIDs of pods that changed since the last look.
    pub changed: Vec<String>,
    /// All pods the runtime has, as far as labels tell.
    pub pods: Vec<Arc<Pod>>,
}

/// State of a sandbox or container by its id.
type Snapshot = HashMap<String, Vec<(String, i32)>>;

/// Looks until stopped.
pub async fn run(runtime: Runtime, seen: mpsc::Sender<Seen>, stop: CancellationToken) {
    let hint = Arc::new(Notify::new());
    let follow = follow_events(runtime.clone(), Arc::clone(&hint));
    let look = async {
        let mut last = Snapshot::new();
        let mut failing = false;
        let mut echoes = 0_u32;
        loop {
            match look(&runtime).await {
                Ok((now, pods)) => {
                    failing = false;
                    let changed = differences(&last, &now);
                    last = now;
                    if seen.send(Seen { changed, pods }).await.is_err() {
                        return;
                    }
                }
                Err(error) if !failing => {
                    failing = true;
                    tracing::warn!(%error, "list containers");
                }
                Err(_same) => {}
            }
            let pause = if echoes > 0 { ECHO } else { PERIOD };
            echoes = echoes.saturating_sub(1);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = hint.notified() => {
                    // The runtime's own books follow its events, later when the machine is busy: look soon, and again.
                    tokio::time::sleep(SETTLE).await;
                    echoes = ECHOES;
                }
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = look => {}
        () = follow => {}
    }
}

/// Turns runtime events into hints to look at once. Never ends.
async fn follow_events(runtime: Runtime, hint: Arc<Notify>) {
    loop {
        match runtime.events().await {
            Ok(mut events) => {
                while let Ok(Some(_)) = events.message().await {
                    hint.notify_one();
                }
            }
            Err(CriError::Rpc(status)) if status.code() == tonic::Code::Unimplemented => {
                return follow_containerd(&runtime, &hint).await;
            }
            Err(error) => tracing::debug!(%error, "follow runtime events"),
        }
        tokio::time::sleep(PERIOD).await;
    }
}

/// The same by containerd's own events, for versions whose CRI has none. Never ends.
async fn follow_containerd(runtime: &Runtime, hint: &Notify) {
    loop {
        match crate::image::containerd::Containerd::new(runtime.socket()).task_events().await {
            Ok(mut events) => {
                while let Ok(Some(_)) = events.message().await {
                    hint.notify_one();
                }
            }
            Err(status) if status.code() == tonic::Code::Unimplemented => {
                tracing::info!("the runtime has no event stream: its containers are listed every second");
                return std::future::pending().await;
            }
            Err(error) => tracing::debug!(%error, "follow containerd events"),
        }
        tokio::time::sleep(PERIOD).await;
    }
}

async fn look(runtime: &Runtime) -> Result<(Snapshot, Vec<Arc<Pod>>), CriError> {
    let (sandboxes, containers) = futures::try_join!(runtime.list_sandboxes(None), runtime.list_containers(None))?;
    let mut snapshot = Snapshot::new();
    let mut pods: HashMap<String, Pod> = HashMap::new();
    let sandboxes = sandboxes.into_iter().map(|item| (item.labels, item.id, item.state));
    for (labels, id, state) in sandboxes.chain(containers.into_iter().map(|item| (item.labels, item.id, item.state))) {
        let label = |key: &str| labels.get(key).cloned().unwrap_or_default();
        let uid = label(LABEL_POD_UID);
        snapshot.entry(uid.clone()).or_default().push((id, state));
        let pod = pods.entry(uid.clone()).or_insert_with(|| Pod {
            metadata: ObjectMeta {
                name: Some(label(LABEL_POD_NAME)),
                namespace: Some(label(LABEL_POD_NAMESPACE)),
                uid: Some(uid),
                ..ObjectMeta::default()
            },
            spec: Some(PodSpec::default()),
            ..Pod::default()
        });
        if let (Some(name), Some(spec)) = (labels.get(LABEL_CONTAINER_NAME), pod.spec.as_mut())
            && !spec.containers.iter().any(|container| container.name == *name)
        {
            spec.containers.push(Container { name: name.clone(), ..Container::default() });
        }
    }
    for items in snapshot.values_mut() {
        items.sort_unstable();
    }
    Ok((snapshot, pods.into_values().map(Arc::new).collect()))
}

fn differences(old: &Snapshot, new: &Snapshot) -> Vec<String> {
    let changed = new.iter().filter(|(uid, items)| old.get(*uid) != Some(*items)).map(|(uid, _)| uid);
    let gone = old.keys().filter(|uid| !new.contains_key(*uid));
    changed.chain(gone).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_which_pods_changed() {
        let one = |state| vec![("c".to_owned(), state)];
        let old: Snapshot = [("a".into(), one(1)), ("b".into(), one(1)), ("c".into(), one(1))].into();
        let new: Snapshot = [("a".into(), one(1)), ("b".into(), one(2)), ("d".into(), one(1))].into();
        let mut changed = differences(&old, &new);
        changed.sort();
        assert_eq!(changed, ["b", "c", "d"]);
    }
}
