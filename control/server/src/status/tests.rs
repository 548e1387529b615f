//! Texts that clients match.

use super::{ApiError, ResourceName};
use serde_json::json;
use skep_api::field::{FieldError, Path};

#[test]
fn names_and_groups() {
    let pods = ResourceName { group: "", resource: "pods" };
    let deployments = ResourceName { group: "apps", resource: "deployments" };
    assert_eq!(ApiError::not_found(pods, "x").message, "pods \"x\" not found");
    assert_eq!(ApiError::already_exists(deployments, "x").message, "deployments.apps \"x\" already exists");
    assert_eq!(ApiError::forbidden(pods, "", "no").message, "pods is forbidden: no");
    let error = ApiError::not_found(deployments, "x").to_status();
    assert_eq!(error["details"], json!({"name": "x", "group": "apps", "kind": "deployments"}));
    assert_eq!(error["code"], json!(404));
}

#[test]
fn causes_of_invalid() {
    let path = Path::new("spec").child("x");
    let one = ApiError::invalid("", "Pod", "p", vec![FieldError::required(&path, "")]);
    assert_eq!(one.message, "Pod \"p\" is invalid: spec.x: Required value");
    let two =
        ApiError::invalid("", "Pod", "p", vec![FieldError::required(&path, ""), FieldError::forbidden(&path, "no")]);
    assert_eq!(two.message, "Pod \"p\" is invalid: [spec.x: Required value, spec.x: Forbidden: no]");
    assert_eq!(two.details["causes"].as_array().map(Vec::len), Some(2));
}
