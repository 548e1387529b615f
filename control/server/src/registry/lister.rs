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

    fn pods_on(&self, node: &str, namespace: &str) -> Vec<Arc<Value>> {
        let Some(target) = self.stored("", "pods") else { return Vec::new() };
        let mut pods = target.resource.cache.indexed(node);
        pods.retain(|pod| namespace.is_empty() || *pod.namespace == *namespace);
        pods.iter().map(|pod| Arc::new(pod.to_value())).collect()
    }

    fn bindings(&self, user: &User, namespace: &str) -> Vec<Arc<Value>> {
        let plural = if namespace.is_empty() { "clusterrolebindings" } else { "rolebindings" };
        let Some(target) = self.stored("rbac.authorization.k8s.io", plural) else { return Vec::new() };
        self.bindings.naming(&target, user, namespace)
    }
}
