//! Reads one object. From the handler; to the watch cache.

use http::StatusCode;
use skep_storage::watch_cache::Freshness;

use super::{display, list, namespace};
use crate::answer::{self, Answer};
use crate::negotiate::Shape;
use crate::registry::Target;
use crate::registry::write::Shown;
use crate::request::Request;
use crate::status::ApiError;

/// Answers a GET of an object (or of its `status`, which shows the same).
///
/// # Errors
/// 404, 400 for a wrong resource version, 406.
pub async fn serve(request: &Request, target: &Target) -> Result<Answer, ApiError> {
    let display = display(request, Shape::One)?;
    let freshness = match list::resource_version(&request.query)? {
        None => Freshness::Latest,
        Some(0) => Freshness::Any,
        Some(version) => Freshness::AtLeast(version),
    };
    let object = target.get(namespace(request, target), &request.info.name, freshness).await?;
    answer::object(&display, target, &Shown::Object(object), StatusCode::OK)
}
