//! Admission webhooks and admission policies: defaults and rules; pure.

use serde_json::{Map, Value, json};

use super::field_rules::{not_negative, one_of, required};
use super::pod_validation::{Errors, integer, items, text, words};
use crate::field::{FieldError, Path};
use crate::meta;
use crate::name;
use crate::schema::default::{absent, each, object_at};
use crate::strategy::{Part, Strategy};

/// `MutatingWebhookConfiguration` or `ValidatingWebhookConfiguration`.
#[derive(Debug)]
pub(super) struct WebhookConfiguration {
    pub(super) mutating: bool,
}

impl Strategy for WebhookConfiguration {
    fn defaults(&self, object: &mut Value) {
        each(meta::as_map_mut(object), "webhooks", |webhook| {
            absent(webhook, "failurePolicy", "Fail");
            matching(webhook, "rules");
            absent(webhook, "timeoutSeconds", 10);
            if self.mutating {
                absent(webhook, "reinvocationPolicy", "Never");
            }
            object_at(webhook, "clientConfig", |client| {
                object_at(client, "service", |service| absent(service, "port", 443));
            });
        });
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn generation_fields(&self, _part: Part<'_>) -> &'static [&'static str] {
        &["webhooks"]
    }

    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let mut names: Vec<&str> = Vec::new();
        for (index, webhook) in items(object, "webhooks").iter().enumerate() {
            let path = Path::new("webhooks").index(index);
            let name = text(webhook, "name").unwrap_or_default();
            if names.contains(&name) {
                errors.push(FieldError::duplicate(&path.child("name"), &Value::from(name)));
            }
            names.push(name);
            check_webhook(webhook, name, &path, &mut errors);
        }
        errors
    }
}

/// Which objects and requests a webhook or policy is for.
fn matching(resources: &mut Map<String, Value>, rules: &str) {
    absent(resources, "matchPolicy", "Equivalent");
    for selector in ["namespaceSelector", "objectSelector"] {
        absent(resources, selector, json!({}));
    }
    each(resources, rules, |rule| absent(rule, "scope", "*"));
}

fn check_webhook(webhook: &Value, name: &str, path: &Path, errors: &mut Errors) {
    let at = path.child("name");
    if name.is_empty() {
        errors.push(FieldError::required(&at, ""));
    } else {
        words(&at, name, name::dns_subdomain(name, false), errors);
        if name.split('.').count() < 3 {
            let detail = "should be a domain with at least three segments separated by dots";
            errors.push(FieldError::invalid_text(&at, name, detail));
        }
    }
    let versions = items(webhook, "admissionReviewVersions");
    let at = path.child("admissionReviewVersions");
    if versions.is_empty() {
        let detail = "must specify one of v1, v1beta1";
        errors.push(FieldError::required(&at, detail));
    } else if !versions.iter().any(|version| matches!(version.as_str(), Some("v1" | "v1beta1"))) {
        let detail = "must include at least one of v1, v1beta1";
        errors.push(FieldError::invalid(&at, &webhook["admissionReviewVersions"], detail));
    }
    let effects = &["None", "NoneOnDryRun"];
    if text(webhook, "sideEffects").unwrap_or_default().is_empty() {
        errors.push(FieldError::required(&path.child("sideEffects"), "must specify one of None, NoneOnDryRun"));
    } else {
        one_of(webhook, "sideEffects", effects, false, path, errors);
    }
    one_of(webhook, "failurePolicy", &["Fail", "Ignore"], true, path, errors);
    one_of(webhook, "matchPolicy", &["Equivalent", "Exact"], true, path, errors);
    if let Some(seconds) = integer(webhook, "timeoutSeconds")
        && !(1..=30).contains(&seconds)
    {
        let detail = "the timeout value must be between 1 and 30 seconds";
        errors.push(FieldError::invalid_number(&path.child("timeoutSeconds"), seconds, detail));
    }
    client(&webhook["clientConfig"], &path.child("clientConfig"), errors);
}

fn client(client: &Value, path: &Path, errors: &mut Errors) {
    let (url, service) = (text(client, "url"), &client["service"]);
    if url.is_some() != service.is_null() {
        errors.push(FieldError::required(path, "exactly one of url or service is required"));
    }
    if let Some(url) = url {
        let at = path.child("url");
        if !url.starts_with("https://") {
            let detail = "'https' is the only allowed URL scheme; desired format: https://host[/path]";
            errors.push(FieldError::invalid_text(&at, url, detail));
        }
    }
    if !service.is_null() {
        let at = path.child("service");
        required(service, "name", &at, errors);
        required(service, "namespace", &at, errors);
    }
}

/// `ValidatingAdmissionPolicy`.
#[derive(Debug)]
pub(super) struct AdmissionPolicy;

impl Strategy for AdmissionPolicy {
    fn defaults(&self, object: &mut Value) {
        object_at(meta::as_map_mut(object), "spec", |spec| {
            absent(spec, "failurePolicy", "Fail");
            object_at(spec, "matchConstraints", |constraints| {
                matching(constraints, "resourceRules");
                each(constraints, "excludeResourceRules", |rule| absent(rule, "scope", "*"));
            });
        });
    }

    fn has_status(&self) -> bool {
        true
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn validate_update(&self, part: Part<'_>, new: &Value, _old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        if part == Part::Status {
            not_negative(&new["status"], &["observedGeneration"], &Path::new("status"), &mut errors);
        }
        errors
    }
}

/// `ValidatingAdmissionPolicyBinding`.
#[derive(Debug)]
pub(super) struct AdmissionPolicyBinding;

impl Strategy for AdmissionPolicyBinding {
    fn defaults(&self, object: &mut Value) {
        object_at(meta::as_map_mut(object), "spec", |spec| {
            object_at(spec, "matchResources", |resources| {
                matching(resources, "resourceRules");
                each(resources, "excludeResourceRules", |rule| absent(rule, "scope", "*"));
            });
        });
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let (spec, path) = (&object["spec"], Path::new("spec"));
        required(spec, "policyName", &path, &mut errors);
        if items(spec, "validationActions").is_empty() {
            errors.push(FieldError::required(&path.child("validationActions"), ""));
        }
        errors
    }
}
