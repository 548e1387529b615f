//! `proxy`: HTTP to a pod, to a backend of a Service, or to a node's kubelet. From the handler; to them and back.

use std::net::IpAddr;
use std::sync::Arc;

use http::Request as HttpRequest;
use http::header::{HOST, TRANSFER_ENCODING};
use rand::seq::IndexedRandom as _;
use serde_json::Value;
use skep_storage::watch_cache::Freshness;

use super::stream::encode;
use crate::admission::Lister as _;
use crate::answer::Answer;
use crate::api::Api;
use crate::body;
use crate::kubelet::{Endpoint, kubelet_of};
use crate::registry::Target;
use crate::request::Request;
use crate::status::ApiError;

const PRIVATE: [&str; 5] = ["authorization", "impersonate-user", "impersonate-group", "impersonate-uid", "cookie"];

/// Passes a request on.
///
/// # Errors
/// 404, 503 without ready backends, 500 when the other side cannot be reached.
pub async fn serve(api: &Arc<Api>, request: &mut Request, target: &Target) -> Result<Answer, ApiError> {
    let (scheme, name, port) = split(&request.info.name);
    let object = target.get(&request.info.namespace, name, Freshness::Latest).await?;
    let object = target.serve(&object);
    let endpoint = match target.kind.plural.as_str() {
        "nodes" => {
            let endpoint = kubelet_of(&object);
            endpoint.map(|e| Endpoint { port: port.parse().unwrap_or(e.port), ..e })
        }
        "pods" => pod(&object, port, scheme == "https"),
        _ => backend(api, &object, port, scheme == "https"),
    };
    let endpoint =
        endpoint.ok_or_else(|| ApiError::unavailable(format!("no endpoints available for service {name:?}")))?;
    let rest: Vec<String> = request.info.rest.split('/').map(encode).collect();
    let mut uri = format!("/{}", rest.join("/"));
    if request.uri.path().ends_with('/') && !uri.ends_with('/') {
        uri.push('/');
    }
    if let Some(query) = request.uri.query() {
        uri.push('?');
        uri.push_str(query);
    }
    let mut call = HttpRequest::builder().method(request.method.clone()).uri(uri);
    for (header, value) in &request.headers {
        if !PRIVATE.contains(&header.as_str()) && header != HOST && header != TRANSFER_ENCODING {
            call = call.header(header, value);
        }
    }
    let body = request.body.get_mut().take().unwrap_or_else(body::empty);
    let call = call.body(body).map_err(ApiError::internal)?;
    api.kubelets.forward(endpoint, call, request.upgrade.take()).await
}

/// `[scheme:]name[:port]`.
fn split(name: &str) -> (&str, &str, &str) {
    let parts: Vec<&str> = name.split(':').collect();
    match parts.as_slice() {
        [scheme, name, port] => (scheme, name, port),
        [name, port] => ("", name, port),
        _ => ("", name, ""),
    }
}

fn pod(pod: &Value, port: &str, tls: bool) -> Option<Endpoint> {
    let address: IpAddr = pod.pointer("/status/podIP")?.as_str()?.parse().ok()?;
    let containers = || pod.pointer("/spec/containers").and_then(Value::as_array).into_iter().flatten();
    let mut ports = containers().flat_map(|c| c.get("ports").and_then(Value::as_array).into_iter().flatten());
    let number = match port {
        "" => ports.next().and_then(|p| p.get("containerPort")).and_then(Value::as_u64).unwrap_or(80),
        text => match text.parse() {
            Ok(number) => number,
            Err(_not_a_number) => {
                ports.find(|p| p.get("name").and_then(Value::as_str) == Some(text))?.get("containerPort")?.as_u64()?
            }
        },
    };
    Some(Endpoint { address, port: u16::try_from(number).ok()?, tls })
}

/// A ready endpoint of a Service's port, chosen at random.
fn backend(api: &Arc<Api>, service: &Value, port: &str, tls: bool) -> Option<Endpoint> {
    let ports = service.pointer("/spec/ports")?.as_array()?;
    let wanted = match port {
        "" => ports.first()?,
        text => ports.iter().find(|p| {
            p.get("name").and_then(Value::as_str) == Some(text)
                || p.get("port").and_then(Value::as_u64).is_some_and(|number| text.parse() == Ok(number))
        })?,
    };
    let port_name = wanted.get("name").and_then(Value::as_str).unwrap_or_default();
    let service_name = skep_api::meta::name(service);
    let slices = api.registry.list("discovery.k8s.io", "endpointslices", skep_api::meta::namespace(service));
    let mut found = Vec::new();
    for slice in &slices {
        if !skep_api::meta::labels(slice).any(|(k, v)| k == "kubernetes.io/service-name" && v == service_name) {
            continue;
        }
        let number = slice
            .get("ports")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .find(|p| p.get("name").and_then(Value::as_str).unwrap_or_default() == port_name)
            .and_then(|p| u16::try_from(p.get("port")?.as_u64()?).ok());
        let Some(number) = number else { continue };
        for endpoint in slice.get("endpoints").and_then(Value::as_array).into_iter().flatten() {
            if endpoint.pointer("/conditions/ready").and_then(Value::as_bool) == Some(false) {
                continue;
            }
            let addresses = endpoint.get("addresses").and_then(Value::as_array).into_iter().flatten();
            let parsed = addresses.filter_map(|a| a.as_str()?.parse::<IpAddr>().ok());
            found.extend(parsed.map(|address| Endpoint { address, port: number, tls }));
        }
    }
    found.choose(&mut rand::rng()).copied()
}
