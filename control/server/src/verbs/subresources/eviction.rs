//! `eviction`: deletes a pod if the disruption budgets of its namespace allow it. From `kubectl drain` and controllers; to the registry.
//!
//! The rules are those of upstream's `pkg/registry/core/pod/storage/eviction.go` (v1.34).

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};
use skep_api::selector::LabelSelector;
use skep_api::strategy::Part;
use skep_api::{decode, meta, schema};
use skep_storage::watch_cache::Freshness;

use crate::admission::Lister as _;
use crate::answer::{self, Answer};
use crate::api::Api;
use crate::negotiate::Shape;
use crate::registry::Target;
use crate::registry::delete::DeleteOptions;
use crate::registry::update::Place;
use crate::registry::write::{self, Preconditions, WriteOptions};
use crate::request::Request;
use crate::status::ApiError;
use crate::verbs::{display, options};

/// Beyond this a budget that still names evicted pods is not decremented further: its controller is not working.
const MAX_DISRUPTED: usize = 2000;

/// Answers a POST of an eviction.
///
/// # Errors
/// 404, 429 when a budget forbids it now, 500 when several budgets cover the pod.
pub async fn serve(api: &Arc<Api>, request: &mut Request, target: &Target) -> Result<Answer, ApiError> {
    let display = display(request, Shape::One)?;
    let body = request.read_body().await?;
    let mut options = options::write(request, "CreateOptions")?;
    let schema = schema::of_kind("policy", "v1", "Eviction");
    let decoded =
        decode::decode_as(&body, request.media_type()?, schema.get(), "policy", "v1", "Eviction", options.validation)
            .map_err(|e| ApiError::bad_request(e.to_string()))?;
    options.warnings.add(decoded.warnings);
    let (namespace, name) = (request.info.namespace.clone(), request.info.name.clone());
    let given = meta::name(&decoded.object);
    if !given.is_empty() && given != name {
        return Err(ApiError::bad_request("name in URL does not match name in Eviction object"));
    }
    let asked = delete_options(&decoded.object, &mut options);
    let pod = target.get(&namespace, &name, Freshness::Latest).await?;
    let pod = target.serve(&pod);
    if !ignores_budgets(&pod) {
        charge_budget(api, &namespace, &pod, &options).await?;
    }
    api.registry.delete(target, &namespace, &name, &asked, &options).await?;
    let success = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    answer::value(&display.wanted, &success, StatusCode::CREATED)
}

fn delete_options(eviction: &Value, options: &mut WriteOptions) -> DeleteOptions {
    let given = eviction.get("deleteOptions").unwrap_or(&Value::Null);
    let text = |pointer: &str| given.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    options.dry_run |= given.get("dryRun").and_then(Value::as_array).is_some_and(|d| !d.is_empty());
    DeleteOptions {
        grace_period_seconds: given.get("gracePeriodSeconds").and_then(Value::as_i64),
        preconditions: Preconditions {
            uid: text("/preconditions/uid"),
            resource_version: text("/preconditions/resourceVersion"),
        },
        propagation: None,
    }
}

/// Pods that have ended, are going away or never started do not count against a budget.
fn ignores_budgets(pod: &Value) -> bool {
    let phase = pod.pointer("/status/phase").and_then(Value::as_str).unwrap_or_default();
    meta::deletion_timestamp(pod).is_some() || matches!(phase, "Succeeded" | "Failed" | "Pending")
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    conditions
        .filter(|c| c.get("type").and_then(Value::as_str) == Some("Ready"))
        .any(|c| c.get("status").and_then(Value::as_str) == Some("True"))
}

async fn charge_budget(api: &Arc<Api>, namespace: &str, pod: &Value, options: &WriteOptions) -> Result<(), ApiError> {
    let budgets: Vec<Arc<Value>> = api
        .registry
        .list("policy", "poddisruptionbudgets", namespace)
        .into_iter()
        .filter(|budget| {
            let selector = budget.pointer("/spec/selector").unwrap_or(&Value::Null);
            LabelSelector::from_object(selector).is_ok_and(|s| s.matches_object(pod))
        })
        .collect();
    let budget = match budgets.as_slice() {
        [] => return Ok(()),
        [one] => one,
        _ => {
            return Err(ApiError::internal_text(
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
            ));
        }
    };
    let spare_when_unready =
        budget.pointer("/spec/unhealthyPodEvictionPolicy").and_then(Value::as_str) == Some("AlwaysAllow");
    let number = |pointer: &str| budget.pointer(pointer).and_then(Value::as_i64).unwrap_or_default();
    if !is_ready(pod) {
        let healthy = number("/status/currentHealthy") >= number("/status/desiredHealthy")
            && number("/status/desiredHealthy") > 0;
        if spare_when_unready || healthy {
            return Ok(());
        }
    }
    let Some(target) = api.registry.stored("policy", "poddisruptionbudgets") else {
        return Err(ApiError::internal("PodDisruptionBudget is not served"));
    };
    let (pod_name, now) = (meta::name(pod).to_owned(), write::now());
    let mut change = |old: &Value| charged(old, &pod_name, &now);
    let place = Place { target: &target, namespace, name: meta::name(budget), part: Part::Status };
    let charge = WriteOptions { dry_run: options.dry_run, ..WriteOptions::internal() };
    api.registry.update(place, &Preconditions::default(), &charge, &mut change).await.map(drop)
}

/// The budget after one more disruption.
fn charged(budget: &Value, pod: &str, now: &str) -> Result<Value, ApiError> {
    let name = meta::name(budget);
    let number = |pointer: &str| budget.pointer(pointer).and_then(Value::as_i64).unwrap_or_default();
    let refuse = |message: &str, retry: u32| {
        ApiError::too_many_requests("Cannot evict pod as it would violate the pod's disruption budget.", retry)
            .with_cause("DisruptionBudget", message, "")
    };
    if number("/status/observedGeneration") < meta::generation(budget) {
        let why = format!("The disruption budget {name} is still being processed by the server.");
        return Err(refuse(&why, 10));
    }
    let allowed = number("/status/disruptionsAllowed");
    if allowed < 0 {
        return Err(ApiError::internal("pdb disruptions allowed is negative"));
    }
    let disrupted = budget.pointer("/status/disruptedPods").and_then(Value::as_object).map_or(0, serde_json::Map::len);
    if disrupted > MAX_DISRUPTED {
        return Err(ApiError::internal(
            "DisruptedPods map too big - too many evictions not confirmed by PDB controller",
        ));
    }
    if allowed == 0 {
        let (desired, healthy) = (number("/status/desiredHealthy"), number("/status/currentHealthy"));
        let why = format!("The disruption budget {name} needs {desired} healthy pods and has {healthy} currently");
        return Err(refuse(&why, 0));
    }
    let mut new = budget.clone();
    let status = meta::map_mut(&mut new, "status");
    let left = allowed - 1;
    status.insert("disruptionsAllowed".to_owned(), json!(left));
    if left == 0
        && let Some(list) = status.get_mut("conditions").and_then(Value::as_array_mut)
    {
        list.retain(|c| c.get("type").and_then(Value::as_str) != Some("DisruptionAllowed"));
        list.push(json!({"type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods",
            "observedGeneration": meta::generation(budget), "message": "", "lastTransitionTime": now}));
    }
    let pods = meta::as_map_mut(status.entry("disruptedPods").or_insert_with(|| json!({})));
    pods.insert(pod.to_owned(), json!(now));
    Ok(new)
}
