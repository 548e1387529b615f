//! What a pod asks for as a whole: requests and limits over its containers. From the plugins for limits and quotas. Pure.

use std::collections::BTreeMap;

use serde_json::Value;
use skep_api::quantity::Quantity;

use crate::json_field::{items, text};

/// Quantities by resource name.
pub(super) type Resources = BTreeMap<String, Quantity>;

/// Which side of a container's resources is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Requests,
    Limits,
}

impl Side {
    /// The map of a container (or of the pod's own `resources`).
    pub(super) fn of(self, container: &Value) -> Resources {
        resources(
            container,
            match self {
                Self::Requests => "/resources/requests",
                Self::Limits => "/resources/limits",
            },
        )
    }
}

/// Reads a quantity that JSON may hold as text or number.
pub(super) fn quantity(value: &Value) -> Option<Quantity> {
    match value.as_str() {
        Some(text) => Quantity::parse(text).ok(),
        None => Quantity::parse(&value.as_number()?.to_string()).ok(),
    }
}

/// The map of quantities at `pointer`.
pub(super) fn resources(object: &Value, pointer: &str) -> Resources {
    let members = object.pointer(pointer).and_then(Value::as_object).into_iter().flatten();
    members.filter_map(|(name, value)| Some((name.clone(), quantity(value)?))).collect()
}

/// What the pod needs at its peak: app containers with side-cars, or an init container with the side-cars started before it.
/// Resources of the pod itself win over the sum; overhead comes on top.
pub(super) fn of_pod(pod: &Value, side: Side) -> Resources {
    let mut total = Resources::new();
    for container in items(pod, "/spec/containers") {
        add(&mut total, &side.of(container));
    }
    let (mut side_cars, mut peak) = (Resources::new(), Resources::new());
    for container in items(pod, "/spec/initContainers") {
        let wanted = side.of(container);
        if text(container, "/restartPolicy") == "Always" {
            add(&mut total, &wanted);
            add(&mut side_cars, &wanted);
            raise(&mut peak, &side_cars);
        } else {
            let mut together = wanted;
            add(&mut together, &side_cars);
            raise(&mut peak, &together);
        }
    }
    raise(&mut total, &peak);
    if let Some(spec) = pod.get("spec") {
        total.extend(side.of(spec));
    }
    let overhead = resources(pod, "/spec/overhead");
    for (name, value) in &overhead {
        // An unlimited pod stays unlimited.
        if side == Side::Requests || total.contains_key(name) {
            let sum = total.get(name).map_or(*value, |wanted| wanted.plus(*value));
            total.insert(name.clone(), sum);
        }
    }
    total
}

fn add(total: &mut Resources, more: &Resources) {
    for (name, value) in more {
        let sum = total.get(name).map_or(*value, |before| before.plus(*value));
        total.insert(name.clone(), sum);
    }
}

fn raise(total: &mut Resources, least: &Resources) {
    for (name, value) in least {
        if total.get(name).is_none_or(|before| before < value) {
            total.insert(name.clone(), *value);
        }
    }
}
