//! `scale`: the replicas of a workload as a `Scale` object, the same for every kind. From the handler; to the registry.

use std::sync::{Arc, LazyLock};

use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};
use skep_api::decode::FieldValidation;
use skep_api::field::{FieldError, Path};
use skep_api::kinds::{Kind, Scope};
use skep_api::ownership;
use skep_api::patch::{self, PatchType};
use skep_api::selector::LabelSelector;
use skep_api::strategy::{Part, Plain};
use skep_api::{decode, meta, schema};
use skep_storage::watch_cache::Freshness;

use crate::answer::{self, Answer};
use crate::api::Api;
use crate::negotiate::{Shape, View};
use crate::registry::Target;
use crate::registry::update::Place;
use crate::registry::write::{self, Preconditions, Shown};
use crate::request::Request;
use crate::status::ApiError;
use crate::table;
use crate::verbs::update::check_place;
use crate::verbs::{display, options};

static SCALE: LazyLock<Kind> = LazyLock::new(|| Kind {
    group: "autoscaling".to_owned(),
    version: "v1".to_owned(),
    kind: "Scale".to_owned(),
    list_kind: "ScaleList".to_owned(),
    plural: "scale".to_owned(),
    singular: "scale".to_owned(),
    short_names: Vec::new(),
    categories: Vec::new(),
    scope: Scope::Namespaced,
    verbs: Vec::new(),
    subresources: Vec::new(),
    schema: schema::of_kind("autoscaling", "v1", "Scale"),
    storage_prefix: String::new(),
    storage_api_version: "autoscaling/v1".to_owned(),
    strategy: Arc::new(Plain),
});

/// Answers GET, PUT and PATCH of a scale.
///
/// # Errors
/// 400, 404, 409, 422.
pub async fn serve(api: &Arc<Api>, request: &mut Request, target: &Target) -> Result<Answer, ApiError> {
    let display = display(request, Shape::One)?;
    let scale = if request.info.verb == "get" {
        let object = target.get(&request.info.namespace, &request.info.name, Freshness::Latest).await?;
        scale_of(&target.serve(&object))
    } else {
        write(api, request, target).await?
    };
    match display.wanted.view {
        View::Object => answer::value(&display.wanted, &scale, StatusCode::OK),
        View::Partial(version) => {
            answer::value(&display.wanted, &table::partial::partial_object(&scale, version), StatusCode::OK)
        }
        View::Table(version) => {
            let printer = table::Printer::of("autoscaling", "v1", "scale");
            let options = table::TableOptions { version, include: display.include, headers: true };
            let view = table::table_of_one(&printer, &scale, options, jiff::Timestamp::now());
            answer::value(&display.wanted, &view, StatusCode::OK)
        }
    }
}

async fn write(api: &Arc<Api>, request: &mut Request, target: &Target) -> Result<Value, ApiError> {
    let body = request.read_body().await?;
    let is_patch = request.info.verb == "patch";
    let options = options::write(request, if is_patch { "PatchOptions" } else { "UpdateOptions" })?;
    let (namespace, name) = (request.info.namespace.as_str(), request.info.name.as_str());
    let patch_type = if is_patch {
        let content_type = request.header(CONTENT_TYPE);
        Some(PatchType::from_content_type(content_type).ok_or_else(|| ApiError::unsupported_media_type("application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml"))?)
    } else {
        None
    };
    let given = match patch_type {
        Some(_) => None,
        None => {
            let decoded = decode::decode(&body, request.media_type()?, &SCALE, options.validation)
                .map_err(|e| ApiError::bad_request(e.to_string()))?;
            options.warnings.add(decoded.warnings);
            Some(decoded.object)
        }
    };
    let api_version = target.kind.api_version();
    let mut change = |old: &Value| {
        let scale = match (patch_type, &given) {
            (None, given) => given.clone().unwrap_or_default(),
            // Applied scales own one field only: a merge says the same.
            (Some(PatchType::Apply), _) => {
                let patch = ownership::parse_patch(&body)?;
                let patch = skep_api::encode::to_json(&patch);
                patch::apply(PatchType::Merge, &patch, &scale_of(old), &SCALE, FieldValidation::Ignore)?.object
            }
            (Some(kind), _) => patch::apply(kind, &body, &scale_of(old), &SCALE, options.validation)?.object,
        };
        check_place(&scale, namespace, name)?;
        let replicas = scale.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or_default();
        if replicas < 0 {
            let path = Path::new("spec").child("replicas");
            let error = FieldError::invalid_number(&path, replicas, "must be greater than or equal to 0");
            return Err(ApiError::invalid("autoscaling", "Scale", name, vec![error]));
        }
        let mut new = old.clone();
        meta::map_mut(&mut new, "spec").insert("replicas".to_owned(), json!(replicas));
        let version = meta::resource_version(&scale);
        if !version.is_empty() {
            meta::set_text(&mut new, "resourceVersion", version);
        }
        let now = write::now();
        let writer = options.writer(&api_version, &now);
        ownership::record_update(&target.kind, Part::Other("scale"), Some(old), &mut new, &writer);
        ownership::disown(&mut new, &["spec", "replicas"]);
        Ok(new)
    };
    let preconditions = Preconditions {
        uid: given.as_ref().map(|g| meta::uid(g).to_owned()).unwrap_or_default(),
        ..Preconditions::default()
    };
    // The workload's own rules apply: a changed scale is a changed spec.
    let place = Place { target, namespace, name, part: Part::Whole };
    let shown = api.registry.update(place, &preconditions, &options, &mut change).await?;
    Ok(match shown {
        Shown::Object(object) => scale_of(&target.serve(&object)),
        Shown::Value(value) => scale_of(&value),
    })
}

fn scale_of(workload: &Value) -> Value {
    let number = |pointer: &str| workload.pointer(pointer).and_then(Value::as_i64).unwrap_or_default();
    let selector = workload.pointer("/spec/selector").unwrap_or(&Value::Null);
    // Replication controllers select by plain labels.
    let parsed = if workload.get("kind").and_then(Value::as_str) == Some("ReplicationController") {
        LabelSelector::from_labels(selector)
    } else {
        LabelSelector::from_object(selector)
    };
    let mut metadata = json!({});
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = workload.get("metadata").and_then(|m| m.get(field)) {
            metadata[field] = value.clone();
        }
    }
    let replicas = number("/spec/replicas");
    let mut scale = json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata,
        "spec": {}, "status": {"replicas": number("/status/replicas")},
    });
    if replicas != 0 {
        scale["spec"]["replicas"] = json!(replicas);
    }
    if let Ok(selector) = parsed {
        let text = selector.to_string();
        if !text.is_empty() {
            scale["status"]["selector"] = json!(text);
        }
    }
    scale
}
