//! `binding`: gives a pod its node. From the scheduler; to the registry.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Map, Value, json};
use skep_api::field::{FieldError, Path};
use skep_api::strategy::Part;
use skep_api::{decode, meta, ownership, schema};

use crate::answer::{self, Answer};
use crate::api::Api;
use crate::negotiate::Shape;
use crate::registry::Target;
use crate::registry::update::Place;
use crate::registry::write::{self, Preconditions, WriteOptions};
use crate::request::Request;
use crate::status::ApiError;
use crate::verbs::{display, options};

/// Answers a POST of a binding to `pods/NAME/binding`.
///
/// # Errors
/// 404 when there is no such pod, 409 when it has a node or is going away, 422 for a wrong target.
pub async fn serve(api: &Arc<Api>, request: &mut Request, target: &Target) -> Result<Answer, ApiError> {
    let display = display(request, Shape::One)?;
    let body = request.read_body().await?;
    let options = options::write(request, "CreateOptions")?;
    let schema = schema::of_kind("", "v1", "Binding");
    let decoded =
        decode::decode_as(&body, request.media_type()?, schema.get(), "", "v1", "Binding", options.validation)
            .map_err(|e| ApiError::bad_request(e.to_string()))?;
    options.warnings.add(decoded.warnings);
    let name = request.info.name.clone();
    let given = meta::name(&decoded.object);
    if !given.is_empty() && given != name {
        return Err(ApiError::bad_request(format!(
            "name in URL does not match name in Binding object: {name} {given}"
        )));
    }
    bind(api, target, &request.info.namespace, &name, &decoded.object, &options).await?;
    let success = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    answer::value(&display.wanted, &success, StatusCode::CREATED)
}

/// Binds a pod as `binding` says.
///
/// # Errors
/// As [`serve`].
pub async fn bind(
    api: &Arc<Api>,
    target: &Target,
    namespace: &str,
    name: &str,
    binding: &Value,
    options: &WriteOptions,
) -> Result<(), ApiError> {
    let node = check(binding, name)?;
    let api_version = target.kind.api_version();
    let mut change = |old: &Value| {
        let refuse = |why: String| ApiError::conflict(target.name(), name, why);
        if meta::deletion_timestamp(old).is_some() {
            return Err(refuse(format!("pod {name} is being deleted, cannot be assigned to a host")));
        }
        let held = old.pointer("/spec/nodeName").and_then(Value::as_str).unwrap_or_default();
        if !held.is_empty() {
            return Err(refuse(format!("pod {name} is already assigned to node \"{held}\"")));
        }
        let gates = old.pointer("/spec/schedulingGates").and_then(Value::as_array).is_some_and(|g| !g.is_empty());
        if gates {
            return Err(refuse(format!("pod {name} has non-empty .spec.schedulingGates")));
        }
        let mut new = old.clone();
        meta::map_mut(&mut new, "spec").insert("nodeName".to_owned(), json!(node));
        for field in ["annotations", "labels"] {
            let added = binding.get("metadata").and_then(|m| m.get(field)).and_then(Value::as_object);
            for (key, value) in added.into_iter().flatten() {
                let map = meta::metadata_mut(&mut new).entry(field).or_insert_with(|| Value::Object(Map::new()));
                meta::as_map_mut(map).insert(key.clone(), value.clone());
            }
        }
        let now = write::now();
        scheduled(&mut new, &now);
        let writer = options.writer(&api_version, &now);
        ownership::record_update(&target.kind, Part::Other("binding"), Some(old), &mut new, &writer);
        Ok(new)
    };
    let preconditions = Preconditions {
        uid: meta::uid(binding).to_owned(),
        resource_version: meta::resource_version(binding).to_owned(),
    };
    let place = Place { target, namespace, name, part: Part::Other("binding") };
    api.registry.update(place, &preconditions, options, &mut change).await.map(drop)
}

fn check<'a>(binding: &'a Value, name: &str) -> Result<&'a str, ApiError> {
    let text = |field: &str| binding.pointer(&format!("/target/{field}")).and_then(Value::as_str).unwrap_or_default();
    let (kind, node) = (text("kind"), text("name"));
    let path = Path::new("target");
    let mut errors = Vec::new();
    if !matches!(kind, "" | "Node") {
        errors.push(FieldError::not_supported(&path.child("kind"), &json!(kind), &["Node", "<empty>"]));
    }
    if node.is_empty() {
        errors.push(FieldError::required(&path.child("name"), ""));
    }
    if errors.is_empty() { Ok(node) } else { Err(ApiError::invalid("", "Binding", name, errors)) }
}

/// Sets the condition `PodScheduled`.
fn scheduled(pod: &mut Value, now: &str) {
    let status = meta::map_mut(pod, "status");
    let conditions = status.entry("conditions").or_insert_with(|| json!([]));
    if let Some(list) = conditions.as_array_mut() {
        list.retain(|c| c.get("type").and_then(Value::as_str) != Some("PodScheduled"));
        list.push(json!({"type": "PodScheduled", "status": "True", "lastTransitionTime": now}));
    }
}
