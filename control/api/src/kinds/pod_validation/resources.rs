//! Requests and limits. From containers and pods; pure.

use serde_json::Value;

use super::Errors;
use crate::field::{FieldError, Path};
use crate::name;
use crate::quantity::Quantity;

/// Rules of `resources: {requests, limits}`.
pub fn requirements(resources: &Value, path: &Path, errors: &mut Errors) {
    for list in ["limits", "requests"] {
        for (resource, amount) in resources[list].as_object().into_iter().flatten() {
            let at = path.child(list).key(resource);
            resource_name(resource, &at, errors);
            let shown = amount.as_str().map_or_else(|| amount.to_string(), str::to_owned);
            if Quantity::parse(&shown).is_ok_and(|q| q.signum() < 0) {
                errors.push(FieldError::invalid_text(&at, &shown, "must be greater than or equal to 0"));
            }
        }
    }
    for (resource, request) in resources["requests"].as_object().into_iter().flatten() {
        let (Some(request), Some(limit)) = (request.as_str(), resources["limits"][resource].as_str()) else { continue };
        let (Ok(wanted), Ok(most)) = (Quantity::parse(request), Quantity::parse(limit)) else { continue };
        let at = path.child("requests");
        if wanted > most {
            errors.push(FieldError::invalid_text(
                &at,
                request,
                format!("must be less than or equal to {resource} limit of {limit}"),
            ));
        } else if wanted != most && !is_overcommitted(resource) {
            errors.push(FieldError::invalid_text(
                &at,
                request,
                format!("must be equal to {resource} limit of {limit}"),
            ));
        }
    }
    for (resource, request) in resources["requests"].as_object().into_iter().flatten() {
        if !is_overcommitted(resource) && resources["limits"][resource].is_null() && request.is_string() {
            errors.push(FieldError::required(
                &path.child("limits"),
                "Limit must be set for non overcommitable resources",
            ));
        }
    }
}

/// Native resources but huge pages may be promised more than once.
fn is_overcommitted(resource: &str) -> bool {
    is_native(resource) && !resource.starts_with("hugepages-")
}

fn is_native(resource: &str) -> bool {
    !resource.contains('/')
        || resource
            .split('/')
            .next()
            .is_some_and(|domain| domain == "kubernetes.io" || domain.ends_with(".kubernetes.io"))
}

fn resource_name(resource: &str, path: &Path, errors: &mut Errors) {
    let broken = name::qualified_name(resource);
    if !broken.is_empty() {
        super::words(path, resource, broken, errors);
        return;
    }
    if resource.contains('/') {
        return;
    }
    let standard = ["cpu", "memory", "ephemeral-storage"].contains(&resource) || resource.starts_with("hugepages-");
    let anywhere = standard
        || [
            "pods",
            "services",
            "replicationcontrollers",
            "resourcequotas",
            "secrets",
            "configmaps",
            "persistentvolumeclaims",
            "storage",
            "services.nodeports",
            "services.loadbalancers",
        ]
        .contains(&resource)
        || resource.starts_with("requests.")
        || resource.starts_with("limits.");
    if !anywhere {
        errors.push(FieldError::invalid_text(path, resource, "must be a standard resource type or fully qualified"));
    }
    if !standard {
        errors.push(FieldError::invalid_text(path, resource, "must be a standard resource for containers"));
    }
}
