//! Times of a certificate request's conditions, which clients leave out. From [`super::before_update`]; pure.

use serde_json::{Map, Value, json};

/// Sets the times that are missing: of the last change of status kept from the same condition with the same status, else now.
pub(super) fn condition_times(new: &mut Value, old: &Value, now: &str) {
    let before = old.pointer("/status/conditions").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let conditions = new.pointer_mut("/status/conditions").and_then(Value::as_array_mut).into_iter().flatten();
    for condition in conditions.filter_map(Value::as_object_mut) {
        let is_missing = |condition: &Map<String, Value>, field: &str| condition.get(field).is_none_or(Value::is_null);
        if is_missing(condition, "lastTransitionTime") {
            let is_same = |old: &&Value| ["type", "status"].iter().all(|field| old.get(field) == condition.get(*field));
            let kept = before.iter().find(is_same).and_then(|old| old.get("lastTransitionTime")).cloned();
            condition.insert("lastTransitionTime".to_owned(), kept.unwrap_or_else(|| json!(now)));
        }
        if is_missing(condition, "lastUpdateTime") {
            condition.insert("lastUpdateTime".to_owned(), json!(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_that_stays_keeps_its_time() {
        let old =
            json!({"status": {"conditions": [{"type": "Approved", "status": "True", "lastTransitionTime": "then"}]}});
        let mut new = json!({"status": {"conditions": [
            {"type": "Approved", "status": "True", "lastTransitionTime": null, "lastUpdateTime": "later"},
            {"type": "Failed", "status": "True"}]}});
        condition_times(&mut new, &old, "now");
        let times = |index: usize| {
            let condition = &new["status"]["conditions"][index];
            (condition["lastTransitionTime"].clone(), condition["lastUpdateTime"].clone())
        };
        assert_eq!(times(0), (json!("then"), json!("later")));
        assert_eq!(times(1), (json!("now"), json!("now")));
    }
}
