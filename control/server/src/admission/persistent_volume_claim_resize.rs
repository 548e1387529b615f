//! `PersistentVolumeClaimResize`: only bound claims of a class that allows it may grow. Pure over the lister.

use serde_json::Value;

use super::pod_resources::quantity;
use super::{Attributes, Lister, Operation, Rejection};
use crate::json_field::{flag, text, text_or};

const CLASS: &str = "/metadata/annotations/volume.beta.kubernetes.io~1storage-class";
const REQUEST: &str = "/spec/resources/requests/storage";

pub(super) fn validate(
    lister: &dyn Lister,
    attributes: &Attributes<'_>,
    claim: &Value,
    old: Option<&Value>,
) -> Result<(), Rejection> {
    let Some(old) = old else { return Ok(()) };
    if attributes.operation != Operation::Update || !attributes.is("", "persistentvolumeclaims") {
        return Ok(());
    }
    let size = |object: &Value| object.pointer(REQUEST).and_then(quantity);
    let (Some(before), Some(after)) = (size(old), size(claim)) else { return Ok(()) };
    if after <= before {
        return Ok(());
    }
    if text(old, "/status/phase") != "Bound" {
        return Err(Rejection::forbidden("Only bound persistent volume claims can be expanded"));
    }
    let classes = lister.list("storage.k8s.io", "storageclasses", "");
    let name = text_or(claim, CLASS, text(claim, "/spec/storageClassName"));
    let expandable = classes
        .iter()
        .any(|class| text(class, "/metadata/name") == name && flag(class, "/allowVolumeExpansion") == Some(true));
    if expandable {
        return Ok(());
    }
    Err(Rejection::forbidden(
        "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
    ))
}
