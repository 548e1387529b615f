//! The walk of a request: info → authenticate → impersonate → limit → authorize → verb → audit. From the listener or a local client; to the answer.

use std::borrow::Cow;
use std::sync::Arc;

use http::{HeaderValue, Method, StatusCode};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::answer::{self, Answer};
use crate::api::Api;
use crate::body::Body;
use crate::documents;
use crate::filters::authenticate::{self, Connection, impersonate};
use crate::filters::authorize::{Action, Decision, decide, forbidden};
use crate::negotiate::wanted_for_error;
use crate::query::{self, Query};
use crate::registry::write::{self, Warnings};
use crate::request::Request;
use crate::request_info::RequestInfo;
use crate::status::ApiError;
use crate::verbs;

/// Answers one request. Never fails: failures are answers.
pub async fn handle(api: Arc<Api>, request: http::Request<Body>, connection: Connection) -> Answer {
    let start = Instant::now();
    let (mut parts, body) = request.into_parts();
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let path = query::decode(parts.uri.path(), false);
    let info = Arc::new(RequestInfo::new(&parts.method, &path, &query));
    let warnings = Arc::<Warnings>::default();
    let mut request = Box::new(Request {
        upgrade: parts.extensions.remove::<hyper::upgrade::OnUpgrade>(),
        method: parts.method,
        uri: parts.uri,
        headers: parts.headers,
        query,
        info: Arc::clone(&info),
        user: crate::identity::User::anonymous(),
        connection,
        body: Mutex::new(Some(body)),
        warnings: Arc::clone(&warnings),
        max_body_bytes: api.limits.max_body_bytes,
    });
    let wanted = wanted_for_error(&request.headers, &request.query);
    let audit_id = write::new_uid();
    let (user, outcome) = match enter(&api, &mut request) {
        Err(error) => (String::new(), Err(error)),
        Ok(permit) => {
            let user = request.user.name.clone();
            let outcome = timed(&api, request).await;
            drop(permit);
            (user, outcome)
        }
    };
    let mut answer = match outcome {
        Ok(answer) => answer,
        Err(error) => {
            if error.code.is_server_error() {
                tracing::warn!(path = info.path, user, error = error.message, "request failed");
            }
            answer::error(&wanted, &error)
        }
    };
    answer::add_warnings(&mut answer, &warnings.take());
    let headers = answer.headers_mut();
    headers.entry("Cache-Control").or_insert_with(|| HeaderValue::from_static("no-cache, private"));
    if let Ok(id) = HeaderValue::from_str(&audit_id) {
        headers.insert("Audit-Id", id);
    }
    api.counters.finished(&user, &info, answer.status().as_u16(), start.elapsed());
    answer
}

/// The filters before the verb.
fn enter(api: &Api, request: &mut Request) -> Result<Option<tokio::sync::OwnedSemaphorePermit>, ApiError> {
    let user = authenticate::authenticate(&request.connection, &request.headers, &api.tokens, &api.registry)?;
    request.user = impersonate::impersonate(&api.registry, user, &request.headers)?;
    let permit = api.in_flight.enter(&request.info, &request.user)?;
    for action in actions(request) {
        if let Decision::NoOpinion(reason) = decide(&api.registry, &request.user, &action) {
            return Err(forbidden(&request.user, &action, &reason));
        }
    }
    Ok(permit)
}

/// What must be allowed: the request itself; and who opens a stream by GET (WebSocket) needs `create`, as by POST.
fn actions(request: &Request) -> Vec<Action<'_>> {
    let action = Action::of(&request.info);
    let is_stream = matches!(request.info.subresource.as_str(), "exec" | "attach" | "portforward");
    if request.info.is_resource && is_stream && request.info.verb == "get" {
        return vec![action.clone(), Action { verb: Cow::Borrowed("create"), ..action }];
    }
    vec![action]
}

async fn timed(api: &Arc<Api>, request: Box<Request>) -> Result<Answer, ApiError> {
    if request.info.is_long_running() {
        return Box::pin(serve(api, request)).await;
    }
    let answer = Box::pin(serve(api, request));
    match tokio::time::timeout(api.limits.request_timeout, answer).await {
        Ok(answer) => answer,
        Err(_elapsed) => Err(ApiError::timeout("Timeout: request did not complete within the allotted timeout")),
    }
}

async fn serve(api: &Arc<Api>, request: Box<Request>) -> Result<Answer, ApiError> {
    if request.info.is_resource {
        return verbs::serve(api, request).await;
    }
    if request.method != Method::GET && request.method != Method::HEAD {
        return Ok(answer::text(StatusCode::METHOD_NOT_ALLOWED, "405 method not allowed\n"));
    }
    documents::serve(api, &request).await
}
