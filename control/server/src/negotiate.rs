//! Which encoding and which view of objects a client accepts. From the listener; to answers. Pure.

use http::HeaderMap;
use http::header::{ACCEPT, ACCEPT_ENCODING};

use crate::query::Query;
use crate::status::ApiError;
use crate::table::ViewVersion;

/// How bytes are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `application/json`
    #[default]
    Json,
    /// `application/yaml`
    Yaml,
    /// `application/vnd.kubernetes.protobuf`
    Protobuf,
}

impl Format {
    /// The `Content-Type` of answers.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
            Self::Protobuf => "application/vnd.kubernetes.protobuf",
        }
    }

    /// The `Content-Type` of watches.
    #[must_use]
    pub fn watch_media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
            Self::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
        }
    }
}

/// What is shown of objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    /// The whole object.
    #[default]
    Object,
    /// A table for people.
    Table(ViewVersion),
    /// Metadata alone.
    Partial(ViewVersion),
}

/// What the client wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Encoding.
    pub format: Format,
    /// View.
    pub view: View,
    /// Indented JSON.
    pub pretty: bool,
    /// Whether a compressed answer is understood.
    pub gzip: bool,
}

/// Which `as=` an endpoint can give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One object.
    One,
    /// A list.
    List,
    /// A watch.
    Watch,
}

const AVAILABLE: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf, \
    application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";

/// Reads `Accept`, `Accept-Encoding` and `pretty`.
///
/// # Errors
/// 406 when nothing in `Accept` can be made.
pub fn wanted(headers: &HeaderMap, query: &Query, shape: Shape) -> Result<Wanted, ApiError> {
    let gzip = headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .any(|entry| entry.split(';').next().unwrap_or_default().trim() == "gzip");
    let pretty = match query.get("pretty") {
        Some(_) => query.is_true("pretty"),
        None => is_for_people(headers),
    };
    let (format, view) = accepted(headers, shape)?;
    Ok(Wanted { format, view, pretty, gzip })
}

/// What can be made in spite of a header that accepts nothing: for errors.
#[must_use]
pub fn wanted_for_error(headers: &HeaderMap, query: &Query) -> Wanted {
    let format = accepted(headers, Shape::One).map_or(Format::Json, |(format, _)| format);
    Wanted { format, view: View::Object, pretty: query.is_true("pretty") || is_for_people(headers), gzip: false }
}

fn is_for_people(headers: &HeaderMap) -> bool {
    let agent = headers.get(http::header::USER_AGENT).and_then(|a| a.to_str().ok()).unwrap_or_default();
    ["curl", "Wget", "Mozilla/5.0"].iter().any(|start| agent.starts_with(start))
}

/// Whether the client asks for the metadata of a list where there is one object (true), or of one object where there is a list (false).
#[must_use]
pub fn wrong_partial(headers: &HeaderMap, shape: Shape) -> Option<bool> {
    let first = headers.get(ACCEPT)?.to_str().ok()?.split(',').next()?;
    let kind = first.split(';').find_map(|part| part.trim().strip_prefix("as="))?;
    match (kind, shape) {
        ("PartialObjectMetadataList", Shape::One) => Some(true),
        ("PartialObjectMetadata", Shape::List) => Some(false),
        _ => None,
    }
}

fn accepted(headers: &HeaderMap, shape: Shape) -> Result<(Format, View), ApiError> {
    let mut clauses: Vec<(f32, &str)> = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|clause| !clause.is_empty())
        .map(|clause| (quality(clause), clause))
        .collect();
    if clauses.is_empty() {
        return Ok((Format::Json, View::Object));
    }
    // A stable sort keeps the client's order among equals.
    clauses.sort_by(|a, b| b.0.total_cmp(&a.0));
    clauses.iter().find_map(|(_, clause)| read_clause(clause, shape)).ok_or_else(|| {
        // Upstream's router and its encoder refuse in different words.
        let is_known = |clause: &str| read_clause(clause.split(';').next().unwrap_or_default(), shape).is_some();
        if clauses.iter().any(|(_, clause)| is_known(clause)) {
            ApiError::no_such_view("application/json, application/yaml, application/vnd.kubernetes.protobuf")
        } else {
            ApiError::not_acceptable(AVAILABLE)
        }
    })
}

fn quality(clause: &str) -> f32 {
    clause.split(';').find_map(|part| part.trim().strip_prefix("q=")?.parse().ok()).unwrap_or(1.0)
}

fn read_clause(clause: &str, shape: Shape) -> Option<(Format, View)> {
    let mut parts = clause.split(';').map(str::trim);
    let format = match parts.next().unwrap_or_default() {
        "application/json" | "*/*" | "application/*" => Format::Json,
        "application/yaml" if shape != Shape::Watch => Format::Yaml,
        "application/vnd.kubernetes.protobuf" => Format::Protobuf,
        _ => return None,
    };
    let (mut kind, mut group, mut version) = ("", "", "");
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        match name {
            "as" => kind = value,
            "g" => group = value,
            "v" => version = value,
            "stream" if value != "watch" => return None,
            _ => {}
        }
    }
    if kind.is_empty() {
        return Some((format, View::Object));
    }
    let version = ViewVersion::parse(version).filter(|_| group == "meta.k8s.io" && format != Format::Protobuf)?;
    match (kind, shape) {
        ("Table", _) => Some((format, View::Table(version))),
        ("PartialObjectMetadata", Shape::One | Shape::Watch) | ("PartialObjectMetadataList", Shape::List) => {
            Some((format, View::Partial(version)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header::ACCEPT};

    use super::{Format, Shape, View, wanted};
    use crate::query::Query;
    use crate::table::ViewVersion;

    fn of(accept: &str, shape: Shape) -> Option<(Format, View)> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_str(accept).expect("header"));
        wanted(&headers, &Query::default(), shape).ok().map(|w| (w.format, w.view))
    }

    #[test]
    fn kubectl_and_client_go() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        assert_eq!(of(table, Shape::List), Some((Format::Json, View::Table(ViewVersion::V1))));
        let typed = "application/vnd.kubernetes.protobuf,application/json";
        assert_eq!(of(typed, Shape::One), Some((Format::Protobuf, View::Object)));
        let metadata = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,\
            application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
        assert_eq!(of(metadata, Shape::List), Some((Format::Json, View::Partial(ViewVersion::V1))));
        assert_eq!(of("*/*", Shape::One), Some((Format::Json, View::Object)));
        assert_eq!(of("application/xml", Shape::One), None);
        assert_eq!(of("application/json;q=0.1,application/yaml", Shape::One), Some((Format::Yaml, View::Object)));
    }
}
