//! Reviews: questions about users, rights and tokens that are answered and not stored. From the handler; to the filters' own functions.

pub mod access;
pub mod token;

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Map, Value, json};
use skep_api::decode;
use skep_api::kinds::Kind;
use skep_api::meta;

use super::{display, options, subresources};
use crate::answer::{self, Answer};
use crate::api::Api;
use crate::filters::authorize::rbac;
use crate::identity::User;
use crate::negotiate::Shape;
use crate::registry::write;
use crate::request::Request;
use crate::status::ApiError;

/// Answers a request for a kind that is not stored.
///
/// # Errors
/// 400, 405, 422.
pub async fn serve(api: &Arc<Api>, request: &mut Request, kind: &Arc<Kind>) -> Result<Answer, ApiError> {
    if kind.plural == "componentstatuses" {
        return component_statuses(api, request, kind).await;
    }
    let display = display(request, Shape::One)?;
    if request.info.verb != "create" {
        return Err(ApiError::method_not_allowed());
    }
    let media = request.media_type()?;
    let body = request.read_body().await?;
    let options = options::write(request, "CreateOptions")?;
    let decoded =
        decode::decode(&body, media, kind, options.validation).map_err(|e| ApiError::bad_request(e.to_string()))?;
    options.warnings.add(decoded.warnings);
    let mut review = decoded.object;
    match kind.kind.as_str() {
        "SelfSubjectAccessReview" | "SubjectAccessReview" | "LocalSubjectAccessReview" => {
            access::answer(&api.registry, &request.user, &request.info.namespace, &mut review)?;
        }
        "SelfSubjectRulesReview" => rules(api, &request.user, &mut review)?,
        "SelfSubjectReview" => {
            meta::set_text(&mut review, "creationTimestamp", &write::now());
            review["status"] = json!({"userInfo": user_info(&request.user)});
        }
        "TokenReview" => token::answer(api, &mut review)?,
        "Binding" => {
            // The old way to bind: POST to the collection `bindings`, the pod named in the body.
            let pods = api.registry.stored("", "pods").ok_or_else(ApiError::unknown_resource)?;
            let name = meta::name(&review).to_owned();
            subresources::binding::bind(api, &pods, &request.info.namespace, &name, &review, &options).await?;
            review = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
        }
        _ => return Err(ApiError::method_not_allowed()),
    }
    answer::value(&display.wanted, &review, StatusCode::CREATED)
}

/// A user as reviews show one.
#[must_use]
pub fn user_info(user: &User) -> Value {
    let mut info = json!({"username": user.name});
    if !user.uid.is_empty() {
        info["uid"] = json!(user.uid);
    }
    if !user.groups.is_empty() {
        info["groups"] = json!(user.groups);
    }
    if !user.extra.is_empty() {
        info["extra"] = json!(user.extra);
    }
    info
}

fn rules(api: &Arc<Api>, user: &User, review: &mut Value) -> Result<(), ApiError> {
    let namespace = review.pointer("/spec/namespace").and_then(Value::as_str).unwrap_or_default().to_owned();
    if namespace.is_empty() {
        return Err(ApiError::bad_request("no namespace on request"));
    }
    let (mut resources, mut urls) = (Vec::new(), Vec::new());
    if user.is_in(crate::identity::MASTERS) {
        resources.push(json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}));
        urls.push(json!({"verbs": ["*"], "nonResourceURLs": ["*"]}));
    }
    rbac::visit_rules(&api.registry, user, &namespace, &mut |rule, _| {
        let is_resource = rule.get("resources").and_then(Value::as_array).is_some_and(|r| !r.is_empty());
        let list = if is_resource { &mut resources } else { &mut urls };
        if !list.contains(rule) {
            list.push(rule.clone());
        }
        true
    });
    review["status"] = json!({"resourceRules": resources, "nonResourceRules": urls, "incomplete": false});
    Ok(())
}

/// The store as the one component this server knows of.
async fn component_statuses(api: &Arc<Api>, request: &Request, kind: &Kind) -> Result<Answer, ApiError> {
    let display = display(request, if request.info.name.is_empty() { Shape::List } else { Shape::One })?;
    let health = api.registry.store().health().await;
    let (status, message) = match &health {
        Ok(()) => ("True", "ok".to_owned()),
        Err(error) => ("False", error.to_string()),
    };
    let component = json!({
        "metadata": {"name": "etcd-0"},
        "conditions": [{"type": "Healthy", "status": status, "message": message}],
    });
    match request.info.verb.as_ref() {
        "list" => answer::list_of_values(&display, kind, vec![component], Map::new()),
        "get" if request.info.name == "etcd-0" => {
            let mut one = component;
            one["kind"] = json!(kind.kind);
            one["apiVersion"] = json!("v1");
            answer::value(&display.wanted, &one, StatusCode::OK)
        }
        "get" => {
            let name = crate::status::ResourceName { group: "", resource: &kind.plural };
            Err(ApiError::not_found(name, &request.info.name))
        }
        _ => Err(ApiError::method_not_allowed()),
    }
}
