//! What is left to do for a pod that has ended: volumes, cgroup, last report, and the runtime's records; from
//! [`pod_worker`](super); to the node. Performs IO.

use std::time::Duration;

use super::Worker;
use crate::pod;

/// Pause between attempts.
const RETRY: Duration = Duration::from_secs(2);

impl Worker {
    /// Frees volumes and cgroup; tries until it succeeds.
    pub(super) async fn clean_up(&mut self) {
        let pod = self.pod();
        let uid = pod::uid(&pod).to_owned();
        self.kubelet.objects.release(&uid);
        self.kubelet.images.forget(&uid);
        while let Err(error) = self.kubelet.volumes.tear_down(&uid) {
            tracing::warn!(pod = pod::formatted(&pod), %error, "remove volumes");
            tokio::time::sleep(RETRY).await;
        }
        for attempt in 0.. {
            match self.kubelet.cgroups.remove_pod(&uid) {
                Ok(()) => break,
                Err(error) if attempt < 30 => {
                    tracing::debug!(pod = pod::formatted(&pod), %error, "remove cgroup");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(error) => {
                    tracing::warn!(pod = pod::formatted(&pod), error = ?error, "remove cgroup");
                    break;
                }
            }
        }
    }

    /// Reports the end, and waits until the source has no such pod any more.
    pub(super) async fn finish(&mut self) {
        loop {
            let desired = self.desired.borrow().clone();
            if desired.removed {
                return;
            }
            if desired.pod.metadata.deletion_timestamp.is_some() {
                self.remove_from_runtime().await;
            }
            self.send(true);
            let seen = desired.version;
            let changed = |desired: &super::Desired| desired.removed || desired.version != seen;
            super::until(&mut self.desired, changed).await;
        }
    }

    /// Removes what the runtime still knows, and the logs.
    pub(super) async fn remove_traces(&mut self) {
        self.remove_from_runtime().await;
        let pod = self.pod();
        let logs = self.kubelet.directories.pod_logs(&pod);
        match std::fs::remove_dir_all(&logs) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(path = %logs.display(), %error, "remove logs");
            }
            _ => {}
        }
    }

    async fn remove_from_runtime(&mut self) {
        let pod = self.pod();
        for _ in 0..30 {
            match self.try_remove_from_runtime(pod::uid(&pod)).await {
                Ok(()) => return,
                Err(error) => tracing::warn!(pod = pod::formatted(&pod), %error, "remove containers"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn try_remove_from_runtime(&mut self, uid: &str) -> Result<(), crate::cri::CriError> {
        for container in self.kubelet.runtime.list_containers(Some(uid)).await? {
            self.kubelet.runtime.remove_container(&container.id).await?;
        }
        for sandbox in self.kubelet.runtime.list_sandboxes(Some(uid)).await? {
            self.kubelet.runtime.stop_sandbox(&sandbox.id).await?;
            self.kubelet.runtime.remove_sandbox(&sandbox.id).await?;
        }
        Ok(())
    }
}
