//! The node's Lease, renewed so that everybody sees the node is alive; to the API. Performs IO.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, OwnerReference};
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// Namespace of node leases.
const NAMESPACE: &str = "kube-node-lease";
/// How long the node counts as alive after a renewal, in seconds.
const DURATION_SECONDS: i32 = 40;
/// Time between renewals.
const PERIOD: Duration = Duration::from_secs(10);

/// Renews until stopped.
pub async fn renew(client: Client, node: String, stop: CancellationToken) {
    let leases: Api<Lease> = Api::namespaced(client.clone(), NAMESPACE);
    let mut pause;
    loop {
        match renew_once(&client, &leases, &node).await {
            Ok(()) => pause = PERIOD,
            Err(error) => {
                tracing::warn!(%error, "renew node lease");
                pause = Duration::from_secs(1);
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn renew_once(client: &Client, leases: &Api<Lease>, node: &str) -> Result<(), kube::Error> {
    let now = MicroTime(jiff::Timestamp::now());
    let patch = json!({"spec": {
        "holderIdentity": node, "leaseDurationSeconds": DURATION_SECONDS, "renewTime": now}});
    match leases.patch(node, &PatchParams::default(), &Patch::Merge(patch)).await {
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        other => return other.map(drop),
    }
    let owner = Api::<Node>::all(client.clone()).get_opt(node).await?.and_then(|node| node.metadata.uid);
    let owner = owner.map(|uid| OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Node".to_owned(),
        name: node.to_owned(),
        uid,
        ..OwnerReference::default()
    });
    let lease = Lease {
        metadata: ObjectMeta {
            name: Some(node.to_owned()),
            namespace: Some(NAMESPACE.to_owned()),
            owner_references: owner.map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(node.to_owned()),
            lease_duration_seconds: Some(DURATION_SECONDS),
            renew_time: Some(now),
            ..LeaseSpec::default()
        }),
    };
    leases.create(&PostParams::default(), &lease).await.map(drop)
}
