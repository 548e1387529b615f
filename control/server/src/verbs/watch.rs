//! Sends changes as they happen: one JSON line or protobuf frame per event. From the handler; watch cache → frames → client.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use rand::RngExt as _;
use serde_json::{Value, json};
use skep_api::field::{FieldError, Path};
use skep_api::{encode, protobuf, schema};
use skep_storage::watch_cache::{CacheError, Freshness, WatchEvent, WatchFrom, WatchRequest, Watcher};

use super::list::resource_version;
use super::options::integer;
use super::{display, namespace};
use crate::answer::{self, Answer, Display};
use crate::api::Api;
use crate::body;
use crate::negotiate::{Format, Shape, View};
use crate::object::Object;
use crate::query::Query;
use crate::registry::Target;
use crate::request::Request;
use crate::selection::Selection;
use crate::status::ApiError;
use crate::table::{self, TableOptions};

/// A bookmark tells quiet watchers about once in this time how far they are.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// Without `timeoutSeconds` a watch ends after this time to twice of it, so that clients spread.
const SHORTEST: Duration = Duration::from_secs(1800);
/// Events that are ready together are sent together, up to about this size.
const PIECE_BYTES: usize = 64 * 1024;

/// Answers a watch; ends when its time is over, the server stops, or the client falls behind.
///
/// # Errors
/// 400, 406, 410, 504.
pub async fn serve(api: &Arc<Api>, request: &Request, target: &Target) -> Result<Answer, ApiError> {
    let display = display(request, Shape::Watch)?;
    let query = &request.query;
    let selection = Selection::parse(query, &target.kind)?;
    let asked = query.get("timeoutSeconds").filter(|t| !t.is_empty()).map(integer).transpose()?;
    let lifetime = match asked.and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0) {
        Some(seconds) => Duration::from_secs(seconds),
        None => SHORTEST.mul_f64(rand::rng().random_range(1.0..2.0)),
    };
    let bookmarks = query.is_true("allowWatchBookmarks").then_some(BOOKMARK_EVERY);
    let namespace = namespace(request, target);
    let index = target.resource.index.and_then(|field| selection.exact(&target.kind, field));
    let range = match selection.name() {
        // A watch of one object costs nothing for the changes of others.
        Some(name) if !namespace.is_empty() || target.kind.scope == skep_api::kinds::Scope::Cluster => {
            skep_storage::key::KeyRange::single(target.resource.key(namespace, name))
        }
        _ => target.resource.range(namespace),
    };
    let watch = WatchRequest {
        range,
        from: from(query, bookmarks.is_some())?,
        filter: selection.filter(),
        index: index.map(str::to_owned),
        bookmarks,
    };
    let framer = Framer { display, target: target.clone(), headers_sent: false };
    let answer = match target.resource.cache.watch(watch).await {
        Ok(watcher) => respond(framer, watcher, lifetime, api.stopping.clone()),
        // An old version is told inside the stream, as upstream does.
        Err(error @ CacheError::TooOld { .. }) => failed(framer, &error.into()),
        Err(error) => return Err(error.into()),
    };
    Ok(answer)
}

fn from(query: &Query, bookmarks: bool) -> Result<WatchFrom, ApiError> {
    let version = resource_version(query)?;
    let given = query.text("resourceVersionMatch");
    let initial = query.get("sendInitialEvents").map(|_| query.is_true("sendInitialEvents"));
    let mut errors = Vec::new();
    let path = Path::new("resourceVersionMatch");
    match initial {
        None if !given.is_empty() => {
            let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
            errors.push(FieldError::forbidden(&path, why));
        }
        Some(_) if given != "NotOlderThan" => {
            let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            errors.push(FieldError::forbidden(&path, why));
        }
        None | Some(_) => {}
    }
    if !errors.is_empty() {
        return Err(ApiError::invalid("meta.k8s.io", "ListOptions", "", errors));
    }
    let freshness = match version {
        None => Freshness::Latest,
        Some(0) => Freshness::Any,
        Some(version) => Freshness::AtLeast(version),
    };
    Ok(match (initial, version) {
        (Some(true), _) => WatchFrom::State { freshness, end_bookmark: bookmarks },
        (Some(false), None | Some(0)) => WatchFrom::Now(freshness),
        (None, None | Some(0)) => WatchFrom::State { freshness, end_bookmark: false },
        (None | Some(false), Some(version)) => WatchFrom::After(version),
    })
}

struct Framer {
    display: Display,
    target: Target,
    headers_sent: bool,
}

fn response(framer: &Framer, body: body::Body) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = StatusCode::OK;
    let media = framer.display.wanted.format.watch_media_type();
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    answer
}

fn failed(mut framer: Framer, error: &ApiError) -> Answer {
    let mut frame = Vec::new();
    framer.error(&mut frame, error);
    response(&framer, body::full(frame))
}

fn respond(
    framer: Framer,
    watcher: Watcher<Object>,
    lifetime: Duration,
    stopping: tokio_util::sync::CancellationToken,
) -> Answer {
    let head = response(&framer, body::empty()).into_parts().0;
    let end = Box::pin(async move {
        tokio::select! {
            () = tokio::time::sleep(lifetime) => {}
            () = stopping.cancelled() => {}
        }
    });
    // What is ready at once travels in one piece.
    let pieces = watcher.ready_chunks(256).take_until(end).scan(framer, |framer, events| {
        let mut piece = Vec::with_capacity(1024);
        let mut ended = false;
        for event in events {
            match event {
                Ok(event) => framer.event(&mut piece, &event),
                // The client starts anew from the last version it saw.
                Err(CacheError::Closed) => ended = true,
                Err(error) => framer.error(&mut piece, &error.into()),
            }
        }
        std::future::ready(if ended && piece.is_empty() { None } else { Some(piece) })
    });
    let pieces = pieces.flat_map(|piece| {
        let whole = Bytes::from(piece);
        let count = whole.len().div_ceil(PIECE_BYTES * 16).max(1);
        let size = whole.len().div_ceil(count).max(1);
        stream::iter(
            (0..count).map(move |i| whole.slice((i * size).min(whole.len())..((i + 1) * size).min(whole.len()))),
        )
    });
    Response::from_parts(head, body::stream(pieces.map(Ok)))
}

impl Framer {
    fn event(&mut self, to: &mut Vec<u8>, event: &WatchEvent<Object>) {
        match event {
            WatchEvent::Added { object, .. } => self.object(to, "ADDED", object),
            WatchEvent::Modified { object, .. } => self.object(to, "MODIFIED", object),
            WatchEvent::Deleted { object, .. } => self.object(to, "DELETED", object),
            WatchEvent::Bookmark { revision, initial_end } => self.bookmark(to, *revision, *initial_end),
        }
    }

    fn object(&mut self, to: &mut Vec<u8>, event: &str, object: &Object) {
        let wanted = self.display.wanted;
        if self.target.is_stored_form() && wanted.view == View::Object {
            match wanted.format {
                Format::Json | Format::Yaml => return json_frame(to, event, object.json()),
                Format::Protobuf => {
                    to.extend_from_slice(&protobuf::watch_frame(event, &object.protobuf(&self.target.kind)));
                    return;
                }
            }
        }
        if let (true, View::Partial(version)) = (self.target.is_stored_form(), wanted.view) {
            let mut partial = Vec::with_capacity(512);
            table::partial::add_stored(&mut partial, object, version);
            return json_frame(to, event, &partial);
        }
        let value = self.target.serve(object);
        self.value(to, event, &value);
    }

    fn value(&mut self, to: &mut Vec<u8>, event: &str, value: &Value) {
        let view = match self.display.wanted.view {
            View::Object => {
                return match self.display.wanted.format {
                    Format::Protobuf => {
                        let bytes = encode::to_protobuf(value, self.target.kind.schema.get());
                        to.extend_from_slice(&protobuf::watch_frame(event, &bytes));
                    }
                    Format::Json | Format::Yaml => json_frame(to, event, &encode::to_json(value)),
                };
            }
            View::Partial(version) => table::partial::partial_object(value, version),
            View::Table(version) => {
                let headers = !std::mem::replace(&mut self.headers_sent, true);
                let options = TableOptions { version, include: self.display.include, headers };
                table::table_of_one(&answer::printer(&self.target.kind), value, options, jiff::Timestamp::now())
            }
        };
        json_frame(to, event, &encode::to_json(&view));
    }

    fn bookmark(&mut self, to: &mut Vec<u8>, revision: u64, initial_end: bool) {
        let kind = &self.target.kind;
        let mut object = json!({
            "kind": kind.kind,
            "apiVersion": kind.api_version(),
            "metadata": {"resourceVersion": revision.to_string()},
        });
        if initial_end {
            object["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        match self.display.wanted.view {
            // A bookmark is no row: its table has none.
            View::Table(version) => {
                let options = TableOptions { version, include: self.display.include, headers: false };
                let mut view = table::table_of_one(&answer::printer(kind), &object, options, jiff::Timestamp::now());
                view["metadata"] = json!({"resourceVersion": revision.to_string()});
                json_frame(to, "BOOKMARK", &encode::to_json(&view));
            }
            View::Object | View::Partial(_) => self.value(to, "BOOKMARK", &object),
        }
    }

    fn error(&mut self, to: &mut Vec<u8>, error: &ApiError) {
        let status = error.to_status();
        match self.display.wanted.format {
            Format::Protobuf => {
                let bytes = encode::to_protobuf(&status, schema::meta("Status").get());
                to.extend_from_slice(&protobuf::watch_frame("ERROR", &bytes));
            }
            Format::Json | Format::Yaml => json_frame(to, "ERROR", &encode::to_json(&status)),
        }
    }
}

fn json_frame(to: &mut Vec<u8>, event: &str, object: &[u8]) {
    to.reserve(object.len() + event.len() + 24);
    to.extend_from_slice(b"{\"type\":\"");
    to.extend_from_slice(event.as_bytes());
    to.extend_from_slice(b"\",\"object\":");
    to.extend_from_slice(object);
    to.extend_from_slice(b"}\n");
}
