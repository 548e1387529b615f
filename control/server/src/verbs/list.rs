//! Lists objects: from the newest state, or page by page from one state. From the handler; to the watch cache.

pub mod continuation;

use serde_json::{Map, Value, json};
use skep_api::field::{FieldError, Path, go_quote};
use skep_storage::watch_cache::{CacheError, Freshness, ListAt, ListRequest, ListResponse};

use self::continuation::Continuation;
use super::options::integer;
use super::{display, namespace};
use crate::answer::{self, Answer};
use crate::negotiate::{Shape, Wanted};
use crate::object::Object;
use crate::query::Query;
use crate::registry::Target;
use crate::request::Request;
use crate::selection::Selection;
use crate::status::ApiError;

/// Answers a list.
///
/// # Errors
/// 400 for wrong parameters, 410 for pages of forgotten states, 406.
pub async fn serve(request: &Request, target: &Target) -> Result<Answer, ApiError> {
    let display = display(request, Shape::List)?;
    let query = &request.query;
    // A watch may also be asked for as a list with `timeoutSeconds`; the value is checked either way.
    query.get("timeoutSeconds").filter(|t| !t.is_empty()).map(integer).transpose()?;
    let limit = query.get("limit").filter(|t| !t.is_empty()).map(integer).transpose()?.unwrap_or_default();
    let limit = usize::try_from(limit).unwrap_or_default();
    let selection = Selection::parse(query, &target.kind)?;
    let range = target.resource.range(namespace(request, target));
    let version = resource_version(query)?;
    check_match(query, version)?;
    let mut list = ListRequest { range, at: ListAt::Newest(Freshness::Latest), limit, filter: selection.filter() };
    let token = query.text("continue");
    let mut page_of = None;
    if token.is_empty() {
        list.at = state(query, version, limit > 0);
        if version == Some(0) {
            // The newest known state is given whole, as upstream's cache does.
            list.limit = 0;
        }
    } else {
        if version.is_some_and(|v| v != 0) {
            return Err(ApiError::bad_request("specifying resource version is not allowed when using continue"));
        }
        let page = Continuation::parse(token)
            .map_err(|why| ApiError::bad_request(format!("invalid continue token: {why}")))?;
        let start = target.resource.absolute(page.start.as_bytes());
        if !list.range.contains(&start) {
            return Err(ApiError::bad_request("invalid continue token: continue key is not valid: not in this list"));
        }
        list.range = list.range.starting_at(start);
        list.at = page.revision.map_or(ListAt::Newest(Freshness::Latest), ListAt::Exact);
        page_of = Some(page);
    }
    let response = match target.resource.cache.list(list).await {
        Ok(response) => response,
        Err(CacheError::TooOld { .. }) if page_of.is_some() => {
            let page = page_of.unwrap_or_default();
            return Err(
                ApiError::expired(TOO_OLD_PAGE).with_continue(Continuation { revision: None, ..page }.to_string())
            );
        }
        Err(error) => return Err(error.into()),
    };
    let metadata = metadata(target, &response, page_of.as_ref());
    if response.items.len() < LARGE_LIST || display.wanted == Wanted::default() {
        return answer::list(&display, target, response.items, metadata);
    }
    let target = target.clone();
    let made = tokio::task::spawn_blocking(move || answer::list(&display, &target, response.items, metadata));
    made.await.map_err(ApiError::internal)?
}

/// What must be parsed or encoded for a list this large is done on a thread that may block.
const LARGE_LIST: usize = 2_000;

const TOO_OLD_PAGE: &str = "The provided continue parameter is too old to display a consistent list result. You can start a new list without \
the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided \
token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and \
now may show up in the list.";

fn metadata(target: &Target, response: &ListResponse<Object>, page: Option<&Continuation>) -> Map<String, Value> {
    let mut metadata = Map::new();
    // All pages of one list tell one resource version.
    let revision = page.and_then(|p| p.revision).unwrap_or(response.revision);
    metadata.insert("resourceVersion".to_owned(), json!(revision.to_string()));
    if let Some(next) = &response.next {
        let start = String::from_utf8_lossy(target.resource.relative(next)).into_owned();
        let next = Continuation { revision: Some(revision), start };
        metadata.insert("continue".to_owned(), json!(next.to_string()));
        if let Some(remaining) = response.remaining.filter(|r| *r > 0) {
            metadata.insert("remainingItemCount".to_owned(), json!(remaining));
        }
    }
    metadata
}

fn state(query: &Query, version: Option<u64>, has_limit: bool) -> ListAt {
    match (version, query.text("resourceVersionMatch")) {
        (None, _) => ListAt::Newest(Freshness::Latest),
        (Some(0), _) => ListAt::Newest(Freshness::Any),
        (Some(version), "Exact") => ListAt::Exact(version),
        (Some(version), "") if has_limit => ListAt::Exact(version),
        (Some(version), _) => ListAt::Newest(Freshness::AtLeast(version)),
    }
}

fn check_match(query: &Query, version: Option<u64>) -> Result<(), ApiError> {
    let given = query.text("resourceVersionMatch");
    let path = Path::new("resourceVersionMatch");
    let mut errors = Vec::new();
    if !given.is_empty() {
        if query.text("resourceVersion").is_empty() {
            errors.push(FieldError::forbidden(
                &path,
                "resourceVersionMatch is forbidden unless resourceVersion is provided",
            ));
        }
        if !query.text("continue").is_empty() {
            errors.push(FieldError::forbidden(&path, "resourceVersionMatch is forbidden when continue is provided"));
        }
        if !matches!(given, "Exact" | "NotOlderThan") {
            errors.push(FieldError::not_supported(&path, &json!(given), &["Exact", "NotOlderThan", ""]));
        }
        if given == "Exact" && version == Some(0) {
            let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
            errors.push(FieldError::forbidden(&path, why));
        }
    }
    if query.get("sendInitialEvents").is_some() {
        let path = Path::new("sendInitialEvents");
        errors.push(FieldError::forbidden(&path, "sendInitialEvents is forbidden for list"));
    }
    if errors.is_empty() { Ok(()) } else { Err(ApiError::invalid("meta.k8s.io", "ListOptions", "", errors)) }
}

/// `resourceVersion`; none when unset.
///
/// # Errors
/// 400 when it is no number.
pub fn resource_version(query: &Query) -> Result<Option<u64>, ApiError> {
    let text = query.text("resourceVersion");
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_not_a_number: std::num::ParseIntError| {
        let quoted = go_quote(text);
        ApiError::bad_request(format!(
            "invalid resource version: resourceVersion: Invalid value: {quoted}: strconv.ParseUint: parsing {quoted}: invalid syntax"
        ))
    })
}
