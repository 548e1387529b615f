//! `log`: what a container wrote, from its node's kubelet. From the handler; to the kubelet and back as it comes.

use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request as HttpRequest, StatusCode};
use skep_api::field::{FieldError, Path};
use skep_storage::watch_cache::Freshness;

use super::stream::{container, encode, kubelet};
use crate::answer::{self, Answer};
use crate::api::Api;
use crate::body;
use crate::filters::limit;
use crate::kubelet::server_response;
use crate::registry::Target;
use crate::request::Request;
use crate::status::ApiError;
use crate::verbs::options::integer;

const MAX_ERROR_BYTES: usize = 64 * 1024;
/// Parameters that the kubelet understands by the same name.
const PASSED: [&str; 8] =
    ["follow", "previous", "sinceSeconds", "sinceTime", "tailLines", "timestamps", "limitBytes", "stream"];

/// Answers a GET of a log.
///
/// # Errors
/// 400 for wrong options or a container that has no log yet, 404, 500 when the kubelet cannot be reached.
pub async fn serve(api: &Arc<Api>, request: &Request, target: &Target) -> Result<Answer, ApiError> {
    let (namespace, name) = (&request.info.namespace, &request.info.name);
    check(request)?;
    let pod = target.get(namespace, name, Freshness::Latest).await?;
    let pod = target.serve(&pod);
    let container = container(&pod, name, request.query.text("container"))?;
    let Some(endpoint) = kubelet(api, &pod)? else {
        // No node yet: nothing was written.
        return Ok(answer::text(StatusCode::OK, ""));
    };
    let query: Vec<String> = PASSED
        .iter()
        .filter_map(|name| {
            let value = request.query.get(name).filter(|value| !value.is_empty())?;
            Some(format!("{name}={}", encode(value)))
        })
        .collect();
    let path =
        format!("/containerLogs/{}/{}/{}?{}", encode(namespace), encode(name), encode(&container), query.join("&"));
    let call = HttpRequest::get(path).body(body::empty()).map_err(ApiError::internal)?;
    let answer = api.kubelets.forward(endpoint, call, None).await?;
    if answer.status().is_success() {
        let mut plain = http::Response::new(answer.into_body());
        plain.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        return Ok(plain);
    }
    let code = answer.status();
    let text = limit::read(answer.into_body(), MAX_ERROR_BYTES).await?;
    Err(server_response(code, &text))
}

fn check(request: &Request) -> Result<(), ApiError> {
    let query = &request.query;
    let mut errors = Vec::new();
    for (name, least) in [("tailLines", 0), ("limitBytes", 1), ("sinceSeconds", 1)] {
        let Some(text) = query.get(name).filter(|t| !t.is_empty()) else { continue };
        let value = integer(text)?;
        if value < least {
            let why = if least == 0 { "must be greater than or equal to 0" } else { "must be greater than 0" };
            errors.push(FieldError::invalid_number(&Path::new(name), value, why));
        }
    }
    let given = |name: &str| query.get(name).is_some_and(|value| !value.is_empty());
    if given("sinceSeconds") && given("sinceTime") {
        let why = "at most one of `sinceTime` or `sinceSeconds` may be specified";
        errors.push(FieldError::forbidden(&Path::root(), why));
    }
    if errors.is_empty() { Ok(()) } else { Err(ApiError::invalid("", "PodLogOptions", &request.info.name, errors)) }
}
