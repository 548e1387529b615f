//! `exec`, `attach`, `portforward`: the client's connection is passed through to the kubelet as raw bytes. From the handler; to kubelets.
//!
//! WebSocket (GET) and SPDY (POST) differ only in headers, which are passed on: the protocol is between client and kubelet.

use std::sync::Arc;

use http::Request as HttpRequest;
use http::header::{CONTENT_LENGTH, HOST};
use serde_json::Value;
use skep_storage::watch_cache::Freshness;

use crate::admission::{self, Attributes, Lister as _, Operation};
use crate::answer::Answer;
use crate::api::Api;
use crate::body;
use crate::kubelet::{Endpoint, kubelet_of, wants_upgrade};
use crate::registry::Target;
use crate::request::Request;
use crate::status::{ApiError, ResourceName};

/// Headers that are the client's business with us alone.
const PRIVATE: [&str; 5] = ["authorization", "impersonate-user", "impersonate-group", "impersonate-uid", "cookie"];

/// Answers a request for a stream; 101 when the kubelet agrees.
///
/// # Errors
/// 400 without upgrade or node, 403 by admission, 404; the kubelet's own.
pub async fn serve(api: &Arc<Api>, request: &mut Request, target: &Target) -> Result<Answer, ApiError> {
    let (namespace, name) = (request.info.namespace.clone(), request.info.name.clone());
    let subresource = request.info.subresource.clone();
    let pod = target.get(&namespace, &name, Freshness::Latest).await?;
    let pod = target.serve(&pod);
    let attributes = Attributes {
        operation: Operation::Connect,
        kind: &target.kind,
        subresource: &subresource,
        namespace: &namespace,
        name: &name,
        user: &request.user,
        dry_run: false,
    };
    admission::mutate(&api.registry, &attributes, &mut Value::Null, None).map_err(|r| r.answer(&target.kind, &name))?;
    let kind = match subresource.as_str() {
        "exec" => "/exec",
        "attach" => "/attach",
        _ => "/portForward",
    };
    let mut path = format!("{kind}/{}/{}", encode(&namespace), encode(&name));
    let query = if subresource == "portforward" {
        ports(request)
    } else {
        let container = container(&pod, &name, request.query.text("container"))?;
        path = format!("{path}/{}", encode(&container));
        streams(request, &subresource)?
    };
    let Some(endpoint) = kubelet(api, &pod)? else {
        return Err(ApiError::bad_request(format!("pod {name} does not have a host assigned")));
    };
    if !wants_upgrade(&request.headers) {
        return Err(ApiError::bad_request("Upgrade request required"));
    }
    let uri = if query.is_empty() { path } else { format!("{path}?{query}") };
    let mut call = HttpRequest::builder().method(request.method.clone()).uri(uri);
    for (header, value) in &request.headers {
        if !PRIVATE.contains(&header.as_str()) && header != HOST && header != CONTENT_LENGTH {
            call = call.header(header, value);
        }
    }
    let call = call.body(body::empty()).map_err(ApiError::internal)?;
    api.kubelets.forward(endpoint, call, request.upgrade.take()).await
}

/// The parameters of exec and attach by the kubelet's names.
fn streams(request: &Request, subresource: &str) -> Result<String, ApiError> {
    let query = &request.query;
    let on = |name: &str| query.is_true(name);
    // A terminal carries both outputs in one stream.
    let stderr = on("stderr") && !on("tty");
    let mut parts: Vec<String> = Vec::new();
    for (flag, name) in [(on("stdin"), "input"), (on("stdout"), "output"), (stderr, "error"), (on("tty"), "tty")] {
        if flag {
            parts.push(format!("{name}=1"));
        }
    }
    if parts.iter().all(|part| part == "tty=1") {
        return Err(ApiError::bad_request("you must specify at least 1 of stdin, stdout, stderr"));
    }
    let commands: Vec<&str> = query.all("command").collect();
    if subresource == "exec" && commands.is_empty() {
        return Err(ApiError::bad_request("you must specify at least one command for the container"));
    }
    parts.extend(commands.iter().map(|command| format!("command={}", encode(command))));
    Ok(parts.join("&"))
}

fn ports(request: &Request) -> String {
    let ports: Vec<&str> = request.query.all("ports").flat_map(|list| list.split(',')).collect();
    // The kubelet's WebSocket server knows them as `port`.
    ports.iter().map(|port| format!("port={}", encode(port))).collect::<Vec<_>>().join("&")
}

/// The kubelet of a pod's node; none while the pod has no node.
///
/// # Errors
/// When the node is gone or has no address.
pub(super) fn kubelet(api: &Arc<Api>, pod: &Value) -> Result<Option<Endpoint>, ApiError> {
    let Some(node_name) = pod.pointer("/spec/nodeName").and_then(Value::as_str).filter(|n| !n.is_empty()) else {
        return Ok(None);
    };
    let nodes = ResourceName { group: "", resource: "nodes" };
    let node = api.registry.get("", "nodes", "", node_name).ok_or_else(|| ApiError::not_found(nodes, node_name))?;
    let endpoint = kubelet_of(&node);
    endpoint.map(Some).ok_or_else(|| ApiError::internal(format!("no preferred addresses found for node {node_name:?}")))
}

/// The container meant: the one asked for, the annotated default, or the only one.
///
/// # Errors
/// 400 naming the choice.
pub(super) fn container(pod: &Value, pod_name: &str, asked: &str) -> Result<String, ApiError> {
    let names = |field: &str| -> Vec<String> {
        let list = pod.pointer(&format!("/spec/{field}")).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(|c| c.get("name")?.as_str()).map(str::to_owned).collect()
    };
    let (containers, init, ephemeral) = (names("containers"), names("initContainers"), names("ephemeralContainers"));
    if !asked.is_empty() {
        let known = [&containers, &init, &ephemeral].into_iter().flatten().any(|name| name == asked);
        return if known {
            Ok(asked.to_owned())
        } else {
            Err(ApiError::bad_request(format!("container {asked} is not valid for pod {pod_name}")))
        };
    }
    match containers.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(ApiError::bad_request(format!("a container name must be specified for pod {pod_name}"))),
        several => {
            let default =
                skep_api::meta::annotations(pod).find(|(k, _)| *k == "kubectl.kubernetes.io/default-container");
            if let Some((_, name)) = default.filter(|(_, name)| several.iter().any(|c| c == name)) {
                return Ok(name.to_owned());
            }
            let mut why = format!(
                "a container name must be specified for pod {pod_name}, choose one of: [{}]",
                several.join(" ")
            );
            if !init.is_empty() {
                why.push_str(&format!(" or one of the init containers: [{}]", init.join(" ")));
            }
            Err(ApiError::bad_request(why))
        }
    }
}

/// Percent-encodes a path segment or query value.
#[must_use]
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{container, encode};

    #[test]
    fn containers() {
        let one = json!({"spec": {"containers": [{"name": "a"}]}});
        assert_eq!(container(&one, "p", "").expect("one"), "a");
        assert_eq!(container(&one, "p", "x").expect_err("unknown").message, "container x is not valid for pod p");
        let two = json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}]}});
        let error = container(&two, "p", "").expect_err("two");
        assert_eq!(error.message, "a container name must be specified for pod p, choose one of: [a b]");
        assert_eq!(encode("a b/ü"), "a%20b%2F%C3%BC");
    }
}
