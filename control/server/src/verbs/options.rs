//! The options of writes and deletions, from the query and bodies, checked in upstream's words. From the verbs; to the registry. Pure.

use std::sync::Arc;

use serde_json::{Value, json};
use skep_api::decode::{self, FieldValidation};
use skep_api::field::{FieldError, Path};
use skep_api::schema;

use crate::registry::delete::{DeleteOptions, Propagation};
use crate::registry::write::{Preconditions, WriteOptions};
use crate::request::Request;
use crate::status::ApiError;

const MAX_MANAGER_BYTES: usize = 128;

/// Reads `dryRun`, `fieldManager` and `fieldValidation`; `kind` is `CreateOptions`, `UpdateOptions` or `PatchOptions`.
///
/// # Errors
/// 422 naming the wrong option.
pub fn write(request: &Request, kind: &str) -> Result<WriteOptions, ApiError> {
    let mut errors = Vec::new();
    let dry_run = dry_run(request.query.all("dryRun").collect(), &mut errors);
    let manager = request.query.text("fieldManager");
    if manager.len() > MAX_MANAGER_BYTES {
        errors.push(FieldError::too_long(&Path::new("fieldManager"), MAX_MANAGER_BYTES));
    }
    let validation = request.query.text("fieldValidation");
    let parsed = FieldValidation::parse(validation);
    if parsed.is_none() {
        let supported = ["", "Ignore", "Strict", "Warn"];
        errors.push(FieldError::not_supported(&Path::new("fieldValidation"), &json!(validation), &supported));
    }
    if !errors.is_empty() {
        return Err(ApiError::invalid("meta.k8s.io", kind, "", errors));
    }
    Ok(WriteOptions {
        user: request.user.clone(),
        dry_run,
        manager: request.manager(),
        validation: parsed.unwrap_or(FieldValidation::Warn),
        warnings: Arc::clone(&request.warnings),
    })
}

fn dry_run(values: Vec<&str>, errors: &mut Vec<FieldError>) -> bool {
    if values.iter().any(|value| *value != "All") {
        let shown = format!("[{}]", values.iter().map(|v| skep_api::field::go_quote(v)).collect::<Vec<_>>().join(","));
        let mut error = FieldError::not_supported(&Path::new("dryRun"), &json!(""), &["All"]);
        error.shown = Some(shown);
        errors.push(error);
    }
    !values.is_empty()
}

/// Reads the options of a deletion from the body, or from the query when there is no body.
///
/// # Errors
/// 400 for a body that cannot be read, 422 naming the wrong option.
pub async fn delete(request: &mut Request) -> Result<(DeleteOptions, WriteOptions), ApiError> {
    let body = request.read_body().await?;
    let options = if body.is_empty() {
        from_query(request)?
    } else {
        let schema = schema::meta("DeleteOptions");
        let media = request.media_type()?;
        decode::decode_as(&body, media, schema.get(), "meta.k8s.io", "v1", "DeleteOptions", FieldValidation::Ignore)
            .map_err(|e| ApiError::bad_request(e.to_string()))?
            .object
    };
    let mut errors = Vec::new();
    let asked = read(&options, &mut errors);
    let dry: Vec<&str> =
        options.get("dryRun").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let dry_run = dry_run(dry, &mut errors);
    if !errors.is_empty() {
        return Err(ApiError::invalid("meta.k8s.io", "DeleteOptions", "", errors));
    }
    let write = WriteOptions {
        user: request.user.clone(),
        dry_run,
        manager: request.manager(),
        validation: FieldValidation::Ignore,
        warnings: Arc::clone(&request.warnings),
    };
    Ok((asked, write))
}

fn from_query(request: &Request) -> Result<Value, ApiError> {
    let mut options = json!({});
    let query = &request.query;
    if let Some(text) = query.get("gracePeriodSeconds").filter(|t| !t.is_empty()) {
        options["gracePeriodSeconds"] = json!(integer(text)?);
    }
    if let Some(policy) = query.get("propagationPolicy").filter(|t| !t.is_empty()) {
        options["propagationPolicy"] = json!(policy);
    }
    if query.get("orphanDependents").is_some() {
        options["orphanDependents"] = json!(query.is_true("orphanDependents"));
    }
    let dry: Vec<&str> = query.all("dryRun").collect();
    if !dry.is_empty() {
        options["dryRun"] = json!(dry);
    }
    Ok(options)
}

/// A number of the query.
///
/// # Errors
/// 400 in Go's words.
pub fn integer(text: &str) -> Result<i64, ApiError> {
    text.parse().map_err(|error: std::num::ParseIntError| {
        let overflow =
            matches!(error.kind(), std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow);
        let why = if overflow { "value out of range" } else { "invalid syntax" };
        ApiError::bad_request(format!("strconv.ParseInt: parsing {}: {why}", skep_api::field::go_quote(text)))
    })
}

fn read(options: &Value, errors: &mut Vec<FieldError>) -> DeleteOptions {
    let text = |pointer: &str| options.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let orphan = options.get("orphanDependents").and_then(Value::as_bool);
    let policy = options.get("propagationPolicy").and_then(Value::as_str);
    let path = Path::new("propagationPolicy");
    let propagation = match (orphan, policy) {
        (Some(_), Some(policy)) => {
            let why = "orphanDependents and deletionPropagation cannot be both set";
            errors.push(FieldError::invalid_text(&path, policy, why));
            None
        }
        (Some(true), None) | (None, Some("Orphan")) => Some(Propagation::Orphan),
        (Some(false), None) | (None, Some("Background")) => Some(Propagation::Background),
        (None, Some("Foreground")) => Some(Propagation::Foreground),
        (None, None) => None,
        (None, Some(other)) => {
            let supported = ["Foreground", "Background", "Orphan", "nil"];
            errors.push(FieldError::not_supported(&path, &json!(other), &supported));
            None
        }
    };
    DeleteOptions {
        grace_period_seconds: options.get("gracePeriodSeconds").and_then(Value::as_i64),
        preconditions: Preconditions {
            uid: text("/preconditions/uid"),
            resource_version: text("/preconditions/resourceVersion"),
        },
        propagation,
    }
}
