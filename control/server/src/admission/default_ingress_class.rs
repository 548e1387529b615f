//! `DefaultIngressClass`: ingresses that name no class get the cluster's default. Pure over the lister.

use serde_json::{Value, json};

use super::default_storage_class::newest_with;
use super::{Attributes, Lister, Operation};
use crate::json_field::{present, set};

const CLASS: &str = "/metadata/annotations/kubernetes.io~1ingress.class";
const DEFAULT: [&str; 1] = ["/metadata/annotations/ingressclass.kubernetes.io~1is-default-class"];

pub(super) fn mutate(lister: &dyn Lister, attributes: &Attributes<'_>, ingress: &mut Value) {
    if attributes.operation != Operation::Create || !attributes.is("networking.k8s.io", "ingresses") {
        return;
    }
    if present(ingress, CLASS) || present(ingress, "/spec/ingressClassName") {
        return;
    }
    let classes = lister.list("networking.k8s.io", "ingressclasses", "");
    if let Some(name) = newest_with(&classes, &DEFAULT) {
        set(ingress, "/spec", "ingressClassName", json!(name));
    }
}
