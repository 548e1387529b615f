//! Replaces an object (or one of its parts) by a body. From the handler; to the registry.

use std::sync::Arc;

use http::StatusCode;
use serde_json::Value;
use skep_api::{decode, meta, ownership};

use super::{display, namespace, options, part};
use crate::answer::{self, Answer};
use crate::api::Api;
use crate::filters::authorize::escalation;
use crate::negotiate::Shape;
use crate::registry::Target;
use crate::registry::update::Place;
use crate::registry::write::{self, Preconditions};
use crate::request::Request;
use crate::status::ApiError;

/// Answers a PUT.
///
/// # Errors
/// 400, 403, 404, 409, 415, 422.
pub async fn serve(api: &Arc<Api>, request: &mut Request, target: &Target) -> Result<Answer, ApiError> {
    let display = display(request, Shape::One)?;
    let media = request.media_type()?;
    let body = request.read_body().await?;
    let options = options::write(request, "UpdateOptions")?;
    let decoded = decode::decode(&body, media, &target.kind, options.validation)
        .map_err(|e| ApiError::bad_request(e.to_string()))?;
    options.warnings.add(decoded.warnings);
    let (part, namespace, name) = (part(request), namespace(request, target), request.info.name.as_str());
    let mut object = decoded.object;
    check_place(&object, namespace, name)?;
    meta::set_text(&mut object, "namespace", namespace);
    let preconditions = Preconditions { uid: meta::uid(&object).to_owned(), ..Preconditions::default() };
    let place = Place { target, namespace, name, part };
    let api_version = target.kind.api_version();
    let mut change = |old: &Value| {
        escalation::check(&api.registry, &options.user, &target.kind, namespace, &object, Some(old))?;
        let mut new = object.clone();
        let now = write::now();
        let writer = options.writer(&api_version, &now);
        ownership::record_update(&target.kind, part, Some(old), &mut new, &writer);
        Ok(new)
    };
    let result = api.registry.update(place, &preconditions, &options, &mut change).await;
    let (shown, code) = match result {
        Err(error)
            if error.code == StatusCode::NOT_FOUND
                && part.subresource().is_empty()
                && target.kind.strategy.allow_create_on_update() =>
        {
            let now = write::now();
            ownership::record_update(&target.kind, part, None, &mut object, &options.writer(&api_version, &now));
            (api.registry.create(target, namespace, object, &options).await?, StatusCode::CREATED)
        }
        other => (other?, StatusCode::OK),
    };
    answer::object(&display, target, &shown, code)
}

/// Whether an object is the one its URL names.
///
/// # Errors
/// 400.
pub fn check_place(object: &Value, namespace: &str, name: &str) -> Result<(), ApiError> {
    let (given, given_namespace) = (meta::name(object), meta::namespace(object));
    if given.is_empty() {
        let why = format!("the name of the object ({name} based on URL) was undeterminable: name must be provided");
        return Err(ApiError::bad_request(why));
    }
    if given != name {
        let why = format!("the name of the object ({given}) does not match the name on the URL ({name})");
        return Err(ApiError::bad_request(why));
    }
    if !given_namespace.is_empty() && given_namespace != namespace {
        let why = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(ApiError::bad_request(why));
    }
    Ok(())
}
