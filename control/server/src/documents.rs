//! What is not a resource: health, version, metrics, discovery, OpenAPI, token keys. From the handler; to answers.

pub mod health;

use std::sync::Arc;

use http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH, LOCATION, VARY,
};
use http::{Response, StatusCode};
use serde_json::{Value, json};

use crate::answer::{self, Answer};
use crate::api::Api;
use crate::body;
use crate::discovery::{self, Form};
use crate::negotiate::{Format, Shape, wanted};
use crate::openapi::{self, Document};
use crate::request::Request;
use crate::status::ApiError;

/// Answers a path outside `/api/VERSION/…` and `/apis/GROUP/VERSION/…`.
///
/// # Errors
/// 404 in the form of a `Status` below known groups; 406.
pub async fn serve(api: &Arc<Api>, request: &Request) -> Result<Answer, ApiError> {
    let path = request.info.path.trim_end_matches('/');
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let kinds = api.registry.kinds();
    match parts.as_slice() {
        ["healthz" | "livez" | "readyz", rest @ ..] => Ok(health::serve(api, request, rest).await),
        ["version"] => json_document(request, &version()),
        ["metrics"] => Ok(answer::text(StatusCode::OK, api.counters.render())),
        ["api"] => {
            let form = form(request)?;
            aggregated(request, form, &discovery::api(kinds, form, &api.address.to_string()))
        }
        ["apis"] => {
            let form = form(request)?;
            aggregated(request, form, &discovery::apis(kinds, form))
        }
        ["api", version] => match discovery::api_resource_list(kinds, "", version) {
            Some(list) => json_document(request, &list),
            None => Err(ApiError::unknown_resource()),
        },
        ["apis", group] => match discovery::api_group(kinds, group) {
            Some(document) => json_document(request, &document),
            None => Ok(not_found()),
        },
        ["apis", group, version] => match discovery::api_resource_list(kinds, group, version) {
            Some(list) => json_document(request, &list),
            None if discovery::api_group(kinds, group).is_some() => Err(ApiError::unknown_resource()),
            None => Ok(not_found()),
        },
        ["openapi", "v2"] => {
            let protobuf = openapi::v2_wants_protobuf(request.header(ACCEPT));
            let document = if protobuf { api.openapi.v2_protobuf() } else { api.openapi.v2_json() };
            Ok(openapi_document(request, &document))
        }
        ["openapi", "v3"] => Ok(openapi_document(request, &api.openapi.root())),
        ["openapi", "v3", rest @ ..] => match api.openapi.document(&rest.join("/")) {
            Some(document) => Ok(hashed_document(request, &document)),
            None => Ok(not_found()),
        },
        [".well-known", "openid-configuration"] => json_document(request, &api.tokens.discovery()),
        ["openid", "v1", "jwks"] => {
            let mut answer = json_document(request, &api.tokens.jwks())?;
            answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
            Ok(answer)
        }
        [""] => json_document(request, &paths(kinds)),
        _ => Ok(not_found()),
    }
}

fn not_found() -> Answer {
    answer::text(StatusCode::NOT_FOUND, "404 page not found\n")
}

fn json_document(request: &Request, document: &Value) -> Result<Answer, ApiError> {
    let mut wanted = wanted(&request.headers, &request.query, Shape::One)?;
    // People read these with curl.
    wanted.pretty |= request.info.path == "/version";
    if wanted.format == Format::Protobuf {
        wanted.format = Format::Json;
    }
    answer::value(&wanted, document, StatusCode::OK)
}

fn form(request: &Request) -> Result<Form, ApiError> {
    Ok(Form::negotiate(request.header(ACCEPT)))
}

fn aggregated(request: &Request, form: Form, document: &Value) -> Result<Answer, ApiError> {
    if form == Form::Legacy {
        return json_document(request, document);
    }
    let wanted = wanted(&request.headers, &request.query, Shape::One).unwrap_or_default();
    let bytes = skep_api::encode::to_json(document);
    let etag = discovery::etag(&bytes);
    if request.header(IF_NONE_MATCH) == etag {
        return Ok(unchanged(&etag));
    }
    let mut answer =
        answer::value(&crate::negotiate::Wanted { format: Format::Json, ..wanted }, document, StatusCode::OK)?;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(form.content_type()));
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    if let Ok(value) = HeaderValue::from_str(&etag) {
        headers.insert(ETAG, value);
    }
    Ok(answer)
}

fn unchanged(etag: &str) -> Answer {
    let mut answer = Response::new(body::empty());
    *answer.status_mut() = StatusCode::NOT_MODIFIED;
    if let Ok(value) = HeaderValue::from_str(etag) {
        answer.headers_mut().insert(ETAG, value);
    }
    answer
}

fn openapi_document(request: &Request, document: &Arc<Document>) -> Answer {
    let etag = document.etag();
    if request.header(IF_NONE_MATCH) == etag {
        return unchanged(&etag);
    }
    let gzip = wanted(&request.headers, &request.query, Shape::One).map_or_else(|_| accepts_gzip(request), |w| w.gzip);
    let mut answer = if gzip {
        let mut answer = Response::new(body::full(document.gzip.clone()));
        answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        answer
    } else {
        Response::new(body::full(document.plain()))
    };
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(document.content_type));
    headers.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    if let Ok(value) = HeaderValue::from_str(&etag) {
        headers.insert(ETAG, value);
    }
    answer
}

fn accepts_gzip(request: &Request) -> bool {
    request
        .header(http::header::ACCEPT_ENCODING)
        .split(',')
        .any(|e| e.split(';').next().unwrap_or_default().trim() == "gzip")
}

/// Documents asked for by hash never change: clients may keep them for a year.
fn hashed_document(request: &Request, document: &Arc<Document>) -> Answer {
    match request.query.get("hash") {
        None => openapi_document(request, document),
        Some(hash) if hash == document.hash => {
            let mut answer = openapi_document(request, document);
            let year = jiff::Timestamp::now().checked_add(jiff::SignedDuration::from_hours(365 * 24));
            let headers = answer.headers_mut();
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
            if let Ok(expires) = year
                && let Ok(value) = HeaderValue::from_str(&expires.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
            {
                headers.insert(http::header::EXPIRES, value);
            }
            answer
        }
        Some(_) => {
            let mut answer = Response::new(body::empty());
            *answer.status_mut() = StatusCode::MOVED_PERMANENTLY;
            let location = format!("{}?hash={}", request.info.path, document.hash);
            if let Ok(value) = HeaderValue::from_str(&location) {
                answer.headers_mut().insert(LOCATION, value);
            }
            answer
        }
    }
}

fn paths(kinds: &skep_api::kinds::Kinds) -> Value {
    let mut paths = vec![
        "/.well-known/openid-configuration".to_owned(),
        "/api".to_owned(),
        "/api/v1".to_owned(),
        "/apis".to_owned(),
    ];
    for (group, versions) in kinds.groups().into_iter().filter(|(group, _)| !group.is_empty()) {
        paths.push(format!("/apis/{group}"));
        paths.extend(versions.into_iter().map(|version| format!("/apis/{group}/{version}")));
    }
    let others =
        ["/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/openid/v1/jwks", "/readyz", "/version"];
    paths.extend(others.map(str::to_owned));
    json!({ "paths": paths })
}

/// The version of Kubernetes whose API is served; the suffix tells whose server it is.
fn version() -> Value {
    json!({
        "major": "1",
        "minor": "34",
        "emulationMajor": "1",
        "emulationMinor": "34",
        "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "33",
        "gitVersion": concat!("v1.34.0+skep-", env!("CARGO_PKG_VERSION")),
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "none (Rust)",
        "compiler": "rustc",
        "platform": platform(),
    })
}

fn platform() -> String {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{}/{architecture}", std::env::consts::OS)
}
