//! Changes an object by a patch: JSON, merge, strategic merge, or server-side apply. From the handler; to the registry.

use std::sync::Arc;

use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::Value;
use skep_api::field::{FieldError, Path};
use skep_api::meta;
use skep_api::ownership::{self, ApplyError};
use skep_api::patch::{self, PatchError, PatchType};

use super::update::check_place;
use super::{display, namespace, options, part};
use crate::answer::{self, Answer};
use crate::api::Api;
use crate::filters::authorize::escalation;
use crate::negotiate::Shape;
use crate::registry::Target;
use crate::registry::update::Place;
use crate::registry::write::{self, Preconditions, Shown, WriteOptions};
use crate::request::Request;
use crate::status::ApiError;

const ACCEPTED: &str = "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, \
    application/apply-patch+yaml, application/apply-patch+cbor";

/// Answers a PATCH.
///
/// # Errors
/// 400, 403, 404, 409, 415, 422.
pub async fn serve(api: &Arc<Api>, request: &mut Request, target: &Target) -> Result<Answer, ApiError> {
    let display = display(request, Shape::One)?;
    let content_type = request.header(CONTENT_TYPE).split(';').next().unwrap_or_default().trim().to_owned();
    let patch_type =
        PatchType::from_content_type(&content_type).ok_or_else(|| ApiError::unsupported_media_type(ACCEPTED))?;
    let body = request.read_body().await?;
    let options = options::write(request, "PatchOptions")?;
    let (shown, created) = match patch_type {
        PatchType::Apply => apply(api, request, target, &body, &options).await?,
        PatchType::Json | PatchType::Merge | PatchType::Strategic => {
            if request.query.get("force").is_some() {
                let error = FieldError::forbidden(&Path::new("force"), "may not be specified for non-apply patch");
                return Err(ApiError::invalid("meta.k8s.io", "PatchOptions", "", vec![error]));
            }
            (change(api, request, target, patch_type, &body, &options).await?, false)
        }
    };
    let code = if created { StatusCode::CREATED } else { StatusCode::OK };
    answer::object(&display, target, &shown, code)
}

async fn change(
    api: &Arc<Api>,
    request: &Request,
    target: &Target,
    patch_type: PatchType,
    body: &[u8],
    options: &WriteOptions,
) -> Result<Shown, ApiError> {
    let (part, namespace, name) = (part(request), namespace(request, target), request.info.name.as_str());
    let api_version = target.kind.api_version();
    let mut change = |old: &Value| {
        let patched = patch::apply(patch_type, body, old, &target.kind, options.validation)?;
        options.warnings.add(patched.warnings);
        let mut new = patched.object;
        check_place(&new, namespace, name)?;
        escalation::check(&api.registry, &options.user, &target.kind, namespace, &new, Some(old))?;
        // A patch that says nothing about the version means any version.
        if meta::resource_version(&new).is_empty() {
            meta::set_text(&mut new, "resourceVersion", meta::resource_version(old));
        }
        let now = write::now();
        let writer = options.writer(&api_version, &now);
        ownership::record_update(&target.kind, part, Some(old), &mut new, &writer);
        Ok(new)
    };
    let place = Place { target, namespace, name, part };
    api.registry.update(place, &Preconditions::default(), options, &mut change).await
}

async fn apply(
    api: &Arc<Api>,
    request: &Request,
    target: &Target,
    body: &[u8],
    options: &WriteOptions,
) -> Result<(Shown, bool), ApiError> {
    let (part, namespace, name) = (part(request), namespace(request, target), request.info.name.as_str());
    if request.query.text("fieldManager").is_empty() {
        let error = FieldError::required(&Path::new("fieldManager"), "is required for apply patch");
        return Err(ApiError::invalid("meta.k8s.io", "PatchOptions", "", vec![error]));
    }
    let force = request.query.is_true("force");
    let patch = ownership::parse_patch(body)?;
    let api_version = target.kind.api_version();
    let merge = |live: Option<&Value>| {
        let now = write::now();
        let writer = options.writer(&api_version, &now);
        let new = ownership::apply(&target.kind, part, live, &patch, &writer, force)?;
        check_place(&new, namespace, name)?;
        escalation::check(&api.registry, &options.user, &target.kind, namespace, &new, live)?;
        Ok::<Value, ApiError>(new)
    };
    let mut change = |old: &Value| {
        let mut new = merge(Some(old))?;
        if meta::resource_version(&new).is_empty() {
            meta::set_text(&mut new, "resourceVersion", meta::resource_version(old));
        }
        Ok(new)
    };
    let place = Place { target, namespace, name, part };
    match api.registry.update(place, &Preconditions::default(), options, &mut change).await {
        Err(error) if error.code == StatusCode::NOT_FOUND && part.subresource().is_empty() => {
            let new = merge(None)?;
            let shown = api.registry.create(target, namespace, new, options).await?;
            Ok((shown, true))
        }
        other => Ok((other?, false)),
    }
}

impl From<PatchError> for ApiError {
    fn from(error: PatchError) -> Self {
        match error {
            PatchError::Invalid(invalid) => invalid.into(),
            PatchError::UnsupportedMediaType => Self::unsupported_media(error.to_string()),
            PatchError::BadRequest(why) => Self::bad_request(why),
            PatchError::TooLarge(why) => Self::too_large_text(why),
            PatchError::Rejected(ref why) => {
                tracing::debug!(why, "patch refused");
                Self::unprocessable(error.to_string())
            }
            PatchError::Internal(why) => Self::internal_text(why),
        }
    }
}

impl From<ApplyError> for ApiError {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::BadRequest(why) => Self::bad_request(why),
            ApplyError::Conflict(conflicts) => Self::apply_conflict(conflicts.to_string(), conflicts.causes()),
            ApplyError::Internal(why) => Self::internal_text(why),
        }
    }
}
