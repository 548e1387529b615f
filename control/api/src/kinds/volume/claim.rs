//! `PersistentVolumeClaim`; pure.

use super::*;

#[derive(Debug)]
pub(in crate::kinds) struct PersistentVolumeClaim;

impl Strategy for PersistentVolumeClaim {
    fn defaults(&self, value: &mut Value) {
        let map = meta::as_map_mut(value);
        absent_texts(object(map, "status"), &[("phase", "Pending")]);
        let spec = object(map, "spec");
        absent(spec, "volumeMode", "Filesystem");
        // Each of the two says the same for the kinds both can name.
        for (from, to) in [("dataSource", "dataSourceRef"), ("dataSourceRef", "dataSource")] {
            let source = spec.get(from).filter(|source| source.is_object()).cloned();
            let copied = source.filter(|source| from == "dataSource" || is_local(source));
            if let Some(source) = copied {
                absent(spec, to, source);
            }
        }
    }

    fn prepare_for_create(&self, value: &mut Value) {
        meta::as_map_mut(value).insert("status".to_owned(), json!({"phase": "Pending"}));
    }

    fn has_status(&self) -> bool {
        true
    }

    fn validate_create(&self, value: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let (spec, path) = (&value["spec"], Path::new("spec"));
        access_modes(spec, &path, "at least 1 access mode is required", &mut errors);
        let at = path.child("resources").key("storage");
        match quantity(&spec["resources"]["requests"]["storage"]) {
            None => errors.push(FieldError::required(&at, "")),
            Some(size) if size.signum() <= 0 => {
                let shown = go_quote(&size.to_string());
                errors.push(FieldError::invalid_shown(&at, shown, "must be greater than zero"));
            }
            Some(_) => {}
        }
        for field in ["storageClassName", "volumeAttributesClassName"] {
            if let Some(class) = text(spec, field).filter(|class| !class.is_empty()) {
                words(&path.child(field), class, name::dns_subdomain(class, false), &mut errors);
            }
        }
        one_of(spec, "volumeMode", &["Block", "Filesystem"], true, &path, &mut errors);
        errors
    }

    fn validate_update(&self, part: Part<'_>, new: &Value, old: &Value) -> Vec<FieldError> {
        if part == Part::Status {
            return Vec::new();
        }
        let mut errors = self.validate_create(new);
        kept(new, old, &mut errors);
        errors
    }
}

/// References to objects of the same namespace fit into the older field, too.
fn is_local(source: &Value) -> bool {
    text(source, "namespace").unwrap_or_default().is_empty()
}

/// A claim's spec stays, except that it may be bound, may grow once bound, and may change its attributes class.
fn kept(new: &Value, old: &Value, errors: &mut Errors) {
    let (spec, was) = (&new["spec"], &old["spec"]);
    let bound = text(&old["status"], "phase") == Some("Bound");
    let mut comparable = spec.clone();
    if text(was, "volumeName").unwrap_or_default().is_empty() {
        comparable["volumeName"] = was["volumeName"].clone();
    }
    if was["storageClassName"].is_null() && !spec["storageClassName"].is_null() && !bound {
        comparable["storageClassName"] = Value::Null;
    }
    if bound {
        comparable["resources"]["requests"] = was["resources"]["requests"].clone();
        comparable["volumeAttributesClassName"] = was["volumeAttributesClassName"].clone();
    }
    let (now, before) = (shown_spec(&comparable), shown_spec(was));
    if now != before {
        let words =
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        errors.push(FieldError::forbidden(&Path::new("spec"), format!("{words}\n{}", unified(&before, &now))));
        return;
    }
    let size = |value: &Value| quantity(&value["resources"]["requests"]["storage"]);
    let capacity = quantity(&old["status"]["capacity"]["storage"]);
    if let (Some(after), Some(before)) = (size(spec), size(was))
        && after < before
        && capacity.is_none_or(|capacity| after <= capacity)
    {
        let at = Path::new("spec").child("resources").child("requests").child("storage");
        errors.push(FieldError::forbidden(&at, "field can not be less than status.capacity"));
    }
}

/// The spec as upstream prints its struct.
fn shown_spec(spec: &Value) -> GoValue {
    go_struct::of_type("io.k8s.api.core.v1.PersistentVolumeClaimSpec", spec)
}
