//! What of an object's metadata ties it to others: the rest, which is most of it, is not even parsed. From the watches of all kinds; to the
//! collector.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use kube::Resource;
use kube::api::DynamicObject;
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;

/// Any object; of its metadata it has names, uid, version, end, finalizers and owners.
#[derive(Clone, Debug, Deserialize)]
pub struct Ties {
    #[serde(deserialize_with = "ties")]
    pub metadata: ObjectMeta,
}

fn ties<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Fields {
        name: Option<String>,
        namespace: Option<String>,
        uid: Option<String>,
        resource_version: Option<String>,
        deletion_timestamp: Option<Time>,
        finalizers: Option<Vec<String>>,
        owner_references: Option<Vec<OwnerReference>>,
    }
    let fields = Fields::deserialize(deserializer)?;
    Ok(ObjectMeta {
        name: fields.name,
        namespace: fields.namespace,
        uid: fields.uid,
        resource_version: fields.resource_version,
        deletion_timestamp: fields.deletion_timestamp,
        finalizers: fields.finalizers,
        owner_references: fields.owner_references,
        ..ObjectMeta::default()
    })
}

impl Resource for Ties {
    type DynamicType = <DynamicObject as Resource>::DynamicType;
    type Scope = <DynamicObject as Resource>::Scope;

    fn metadata_api() -> bool {
        true
    }

    fn kind(kind: &Self::DynamicType) -> Cow<'_, str> {
        DynamicObject::kind(kind)
    }

    fn group(kind: &Self::DynamicType) -> Cow<'_, str> {
        DynamicObject::group(kind)
    }

    fn version(kind: &Self::DynamicType) -> Cow<'_, str> {
        DynamicObject::version(kind)
    }

    fn plural(kind: &Self::DynamicType) -> Cow<'_, str> {
        DynamicObject::plural(kind)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use super::Ties;

    #[test]
    fn only_what_ties_is_read() {
        let event = r#"{"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {"name": "a", "uid": "1",
            "resourceVersion": "7", "labels": {"app": "web"}, "managedFields": [{"fieldsV1": {"f:data": {}}}],
            "deletionTimestamp": "2026-01-02T03:04:05Z", "finalizers": ["orphan"],
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "o", "uid": "2"}]}}"#;
        let read: Ties = serde_json::from_str(event).unwrap();
        assert_eq!((read.metadata.name.as_deref(), read.metadata.uid.as_deref()), (Some("a"), Some("1")));
        assert_eq!(read.metadata.resource_version.as_deref(), Some("7"));
        assert!(read.metadata.deletion_timestamp.is_some());
        assert_eq!(read.metadata.finalizers, Some(vec!["orphan".to_owned()]));
        assert_eq!(read.metadata.owner_references.map(|owners| owners[0].uid.clone()), Some("2".to_owned()));
        assert_eq!((read.metadata.labels, read.metadata.managed_fields), (None, None));
    }
}
