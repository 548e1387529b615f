//! Remembers what changed behind a Service since its endpoints were written. From pods; to the annotation that lets
//! programming latency be measured. Pure.

use crate::object_key::ObjectKey;
use crate::pod_state;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Service};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// Times of the last seen state of each Service and its pods.
#[derive(Debug, Default)]
pub struct TriggerTimes {
    services: Mutex<HashMap<ObjectKey, Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    service: Option<Timestamp>,
    pods: HashMap<String, Timestamp>,
}

impl TriggerTimes {
    /// The earliest change since the last call for this service; `None` when none is known.
    pub fn changed_at(&self, key: &ObjectKey, service: &Service, pods: &[Arc<Pod>]) -> Option<Timestamp> {
        let now = Seen {
            service: service.metadata.creation_timestamp.as_ref().map(|time| time.0),
            pods: pods
                .iter()
                .filter_map(|pod| {
                    let ready = pod_state::condition(pod, "Ready")?.last_transition_time.as_ref()?.0;
                    Some((pod.metadata.name.clone()?, ready))
                })
                .collect(),
        };
        let mut services = self.services.lock();
        let before = services.entry(key.clone()).or_default();
        let changed_pods = now
            .pods
            .iter()
            .filter(|(name, time)| before.pods.get(*name).is_none_or(|seen| *time > seen))
            .map(|(_, time)| *time);
        let changed_service = now.service.filter(|_| before.service.is_none());
        let earliest = changed_pods.chain(changed_service).min();
        *before = now;
        earliest
    }

    /// The service is gone.
    pub fn forget(&self, key: &ObjectKey) {
        self.services.lock().remove(key);
    }
}
