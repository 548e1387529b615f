//! Spreads endpoints over slices with few writes: a watcher gets a whole slice for each change in it. From
//! [`super::desired`] and the slices there are; to the executor. Pure.

use super::desired::{Desired, PortSet, endpoint_ports, labels, port_set};
use crate::owners::controller_reference;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Endpoints in a slice at most.
pub const SLICE_SIZE: usize = 100;

/// The writes to make.
#[derive(Debug, Default)]
pub struct Layout {
    pub create: Vec<EndpointSlice>,
    pub update: Vec<EndpointSlice>,
    pub delete: Vec<EndpointSlice>,
}

/// What all slices of one manager and Service have in common.
#[derive(Debug)]
pub struct Template<'a> {
    pub namespace: Option<String>,
    pub service_name: &'a str,
    pub labels: BTreeMap<String, String>,
    /// Set on every slice that is written.
    pub annotations: &'a BTreeMap<String, String>,
    pub owner: OwnerReference,
}

/// The writes that give `service` the desired slices.
pub fn plan(
    desired: &Desired,
    service: &Service,
    existing: &[Arc<EndpointSlice>],
    annotations: &BTreeMap<String, String>,
) -> Layout {
    let template = Template {
        namespace: service.metadata.namespace.clone(),
        service_name: service.metadata.name.as_deref().unwrap_or_default(),
        labels: labels(service, super::MANAGER),
        annotations,
        owner: controller_reference(service),
    };
    arrange(desired, &template, existing, true)
}

/// The writes that give the desired slices; `placeholder`: a family without endpoints still has one, empty, slice.
pub fn arrange(
    desired: &Desired,
    template: &Template<'_>,
    existing: &[Arc<EndpointSlice>],
    placeholder: bool,
) -> Layout {
    let mut layout = Layout::default();
    for (family, groups) in &desired.families {
        let slices: Vec<&Arc<EndpointSlice>> = existing.iter().filter(|slice| slice.address_type == *family).collect();
        arrange_family(family, groups, template, &slices, placeholder, &mut layout);
    }
    for slice in existing.iter().filter(|slice| !desired.families.contains_key(&slice.address_type)) {
        layout.delete.push((**slice).clone());
    }
    layout
}

fn arrange_family(
    family: &str,
    groups: &BTreeMap<PortSet, Vec<Endpoint>>,
    template: &Template<'_>,
    existing: &[&Arc<EndpointSlice>],
    placeholder: bool,
    layout: &mut Layout,
) {
    let mut by_ports: BTreeMap<PortSet, Vec<&EndpointSlice>> = BTreeMap::new();
    for slice in existing {
        by_ports.entry(port_set(slice.ports.as_ref())).or_default().push(slice);
    }
    let (mut create, mut delete) = (Vec::new(), Vec::new());
    let mut kept = 0;
    for (ports, endpoints) in groups {
        let slices = by_ports.remove(ports).unwrap_or_default();
        let group = arrange_group(ports, endpoints, slices, template);
        kept += group.kept + group.update.len();
        layout.update.extend(group.update);
        delete.extend(group.delete);
        create.extend(group.create.into_iter().map(|endpoints| template.slice(family, ports, endpoints)));
    }
    for slice in by_ports.into_values().flatten() {
        delete.push(slice.clone());
    }
    if placeholder && kept == 0 && create.is_empty() {
        let empty = template.slice(family, &PortSet::new(), Vec::new());
        if let [only] = delete.as_slice()
            && only.endpoints.is_empty()
            && port_set(only.ports.as_ref()).is_empty()
            && template.fits(only)
        {
            return;
        }
        create.push(empty);
    }
    // A slice that would go can as well become one that would come: one write, and its name stays.
    while let (Some(old), Some(new)) = (delete.last(), create.last_mut()) {
        new.metadata.name = old.metadata.name.clone();
        new.metadata.generate_name = old.metadata.generate_name.clone();
        new.metadata.uid = old.metadata.uid.clone();
        new.metadata.resource_version = old.metadata.resource_version.clone();
        delete.pop();
        layout.update.extend(create.pop());
    }
    layout.create.extend(create);
    layout.delete.extend(delete);
}

struct Group {
    /// Slices left as they are.
    kept: usize,
    update: Vec<EndpointSlice>,
    delete: Vec<EndpointSlice>,
    /// Endpoints of each new slice.
    create: Vec<Vec<Endpoint>>,
}

/// Places the endpoints with the same ports.
fn arrange_group(ports: &PortSet, desired: &[Endpoint], slices: Vec<&EndpointSlice>, template: &Template<'_>) -> Group {
    let mut missing: HashMap<EndpointId, &Endpoint> = desired.iter().map(|endpoint| (id(endpoint), endpoint)).collect();
    let mut unchanged: Vec<&EndpointSlice> = Vec::new();
    let mut changed: Vec<EndpointSlice> = Vec::new();
    let mut group = Group { kept: 0, update: Vec::new(), delete: Vec::new(), create: Vec::new() };
    for slice in slices {
        let kept: Vec<Endpoint> =
            slice.endpoints.iter().filter_map(|endpoint| missing.remove(&id(endpoint)).cloned()).collect();
        if kept.is_empty() {
            group.delete.push(slice.clone());
        } else if kept == slice.endpoints && template.fits(slice) {
            unchanged.push(slice);
        } else {
            changed.push(EndpointSlice { endpoints: kept, ..slice.clone() });
        }
    }
    let mut left: Vec<Endpoint> =
        desired.iter().filter(|endpoint| missing.contains_key(&id(endpoint))).cloned().collect();
    // First into slices that are written anyway, the fullest first.
    changed.sort_by_key(|slice| std::cmp::Reverse(slice.endpoints.len()));
    for slice in &mut changed {
        let room = SLICE_SIZE.saturating_sub(slice.endpoints.len()).min(left.len());
        slice.endpoints.extend(left.drain(..room));
    }
    while !left.is_empty() {
        // Then into one more that holds them all if there is one, else into new ones.
        let fits = |slice: &&EndpointSlice| slice.endpoints.len() + left.len() <= SLICE_SIZE;
        let best = unchanged
            .iter()
            .enumerate()
            .filter(|(_, slice)| fits(slice))
            .max_by_key(|(_, slice)| slice.endpoints.len());
        if let Some((index, _)) = best {
            let mut slice = unchanged.swap_remove(index).clone();
            slice.endpoints.append(&mut left);
            changed.push(slice);
        } else {
            let size = SLICE_SIZE.min(left.len());
            group.create.push(left.drain(..size).collect());
        }
    }
    group.kept = unchanged.len();
    group.update = changed.into_iter().map(|slice| template.rewrite(slice, ports)).collect();
    group
}

/// What makes an endpoint the same one: its address and the object behind it.
type EndpointId = (Option<String>, Option<String>);

fn id(endpoint: &Endpoint) -> EndpointId {
    (endpoint.addresses.first().cloned(), endpoint.target_ref.as_ref().and_then(|target| target.uid.clone()))
}

impl Template<'_> {
    fn slice(&self, family: &str, ports: &PortSet, endpoints: Vec<Endpoint>) -> EndpointSlice {
        EndpointSlice {
            metadata: ObjectMeta {
                generate_name: Some(generate_name(self.service_name)),
                namespace: self.namespace.clone(),
                labels: Some(self.labels.clone()),
                annotations: (!self.annotations.is_empty()).then(|| self.annotations.clone()),
                owner_references: Some(vec![self.owner.clone()]),
                ..ObjectMeta::default()
            },
            address_type: family.to_owned(),
            ports: (!ports.is_empty()).then(|| endpoint_ports(ports)),
            endpoints,
        }
    }

    /// Whether labels and owner of a slice are right.
    fn fits(&self, slice: &EndpointSlice) -> bool {
        slice.metadata.labels.as_ref() == Some(&self.labels)
            && slice.metadata.owner_references.iter().flatten().any(|owner| owner.uid == self.owner.uid)
    }

    fn rewrite(&self, mut slice: EndpointSlice, ports: &PortSet) -> EndpointSlice {
        slice.metadata.labels = Some(self.labels.clone());
        slice.metadata.annotations = (!self.annotations.is_empty()).then(|| self.annotations.clone());
        slice.metadata.owner_references = Some(vec![self.owner.clone()]);
        slice.ports = (!ports.is_empty()).then(|| endpoint_ports(ports));
        slice
    }
}

/// Prefix of the slices' names; a name that is too long with a hyphen is used without.
fn generate_name(service: &str) -> String {
    if service.len() < 63 { format!("{service}-") } else { service.to_owned() }
}

#[cfg(test)]
mod tests;
