//! What the network agent may read beyond kube-proxy's role: network policies, and whom they name. To the API server.

use anyhow::Context as _;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};

const NAME: &str = "skep:network-agent";
/// The group of the agents' certificates.
pub(crate) const GROUP: &str = "system:node-proxier";

/// Makes the role and gives it to the agents.
pub(crate) async fn ensure(client: &Client) -> anyhow::Result<()> {
    let params = PatchParams::apply("skep").force();
    let role = Patch::Apply(role());
    Api::<ClusterRole>::all(client.clone())
        .patch(NAME, &params, &role)
        .await
        .with_context(|| format!("make the ClusterRole {NAME}"))?;
    let binding = Patch::Apply(binding());
    Api::<ClusterRoleBinding>::all(client.clone())
        .patch(NAME, &params, &binding)
        .await
        .with_context(|| format!("make the ClusterRoleBinding {NAME}"))?;
    Ok(())
}

fn metadata() -> ObjectMeta {
    ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() }
}

fn role() -> ClusterRole {
    let rule = |group: &str, resources: &[&str]| PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(resources.iter().map(|name| (*name).to_owned()).collect()),
        verbs: vec!["list".to_owned(), "watch".to_owned()],
        ..PolicyRule::default()
    };
    let rules =
        vec![rule("", &["pods", "namespaces"]), rule("networking.k8s.io", &["networkpolicies", "servicecidrs"])];
    ClusterRole { metadata: metadata(), rules: Some(rules), ..ClusterRole::default() }
}

fn binding() -> ClusterRoleBinding {
    let api_group = "rbac.authorization.k8s.io".to_owned();
    let subject = Subject {
        api_group: Some(api_group.clone()),
        kind: "Group".to_owned(),
        name: GROUP.to_owned(),
        namespace: None,
    };
    ClusterRoleBinding {
        metadata: metadata(),
        role_ref: RoleRef { api_group, kind: "ClusterRole".to_owned(), name: NAME.to_owned() },
        subjects: Some(vec![subject]),
    }
}
