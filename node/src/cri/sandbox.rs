//! Pod sandboxes over CRI; from [`pod_worker`](crate::pod_worker); to the runtime. Performs IO.

use std::time::Duration;

use k8s_cri::v1 as api;

use super::{CALL_LIMIT, CriError, LABEL_POD_UID, Runtime, SANDBOX_LIMIT, limited};

impl Runtime {
    /// Creates and starts a sandbox, its network included; returns its id.
    ///
    /// # Errors
    /// The call failed; the text is the event's.
    pub async fn run_sandbox(&self, config: api::PodSandboxConfig, handler: &str) -> Result<String, CriError> {
        let request = api::RunPodSandboxRequest { config: Some(config), runtime_handler: handler.to_owned() };
        Ok(limited("RunPodSandbox", SANDBOX_LIMIT, Box::pin(self.service().run_pod_sandbox(request)))
            .await?
            .pod_sandbox_id)
    }

    /// Stops every container of the sandbox and frees its network. Idempotent.
    ///
    /// # Errors
    /// The call failed.
    pub async fn stop_sandbox(&self, id: &str) -> Result<(), CriError> {
        let request = api::StopPodSandboxRequest { pod_sandbox_id: id.to_owned() };
        gone_is_done(limited("StopPodSandbox", SANDBOX_LIMIT, self.service().stop_pod_sandbox(request)).await)
    }

    /// Removes a stopped sandbox with its containers. Idempotent.
    ///
    /// # Errors
    /// The call failed.
    pub async fn remove_sandbox(&self, id: &str) -> Result<(), CriError> {
        let request = api::RemovePodSandboxRequest { pod_sandbox_id: id.to_owned() };
        gone_is_done(limited("RemovePodSandbox", CALL_LIMIT, self.service().remove_pod_sandbox(request)).await)
    }

    /// State of one sandbox.
    ///
    /// # Errors
    /// The call failed, `NotFound` among the reasons.
    pub async fn sandbox_status(&self, id: &str) -> Result<api::PodSandboxStatus, CriError> {
        let request = api::PodSandboxStatusRequest { pod_sandbox_id: id.to_owned(), verbose: false };
        let answer = limited("PodSandboxStatus", CALL_LIMIT, self.service().pod_sandbox_status(request)).await?;
        answer.status.ok_or(CriError::Missing { call: "PodSandboxStatus", field: "status" })
    }

    /// Sandboxes of one pod, or of all pods that a kubelet made.
    ///
    /// # Errors
    /// The call failed.
    pub async fn list_sandboxes(&self, pod_uid: Option<&str>) -> Result<Vec<api::PodSandbox>, CriError> {
        let filter = pod_uid.map(|uid| api::PodSandboxFilter {
            label_selector: [(LABEL_POD_UID.to_owned(), uid.to_owned())].into(),
            ..api::PodSandboxFilter::default()
        });
        let request = api::ListPodSandboxRequest { filter };
        let items = limited("ListPodSandbox", CALL_LIMIT, self.service().list_pod_sandbox(request)).await?.items;
        Ok(items.into_iter().filter(|sandbox| sandbox.labels.contains_key(LABEL_POD_UID)).collect())
    }

    /// Where to connect for a port-forward into the sandbox.
    ///
    /// # Errors
    /// The call failed.
    pub async fn port_forward(&self, id: &str, ports: Vec<i32>) -> Result<String, CriError> {
        let request = api::PortForwardRequest { pod_sandbox_id: id.to_owned(), port: ports };
        Ok(limited("PortForward", CALL_LIMIT, self.service().port_forward(request)).await?.url)
    }
}

/// What is not there need not be stopped or removed.
pub(super) fn gone_is_done<T>(result: Result<T, CriError>) -> Result<(), CriError> {
    match result {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

/// Time limit of a stop call that gives the container `grace` to end by itself.
pub(super) fn stop_limit(grace: Duration) -> Duration {
    grace.saturating_add(CALL_LIMIT)
}
