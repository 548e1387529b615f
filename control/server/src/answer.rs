//! Makes responses: an object, a list or a value in the encoding and view the client wants. From the verbs; to the listener. Pure.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER, VARY, WARNING};
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};
use skep_api::kinds::Kind;
use skep_api::{encode, protobuf, schema};

use crate::body::{self, Body};
use crate::negotiate::{Format, View, Wanted};
use crate::object::Object;
use crate::registry::Target;
use crate::registry::write::Shown;
use crate::status::ApiError;
use crate::table::{self, IncludeObject, Printer, TableOptions};

/// A response.
pub type Answer = Response<Body>;

/// Answers smaller than this are not compressed, as upstream's.
const GZIP_FROM_BYTES: usize = 128 * 1024;
/// Lists are sent in pieces of about this size.
const PIECE_BYTES: usize = 64 * 1024;

/// How objects of one request are shown.
#[derive(Clone, Copy, Debug)]
pub struct Display {
    /// Encoding and view.
    pub wanted: Wanted,
    /// What rows of tables carry.
    pub include: IncludeObject,
}

/// One object, or a status.
///
/// # Errors
/// When the object cannot be encoded.
pub fn object(display: &Display, target: &Target, shown: &Shown, code: StatusCode) -> Result<Answer, ApiError> {
    let wanted = &display.wanted;
    if let (Shown::Object(object), View::Object, false, true) =
        (shown, wanted.view, wanted.pretty, target.is_stored_form())
    {
        match wanted.format {
            Format::Json => return Ok(bytes(wanted, code, object.json().clone())),
            Format::Protobuf => return Ok(bytes(wanted, code, object.protobuf(&target.kind))),
            Format::Yaml => {}
        }
    }
    let value = match shown {
        Shown::Object(object) => target.serve(object),
        Shown::Value(value) => value.clone(),
    };
    if value.get("kind").and_then(Value::as_str) == Some("Status") {
        return self::value(wanted, &value, code);
    }
    let view = match wanted.view {
        View::Object => {
            let is_list = value.get("items").is_some_and(Value::is_array);
            let schema = if is_list {
                schema::of_kind(&target.kind.group, &target.kind.version, &target.kind.list_kind)
            } else {
                target.kind.schema.clone()
            };
            return encoded(wanted, &value, code, Some(&schema));
        }
        View::Partial(version) => table::partial::partial_object(&value, version),
        View::Table(version) => {
            let printer = printer(&target.kind);
            let options = TableOptions { version, include: display.include, headers: true };
            table::table_of_one(&printer, &value, options, jiff::Timestamp::now())
        }
    };
    encoded(wanted, &view, code, None)
}

/// The printer of a kind.
#[must_use]
pub fn printer(kind: &Kind) -> Printer {
    Printer::of(&kind.group, &kind.version, &kind.plural)
}

/// Any other value: reviews, statuses, discovery.
///
/// # Errors
/// When it cannot be encoded.
pub fn value(wanted: &Wanted, value: &Value, code: StatusCode) -> Result<Answer, ApiError> {
    let schema = value.get("kind").and_then(Value::as_str).and_then(|kind| {
        let (group, version) = skep_api::kinds::split_api_version(value.get("apiVersion")?.as_str()?)?;
        if kind == "Status" { Some(schema::meta("Status")) } else { Some(schema::of_kind(group, version, kind)) }
    });
    encoded(wanted, value, code, schema.as_ref())
}

fn encoded(
    wanted: &Wanted,
    value: &Value,
    code: StatusCode,
    schema: Option<&schema::ObjectRef>,
) -> Result<Answer, ApiError> {
    let (format, text) = match (wanted.format, schema) {
        (Format::Yaml, _) => (Format::Yaml, encode::to_yaml(value).map_err(ApiError::internal)?.into_bytes()),
        (Format::Protobuf, Some(schema)) => (Format::Protobuf, encode::to_protobuf(value, schema.get())),
        (Format::Json | Format::Protobuf, _) if wanted.pretty => {
            (Format::Json, serde_json::to_vec_pretty(value).map_err(ApiError::internal)?)
        }
        (Format::Json | Format::Protobuf, _) => (Format::Json, encode::to_json(value)),
    };
    Ok(bytes(&Wanted { format, ..*wanted }, code, Bytes::from(text)))
}

fn bytes(wanted: &Wanted, code: StatusCode, content: Bytes) -> Answer {
    let gzip = wanted.gzip && content.len() >= GZIP_FROM_BYTES;
    let mut answer = if gzip { pieces(vec![content].into_iter(), true) } else { Response::new(body::full(content)) };
    *answer.status_mut() = code;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(wanted.format.media_type()));
    answer
}

/// A body sent piece by piece, compressed on the way when asked.
fn pieces(content: impl Iterator<Item = Bytes> + Send + 'static, gzip: bool) -> Answer {
    if !gzip {
        return Response::new(body::stream(futures::stream::iter(content.map(Ok))));
    }
    let mut encoder = Some(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut content = content;
    let compressed = std::iter::from_fn(move || {
        use std::io::Write as _;
        let mut writer = encoder.take()?;
        for piece in content.by_ref() {
            if let Err(error) = writer.write_all(&piece) {
                return Some(Err(error.into()));
            }
            if writer.get_ref().len() >= PIECE_BYTES {
                let ready = std::mem::take(writer.get_mut());
                encoder = Some(writer);
                return Some(Ok(Bytes::from(ready)));
            }
        }
        Some(writer.finish().map(Bytes::from).map_err(Into::into))
    });
    let mut answer = Response::new(body::stream(futures::stream::iter(compressed)));
    answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    answer.headers_mut().insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    answer
}

/// A list of objects with the list's metadata (resource version, continue token, remaining count).
///
/// # Errors
/// When it cannot be encoded.
pub fn list(
    display: &Display,
    target: &Target,
    items: Vec<Arc<Object>>,
    metadata: Map<String, Value>,
) -> Result<Answer, ApiError> {
    let wanted = &display.wanted;
    let kind = &target.kind;
    if wanted.format == Format::Json && !wanted.pretty && target.is_stored_form() {
        match wanted.view {
            View::Object => {
                let head = json!({"kind": kind.list_kind, "apiVersion": kind.api_version(), "metadata": metadata});
                return Ok(joined(wanted, &head, items, |to, item| {
                    to.put_u8(b'{');
                    to.put_slice(&item.json_without_head());
                }));
            }
            View::Partial(version) => {
                let head = table::partial::list_head(Value::Object(metadata), version);
                return Ok(joined(wanted, &head, items, move |to, item| {
                    table::partial::add_stored(to, item, version);
                }));
            }
            View::Table(_) => {}
        }
    }
    if wanted.format == Format::Protobuf && wanted.view == View::Object && target.is_stored_form() {
        return Ok(protobuf_list(wanted, kind, &items, metadata));
    }
    let values: Vec<Value> = items.iter().map(|item| target.serve(item)).collect();
    list_of_values(display, kind, values, metadata)
}

/// A list of objects that are not stored.
///
/// # Errors
/// When it cannot be encoded.
pub fn list_of_values(
    display: &Display,
    kind: &Kind,
    values: Vec<Value>,
    metadata: Map<String, Value>,
) -> Result<Answer, ApiError> {
    let wanted = &display.wanted;
    let metadata = Value::Object(metadata);
    let view = match wanted.view {
        View::Partial(version) => table::partial::partial_list(&values, metadata, version),
        View::Table(version) => {
            let options = TableOptions { version, include: display.include, headers: true };
            table::table(&printer(kind), &values, metadata, options, jiff::Timestamp::now())
        }
        View::Object => {
            let values: Vec<Value> = values.into_iter().map(without_type).collect();
            let list = json!({
                "kind": kind.list_kind, "apiVersion": kind.api_version(), "metadata": metadata, "items": values,
            });
            let schema = schema::of_kind(&kind.group, &kind.version, &kind.list_kind);
            return encoded(wanted, &list, StatusCode::OK, Some(&schema));
        }
    };
    encoded(wanted, &view, StatusCode::OK, None)
}

/// Items of lists carry no kind and apiVersion of their own.
#[must_use]
pub fn without_type(mut object: Value) -> Value {
    if let Some(map) = object.as_object_mut() {
        map.remove("kind");
        map.remove("apiVersion");
    }
    object
}

/// The list put together from the items' own bytes; `head` is the list without items.
fn joined(
    wanted: &Wanted,
    head: &Value,
    items: Vec<Arc<Object>>,
    add: impl Fn(&mut BytesMut, &Object) + Send + 'static,
) -> Answer {
    let mut start = encode::to_json(head);
    start.pop();
    start.extend_from_slice(b",\"items\":[");
    let length: usize = items.iter().map(|item| item.json().len()).sum::<usize>() + start.len();
    let gzip = wanted.gzip && length >= GZIP_FROM_BYTES;
    let add_item = move |to: &mut BytesMut, index: usize, item: &Object| {
        if index > 0 {
            to.put_u8(b',');
        }
        add(to, item);
    };
    let mut answer = if length < PIECE_BYTES {
        let mut all = BytesMut::with_capacity(length + items.len() + 2);
        all.extend_from_slice(&start);
        for (index, item) in items.iter().enumerate() {
            add_item(&mut all, index, item);
        }
        all.extend_from_slice(b"]}");
        Response::new(body::full(all))
    } else {
        let mut head = Some(start);
        let mut items = items.into_iter().enumerate();
        let mut ended = false;
        pieces(
            std::iter::from_fn(move || {
                if ended {
                    return None;
                }
                let mut piece = BytesMut::with_capacity(PIECE_BYTES + PIECE_BYTES / 4);
                piece.extend_from_slice(&head.take().unwrap_or_default());
                while piece.len() < PIECE_BYTES {
                    let Some((index, item)) = items.next() else {
                        piece.extend_from_slice(b"]}");
                        ended = true;
                        break;
                    };
                    add_item(&mut piece, index, &item);
                }
                Some(piece.freeze())
            }),
            gzip,
        )
    };
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(wanted.format.media_type()));
    answer
}

/// The list put together from the items' protobuf forms, which stay with them for the next list or watch.
fn protobuf_list(wanted: &Wanted, kind: &Kind, items: &[Arc<Object>], metadata: Map<String, Value>) -> Answer {
    let bodies: Vec<Bytes> = items.iter().map(|item| item.protobuf(kind)).collect();
    let length: usize = bodies.iter().map(Bytes::len).sum();
    let parts = protobuf::list_pieces(&kind.api_version(), &kind.list_kind, &Value::Object(metadata), bodies);
    let mut parts = parts.peekable();
    let joined = std::iter::from_fn(move || {
        parts.peek()?;
        let mut piece = BytesMut::with_capacity(PIECE_BYTES.min(length + 1024));
        while piece.len() < PIECE_BYTES {
            let Some(part) = parts.next() else { break };
            piece.extend_from_slice(part.bytes());
        }
        Some(piece.freeze())
    });
    let mut answer = pieces(joined, wanted.gzip && length >= GZIP_FROM_BYTES);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(wanted.format.media_type()));
    answer
}

/// A failure.
#[must_use]
pub fn error(wanted: &Wanted, error: &ApiError) -> Answer {
    let mut answer = value(wanted, &error.to_status(), error.code)
        .unwrap_or_else(|_| Response::new(body::full(error.message.clone())));
    *answer.status_mut() = error.code;
    if let Some(seconds) = error.retry_after() {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}

/// Plain text.
#[must_use]
pub fn text(code: StatusCode, content: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(body::full(content));
    *answer.status_mut() = code;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer.headers_mut().insert("X-Content-Type-Options", HeaderValue::from_static("nosniff"));
    answer
}

/// Adds `Warning` headers.
pub fn add_warnings(answer: &mut Answer, texts: &[String]) {
    for text in texts {
        let quoted: String = text
            .chars()
            .filter(|c| !c.is_control())
            .flat_map(|c| matches!(c, '"' | '\\').then_some('\\').into_iter().chain(std::iter::once(c)))
            .collect();
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\""))
            .or_else(|_| HeaderValue::from_bytes(format!("299 - \"{quoted}\"").as_bytes()))
        {
            answer.headers_mut().append(WARNING, value);
        }
    }
}
