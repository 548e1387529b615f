//! The endpoints of the Service `kubernetes`: the addresses of all servers of the cluster. From each server's lease in the store; to the
//! Endpoints and EndpointSlice that all of them keep equal to what they find there.
//!
//! Each server writes a key named after its address under a lease of its own, so a server that dies is left out soon after. The keys are
//! upstream's (`/registry/masterleases/`, pkg/controlplane/reconcilers/lease.go, v1.34).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use skep_storage::key::KeyRange;
use skep_storage::store::{LeaseId, Op, RangeRequest, Store, StoreError, Txn};
use tokio_util::sync::CancellationToken;

use crate::api::Api;
use crate::defaults;

/// Where the servers' keys are.
const PREFIX: &str = "/registry/masterleases/";
/// A server is left out this long after its last sign of life.
const LEASE: Duration = Duration::from_secs(15);
/// How often a server gives one, and compares.
const EVERY: Duration = Duration::from_secs(10);

/// This server's part of the endpoints.
#[derive(Debug)]
pub(crate) struct ServerEndpoints {
    store: Arc<dyn Store>,
    /// Of the primary family of Services, and not of this machine alone.
    own: Vec<IpAddr>,
    port: u16,
    lease: LeaseId,
}

impl ServerEndpoints {
    /// `advertised`: where pods reach this server; `v4`: whether Services have IPv4 addresses first.
    pub(crate) fn new(store: Arc<dyn Store>, advertised: &[SocketAddr], v4: bool) -> Self {
        // An address that means another machine in every pod is no endpoint.
        let is_reachable = |a: &&SocketAddr| a.is_ipv4() == v4 && !a.ip().is_loopback();
        Self {
            store,
            own: advertised.iter().filter(is_reachable).map(SocketAddr::ip).collect(),
            port: advertised.first().map_or(6443, SocketAddr::port),
            lease: LeaseId::NONE,
        }
    }

    /// Keeps the endpoints as they should be until `stop`, then takes this server out of them.
    pub(crate) async fn run(mut self, api: Arc<Api>, stop: CancellationToken) {
        if self.own.is_empty() {
            return;
        }
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(EVERY) => {}
            }
            if let Err(error) = self.publish(&api).await {
                tracing::warn!(
                    error = &*error as &dyn std::error::Error,
                    "endpoints of the Service kubernetes, will retry"
                );
            }
        }
        if let Err(error) = self.withdraw(&api).await {
            tracing::warn!(
                error = &*error as &dyn std::error::Error,
                "this server stays an endpoint until its lease ends"
            );
        }
    }

    /// Says that this server lives, and makes the endpoints those that live.
    pub(crate) async fn publish(&mut self, api: &Arc<Api>) -> anyhow::Result<()> {
        if self.own.is_empty() {
            return Ok(());
        }
        self.renew().await?;
        let mut addresses = self.living().await?;
        if !self.own.iter().all(|own| addresses.contains(own)) {
            // Somebody took our key away.
            self.register().await?;
            addresses = self.living().await?;
        }
        self.write(api, &addresses).await
    }

    async fn withdraw(&self, api: &Arc<Api>) -> anyhow::Result<()> {
        self.store.lease_revoke(self.lease).await?;
        let addresses = self.living().await?;
        // The last server leaves its address: clients wait for it to come back.
        if addresses.is_empty() { Ok(()) } else { self.write(api, &addresses).await }
    }

    async fn renew(&mut self) -> Result<(), StoreError> {
        if self.lease != LeaseId::NONE {
            match self.store.lease_keep_alive(self.lease).await {
                Ok(_) => return Ok(()),
                Err(StoreError::LeaseNotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.lease = self.store.lease_grant(LEASE).await?;
        self.register().await
    }

    /// Writes this server's keys under its lease.
    async fn register(&self) -> Result<(), StoreError> {
        let put = |address: &IpAddr| {
            let value = json!({"kind": "Endpoints", "apiVersion": "v1", "metadata": {}, "subsets": [{"addresses": [{"ip": address}]}]});
            Op::Put { key: key(*address), value: value.to_string().into(), lease: self.lease }
        };
        let txn = Txn { success: self.own.iter().map(put).collect(), ..Txn::default() };
        self.store.txn(txn).await.map(drop)
    }

    /// The addresses of all servers that live, in order.
    async fn living(&self) -> Result<Vec<IpAddr>, StoreError> {
        let found = self.store.range(RangeRequest::new(KeyRange::prefix(PREFIX))).await?;
        let mut addresses: Vec<IpAddr> = found.items.iter().filter_map(|item| address(&item.key)).collect();
        addresses.retain(|address| self.own.first().is_some_and(|own| own.is_ipv4() == address.is_ipv4()));
        addresses.sort_unstable();
        Ok(addresses)
    }

    async fn write(&self, api: &Arc<Api>, addresses: &[IpAddr]) -> anyhow::Result<()> {
        for object in objects(addresses, self.port) {
            defaults::ensure(api, object).await?;
        }
        Ok(())
    }
}

fn key(address: IpAddr) -> Bytes {
    Bytes::from(format!("{PREFIX}{address}"))
}

fn address(key: &[u8]) -> Option<IpAddr> {
    std::str::from_utf8(key).ok()?.strip_prefix(PREFIX)?.parse().ok()
}

/// Endpoints and EndpointSlice with these addresses.
fn objects(addresses: &[IpAddr], port: u16) -> [Value; 2] {
    let family = if addresses.iter().any(IpAddr::is_ipv4) { "IPv4" } else { "IPv6" };
    let ports = json!([{"name": "https", "port": port, "protocol": "TCP"}]);
    let plain: Vec<Value> = addresses.iter().map(|address| json!({"ip": address})).collect();
    let ready: Vec<Value> =
        addresses.iter().map(|address| json!({"addresses": [address], "conditions": {"ready": true}})).collect();
    [
        json!({
            "apiVersion": "v1", "kind": "Endpoints",
            "metadata": {"name": "kubernetes", "namespace": "default", "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
            "subsets": [{"addresses": plain, "ports": ports}],
        }),
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": family,
            "metadata": {"name": "kubernetes", "namespace": "default", "labels": {"kubernetes.io/service-name": "kubernetes"}},
            "endpoints": ready, "ports": ports,
        }),
    ]
}
