//! Every failure as the `Status` object and HTTP code that clients of Kubernetes know; the only place that maps errors to HTTP. Pure.

use http::StatusCode;
use serde_json::{Map, Value, json};
use skep_api::field::{FieldError, Invalid, go_quote};
use skep_api::kinds::Kind;
use skep_api::object::NamespaceMismatch;
use skep_storage::store::StoreError;
use skep_storage::watch_cache::CacheError;

use crate::admission::Rejection;

/// A failed request.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiError {
    /// HTTP code.
    pub code: StatusCode,
    /// `reason`: the word programs branch on.
    pub reason: &'static str,
    /// `message`: what people read.
    pub message: String,
    /// `details`; null when absent.
    pub details: Value,
    /// `metadata.continue`: how to go on with an expired list; usually empty.
    pub list_continue: String,
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}

/// A resource as errors name it: plural and group.
#[derive(Clone, Copy, Debug)]
pub struct ResourceName<'a> {
    /// API group; empty for core.
    pub group: &'a str,
    /// Plural.
    pub resource: &'a str,
}

impl std::fmt::Display for ResourceName<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.group.is_empty() { f.write_str(self.resource) } else { write!(f, "{}.{}", self.resource, self.group) }
    }
}

impl ApiError {
    fn new(code: StatusCode, reason: &'static str, message: impl Into<String>, details: Value) -> Self {
        Self { code, reason, message: message.into(), details, list_continue: String::new() }
    }

    /// 400: the request cannot be understood.
    #[must_use]
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message, Value::Null)
    }

    /// 401: the credentials are not accepted.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized", Value::Null)
    }

    /// 403: `why` is what comes after `pods "x" is forbidden: `.
    #[must_use]
    pub fn forbidden(resource: ResourceName<'_>, name: &str, why: impl std::fmt::Display) -> Self {
        let message = match (resource.resource, name) {
            ("", _) => format!("forbidden: {why}"),
            (_, "") => format!("{resource} is forbidden: {why}"),
            (_, name) => format!("{resource} {} is forbidden: {why}", go_quote(name)),
        };
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message, details(resource.group, resource.resource, name))
    }

    /// 404: there is no object of this name.
    #[must_use]
    pub fn not_found(resource: ResourceName<'_>, name: &str) -> Self {
        let message = format!("{resource} {} not found", go_quote(name));
        Self::new(StatusCode::NOT_FOUND, "NotFound", message, details(resource.group, resource.resource, name))
    }

    /// 404: there is no such resource or subresource.
    #[must_use]
    pub fn unknown_resource() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", "the server could not find the requested resource", json!({}))
    }

    /// 405: the resource does not take this method.
    #[must_use]
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message, json!({}))
    }

    /// 405: this object does not take this operation, for instance `delete` of a mirror.
    #[must_use]
    pub fn not_supported(resource: ResourceName<'_>, action: &str) -> Self {
        let message = format!("{action} is not supported on resources of kind \"{resource}\"");
        let details = details(resource.group, resource.resource, "");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message, details)
    }

    /// 406: none of the media types in Accept can be made.
    #[must_use]
    pub fn not_acceptable(available: &str) -> Self {
        let message = format!("406: Not Acceptable\n\nAvailable representations: {available}");
        Self::new(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message, json!({}))
    }

    /// 406: the media type is known, but not with these parameters.
    #[must_use]
    pub fn no_such_view(accepted: &str) -> Self {
        Self::wrong_view(&format!("only the following media types are accepted: {accepted}"))
    }

    /// 406: the view asked for does not fit what is asked for.
    #[must_use]
    pub fn wrong_view(message: &str) -> Self {
        Self::new(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message, Value::Null)
    }

    /// 409: an object of this name exists.
    #[must_use]
    pub fn already_exists(resource: ResourceName<'_>, name: &str) -> Self {
        let message = format!("{resource} {} already exists", go_quote(name));
        Self::new(StatusCode::CONFLICT, "AlreadyExists", message, details(resource.group, resource.resource, name))
    }

    /// 409: the object changed meanwhile, or a precondition does not hold.
    #[must_use]
    pub fn conflict(resource: ResourceName<'_>, name: &str, why: impl std::fmt::Display) -> Self {
        let message = format!("Operation cannot be fulfilled on {resource} {}: {why}", go_quote(name));
        Self::new(StatusCode::CONFLICT, "Conflict", message, details(resource.group, resource.resource, name))
    }

    /// 409: server-side apply met fields of other managers; one cause per field.
    #[must_use]
    pub fn apply_conflict(message: impl Into<String>, causes: Value) -> Self {
        Self::new(StatusCode::CONFLICT, "Conflict", message, json!({ "causes": causes }))
    }

    /// 410: the revision asked for is no longer known.
    #[must_use]
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, "Expired", message, Value::Null)
    }

    /// 413: the body is too large.
    #[must_use]
    pub fn too_large(limit: usize) -> Self {
        let message = format!("Request entity too large: limit is {limit}");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message, Value::Null)
    }

    /// 413 with this text.
    #[must_use]
    pub fn too_large_text(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message, Value::Null)
    }

    /// 415 with this text.
    #[must_use]
    pub fn unsupported_media(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message, Value::Null)
    }

    /// 415: the body's media type is not known.
    #[must_use]
    pub fn unsupported_media_type(accepted: &str) -> Self {
        let message =
            format!("the body of the request was in an unknown format - accepted media types include: {accepted}");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message, Value::Null)
    }

    /// 422: rules of fields are broken. `kind` is the object's kind.
    #[must_use]
    pub fn invalid(group: &str, kind: &str, name: &str, errors: Vec<FieldError>) -> Self {
        Self::from(Invalid { group: group.to_owned(), kind: kind.to_owned(), name: name.to_owned(), errors })
    }

    /// 422 without field errors: a patch that does not fit the object and the like.
    #[must_use]
    pub fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message, json!({}))
    }

    /// 429: too many requests, or an eviction that a disruption budget forbids; retry after so many seconds (0: not told).
    #[must_use]
    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        let details =
            if retry_after_seconds == 0 { json!({}) } else { json!({ "retryAfterSeconds": retry_after_seconds }) };
        Self::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message, details)
    }

    /// 500.
    #[must_use]
    pub fn internal(why: impl std::fmt::Display) -> Self {
        let message = format!("Internal error occurred: {why}");
        let details = json!({"causes": [{"message": why.to_string()}]});
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message, details)
    }

    /// 500 with this text alone.
    #[must_use]
    pub fn internal_text(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "", message, Value::Null)
    }

    /// 503.
    #[must_use]
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message, Value::Null)
    }

    /// 504: took too long.
    #[must_use]
    pub fn timeout(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", message, json!({}))
    }

    /// 504: a resource version that does not exist yet was asked for.
    #[must_use]
    pub fn resource_version_too_large(requested: u64, current: u64) -> Self {
        let details = json!({
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1,
        });
        let message = format!("Timeout: Too large resource version: {requested}, current: {current}");
        Self::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", message, details)
    }

    /// Adds a cause to the details.
    #[must_use]
    pub fn with_cause(mut self, reason: &str, message: &str, field: &str) -> Self {
        let mut cause = Map::new();
        for (name, value) in [("reason", reason), ("message", message), ("field", field)] {
            if !value.is_empty() {
                cause.insert(name.to_owned(), Value::String(value.to_owned()));
            }
        }
        if self.details.is_null() {
            self.details = json!({});
        }
        if let Some(causes) = self.details.as_object_mut().map(|d| d.entry("causes").or_insert_with(|| json!([])))
            && let Some(list) = causes.as_array_mut()
        {
            list.push(Value::Object(cause));
        }
        self
    }

    /// Tells how an expired list can be gone on with.
    #[must_use]
    pub fn with_continue(mut self, token: String) -> Self {
        self.list_continue = token;
        self
    }

    /// Tells that no free name was found for a `generateName`.
    #[must_use]
    pub fn with_name_conflict(mut self) -> Self {
        self.message.push_str(", the server was not able to generate a unique name for the object");
        if let Some(details) = self.details.as_object_mut() {
            details.insert("retryAfterSeconds".to_owned(), json!(1));
        }
        self
    }

    /// The `Status` object.
    #[must_use]
    pub fn to_status(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": if self.list_continue.is_empty() { json!({}) } else { json!({ "continue": self.list_continue }) },
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code.as_u16(),
        });
        if let Some(map) = status.as_object_mut() {
            if !self.details.is_null() {
                map.insert("details".to_owned(), self.details.clone());
            }
            if self.reason.is_empty() {
                map.remove("reason");
            }
        }
        status
    }

    /// Seconds for the header `Retry-After`.
    #[must_use]
    pub fn retry_after(&self) -> Option<u64> {
        self.details.get("retryAfterSeconds").and_then(Value::as_u64)
    }
}

impl From<Invalid> for ApiError {
    fn from(invalid: Invalid) -> Self {
        let details = invalid.details();
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", invalid.to_string(), details)
    }
}

impl From<StoreError> for ApiError {
    #[expect(clippy::wildcard_enum_match_arm, reason = "every other failure is ours, also those to come")]
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::TooLarge { limit, .. } => Self::too_large(limit),
            StoreError::Compacted { .. } => Self::expired("The resourceVersion for the provided list is too old."),
            error => Self::internal(&error),
        }
    }
}

impl From<CacheError> for ApiError {
    #[expect(clippy::wildcard_enum_match_arm, reason = "every other failure is ours, also those to come")]
    fn from(error: CacheError) -> Self {
        match error {
            CacheError::TooOld { requested, oldest } => {
                Self::expired(format!("too old resource version: {requested} ({oldest})"))
            }
            CacheError::TooLarge { requested, current } => Self::resource_version_too_large(requested, current),
            CacheError::Slow { .. } | CacheError::Refilled => {
                Self::expired(format!("The resourceVersion for the provided watch is too old: {error}"))
            }
            CacheError::NotReady { .. } => Self::too_many_requests("storage is (re)initializing", 1),
            CacheError::Store(error) => error.into(),
            error => Self::internal(&error),
        }
    }
}

impl From<NamespaceMismatch> for ApiError {
    fn from(error: NamespaceMismatch) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl Rejection {
    /// What the client is told about an object that admission refused.
    #[must_use]
    pub fn answer(self, kind: &Kind, name: &str) -> ApiError {
        let resource = ResourceName { group: &kind.group, resource: &kind.plural };
        let name = if name.is_empty() { "Unknown" } else { name };
        match self {
            Self::Forbidden(why) => ApiError::forbidden(resource, name, why),
            Self::NamespaceTerminating(namespace) => {
                let being = format!("namespace {namespace} is being terminated");
                let why =
                    format!("unable to create new content in namespace {namespace} because it is being terminated");
                ApiError::forbidden(resource, name, why).with_cause(
                    "NamespaceTerminating",
                    &being,
                    "metadata.namespace",
                )
            }
            Self::Invalid(errors) => ApiError::invalid(&kind.group, &kind.kind, name, errors),
            Self::NotFound { group, resource, name } => {
                ApiError::not_found(ResourceName { group: &group, resource: &resource }, &name)
            }
            Self::Internal(why) => ApiError::internal(why),
        }
    }
}

fn details(group: &str, kind: &str, name: &str) -> Value {
    let mut details = Map::new();
    for (key, value) in [("name", name), ("group", group), ("kind", kind)] {
        if !value.is_empty() {
            details.insert(key.to_owned(), Value::String(value.to_owned()));
        }
    }
    Value::Object(details)
}

#[cfg(test)]
mod tests;
