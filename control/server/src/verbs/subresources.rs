//! Parts of objects that are not the object itself. From the handler; to the registry, or to kubelets.

pub mod binding;
pub mod eviction;
pub mod log;
pub mod proxy;
pub mod scale;
pub mod stream;
pub mod token;

use std::sync::Arc;

use skep_api::kinds::Kind;

use super::has_verb;
use crate::answer::Answer;
use crate::api::Api;
use crate::request::Request;
use crate::status::ApiError;

/// Answers a request for a subresource with rules of its own.
///
/// # Errors
/// What the client is told.
pub async fn serve(api: &Arc<Api>, mut request: Box<Request>, kind: &Arc<Kind>) -> Result<Answer, ApiError> {
    let target = api.registry.target_of(kind).ok_or_else(ApiError::unknown_resource)?;
    let (subresource, verb) = (request.info.subresource.clone(), request.info.verb.clone());
    // Proxies pass every method on; the others take the methods discovery lists.
    if subresource != "proxy" && !has_verb(kind, &subresource, &verb) {
        return Err(ApiError::method_not_allowed());
    }
    match (kind.plural.as_str(), subresource.as_str()) {
        (_, "scale") => scale::serve(api, &mut request, &target).await,
        ("pods", "binding") => binding::serve(api, &mut request, &target).await,
        ("pods", "eviction") => eviction::serve(api, &mut request, &target).await,
        ("pods", "log") => log::serve(api, &request, &target).await,
        ("pods", "exec" | "attach" | "portforward") => stream::serve(api, &mut request, &target).await,
        ("pods" | "services" | "nodes", "proxy") => proxy::serve(api, &mut request, &target).await,
        ("serviceaccounts", "token") => token::serve(api, &mut request, &target).await,
        _ => Err(ApiError::unknown_resource()),
    }
}
