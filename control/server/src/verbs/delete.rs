//! Deletes one object, or all that are selected. From the handler; to the registry.

use std::sync::Arc;

use http::StatusCode;

use super::options::{self, integer};
use super::{display, namespace};
use crate::answer::{self, Answer};
use crate::api::Api;
use crate::negotiate::Shape;
use crate::registry::Target;
use crate::request::Request;
use crate::selection::Selection;
use crate::status::ApiError;

/// Answers a DELETE of an object.
///
/// # Errors
/// 403, 404, 409, 422.
pub async fn serve(api: &Arc<Api>, request: &mut Request, target: &Target) -> Result<Answer, ApiError> {
    let display = display(request, Shape::One)?;
    let (asked, options) = options::delete(request).await?;
    let (namespace, name) = (namespace(request, target), request.info.name.as_str());
    let shown = api.registry.delete(target, namespace, name, &asked, &options).await?;
    answer::object(&display, target, &shown, StatusCode::OK)
}

/// Answers a DELETE of a collection.
///
/// # Errors
/// 400, 403, 422.
pub async fn serve_collection(api: &Arc<Api>, request: &mut Request, target: &Target) -> Result<Answer, ApiError> {
    let display = display(request, Shape::One)?;
    let selection = Selection::parse(&request.query, &target.kind)?;
    let limit = request.query.get("limit").filter(|t| !t.is_empty()).map(integer).transpose()?.unwrap_or_default();
    let (asked, options) = options::delete(request).await?;
    let limit = usize::try_from(limit).unwrap_or_default();
    let namespace = namespace(request, target);
    let shown = api.registry.delete_collection(target, namespace, &selection, limit, &asked, &options).await?;
    answer::object(&display, target, &shown, StatusCode::OK)
}
