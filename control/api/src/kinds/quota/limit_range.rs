//! `LimitRange`: its defaults follow from one another, and must not contradict; pure.

use super::*;

#[derive(Debug)]
pub(in crate::kinds) struct LimitRange;

impl Strategy for LimitRange {
    fn defaults(&self, object: &mut Value) {
        object_at(meta::as_map_mut(object), "spec", |spec| {
            each(spec, "limits", |limit| {
                if limit.get("type").and_then(Value::as_str) == Some("Container") {
                    fill(limit, "default", "max");
                    fill(limit, "defaultRequest", "default");
                    fill(limit, "defaultRequest", "min");
                }
            });
        });
    }

    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let path = Path::new("spec").child("limits");
        let mut seen: Vec<&str> = Vec::new();
        for (index, limit) in items(&object["spec"], "limits").iter().enumerate() {
            let at = path.index(index);
            let kind = text(limit, "type").unwrap_or_default();
            limit_type(kind, &at.child("type"), &mut errors);
            if seen.contains(&kind) {
                errors.push(FieldError::duplicate(&at.child("type"), &Value::from(kind)));
            }
            seen.push(kind);
            check_item(limit, kind, &at, &mut errors);
        }
        errors
    }
}

/// Takes over what `from` has and `field` lacks.
fn fill(limit: &mut Map<String, Value>, field: &str, from: &str) {
    let Some(Value::Object(source)) = limit.get(from).cloned() else { return };
    if source.is_empty() {
        return;
    }
    let target = meta::as_map_mut(limit.entry(field).or_insert(Value::Null));
    for (resource, amount) in source {
        target.entry(resource).or_insert(amount);
    }
}

fn limit_type(kind: &str, path: &Path, errors: &mut Errors) {
    let broken = name::qualified_name(kind);
    if broken.is_empty() {
        if !kind.contains('/') && !["Pod", "Container", "PersistentVolumeClaim"].contains(&kind) {
            errors.push(FieldError::invalid_text(path, kind, "must be a standard limit type or fully qualified"));
        }
    } else {
        words(path, kind, broken, errors);
    }
}

fn check_item(limit: &Value, kind: &str, path: &Path, errors: &mut Errors) {
    const FIELDS: [&str; 5] = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"];
    let used = FIELDS.map(|field| quantities(limit, field));
    for (field, amounts) in FIELDS.iter().zip(&used) {
        let forbidden = kind == "Pod" && matches!(*field, "default" | "defaultRequest") && !amounts.is_empty();
        if forbidden {
            errors.push(FieldError::forbidden(&path.child(field), "may not be specified when `type` is 'Pod'"));
            continue;
        }
        for resource in amounts.keys() {
            item_resource(kind, resource, &path.child(field).key(resource), errors);
        }
    }
    let [max, min, default, request, ratio] = used;
    if kind == "PersistentVolumeClaim" && !max.contains_key("storage") && !min.contains_key("storage") {
        let detail = "either minimum or maximum storage value is required, but neither was provided";
        errors.push(FieldError::required(&path.child("limits"), detail));
    }
    let names: std::collections::BTreeSet<&String> =
        [&max, &min, &default, &request, &ratio].into_iter().flat_map(BTreeMap::keys).collect();
    for resource in names {
        let amount = |map: &BTreeMap<String, Quantity>| map.get(resource).copied();
        let amounts = Amounts {
            max: amount(&max),
            min: amount(&min),
            default: amount(&default),
            request: amount(&request),
            ratio: amount(&ratio),
        };
        amounts.check(resource, path, errors);
    }
}

fn item_resource(kind: &str, resource: &str, path: &Path, errors: &mut Errors) {
    if matches!(kind, "Pod" | "Container") {
        let broken = name::qualified_name(resource);
        if !broken.is_empty() {
            words(path, resource, broken, errors);
        } else if !resource.contains('/')
            && !["cpu", "memory", "ephemeral-storage"].contains(&resource)
            && !is_huge_pages(resource)
        {
            errors.push(FieldError::invalid_text(path, resource, "must be a standard resource for containers"));
        }
    } else {
        resource_name(resource, path, errors);
    }
}

/// The amounts of one resource in one item.
struct Amounts {
    max: Option<Quantity>,
    min: Option<Quantity>,
    default: Option<Quantity>,
    request: Option<Quantity>,
    ratio: Option<Quantity>,
}

impl Amounts {
    fn check(&self, resource: &str, path: &Path, errors: &mut Errors) {
        let mut complain = |field: &str, shown: Quantity, detail: String| {
            let at = path.child(field).key(resource);
            errors.push(FieldError::invalid_shown(&at, go_quote(&shown.to_string()), detail));
        };
        if let (Some(min), Some(max)) = (self.min, self.max)
            && min > max
        {
            complain("min", min, format!("min value {min} is greater than max value {max}"));
        }
        if let (Some(request), Some(min)) = (self.request, self.min)
            && min > request
        {
            let detail = format!("min value {min} is greater than default request value {request}");
            complain("defaultRequest", request, detail);
        }
        if let (Some(request), Some(max)) = (self.request, self.max)
            && request > max
        {
            let detail = format!("default request value {request} is greater than max value {max}");
            complain("defaultRequest", request, detail);
        }
        if let (Some(request), Some(default)) = (self.request, self.default)
            && request > default
        {
            let detail = format!("default request value {request} is greater than default limit value {default}");
            complain("defaultRequest", request, detail);
        }
        if let (Some(default), Some(min)) = (self.default, self.min)
            && min > default
        {
            complain("default", min, format!("min value {min} is greater than default value {default}"));
        }
        if let (Some(default), Some(max)) = (self.default, self.max)
            && default > max
        {
            complain("default", max, format!("default value {default} is greater than max value {max}"));
        }
        if let Some(ratio) = self.ratio
            && ratio.milli_value() < 1000
        {
            complain("maxLimitRequestRatio", ratio, format!("ratio {ratio} is less than 1"));
        }
    }
}
