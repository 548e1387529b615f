//! Creates an object from a body. From the handler; to the registry.

use std::sync::Arc;

use http::StatusCode;
use skep_api::strategy::Part;
use skep_api::{decode, meta, ownership};

use super::{display, namespace, options};
use crate::answer::{self, Answer};
use crate::api::Api;
use crate::filters::authorize::escalation;
use crate::negotiate::Shape;
use crate::registry::Target;
use crate::registry::write;
use crate::request::Request;
use crate::status::ApiError;

/// Answers a POST to a collection.
///
/// # Errors
/// 400, 403, 409, 415, 422.
pub async fn serve(api: &Arc<Api>, request: &mut Request, target: &Target) -> Result<Answer, ApiError> {
    if request.info.path_has_name() && request.info.resource != "namespaces" {
        return Err(ApiError::method_not_allowed());
    }
    let display = display(request, Shape::One)?;
    let media = request.media_type()?;
    let body = request.read_body().await?;
    let options = options::write(request, "CreateOptions")?;
    let decoded = decode::decode(&body, media, &target.kind, options.validation)
        .map_err(|e| ApiError::bad_request(e.to_string()))?;
    options.warnings.add(decoded.warnings);
    let namespace = namespace(request, target);
    let mut object = decoded.object;
    let given = meta::namespace(&object);
    if !given.is_empty() && given != namespace {
        let why = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(ApiError::bad_request(why));
    }
    escalation::check(&api.registry, &request.user, &target.kind, namespace, &object, None)?;
    let (api_version, now) = (target.kind.api_version(), write::now());
    ownership::record_update(&target.kind, Part::Whole, None, &mut object, &options.writer(&api_version, &now));
    let shown = api.registry.create(target, namespace, object, &options).await?;
    answer::object(&display, target, &shown, StatusCode::CREATED)
}
