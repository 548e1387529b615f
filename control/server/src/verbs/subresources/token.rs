//! `token`: a service-account token bound to a pod, node or secret. From kubelets and `kubectl create token`; to the client.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};
use skep_api::field::{FieldError, Path};
use skep_api::{decode, meta, schema, time};
use skep_storage::watch_cache::Freshness;

use crate::admission::Lister as _;
use crate::answer::{self, Answer};
use crate::api::Api;
use crate::negotiate::Shape;
use crate::registry::Target;
use crate::registry::write;
use crate::request::Request;
use crate::status::{ApiError, ResourceName};
use crate::tokens::{Bound, Claims, Reference};
use crate::verbs::{display, options};

const SHORTEST_SECONDS: i64 = 600;
const LONGEST_SECONDS: i64 = 1 << 32;
const DEFAULT_SECONDS: i64 = 3600;
/// The projected volume asks for an hour and seven seconds: old clients do not re-read such tokens, so they live a year, and are warned.
const INJECTED_SECONDS: i64 = 3607;
const EXTENDED_SECONDS: i64 = 365 * 24 * 3600;

/// Answers a POST of a `TokenRequest`.
///
/// # Errors
/// 404 for the account or what the token is to be bound to, 409 for another uid, 422.
pub async fn serve(api: &Arc<Api>, request: &mut Request, target: &Target) -> Result<Answer, ApiError> {
    let display = display(request, Shape::One)?;
    let body = request.read_body().await?;
    let options = options::write(request, "CreateOptions")?;
    let (group, version, kind) = ("authentication.k8s.io", "v1", "TokenRequest");
    let schema = schema::of_kind(group, version, kind);
    let decoded =
        decode::decode_as(&body, request.media_type()?, schema.get(), group, version, kind, options.validation)
            .map_err(|e| ApiError::bad_request(e.to_string()))?;
    let (namespace, name) = (request.info.namespace.as_str(), request.info.name.as_str());
    let account = target.get(namespace, name, Freshness::Latest).await?;
    let mut answer = decoded.object;
    let spec = answer.get("spec").cloned().unwrap_or_default();
    let seconds = spec.get("expirationSeconds").and_then(Value::as_i64).unwrap_or(DEFAULT_SECONDS);
    check_seconds(seconds, meta::name(&answer))?;
    let asked: Vec<String> = spec
        .get("audiences")
        .and_then(Value::as_array)
        .map(|list| list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        .unwrap_or_default();
    let audiences = if asked.is_empty() { api.tokens.audiences().to_vec() } else { asked };
    let mut bound = Bound {
        namespace: namespace.to_owned(),
        serviceaccount: Reference { name: name.to_owned(), uid: account.uid.to_string() },
        ..Bound::default()
    };
    bind(api, namespace, name, spec.get("boundObjectRef"), &mut bound)?;
    let now = jiff::Timestamp::now().as_second();
    let extended = seconds == INJECTED_SECONDS && bound.pod.is_some() && audiences == api.tokens.audiences();
    let lifetime = if extended { EXTENDED_SECONDS } else { seconds };
    bound.warnafter = extended.then_some(now + seconds);
    let claims = Claims {
        aud: audiences.clone(),
        exp: now + lifetime,
        iat: now,
        iss: api.tokens.issuer().to_owned(),
        jti: write::new_uid(),
        bound,
        nbf: now,
        sub: format!("system:serviceaccount:{namespace}:{name}"),
    };
    let token = api.tokens.sign(&claims).map_err(ApiError::internal)?;
    let shown_expiry = jiff::Timestamp::from_second(now + seconds).map_err(ApiError::internal)?;
    meta::set_text(&mut answer, "name", name);
    meta::set_text(&mut answer, "namespace", namespace);
    meta::set_text(&mut answer, "creationTimestamp", &write::now());
    let spec = meta::map_mut(&mut answer, "spec");
    spec.insert("audiences".to_owned(), json!(audiences));
    spec.insert("expirationSeconds".to_owned(), json!(seconds));
    answer["status"] = json!({"token": token, "expirationTimestamp": time::seconds(shown_expiry)});
    answer::value(&display.wanted, &answer, StatusCode::CREATED)
}

fn check_seconds(seconds: i64, name: &str) -> Result<(), ApiError> {
    let path = Path::new("spec").child("expirationSeconds");
    let why = if seconds < SHORTEST_SECONDS {
        "may not specify a duration less than 10 minutes"
    } else if seconds > LONGEST_SECONDS {
        "may not specify a duration larger than 2^32 seconds"
    } else {
        return Ok(());
    };
    let error = FieldError::invalid_number(&path, seconds, why);
    Err(ApiError::invalid("authentication.k8s.io", "TokenRequest", name, vec![error]))
}

/// Looks up what the token is to be bound to.
fn bind(
    api: &Arc<Api>,
    namespace: &str,
    account: &str,
    reference: Option<&Value>,
    bound: &mut Bound,
) -> Result<(), ApiError> {
    let Some(reference) = reference.filter(|r| r.is_object()) else { return Ok(()) };
    let text = |field: &str| reference.get(field).and_then(Value::as_str).unwrap_or_default();
    let (kind, name, uid) = (text("kind"), text("name"), text("uid"));
    let (resource, scope) = match kind {
        "Pod" => ("pods", namespace),
        "Secret" => ("secrets", namespace),
        "Node" => ("nodes", ""),
        _ => {
            let group_kind = match skep_api::kinds::split_api_version(text("apiVersion")) {
                Some((group, _)) if !group.is_empty() => format!("{kind}.{group}"),
                _ => kind.to_owned(),
            };
            return Err(ApiError::bad_request(format!(
                "cannot bind token for serviceaccount {account:?} to object with invalid kind {group_kind:?}"
            )));
        }
    };
    let object = api.registry.get("", resource, scope, name);
    let object = object.ok_or_else(|| ApiError::not_found(ResourceName { group: "", resource }, name))?;
    if !uid.is_empty() && uid != meta::uid(&object) {
        let why = format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
        );
        return Err(ApiError::conflict(ResourceName { group: "", resource }, name, why));
    }
    let found = Reference { name: name.to_owned(), uid: meta::uid(&object).to_owned() };
    match kind {
        "Secret" => bound.secret = Some(found),
        "Node" => bound.node = Some(found),
        _ => {
            let used = object.pointer("/spec/serviceAccountName").and_then(Value::as_str).unwrap_or_default();
            if used != account {
                return Err(ApiError::bad_request(format!(
                    "cannot bind token for serviceaccount {account:?} to pod running with different serviceaccount name."
                )));
            }
            let node = object.pointer("/spec/nodeName").and_then(Value::as_str).filter(|n| !n.is_empty());
            bound.node = node.map(|node| {
                let uid = api.registry.get("", "nodes", "", node).map(|n| meta::uid(&n).to_owned());
                Reference { name: node.to_owned(), uid: uid.unwrap_or_default() }
            });
            bound.pod = Some(found);
        }
    }
    Ok(())
}
