//! Containers over CRI; from [`pod_worker`](crate::pod_worker) and [`server`](crate::server); to the runtime. Performs IO.

use std::time::Duration;

use k8s_cri::v1 as api;

use super::sandbox::{gone_is_done, stop_limit};
use super::{CALL_LIMIT, CriError, LABEL_CONTAINER_NAME, LABEL_POD_UID, Runtime, limited};

/// Which standard streams a client wants of an exec or attach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streams {
    /// Client → process.
    pub stdin: bool,
    /// Process → client.
    pub stdout: bool,
    /// Process → client; never together with a terminal.
    pub stderr: bool,
    /// Allocate a terminal.
    pub tty: bool,
}

/// How a command run in a container ended.
#[derive(Clone, Debug)]
pub struct ExecResult {
    /// Exit code of the command.
    pub exit_code: i32,
    /// Standard output, then standard error.
    pub output: Vec<u8>,
}

impl Runtime {
    /// Creates a container in a sandbox; returns its id.
    ///
    /// # Errors
    /// The call failed; the text is the event's.
    pub async fn create_container(
        &self,
        sandbox_id: &str,
        config: api::ContainerConfig,
        sandbox_config: api::PodSandboxConfig,
    ) -> Result<String, CriError> {
        let request = api::CreateContainerRequest {
            pod_sandbox_id: sandbox_id.to_owned(),
            config: Some(config),
            sandbox_config: Some(sandbox_config),
        };
        Ok(limited("CreateContainer", CALL_LIMIT, Box::pin(self.service().create_container(request)))
            .await?
            .container_id)
    }

    /// Starts a created container.
    ///
    /// # Errors
    /// The call failed; the text is the event's.
    pub async fn start_container(&self, id: &str) -> Result<(), CriError> {
        let request = api::StartContainerRequest { container_id: id.to_owned() };
        limited("StartContainer", CALL_LIMIT, self.service().start_container(request)).await.map(drop)
    }

    /// Sends the stop signal, waits `grace`, then kills. Idempotent.
    ///
    /// # Errors
    /// The call failed.
    pub async fn stop_container(&self, id: &str, grace: Duration) -> Result<(), CriError> {
        let timeout = i64::try_from(grace.as_secs()).unwrap_or(i64::MAX);
        let request = api::StopContainerRequest { container_id: id.to_owned(), timeout };
        gone_is_done(limited("StopContainer", stop_limit(grace), self.service().stop_container(request)).await)
    }

    /// Removes a container. Idempotent.
    ///
    /// # Errors
    /// The call failed.
    pub async fn remove_container(&self, id: &str) -> Result<(), CriError> {
        let request = api::RemoveContainerRequest { container_id: id.to_owned() };
        gone_is_done(limited("RemoveContainer", CALL_LIMIT, self.service().remove_container(request)).await)
    }

    /// State of one container.
    ///
    /// # Errors
    /// The call failed, `NotFound` among the reasons.
    pub async fn container_status(&self, id: &str) -> Result<api::ContainerStatus, CriError> {
        let request = api::ContainerStatusRequest { container_id: id.to_owned(), verbose: false };
        let answer = limited("ContainerStatus", CALL_LIMIT, self.service().container_status(request)).await?;
        answer.status.ok_or(CriError::Missing { call: "ContainerStatus", field: "status" })
    }

    /// Containers of one pod, or of all pods that a kubelet made.
    ///
    /// # Errors
    /// The call failed.
    pub async fn list_containers(&self, pod_uid: Option<&str>) -> Result<Vec<api::Container>, CriError> {
        let filter = pod_uid.map(|uid| api::ContainerFilter {
            label_selector: [(LABEL_POD_UID.to_owned(), uid.to_owned())].into(),
            ..api::ContainerFilter::default()
        });
        let request = api::ListContainersRequest { filter };
        let list = limited("ListContainers", CALL_LIMIT, self.service().list_containers(request)).await?.containers;
        let ours =
            |c: &api::Container| c.labels.contains_key(LABEL_POD_UID) && c.labels.contains_key(LABEL_CONTAINER_NAME);
        Ok(list.into_iter().filter(ours).collect())
    }

    /// Runs a command to its end, at most `limit` (zero: no limit).
    ///
    /// # Errors
    /// The command could not be run, or did not end in time.
    pub async fn exec_sync(&self, id: &str, command: &[String], limit: Duration) -> Result<ExecResult, CriError> {
        let timeout = i64::try_from(limit.as_secs()).unwrap_or(i64::MAX);
        let request = api::ExecSyncRequest { container_id: id.to_owned(), cmd: command.to_vec(), timeout };
        let wait = if limit.is_zero() { Duration::from_secs(86_400) } else { limit + Duration::from_secs(10) };
        let answer = limited("ExecSync", wait, self.service().exec_sync(request)).await?;
        let mut output = answer.stdout;
        output.extend_from_slice(&answer.stderr);
        Ok(ExecResult { exit_code: answer.exit_code, output })
    }

    /// Where to connect to run a command with streams.
    ///
    /// # Errors
    /// The call failed.
    pub async fn exec(&self, id: &str, command: Vec<String>, streams: Streams) -> Result<String, CriError> {
        let request = api::ExecRequest {
            container_id: id.to_owned(),
            cmd: command,
            tty: streams.tty,
            stdin: streams.stdin,
            stdout: streams.stdout,
            stderr: streams.stderr,
        };
        Ok(limited("Exec", CALL_LIMIT, self.service().exec(request)).await?.url)
    }

    /// Where to connect to join the container's own streams.
    ///
    /// # Errors
    /// The call failed.
    pub async fn attach(&self, id: &str, streams: Streams) -> Result<String, CriError> {
        let request = api::AttachRequest {
            container_id: id.to_owned(),
            tty: streams.tty,
            stdin: streams.stdin,
            stdout: streams.stdout,
            stderr: streams.stderr,
        };
        Ok(limited("Attach", CALL_LIMIT, self.service().attach(request)).await?.url)
    }

    /// Has the runtime open a fresh log file after rotation.
    ///
    /// # Errors
    /// The call failed.
    pub async fn reopen_log(&self, id: &str) -> Result<(), CriError> {
        let request = api::ReopenContainerLogRequest { container_id: id.to_owned() };
        limited("ReopenContainerLog", CALL_LIMIT, self.service().reopen_container_log(request)).await.map(drop)
    }

    /// Changes resources of a running container.
    ///
    /// # Errors
    /// The call failed.
    pub async fn update_container(&self, id: &str, linux: api::LinuxContainerResources) -> Result<(), CriError> {
        let request = api::UpdateContainerResourcesRequest {
            container_id: id.to_owned(),
            linux: Some(linux),
            ..api::UpdateContainerResourcesRequest::default()
        };
        limited("UpdateContainerResources", CALL_LIMIT, self.service().update_container_resources(request))
            .await
            .map(drop)
    }
}
