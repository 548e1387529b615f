//! The files of configMap, secret, downwardAPI and projected volumes; from specs and objects; to
//! [`atomic_writer`](super::atomic_writer). Reads the API.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, DownwardAPIVolumeFile, KeyToPath, Pod, Volume, VolumeProjection};

use super::VolumeError;
use super::atomic_writer::{File, Files};
use super::token::Tokens;
use crate::objects::{ObjectKey, ObjectKind, Objects};
use crate::pod;
use crate::spec::field_path::{self, Surroundings};

/// Mode of files unless the volume says otherwise.
const DEFAULT_MODE: u32 = 0o644;

fn mode(own: Option<i32>, default: Option<i32>) -> u32 {
    own.or(default).and_then(|mode| u32::try_from(mode).ok()).map_or(DEFAULT_MODE, |mode| mode & 0o777)
}

struct Sources<'a> {
    pod: &'a Pod,
    objects: &'a Objects,
    tokens: &'a Tokens,
    surroundings: &'a Surroundings,
}

/// The files of a volume.
///
/// # Errors
/// Something that the volume needs is absent.
pub async fn payload(
    pod: &Pod,
    volume: &Volume,
    objects: &Objects,
    tokens: &Tokens,
    surroundings: &Surroundings,
) -> Result<Files, VolumeError> {
    let sources = Sources { pod, objects, tokens, surroundings };
    if let Some(source) = &volume.config_map {
        let optional = source.optional.unwrap_or(false);
        return sources
            .object(ObjectKind::ConfigMap, &source.name, source.items.as_deref(), source.default_mode, optional)
            .await;
    }
    if let Some(source) = &volume.secret {
        let name = source.secret_name.as_deref().unwrap_or_default();
        let optional = source.optional.unwrap_or(false);
        return sources.object(ObjectKind::Secret, name, source.items.as_deref(), source.default_mode, optional).await;
    }
    if let Some(source) = &volume.downward_api {
        return sources.downward(source.items.as_deref().unwrap_or_default(), source.default_mode);
    }
    let source = volume.projected.clone().unwrap_or_default();
    let mut files = Files::new();
    for projection in source.sources.iter().flatten() {
        files.extend(sources.projection(projection, source.default_mode).await?);
    }
    Ok(files)
}

impl Sources<'_> {
    async fn projection(&self, source: &VolumeProjection, default: Option<i32>) -> Result<Files, VolumeError> {
        if let Some(source) = &source.config_map {
            let optional = source.optional.unwrap_or(false);
            return self.object(ObjectKind::ConfigMap, &source.name, source.items.as_deref(), default, optional).await;
        }
        if let Some(source) = &source.secret {
            let optional = source.optional.unwrap_or(false);
            return self.object(ObjectKind::Secret, &source.name, source.items.as_deref(), default, optional).await;
        }
        if let Some(source) = &source.downward_api {
            return self.downward(source.items.as_deref().unwrap_or_default(), default);
        }
        if let Some(source) = &source.service_account_token {
            let bytes = self.tokens.get(self.pod, source).await?.into_bytes();
            let context = pod::spec(self.pod).security_context.clone().unwrap_or_default();
            // A group that owns the volume reads the token by its group rights.
            let mode = if context.fs_group.is_some() { 0o600 } else { mode(None, default) };
            return Ok([(source.path.clone(), File { bytes, mode })].into());
        }
        Err(VolumeError::Unsupported("projected (only configMap, secret, downwardAPI and serviceAccountToken)"))
    }

    async fn object(
        &self,
        kind: ObjectKind,
        name: &str,
        items: Option<&[KeyToPath]>,
        default: Option<i32>,
        optional: bool,
    ) -> Result<Files, VolumeError> {
        let key = ObjectKey::new(kind, pod::namespace(self.pod), name);
        let Some(object) = self.objects.get(&key, pod::uid(self.pod)).await? else {
            let missing = VolumeError::NotFound { kind: kind.singular(), name: name.to_owned() };
            return if optional { Ok(Files::new()) } else { Err(missing) };
        };
        select(kind, &object.values, items.unwrap_or_default(), default, optional)
    }

    fn downward(&self, items: &[DownwardAPIVolumeFile], default: Option<i32>) -> Result<Files, VolumeError> {
        let mut files = Files::new();
        for item in items {
            let value = if let Some(reference) = &item.field_ref {
                field_path::field(self.pod, &reference.field_path, self.surroundings)?
            } else if let Some(reference) = &item.resource_field_ref {
                field_path::resource(self.pod, &Container::default(), reference, self.surroundings)?
            } else {
                continue;
            };
            files.insert(item.path.clone(), File { bytes: value.into_bytes(), mode: mode(item.mode, default) });
        }
        Ok(files)
    }
}

/// All values as files, or the named ones.
fn select(
    kind: ObjectKind,
    values: &BTreeMap<String, Vec<u8>>,
    items: &[KeyToPath],
    default: Option<i32>,
    optional: bool,
) -> Result<Files, VolumeError> {
    if items.is_empty() {
        let file = |bytes: &Vec<u8>| File { bytes: bytes.clone(), mode: mode(None, default) };
        return Ok(values.iter().map(|(key, bytes)| (key.clone(), file(bytes))).collect());
    }
    let mut files = Files::new();
    for item in items {
        match values.get(&item.key) {
            Some(bytes) => {
                files.insert(item.path.clone(), File { bytes: bytes.clone(), mode: mode(item.mode, default) });
            }
            None if optional => {}
            None => {
                let kind = if kind == ObjectKind::Secret { "secret" } else { "config" };
                return Err(VolumeError::NoKey { kind, key: item.key.clone() });
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selects_keys_and_modes() {
        let values = [("a".to_owned(), b"1".to_vec()), ("b".to_owned(), b"2".to_vec())].into();
        let all = select(ObjectKind::ConfigMap, &values, &[], Some(0o400), false).unwrap();
        assert_eq!((all.len(), all["a"].mode), (2, 0o400));
        let item = KeyToPath { key: "a".into(), path: "d/x".into(), mode: Some(0o600) };
        let some = select(ObjectKind::ConfigMap, &values, std::slice::from_ref(&item), None, false).unwrap();
        assert_eq!((some.len(), some["d/x"].mode), (1, 0o600));
        let gone = KeyToPath { key: "z".into(), ..item };
        let error = select(ObjectKind::Secret, &values, std::slice::from_ref(&gone), None, false).unwrap_err();
        assert_eq!(error.to_string(), "references non-existent secret key: z");
        assert!(select(ObjectKind::Secret, &values, &[gone], None, true).unwrap().is_empty());
    }
}
