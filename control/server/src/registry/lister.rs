//! The caches as authorization and admission see them: newest known state, no waiting. From the registry; to [`crate::admission`].

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;

use super::Registry;
use crate::admission::Lister;
use crate::filters::authorize::{Action, Decision, decide};
use crate::identity::User;

impl Lister for Registry {
    fn get(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let target = self.stored(group, resource)?;
        target.resource.cache.peek(&target.resource.key(namespace, name)).map(|object| object.shared_value())
    }

    fn list(&self, group: &str, resource: &str, namespace: &str) -> Vec<Arc<Value>> {
        let Some(target) = self.stored(group, resource) else { return Vec::new() };
        let objects = target.resource.cache.snapshot(target.resource.range(namespace));
        objects.iter().map(|object| object.shared_value()).collect()
    }

    fn authorized(&self, user: &User, verb: &str, group: &str, resource: &str, name: &str) -> bool {
        let action = Action {
            verb: Cow::Borrowed(verb),
            is_resource: true,
            group: Cow::Borrowed(group),
            resource: Cow::Borrowed(resource),
            name: Cow::Borrowed(name),
            ..Action::default()
        };
        matches!(decide(self, user, &action), Decision::Allow(_))
    }

    fn pods_on(&self, node: &str) -> Vec<Arc<Value>> {
        let Some(target) = self.stored("", "pods") else { return Vec::new() };
        let labels = target.kind.strategy.field_labels();
        let Some(position) = labels.iter().position(|label| *label == "spec.nodeName") else { return Vec::new() };
        let pods = target.resource.cache.snapshot(target.resource.range(""));
        pods.iter().filter(|pod| pod.field(position) == node).map(|pod| Arc::new(pod.to_value())).collect()
    }
}
