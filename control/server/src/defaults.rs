//! What every cluster has from its first start: namespaces, roles, the Service `kubernetes`. From the server's start; to the registry.
//! Later starts repair what is missing.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};
use skep_api::kinds::Scope;
use skep_api::meta;
use skep_api::strategy::Part;
use skep_storage::watch_cache::Freshness;

use crate::api::Api;
use crate::bootstrap;
use crate::config::Config;
use crate::registry::Target;
use crate::registry::update::Place;
use crate::registry::write::{Preconditions, Shown, WriteOptions};
use crate::status::ApiError;

/// Writes done at one time: they share the store's commits.
const AT_ONCE: usize = 64;

/// Writes all defaults.
///
/// # Errors
/// When storage fails.
pub async fn write(api: &Arc<Api>, config: &Config, advertised: &[SocketAddr]) -> anyhow::Result<()> {
    let (namespaces, others): (Vec<Value>, Vec<Value>) =
        bootstrap::objects().into_iter().partition(|object| object["kind"] == "Namespace");
    all(api, namespaces).await?;
    let network = network(config, advertised.first().map_or(6443, SocketAddr::port));
    all(api, others.into_iter().chain(network).collect()).await
}

async fn all(api: &Arc<Api>, objects: Vec<Value>) -> anyhow::Result<()> {
    stream::iter(objects)
        .map(|object| async move {
            let what = format!("{} {}/{}", object["kind"], meta::namespace(&object), meta::name(&object));
            ensure(api, object).await.with_context(|| what)
        })
        .buffer_unordered(AT_ONCE)
        .try_collect::<Vec<()>>()
        .await
        .map(drop)
}

/// Writes an object that is missing, or repairs the one that is there.
///
/// # Errors
/// When storage fails.
pub(crate) async fn ensure(api: &Arc<Api>, wanted: Value) -> anyhow::Result<()> {
    let kind = api.registry.kinds().of_object(&wanted).context("unknown kind")?;
    let target = api.registry.target_of(kind).context("not stored")?;
    let namespace = if kind.scope == Scope::Namespaced { meta::namespace(&wanted).to_owned() } else { String::new() };
    let name = meta::name(&wanted).to_owned();
    let options = WriteOptions::internal();
    if target.get(&namespace, &name, Freshness::Any).await.is_ok() {
        return repair(api, &target, &namespace, &name, &wanted, &options).await;
    }
    match api.registry.create(&target, &namespace, wanted.clone(), &options).await {
        // What follows reads by the caches.
        Ok(Shown::Object(object)) => {
            target.get(&namespace, &name, Freshness::AtLeast(object.revision)).await?;
            Ok(())
        }
        Ok(Shown::Value(_)) => Ok(()),
        Err(error) if error.reason == "AlreadyExists" => {
            repair(api, &target, &namespace, &name, &wanted, &options).await
        }
        Err(error) => Err(error.into()),
    }
}

/// Roles keep the rules they must have, endpoints the current addresses; everything else belongs to the administrator once it exists.
async fn repair(
    api: &Arc<Api>,
    target: &Target,
    namespace: &str,
    name: &str,
    wanted: &Value,
    options: &WriteOptions,
) -> anyhow::Result<()> {
    let is_endpoints = matches!(target.kind.kind.as_str(), "Endpoints" | "EndpointSlice");
    let mut change = |old: &Value| {
        if is_endpoints {
            let mut new = old.clone();
            for field in ["subsets", "endpoints", "ports"] {
                if let (Some(map), Some(value)) = (new.as_object_mut(), wanted.get(field)) {
                    map.insert(field.to_owned(), value.clone());
                }
            }
            return Ok(new);
        }
        Ok::<Value, ApiError>(bootstrap::reconcile(old, wanted).unwrap_or_else(|| old.clone()))
    };
    let place = Place { target, namespace, name, part: Part::Whole };
    api.registry.update(place, &Preconditions::default(), options, &mut change).await?;
    Ok(())
}

/// The Service by which pods reach this server, and the ranges of Services.
fn network(config: &Config, port: u16) -> Vec<Value> {
    let Some(primary) = config.service_cidrs.first() else { return Vec::new() };
    let first = match primary.network() {
        IpAddr::V4(v4) => IpAddr::from((u32::from(v4) + 1).to_be_bytes()),
        IpAddr::V6(v6) => IpAddr::from((u128::from(v6) + 1).to_be_bytes()),
    };
    let family = if primary.is_ipv4() { "IPv4" } else { "IPv6" };
    let labels = json!({"component": "apiserver", "provider": "kubernetes"});
    vec![
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "kubernetes"},
            "spec": {"cidrs": config.service_cidrs.iter().map(ToString::to_string).collect::<Vec<_>>()},
        }),
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "kubernetes", "namespace": "default", "labels": labels},
            "spec": {
                "type": "ClusterIP", "clusterIP": first.to_string(), "clusterIPs": [first.to_string()],
                "ipFamilies": [family], "ipFamilyPolicy": "SingleStack", "sessionAffinity": "None",
                "internalTrafficPolicy": "Cluster",
                "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}],
            },
        }),
    ]
}
