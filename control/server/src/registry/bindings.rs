//! Role bindings by the subjects they name, so that a request looks at its user's bindings alone. From the caches; to the lister.
//!
//! An index is made anew at the first question after a change: bindings change far more seldom than requests come.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use serde_json::Value;
use skep_storage::store::Revision;

use super::Target;
use crate::filters::authorize::rbac::{subject_namespace, subjects};
use crate::identity::User;
use crate::object::Object;

/// The indices of both kinds of bindings.
#[derive(Debug, Default)]
pub struct Bindings {
    of_cluster: RwLock<Arc<Index>>,
    of_namespaces: RwLock<Arc<Index>>,
}

impl Bindings {
    /// The bindings of `target` in a namespace (empty: the cluster's) that name the user or a group of theirs, in the order of their names.
    pub(super) fn naming(&self, target: &Target, user: &User, namespace: &str) -> Vec<Arc<Value>> {
        let place = if namespace.is_empty() { &self.of_cluster } else { &self.of_namespaces };
        let changed = target.resource.cache.changed();
        let mut index = Arc::clone(&place.read());
        if index.changed != changed {
            // What changes between the two looks is in the index already, and makes it be built once more.
            index = Arc::new(Index::new(changed, &target.resource.cache.snapshot(target.resource.range(""))));
            *place.write() = Arc::clone(&index);
        }
        index.naming(user, namespace)
    }
}

/// Bindings by namespace and subject.
#[derive(Debug, Default)]
struct Index {
    /// The revision of the newest change that it may know of; 0: nothing was read yet.
    changed: Revision,
    bindings: Vec<Arc<Value>>,
    by_namespace: HashMap<Box<str>, HashMap<String, Vec<usize>>>,
}

impl Index {
    fn new(changed: Revision, objects: &[Arc<Object>]) -> Self {
        let mut index = Self { changed, ..Self::default() };
        for (at, object) in objects.iter().enumerate() {
            let binding = object.shared_value();
            let of_namespace = index.by_namespace.entry(object.namespace.clone()).or_default();
            for subject in subjects(&binding) {
                let text = |field: &str| subject.get(field).and_then(Value::as_str).unwrap_or_default();
                let key = match text("kind") {
                    "User" => of_user(text("name")),
                    "Group" => of_group(text("name")),
                    "ServiceAccount" => {
                        let namespace = subject_namespace(subject, &object.namespace);
                        of_user(&format!("system:serviceaccount:{namespace}:{}", text("name")))
                    }
                    _ => continue,
                };
                of_namespace.entry(key).or_default().push(at);
            }
            index.bindings.push(binding);
        }
        index
    }

    fn naming(&self, user: &User, namespace: &str) -> Vec<Arc<Value>> {
        let Some(of_namespace) = self.by_namespace.get(namespace) else { return Vec::new() };
        let keys = std::iter::once(of_user(&user.name)).chain(user.groups.iter().map(|group| of_group(group)));
        let mut found: Vec<usize> = keys.filter_map(|key| of_namespace.get(&key)).flatten().copied().collect();
        found.sort_unstable();
        found.dedup();
        found.into_iter().filter_map(|at| self.bindings.get(at).cloned()).collect()
    }
}

fn of_user(name: &str) -> String {
    format!("u/{name}")
}

fn of_group(name: &str) -> String {
    format!("g/{name}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use skep_api::kinds;

    use super::*;

    #[test]
    fn a_user_has_the_bindings_of_name_groups_and_account() {
        let kind = kinds::builtin().by_resource("rbac.authorization.k8s.io", "v1", "rolebindings").expect("kind");
        let binding = |name: &str, subjects: Value| {
            let object = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                "metadata": {"name": name, "namespace": "ns"}, "subjects": subjects});
            Arc::new(Object::from_stored(&serde_json::to_vec(&object).expect("json"), 1, kind).expect("object"))
        };
        let objects = [
            binding("a", json!([{"kind": "User", "name": "eve"}, {"kind": "Group", "name": "ops"}])),
            binding("b", json!([{"kind": "ServiceAccount", "name": "web"}])),
            binding("c", json!([{"kind": "ServiceAccount", "name": "web", "namespace": "other"}])),
            binding("d", json!([{"kind": "Group", "name": "eve"}, {"kind": "Robot", "name": "eve"}])),
        ];
        let index = Index::new(1, &objects);
        let names = |user: &str, groups: &[&str], namespace: &str| {
            let user =
                User { name: user.into(), groups: groups.iter().map(|g| (*g).into()).collect(), ..User::default() };
            let found = index.naming(&user, namespace);
            found.iter().map(|b| skep_api::meta::name(b).to_owned()).collect::<Vec<_>>().join(",")
        };
        assert_eq!(names("eve", &["ops"], "ns"), "a");
        assert_eq!(names("bob", &["ops", "eve"], "ns"), "a,d");
        assert_eq!(names("system:serviceaccount:ns:web", &[], "ns"), "b");
        assert_eq!(names("system:serviceaccount:other:web", &[], "ns"), "c");
        assert_eq!(names("eve", &["ops"], "elsewhere"), "");
    }
}
