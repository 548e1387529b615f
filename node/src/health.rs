//! Asks the runtime whether it and the pod network are ready; from the runtime; to the pod workers and
//! [`node_status`](crate::node_status). Performs IO.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cri::Runtime;
use crate::kubelet::RuntimeHealth;

/// Time between questions while all is well, and while it is not.
const PERIOD: Duration = Duration::from_secs(5);
const PERIOD_UNREADY: Duration = Duration::from_millis(200);
/// A runtime that does not answer for so long is down; one that is started anew within it disturbs no pod. Upstream's
/// `maxWaitForContainerRuntime` (v1.34).
const RESTART_LIMIT: Duration = Duration::from_secs(30);

/// Asks until stopped.
pub async fn watch(runtime: Runtime, health: watch::Sender<RuntimeHealth>, stop: CancellationToken) {
    let mut answered = None;
    loop {
        let answer = ask(&runtime).await;
        let well = answer.as_ref().is_ok_and(|(runtime, network)| runtime.is_none() && network.is_none());
        let known = health.borrow().clone();
        let silent = answered.map(|at: Instant| at.elapsed());
        if answer.is_ok() {
            answered = Some(Instant::now());
        }
        let now = judge(&known, answer, silent);
        if (&known.runtime_problem, &known.network_problem) != (&now.runtime_problem, &now.network_problem) {
            tracing::info!(runtime = ?now.runtime_problem, network = ?now.network_problem, "runtime health");
        }
        health.send_if_modified(|known| {
            let changed = *known != now;
            *known = now;
            changed
        });
        let pause = if well { PERIOD } else { PERIOD_UNREADY };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// What is wrong with the runtime and with the network, as the runtime says, or why it says nothing.
type Answer = Result<(Option<String>, Option<String>), String>;

/// The health after an answer; the last one before came `silent` ago, if there ever was one.
fn judge(known: &RuntimeHealth, answer: Answer, silent: Option<Duration>) -> RuntimeHealth {
    match answer {
        Ok((runtime_problem, network_problem)) => {
            // Who waits for the runtime looks again, though its health is what it was.
            let outages = known.outages.wrapping_add(u32::from(known.is_silent));
            RuntimeHealth { runtime_problem, network_problem, outages, is_silent: false }
        }
        Err(_) if silent.is_some_and(|silent| silent < RESTART_LIMIT) => {
            RuntimeHealth { is_silent: true, ..known.clone() }
        }
        Err(error) => {
            let problem = format!("container runtime is down: {error}");
            RuntimeHealth {
                runtime_problem: Some(problem.clone()),
                network_problem: Some(problem),
                outages: known.outages,
                is_silent: true,
            }
        }
    }
}

async fn ask(runtime: &Runtime) -> Answer {
    let conditions = runtime.status().await.map_err(|error| error.to_string())?;
    let problem = |kind: &str| match conditions.iter().find(|condition| condition.r#type == kind) {
        Some(condition) if condition.status => None,
        Some(condition) => Some(format!("{kind}=false reason:{} message:{}", condition.reason, condition.message)),
        None => Some(format!("{kind} is not reported")),
    };
    Ok((
        problem("RuntimeReady").map(|text| format!("container runtime not ready: {text}")),
        problem("NetworkReady").map(|text| format!("container runtime network not ready: {text}")),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_of_the_runtime_is_no_problem_a_silence_is() {
        let well = RuntimeHealth::default();
        let refused = || Err("connection refused".to_owned());
        let restarting = judge(&well, refused(), Some(Duration::from_secs(29)));
        assert_eq!((&restarting.runtime_problem, restarting.is_silent), (&None, true));
        let back = judge(&restarting, Ok((None, None)), Some(Duration::from_secs(29)));
        assert_eq!(back, RuntimeHealth { outages: 1, ..RuntimeHealth::default() });
        let down = judge(&restarting, refused(), Some(Duration::from_secs(30)));
        let problem = Some("container runtime is down: connection refused".to_owned());
        assert_eq!((&down.runtime_problem, &down.network_problem), (&problem, &problem));
        assert!(judge(&well, refused(), None).runtime_problem.is_some(), "it never answered");
        let network = judge(&well, Ok((None, Some("no".to_owned()))), Some(Duration::ZERO));
        assert_eq!((network.runtime_problem, network.network_problem), (None, Some("no".to_owned())));
    }
}
