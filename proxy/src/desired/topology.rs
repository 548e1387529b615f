//! Which endpoints a client may get: ready ones, else those that still serve on their way out; near ones where every
//! endpoint says whom it is for. From [`super::backend`]; to [`super::frontend`]. Pure.
//!
//! The rules of kube-proxy 1.34, `pkg/proxy/topology.go`: the cluster's set and the node's set fall back separately.

use super::{Backend, Place};

/// The two sets of a Service port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sets<'a> {
    /// For policy `Cluster`.
    pub cluster: Vec<&'a Backend>,
    /// For policy `Local`.
    pub local: Vec<&'a Backend>,
}

/// What hints are followed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nearness {
    Node,
    Zone,
    Anywhere,
}

/// Sorts the endpoints of a Service port.
#[must_use]
pub fn sets<'a>(backends: &'a [Backend], place: &Place) -> Sets<'a> {
    let nearness = nearness(backends, place);
    let near = |backend: &&Backend| match nearness {
        Nearness::Node => backend.node_hints.contains(&place.node),
        Nearness::Zone => place.zone.as_ref().is_some_and(|zone| backend.zone_hints.contains(zone)),
        Nearness::Anywhere => true,
    };
    let ready = backends.iter().filter(|b| b.conditions.ready);
    let leaving = backends.iter().filter(|b| b.conditions.serving && b.conditions.terminating);
    Sets {
        cluster: or_else(ready.clone().filter(near).collect(), || leaving.clone().collect()),
        local: or_else(ready.filter(|b| b.is_local).collect(), || leaving.clone().filter(|b| b.is_local).collect()),
    }
}

/// Hints count only when every ready endpoint has one and one of them is for us: otherwise somebody would be left out.
fn nearness(backends: &[Backend], place: &Place) -> Nearness {
    let ready = || backends.iter().filter(|b| b.conditions.ready);
    let all_for_nodes = ready().all(|b| !b.node_hints.is_empty());
    if all_for_nodes && ready().any(|b| b.node_hints.contains(&place.node)) {
        return Nearness::Node;
    }
    let all_for_zones = ready().all(|b| !b.zone_hints.is_empty());
    if all_for_zones && place.zone.as_ref().is_some_and(|zone| ready().any(|b| b.zone_hints.contains(zone))) {
        return Nearness::Zone;
    }
    Nearness::Anywhere
}

fn or_else<'a>(first: Vec<&'a Backend>, second: impl FnOnce() -> Vec<&'a Backend>) -> Vec<&'a Backend> {
    if first.is_empty() { second() } else { first }
}
