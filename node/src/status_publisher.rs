//! Brings pod statuses to the API; from [`pod_worker`](crate::pod_worker) and [`pods`](crate::pods). Performs IO.
//!
//! One task per pod: the latest report wins, unchanged ones are not sent, and what others write over one is written over again.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodCondition, PodStatus};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::pod;

/// A status to report.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Whose.
    pub pod: Arc<Pod>,
    /// The status.
    pub status: PodStatus,
    /// Nothing of the pod is left on the node: a deleted pod may leave the API now.
    pub finished: bool,
}

/// Sends reports until the channel closes, and then the last one. `mirrors` changes when a static pod's object in the API was
/// made anew and knows no status.
pub async fn publish(client: Client, mut reports: watch::Receiver<Option<Report>>, mut mirrors: watch::Receiver<u64>) {
    let mut sent: Option<Sent> = None;
    let mut pause = Duration::from_millis(100);
    loop {
        let report = reports.borrow_and_update().clone();
        let done = match &report {
            Some(report) => send(&client, report, &mut sent).await,
            None => Ok(()),
        };
        let retry = match done {
            Ok(()) => {
                pause = Duration::from_millis(100);
                None
            }
            Err(error) => {
                let name = report.as_ref().map(|report| pod::formatted(&report.pod)).unwrap_or_default();
                tracing::debug!(pod = name, %error, "report status");
                pause = (pause * 2).min(Duration::from_secs(5));
                Some(pause)
            }
        };
        let closed = tokio::select! {
            changed = reports.changed() => changed.is_err(),
            Ok(()) = mirrors.changed() => {
                if report.as_ref().is_some_and(|report| pod::is_static(&report.pod)) {
                    sent = None;
                }
                false
            }
            () = tokio::time::sleep(retry.unwrap_or(Duration::MAX)), if retry.is_some() => false,
        };
        if closed {
            return;
        }
    }
}

async fn send(client: &Client, report: &Report, sent: &mut Option<Sent>) -> Result<(), kube::Error> {
    let pod = &report.pod;
    let pods: Api<Pod> = Api::namespaced(client.clone(), pod::namespace(pod));
    let known = match sent.as_ref() {
        Some(sent) => Some(&sent.status),
        None => pod.status.as_ref().filter(|_| !pod::is_static(pod)),
    };
    // The object may be older than what was sent; one that is not shows whether somebody wrote over it.
    let fresh = sent.as_ref().is_some_and(|sent| is_newer(&pod.metadata.resource_version, &sent.written));
    if known != Some(&report.status) || (fresh && overwritten(pod, &report.status)) {
        let patch = patch(pod, known, &report.status);
        let now = |written| Some(Sent { status: report.status.clone(), written });
        match pods.patch_status(pod::name(pod), &PatchParams::default(), &Patch::Strategic(patch)).await {
            Ok(answer) => *sent = now(answer.metadata.resource_version),
            // Gone, or another pod of that name by now: nothing to report on. A static pod's mirror will come.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) && !pod::is_static(pod) => {
                *sent = now(pod.metadata.resource_version.clone());
            }
            Err(error) => return Err(error),
        }
    }
    if report.finished && pod.metadata.deletion_timestamp.is_some() && !pod::is_static(pod) {
        let preconditions = Preconditions { uid: pod.metadata.uid.clone(), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default().grace_period(0) };
        match pods.delete(pod::name(pod), &params).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What was sent last, and the version of the object with it.
struct Sent {
    status: PodStatus,
    written: Option<String>,
}

/// Whether one version of an object came after another one.
fn is_newer(version: &Option<String>, other: &Option<String>) -> bool {
    let number = |version: &Option<String>| version.as_ref().and_then(|text| text.parse::<u64>().ok());
    match (number(version), number(other)) {
        (Some(version), Some(other)) => version > other,
        _ => version != other,
    }
}

/// Whether a condition of ours, or the phase, is not as we reported it.
pub fn overwritten(pod: &Pod, status: &PodStatus) -> bool {
    let Some(api) = pod.status.as_ref().filter(|_| !pod::is_static(pod)) else { return false };
    let same = |own: &PodCondition| {
        let found = api.conditions.iter().flatten().find(|condition| condition.type_ == own.type_);
        found.is_some_and(|found| found.status == own.status)
    };
    api.phase != status.phase || !status.conditions.iter().flatten().all(same)
}

/// A strategic merge patch that leaves other owners' conditions alone. The UID makes the server refuse it for another pod
/// of the same name.
fn patch(pod: &Pod, known: Option<&PodStatus>, status: &PodStatus) -> Value {
    let mut value = json!(status);
    // What a patch leaves out stays: fields that vanished must be said.
    for field in ["message", "reason", "podIP", "initContainerStatuses", "ephemeralContainerStatuses"] {
        if value.get(field).is_none() {
            value[field] = Value::Null;
        }
    }
    // Conditions merge field by field, so those too must be said.
    for condition in value["conditions"].as_array_mut().into_iter().flatten() {
        for field in ["message", "reason"] {
            if condition.get(field).is_none() {
                condition[field] = Value::Null;
            }
        }
    }
    // Lists that merge by address need the addresses that are gone.
    let addresses =
        |status: &PodStatus| -> Vec<String> { status.pod_ips.iter().flatten().map(|ip| ip.ip.clone()).collect() };
    let new = addresses(status);
    let gone = known.map(addresses).unwrap_or_default().into_iter().filter(|ip| !new.contains(ip));
    let gone: Vec<Value> = gone.map(|ip| json!({"ip": ip, "$patch": "delete"})).collect();
    if !gone.is_empty() {
        let mut list = value["podIPs"].as_array().cloned().unwrap_or_default();
        list.extend(gone);
        value["podIPs"] = Value::Array(list);
    }
    if pod::is_static(pod) {
        return json!({"status": value});
    }
    json!({"metadata": {"uid": pod::uid(pod)}, "status": value})
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::PodIP;

    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        let version = |text: &str| Some(text.to_owned());
        assert!(is_newer(&version("10"), &version("9")) && !is_newer(&version("9"), &version("10")));
        assert!(!is_newer(&version("9"), &version("9")));
        assert!(is_newer(&version("b"), &version("a")) && is_newer(&version("1"), &None));
    }

    #[test]
    fn patches_name_what_vanished() {
        let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "p", "uid": "u"}})).unwrap();
        let ip = |ip: &str| Some(vec![PodIP { ip: ip.to_owned() }]);
        let old = PodStatus { pod_ips: ip("10.0.0.1"), reason: Some("x".into()), ..PodStatus::default() };
        let new = PodStatus { pod_ips: ip("10.0.0.2"), ..PodStatus::default() };
        let patch = patch(&pod, Some(&old), &new);
        assert_eq!(patch["metadata"]["uid"], "u");
        assert_eq!(patch["status"]["podIPs"], json!([{"ip": "10.0.0.2"}, {"ip": "10.0.0.1", "$patch": "delete"}]));
        assert!(patch["status"]["reason"].is_null() && patch["status"].get("reason").is_some());
    }
}
