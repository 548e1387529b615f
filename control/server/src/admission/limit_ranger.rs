//! `LimitRanger`: containers get a namespace's default requests and limits, and must keep to its bounds. Pure over the lister.

use serde_json::{Value, json};
use skep_api::quantity::Quantity;

use super::pod_resources::{Resources, Side, of_pod, resources};
use super::{Attributes, Lister, Operation, Rejection};
use crate::json_field::{items, map_mut, present, text};

/// Largest value whose thousandfold still fits.
const MOST_FOR_MILLI: i64 = i64::MAX / 1000;

pub(super) fn mutate(lister: &dyn Lister, attributes: &Attributes<'_>, pod: &mut Value) {
    if attributes.operation != Operation::Create || !attributes.is("", "pods") {
        return;
    }
    for range in lister.list("", "limitranges", attributes.namespace) {
        set_defaults(&range, pod);
    }
}

fn set_defaults(range: &Value, pod: &mut Value) {
    let mut told = Vec::new();
    for (list, words) in [("containers", "container"), ("initContainers", "init container")] {
        let containers = pod.pointer_mut(&format!("/spec/{list}")).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let limits = fill(range, "default", container, "limits");
            let requests = fill(range, "defaultRequest", container, "requests");
            let name = text(container, "/name");
            for (set, side) in [(requests, "request"), (limits, "limit")] {
                if !set.is_empty() {
                    told.push(format!("{} {side} for {words} {name}", set.join(", ")));
                }
            }
        }
    }
    if told.is_empty() {
        return;
    }
    if let Some(annotations) = pod.get_mut("metadata").and_then(|metadata| map_mut(metadata, "annotations")) {
        let text = format!("LimitRanger plugin set: {}", told.join("; "));
        annotations.insert("kubernetes.io/limit-ranger".to_owned(), json!(text));
    }
}

/// Sets the defaults a container lacks; says which, by name.
fn fill(range: &Value, field: &str, container: &mut Value, side: &str) -> Vec<String> {
    let mut set = Vec::new();
    for limit in items(range, "/spec/limits").iter().filter(|limit| text(limit, "/type") == "Container") {
        for (name, value) in limit.get(field).and_then(Value::as_object).into_iter().flatten() {
            if present(container, &format!("/resources/{side}/{}", escape(name))) && !set.contains(name) {
                continue;
            }
            let Some(resources) = container.as_object_mut().map(|c| c.entry("resources").or_insert_with(|| json!({})))
            else {
                continue;
            };
            if let Some(members) = map_mut(resources, side) {
                members.insert(name.clone(), value.clone());
                if !set.contains(name) {
                    set.push(name.clone());
                }
            }
        }
    }
    set.sort_unstable();
    set
}

/// A key as part of a JSON pointer.
fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

pub(super) fn validate(lister: &dyn Lister, attributes: &Attributes<'_>, object: &Value) -> Result<(), Rejection> {
    let is_pod = attributes.operation == Operation::Create && attributes.is("", "pods");
    let writes = matches!(attributes.operation, Operation::Create | Operation::Update);
    let is_claim = writes && attributes.is("", "persistentvolumeclaims");
    if !is_pod && !is_claim {
        return Ok(());
    }
    for range in lister.list("", "limitranges", attributes.namespace) {
        let broken = if is_pod { broken_by_pod(&range, object) } else { broken_by_claim(&range, object) };
        if let Some(rejection) = Rejection::forbidden_all(broken) {
            return Err(rejection);
        }
    }
    Ok(())
}

fn broken_by_pod(range: &Value, pod: &Value) -> Vec<String> {
    let mut broken = Vec::new();
    for limit in items(range, "/spec/limits") {
        match text(limit, "/type") {
            "Container" => {
                let containers = items(pod, "/spec/containers").iter().chain(items(pod, "/spec/initContainers"));
                for container in containers {
                    let bounds =
                        Bounds { limit, requests: Side::Requests.of(container), limits: Side::Limits.of(container) };
                    bounds.check(&mut broken);
                }
            }
            "Pod" => {
                let (requests, limits) = (of_pod(pod, Side::Requests), of_pod(pod, Side::Limits));
                Bounds { limit, requests, limits }.check(&mut broken);
            }
            _ => {}
        }
    }
    broken
}

fn broken_by_claim(range: &Value, claim: &Value) -> Vec<String> {
    let requests = resources(claim, "/spec/resources/requests");
    let mut broken = Vec::new();
    for limit in items(range, "/spec/limits").iter().filter(|l| text(l, "/type") == "PersistentVolumeClaim") {
        let bounds = Bounds { limit, requests: requests.clone(), limits: Resources::new() };
        broken.extend(resources(limit, "/min").iter().filter_map(|(name, least)| bounds.below(name, *least)));
        broken.extend(resources(limit, "/max").iter().filter_map(|(name, most)| bounds.request_above(name, *most)));
    }
    broken
}

/// One item of a limit range, and what it is held against.
struct Bounds<'a> {
    limit: &'a Value,
    requests: Resources,
    limits: Resources,
}

impl Bounds<'_> {
    fn check(&self, broken: &mut Vec<String>) {
        let bounds = |field: &str| resources(self.limit, field);
        broken.extend(bounds("/min").iter().filter_map(|(name, least)| self.below(name, *least)));
        broken.extend(bounds("/max").iter().filter_map(|(name, most)| self.above(name, *most)));
        broken.extend(bounds("/maxLimitRequestRatio").iter().filter_map(|(name, ratio)| self.stretched(name, *ratio)));
    }

    fn below(&self, name: &str, least: Quantity) -> Option<String> {
        let text = format!("minimum {name} usage per {} is {least}", self.kind());
        match (self.requests.get(name), self.limits.get(name)) {
            (None, _) => Some(format!("{text}.  No request is specified")),
            (Some(request), _) if *request < least => Some(format!("{text}, but request is {request}")),
            (Some(_), Some(limit)) if *limit < least => Some(format!("{text}, but limit is {limit}")),
            (Some(_), _) => None,
        }
    }

    fn above(&self, name: &str, most: Quantity) -> Option<String> {
        let text = format!("maximum {name} usage per {} is {most}", self.kind());
        match (self.limits.get(name), self.requests.get(name)) {
            (None, _) => Some(format!("{text}.  No limit is specified")),
            (Some(limit), _) if *limit > most => Some(format!("{text}, but limit is {limit}")),
            (Some(_), Some(request)) if *request > most => Some(format!("{text}, but request is {request}")),
            (Some(_), _) => None,
        }
    }

    fn request_above(&self, name: &str, most: Quantity) -> Option<String> {
        let text = format!("maximum {name} usage per {} is {most}", self.kind());
        match self.requests.get(name) {
            None => Some(format!("{text}.  No request is specified")),
            Some(request) if *request > most => Some(format!("{text}, but request is {request}")),
            Some(_) => None,
        }
    }

    fn stretched(&self, name: &str, most: Quantity) -> Option<String> {
        let text = format!("{name} max limit to request ratio per {} is {most}", self.kind());
        let Some(request) = self.requests.get(name).filter(|request| !request.is_zero()) else {
            return Some(format!("{text}, but no request is specified or request is 0"));
        };
        let Some(limit) = self.limits.get(name).filter(|limit| !limit.is_zero()) else {
            return Some(format!("{text}, but no limit is specified or limit is 0"));
        };
        // Compared in thousandths where they fit, as upstream does.
        let fits = limit.value() <= MOST_FOR_MILLI && request.value() <= MOST_FOR_MILLI;
        let pair = if fits { (limit.milli_value(), request.milli_value()) } else { (limit.value(), request.value()) };
        let ratio = as_float(pair.0) / as_float(pair.1);
        let allowed = as_float(most.milli_value()) / 1000.0;
        (ratio > allowed).then(|| format!("{text}, but provided ratio is {ratio:.6}"))
    }

    fn kind(&self) -> &str {
        text(self.limit, "/type")
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio for people; upstream rounds the same way")]
fn as_float(value: i64) -> f64 {
    value as f64
}
