//! What is a StatefulSet pod's own: name, host name, labels and volumes, by ordinal. From the set; to its pods. Pure.

use crate::history::REVISION_HASH;
use crate::pod_control::pod_from_template;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Pod, PodTemplateSpec, Volume,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

/// The ordinal in the name of a pod of the set `set`.
pub fn ordinal(set: &str, pod: &Pod) -> Option<i32> {
    let (parent, ordinal) = pod.metadata.name.as_deref()?.rsplit_once('-')?;
    (parent == set).then(|| ordinal.parse().ok()).flatten()
}

/// The revision that a pod was made from.
pub fn revision(pod: &Pod) -> Option<&str> {
    pod.metadata.labels.as_ref()?.get(REVISION_HASH).map(String::as_str)
}

/// A new pod of the set.
pub fn new_pod(set: &StatefulSet, template: &PodTemplateSpec, ordinal: i32, revision: &str) -> Pod {
    let mut pod = pod_from_template(set, template);
    let name = format!("{}-{ordinal}", set.metadata.name.as_deref().unwrap_or_default());
    pod.metadata.generate_name = Some(format!("{}-", set.metadata.name.as_deref().unwrap_or_default()));
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.extend(own_labels(&name, ordinal));
    labels.insert(REVISION_HASH.to_owned(), revision.to_owned());
    let spec = pod.spec.get_or_insert_default();
    spec.hostname = Some(name.clone());
    spec.subdomain = set.spec.as_ref().and_then(|spec| spec.service_name.clone());
    let templates = claim_templates(set);
    let mut volumes: Vec<Volume> = templates
        .iter()
        .map(|claim| {
            let volume = claim.metadata.name.clone().unwrap_or_default();
            Volume {
                persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                    claim_name: claim_name(set, &volume, ordinal),
                    read_only: None,
                }),
                name: volume,
                ..Volume::default()
            }
        })
        .collect();
    let is_claimed = |volume: &Volume| templates.iter().any(|claim| claim.metadata.name.as_ref() == Some(&volume.name));
    volumes.extend(spec.volumes.take().into_iter().flatten().filter(|volume| !is_claimed(volume)));
    spec.volumes = (!volumes.is_empty()).then_some(volumes);
    pod.metadata.name = Some(name);
    pod
}

fn own_labels(name: &str, ordinal: i32) -> BTreeMap<String, String> {
    [(POD_NAME.to_owned(), name.to_owned()), (POD_INDEX.to_owned(), ordinal.to_string())].into()
}

/// A patch that gives an adopted pod the labels that it lacks.
pub fn missing_labels(pod: &Pod, ordinal: i32) -> Option<Value> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let labels = pod.metadata.labels.as_ref();
    let missing: BTreeMap<String, String> = own_labels(name, ordinal)
        .into_iter()
        .filter(|(key, value)| labels.and_then(|labels| labels.get(key)) != Some(value))
        .collect();
    (!missing.is_empty()).then(|| json!({"metadata": {"labels": missing}}))
}

/// The claims that the pod with this ordinal uses.
pub fn claims(set: &StatefulSet, ordinal: i32) -> Vec<PersistentVolumeClaim> {
    let labels = set.spec.as_ref().and_then(|spec| spec.selector.match_labels.clone()).unwrap_or_default();
    claim_templates(set)
        .iter()
        .map(|template| {
            let mut claim = template.clone();
            let volume = claim.metadata.name.clone().unwrap_or_default();
            claim.metadata.name = Some(claim_name(set, &volume, ordinal));
            claim.metadata.namespace = set.metadata.namespace.clone();
            claim.metadata.labels.get_or_insert_default().extend(labels.clone());
            claim.status = None;
            claim
        })
        .collect()
}

fn claim_templates(set: &StatefulSet) -> &[PersistentVolumeClaim] {
    set.spec.as_ref().and_then(|spec| spec.volume_claim_templates.as_deref()).unwrap_or_default()
}

fn claim_name(set: &StatefulSet, volume: &str, ordinal: i32) -> String {
    format!("{volume}-{}-{ordinal}", set.metadata.name.as_deref().unwrap_or_default())
}
