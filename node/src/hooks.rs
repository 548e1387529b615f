//! Container hooks (postStart, preStop): exec, httpGet, sleep; from [`pod_worker`](crate::pod_worker); to the container.
//! Performs IO.

use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, LifecycleHandler};

use crate::cri::Runtime;
use crate::probes::http;

/// Runs a hook to its end; the error is the text of the event.
///
/// # Errors
/// The hook failed.
pub async fn run(
    runtime: &Runtime,
    container: &Container,
    container_id: &str,
    hook: &LifecycleHandler,
    address: Option<IpAddr>,
) -> Result<(), String> {
    if let Some(exec) = &hook.exec {
        let command = exec.command.clone().unwrap_or_default();
        let shown = command.join(" ");
        return match runtime.exec_sync(container_id, &command, Duration::ZERO).await {
            Ok(result) if result.exit_code == 0 => Ok(()),
            Ok(result) => Err(format!(
                "Exec lifecycle hook ([{shown}]) for Container \"{}\" failed - error: command '{shown}' exited with {}: {}",
                container.name,
                result.exit_code,
                String::from_utf8_lossy(&result.output)
            )),
            Err(error) => Err(format!(
                "Exec lifecycle hook ([{shown}]) for Container \"{}\" failed - error: {error}",
                container.name
            )),
        };
    }
    if let Some(action) = &hook.http_get {
        return http::get(container, action, address, Duration::from_secs(600)).await;
    }
    if let Some(sleep) = &hook.sleep {
        tokio::time::sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0))).await;
        return Ok(());
    }
    Err(format!("Cannot run handler of container {}: only exec, httpGet and sleep are supported", container.name))
}
