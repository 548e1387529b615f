//! `FlowSchema` and `PriorityLevelConfiguration`; pure.

use serde_json::Value;

use super::field_rules::{one_of, required};
use super::pod_validation::{Errors, integer, text};
use crate::field::{FieldError, Path};
use crate::meta;
use crate::schema::default::{absent, absent_numbers, object, object_at};
use crate::strategy::{Part, Strategy};

#[derive(Debug)]
pub(super) struct FlowSchema;

impl Strategy for FlowSchema {
    fn defaults(&self, value: &mut Value) {
        absent_numbers(object(meta::as_map_mut(value), "spec"), &[("matchingPrecedence", 1000)]);
    }

    fn has_status(&self) -> bool {
        true
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn validate_create(&self, value: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let (spec, path) = (&value["spec"], Path::new("spec"));
        let precedence = integer(spec, "matchingPrecedence").unwrap_or(0);
        if !(1..=10000).contains(&precedence) {
            let at = path.child("matchingPrecedence");
            let detail = "must be between 1 and 10000, inclusive";
            errors.push(FieldError::invalid_number(&at, precedence, detail));
        }
        if precedence == 1 && meta::name(value) != "exempt" {
            let at = path.child("matchingPrecedence");
            let detail = "only the schema named 'exempt' may have matchingPrecedence 1";
            errors.push(FieldError::invalid_number(&at, precedence, detail));
        }
        required(&spec["priorityLevelConfiguration"], "name", &path.child("priorityLevelConfiguration"), &mut errors);
        if !spec["distinguisherMethod"].is_null() {
            let methods = &["ByNamespace", "ByUser"];
            one_of(
                &spec["distinguisherMethod"],
                "type",
                methods,
                false,
                &path.child("distinguisherMethod"),
                &mut errors,
            );
        }
        errors
    }

    fn validate_update(&self, part: Part<'_>, new: &Value, _old: &Value) -> Vec<FieldError> {
        if part == Part::Status { Vec::new() } else { self.validate_create(new) }
    }
}

#[derive(Debug)]
pub(super) struct PriorityLevelConfiguration;

impl Strategy for PriorityLevelConfiguration {
    fn defaults(&self, value: &mut Value) {
        object_at(meta::as_map_mut(value), "spec", |spec| {
            object_at(spec, "limited", |limited| {
                absent(limited, "nominalConcurrencyShares", 30);
                absent(limited, "lendablePercent", 0);
                object_at(limited, "limitResponse", |response| {
                    object_at(response, "queuing", |queuing| {
                        let numbers = [("queues", 64), ("handSize", 8), ("queueLengthLimit", 50)];
                        absent_numbers(queuing, &numbers);
                    });
                });
            });
            let exempt = spec.get("type").and_then(Value::as_str) == Some("Exempt");
            if exempt {
                let exempt = object(spec, "exempt");
                absent(exempt, "nominalConcurrencyShares", 0);
                absent(exempt, "lendablePercent", 0);
            }
        });
    }

    fn has_status(&self) -> bool {
        true
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn validate_create(&self, value: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let (spec, path) = (&value["spec"], Path::new("spec"));
        one_of(spec, "type", &["Exempt", "Limited"], false, &path, &mut errors);
        if text(spec, "type") == Some("Limited") && spec["limited"].is_null() {
            let detail = "must not be empty when type is Limited";
            errors.push(FieldError::required(&path.child("limited"), detail));
        }
        errors
    }

    fn validate_update(&self, part: Part<'_>, new: &Value, _old: &Value) -> Vec<FieldError> {
        if part == Part::Status { Vec::new() } else { self.validate_create(new) }
    }
}
