//! What is left to do for a pod that has ended: volumes, cgroup, last report, and the runtime's records; from
//! [`pod_worker`](super); to the node. Performs IO.

use std::time::Duration;

use super::Worker;
use crate::cri::CriError;
use crate::image::containerd::Containerd;
use crate::pod;

/// Pause between attempts.
const RETRY: Duration = Duration::from_secs(2);
/// Attempts to remove what the runtime knows: before the pod's end is reported, which only tells that nothing runs, and after.
const FEW: u32 = 3;
const MANY: u32 = 30;

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
                self.remove_from_runtime(FEW).await;
            }
            self.send(true);
            let seen = desired.version;
            let changed = |desired: &super::Desired| desired.removed || desired.version != seen;
            super::until(&mut self.desired, changed).await;
        }
    }

    /// Removes what the runtime still knows, and the logs.
    pub(super) async fn remove_traces(&mut self) {
        self.remove_from_runtime(MANY).await;
        let pod = self.pod();
        let logs = self.kubelet.directories.pod_logs(&pod);
        match std::fs::remove_dir_all(&logs) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(path = %logs.display(), %error, "remove logs");
            }
            _ => {}
        }
    }

    async fn remove_from_runtime(&mut self, attempts: u32) {
        let pod = self.pod();
        for _ in 0..attempts {
            match self.try_remove_from_runtime(pod::uid(&pod)).await {
                Ok(()) => return,
                Err(error) => tracing::warn!(pod = pod::formatted(&pod), %error, "remove containers"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn try_remove_from_runtime(&self, uid: &str) -> Result<(), CriError> {
        let runtime = &self.kubelet.runtime;
        for container in runtime.list_containers(Some(uid)).await? {
            let removed = runtime.remove_container(&container.id).await;
            self.delete_task_after(&removed, &container.id).await;
            removed?;
        }
        for sandbox in runtime.list_sandboxes(Some(uid)).await? {
            runtime.stop_sandbox(&sandbox.id).await?;
            let removed = runtime.remove_sandbox(&sandbox.id).await;
            self.delete_task_after(&removed, &sandbox.id).await;
            removed?;
        }
        Ok(())
    }

    /// containerd that was interrupted while it started a container has a task for it that its CRI does not know, and that bars its
    /// removal until somebody deletes it.
    async fn delete_task_after(&self, removed: &Result<(), CriError>, id: &str) {
        if removed.is_ok() {
            return;
        }
        if let Err(status) = Containerd::new(self.kubelet.runtime.socket()).delete_task(id).await {
            tracing::debug!(id, %status, "delete the task");
        }
    }
}
