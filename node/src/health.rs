//! Asks the runtime whether it and the pod network are ready; from the runtime; to the pod workers and
//! [`node_status`](crate::node_status). Performs IO.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::cri::Runtime;
use crate::kubelet::RuntimeHealth;

/// Time between questions while all is well, and while it is not.
const PERIOD: Duration = Duration::from_secs(5);
const PERIOD_UNREADY: Duration = Duration::from_millis(200);

/// Asks until stopped.
pub async fn watch(runtime: Runtime, health: watch::Sender<RuntimeHealth>, stop: CancellationToken) {
    loop {
        let now = ask(&runtime).await;
        let ready = now == RuntimeHealth::default();
        health.send_if_modified(|known| {
            let changed = *known != now;
            if changed {
                tracing::info!(runtime = ?now.runtime_problem, network = ?now.network_problem, "runtime health");
            }
            *known = now;
            changed
        });
        let pause = if ready { PERIOD } else { PERIOD_UNREADY };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn ask(runtime: &Runtime) -> RuntimeHealth {
    let conditions = match runtime.status().await {
        Ok(conditions) => conditions,
        Err(error) => {
            let problem = format!("container runtime is down: {error}");
            return RuntimeHealth { runtime_problem: Some(problem.clone()), network_problem: Some(problem) };
        }
    };
    let problem = |kind: &str| match conditions.iter().find(|condition| condition.r#type == kind) {
        Some(condition) if condition.status => None,
        Some(condition) => Some(format!("{kind}=false reason:{} message:{}", condition.reason, condition.message)),
        None => Some(format!("{kind} is not reported")),
    };
    RuntimeHealth {
        runtime_problem: problem("RuntimeReady").map(|text| format!("container runtime not ready: {text}")),
        network_problem: problem("NetworkReady").map(|text| format!("container runtime network not ready: {text}")),
    }
}
