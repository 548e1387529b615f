//! One verb per file: what a request does after the filters let it through. From the handler; to the registry and back as an answer.

pub mod create;
pub mod delete;
pub mod get;
pub mod list;
pub mod options;
pub mod patch;
pub mod review;
pub mod subresources;
pub mod update;
pub mod watch;

use std::sync::Arc;

use http::Method;
use skep_api::kinds::{Kind, Scope};
use skep_api::strategy::Part;

use crate::answer::{Answer, Display};
use crate::api::Api;
use crate::negotiate::{Shape, wanted, wrong_partial};
use crate::registry::Target;
use crate::request::Request;
use crate::status::ApiError;
use crate::table::IncludeObject;

/// Answers a request for a resource.
///
/// # Errors
/// What the client is told.
pub async fn serve(api: &Arc<Api>, request: Box<Request>) -> Result<Answer, ApiError> {
    let (warnings, deprecation) = (Arc::clone(&request.warnings), deprecation(&request));
    let answer = answer(api, request).await?;
    warnings.add(deprecation.map(str::to_owned));
    Ok(answer)
}

/// What clients of an API that is on its way out are told.
fn deprecation(request: &Request) -> Option<&'static str> {
    match (request.info.group.as_str(), request.info.resource.as_str()) {
        ("", "endpoints") => Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"),
        ("", "componentstatuses") => Some("v1 ComponentStatus is deprecated in v1.19+"),
        _ => None,
    }
}

async fn answer(api: &Arc<Api>, mut request: Box<Request>) -> Result<Answer, ApiError> {
    let info = &request.info;
    let kind = Arc::clone(
        api.registry
            .kinds()
            .by_resource(&info.group, &info.version, &info.resource)
            .ok_or_else(ApiError::unknown_resource)?,
    );
    check_scope(&request, &kind)?;
    if !info.subresource.is_empty() && kind.subresource(&info.subresource).is_none() {
        return Err(ApiError::unknown_resource());
    }
    if matches!(request.method, Method::HEAD | Method::OPTIONS) || info.verb.is_empty() {
        return Err(ApiError::method_not_allowed());
    }
    let is_part_of_kind =
        matches!(info.subresource.as_str(), "" | "status" | "finalize" | "approval" | "ephemeralcontainers" | "resize");
    if !is_part_of_kind {
        return subresources::serve(api, request, &kind).await;
    }
    let needs_name = matches!(&*info.verb, "update" | "patch");
    if !has_verb(&kind, &info.subresource, &info.verb) || (needs_name && info.name.is_empty()) {
        return Err(ApiError::method_not_allowed());
    }
    let Some(target) = api.registry.target_of(&kind).filter(|_| kind.is_stored()) else {
        return review::serve(api, &mut request, &kind).await;
    };
    match &*request.info.verb.clone() {
        "get" => get::serve(&request, &target).await,
        "list" => list::serve(&request, &target).await,
        "watch" => watch::serve(api, &request, &target).await,
        "create" => create::serve(api, &mut request, &target).await,
        "update" => update::serve(api, &mut request, &target).await,
        "patch" => patch::serve(api, &mut request, &target).await,
        "delete" => delete::serve(api, &mut request, &target).await,
        "deletecollection" => delete::serve_collection(api, &mut request, &target).await,
        _ => Err(ApiError::method_not_allowed()),
    }
}

/// A namespaced kind is asked for in a namespace, except to list it everywhere; a cluster-wide kind never is.
fn check_scope(request: &Request, kind: &Kind) -> Result<(), ApiError> {
    let info = &request.info;
    let in_namespace = !info.namespace.is_empty() && info.resource != "namespaces";
    match (kind.scope, in_namespace) {
        (Scope::Cluster, true) => Err(ApiError::unknown_resource()),
        (Scope::Namespaced, false) => {
            if matches!(&*info.verb, "list" | "watch") {
                Ok(())
            } else if info.path_has_name() {
                Err(ApiError::unknown_resource())
            } else if kind.has_verb("list") {
                Err(ApiError::method_not_allowed())
            } else {
                Err(ApiError::unknown_resource())
            }
        }
        (Scope::Namespaced, true) | (Scope::Cluster, false) => Ok(()),
    }
}

fn has_verb(kind: &Kind, subresource: &str, verb: &str) -> bool {
    match kind.subresource(subresource) {
        Some(subresource) => subresource.verbs.iter().any(|v| v == verb),
        None => kind.has_verb(verb),
    }
}

/// The part of the object a URL names.
#[must_use]
pub fn part(request: &Request) -> Part<'_> {
    Part::from_subresource(&request.info.subresource)
}

/// The namespace of the object's key: namespaces themselves lie in none, although their URL looks so.
#[must_use]
pub fn namespace<'a>(request: &'a Request, target: &Target) -> &'a str {
    match target.kind.scope {
        Scope::Namespaced => &request.info.namespace,
        Scope::Cluster => "",
    }
}

/// How to show objects to this client.
///
/// # Errors
/// 406, or 400 for a wrong `includeObject`.
pub fn display(request: &Request, shape: Shape) -> Result<Display, ApiError> {
    let include = IncludeObject::parse(request.query.text("includeObject"))
        .map_err(|why| ApiError::bad_request(why.to_string()))?;
    if let Some(of_list) = wrong_partial(&request.headers, shape) {
        return Err(wrong_view(request, of_list));
    }
    Ok(Display { wanted: wanted(&request.headers, &request.query, shape)?, include })
}

/// Upstream names its own Go type here.
fn wrong_view(request: &Request, of_list: bool) -> ApiError {
    let info = &request.info;
    let kind = skep_api::kinds::builtin().by_resource(&info.group, &info.version, &info.resource);
    let kind = kind.map(|k| k.kind.as_str()).unwrap_or_default();
    let package = info.group.split('.').next().filter(|p| !p.is_empty()).unwrap_or("core");
    ApiError::wrong_view(&if of_list {
        format!("you requested PartialObjectMetadataList, but the requested object is not a list (*{package}.{kind})")
    } else {
        format!("you requested PartialObjectMetadata, but the requested object is a list (*{package}.{kind}List)")
    })
}
