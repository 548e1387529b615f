//! The environment of a container: `envFrom`, `env`, service links, in upstream's order; from the spec and the objects it
//! refers to; to [`container_config`](super::container_config). Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource, Pod};

use super::expansion::expand;
use super::field_path::{self, FieldError, Surroundings};
use crate::objects::{ObjectData, ObjectKey, ObjectKind};
use crate::pod;

/// Objects that a spec refers to; absent ones are absent.
pub type Referred = BTreeMap<ObjectKey, Arc<ObjectData>>;

/// Why the environment cannot be made. The texts appear in the container's status.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EnvironmentError {
    /// A ConfigMap or Secret is absent and not optional.
    #[error("{kind} \"{name}\" not found")]
    NotFound {
        /// Resource of the object, singular, lowercase.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// The object has no such key.
    #[error("couldn't find key {key} in {kind} {namespace}/{name}")]
    NoKey {
        /// The key.
        key: String,
        /// Kind of the object.
        kind: &'static str,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A field or resource reference has no value.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// A reference this kubelet does not know.
    #[error(
        "environment variable {0}: the source of its value is not supported (use value, configMapKeyRef, secretKeyRef, fieldRef or resourceFieldRef)"
    )]
    Source(String),
}

/// The objects that the environment of a container is made of.
pub fn references(pod: &Pod, container: &Container) -> Vec<ObjectKey> {
    let namespace = pod::namespace(pod);
    let mut keys = Vec::new();
    let mut add = |kind, name: &str| keys.push(ObjectKey::new(kind, namespace, name));
    for source in container.env_from.iter().flatten() {
        if let Some(reference) = &source.config_map_ref {
            add(ObjectKind::ConfigMap, &reference.name);
        }
        if let Some(reference) = &source.secret_ref {
            add(ObjectKind::Secret, &reference.name);
        }
    }
    for source in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
        if let Some(reference) = &source.config_map_key_ref {
            add(ObjectKind::ConfigMap, &reference.name);
        }
        if let Some(reference) = &source.secret_key_ref {
            add(ObjectKind::Secret, &reference.name);
        }
    }
    keys
}

/// Name and value of every variable, in order, names unique.
///
/// # Errors
/// Something referred to is absent.
pub fn environment(
    pod: &Pod,
    container: &Container,
    referred: &Referred,
    links: &BTreeMap<String, String>,
    surroundings: &Surroundings,
) -> Result<Vec<(String, String)>, EnvironmentError> {
    let mut list = Variables::default();
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        let (kind, name, optional) = match (&source.config_map_ref, &source.secret_ref) {
            (Some(reference), _) => (ObjectKind::ConfigMap, &reference.name, reference.optional),
            (None, Some(reference)) => (ObjectKind::Secret, &reference.name, reference.optional),
            (None, None) => continue,
        };
        let key = ObjectKey::new(kind, pod::namespace(pod), name);
        match referred.get(&key) {
            Some(object) => {
                for (name, value) in object.values.iter() {
                    list.set(format!("{prefix}{name}"), String::from_utf8_lossy(value).into_owned());
                }
            }
            None if optional == Some(true) => {}
            None => return Err(EnvironmentError::NotFound { kind: kind.singular(), name: name.clone() }),
        }
    }
    for variable in container.env.iter().flatten() {
        if let Some(value) = value(pod, container, variable, referred, links, surroundings, &list)? {
            list.set(variable.name.clone(), value);
        }
    }
    for (name, value) in links {
        if list.get(name).is_none() {
            list.set(name.clone(), value.clone());
        }
    }
    Ok(list.order)
}

fn value(
    pod: &Pod,
    container: &Container,
    variable: &EnvVar,
    referred: &Referred,
    links: &BTreeMap<String, String>,
    surroundings: &Surroundings,
    earlier: &Variables,
) -> Result<Option<String>, EnvironmentError> {
    if let Some(text) = variable.value.as_deref().filter(|text| !text.is_empty()) {
        let lookup = |name: &str| earlier.get(name).or_else(|| links.get(name).map(String::as_str));
        return Ok(Some(expand(text, lookup)));
    }
    let Some(source) = &variable.value_from else { return Ok(Some(String::new())) };
    if let Some(reference) = &source.field_ref {
        return Ok(Some(field_path::field(pod, &reference.field_path, surroundings)?));
    }
    if let Some(reference) = &source.resource_field_ref {
        return Ok(Some(field_path::resource(pod, container, reference, surroundings)?));
    }
    let (kind, name, key, optional) = match source {
        EnvVarSource { config_map_key_ref: Some(reference), .. } => {
            (ObjectKind::ConfigMap, &reference.name, &reference.key, reference.optional)
        }
        EnvVarSource { secret_key_ref: Some(reference), .. } => {
            (ObjectKind::Secret, &reference.name, &reference.key, reference.optional)
        }
        _ => return Err(EnvironmentError::Source(variable.name.clone())),
    };
    let optional = optional == Some(true);
    let namespace = pod::namespace(pod);
    let Some(object) = referred.get(&ObjectKey::new(kind, namespace, name)) else {
        let missing = EnvironmentError::NotFound { kind: kind.singular(), name: name.clone() };
        return if optional { Ok(None) } else { Err(missing) };
    };
    match object.values.get(key) {
        Some(value) => Ok(Some(String::from_utf8_lossy(value).into_owned())),
        None if optional => Ok(None),
        None => Err(EnvironmentError::NoKey {
            key: key.clone(),
            kind: kind.name(),
            namespace: namespace.to_owned(),
            name: name.clone(),
        }),
    }
}

/// Variables in order of their first appearance.
#[derive(Default)]
struct Variables {
    order: Vec<(String, String)>,
}

impl Variables {
    fn get(&self, name: &str) -> Option<&str> {
        self.order.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn set(&mut self, name: String, value: String) {
        match self.order.iter_mut().find(|(known, _)| *known == name) {
            Some(entry) => entry.1 = value,
            None => self.order.push((name, value)),
        }
    }
}

#[cfg(test)]
mod tests;
