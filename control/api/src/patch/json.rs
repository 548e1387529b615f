//! JSON patch (RFC 6902) as upstream's library reads it; from [`super`]; to it; pure.

use json_patch::{AddOperation, PatchOperation};
use serde_json::Value;

use super::PatchError;
use crate::decode;

/// More operations are refused.
const MAX_OPERATIONS: usize = 10_000;

/// What all `copy` operations together may add, in bytes; without a limit, a few copies could grow an object without end.
const MAX_COPIED_BYTES: usize = 3 * 1024 * 1024;

const FIELDS: [&str; 4] = ["op", "path", "from", "value"];

pub(super) fn apply(patch: &[u8], current: &Value, strict: &mut Vec<String>) -> Result<Value, PatchError> {
    let bad = |why: &str| PatchError::BadRequest(format!("error decoding patch: {why}"));
    let (patch, duplicates) = decode::json_with_duplicates(patch).map_err(|why| bad(&why))?;
    strict.extend(duplicates.into_iter().map(|d| format!("json patch {d}")));
    let operations = match patch {
        Value::Array(operations) => operations,
        Value::Null => Vec::new(),
        Value::Object(_) => return Err(bad(&no_list("object"))),
        Value::String(_) => return Err(bad(&no_list("string"))),
        Value::Bool(_) => return Err(bad(&no_list("bool"))),
        Value::Number(_) => return Err(bad(&no_list("number"))),
    };
    if operations.len() > MAX_OPERATIONS {
        let words =
            format!("The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}", operations.len());
        return Err(PatchError::TooLarge(words));
    }
    let mut patched = current.clone();
    let mut copied_bytes = 0;
    for (index, operation) in operations.into_iter().enumerate() {
        if let Value::Object(map) = &operation {
            let unknown = map.keys().filter(|k| !FIELDS.contains(&k.as_str()));
            strict.extend(unknown.map(|k| format!("json patch unknown field \"[{index}].{k}\"")));
        }
        let operation: PatchOperation =
            serde_json::from_value(operation).map_err(|e| PatchError::Rejected(e.to_string()))?;
        if let PatchOperation::Copy(copy) = &operation {
            copied_bytes += copy.from.resolve(&patched).map_or(0, |v| v.to_string().len());
            if copied_bytes > MAX_COPIED_BYTES {
                return Err(PatchError::Rejected("the operations copy too much".to_owned()));
            }
        }
        let operation = replace_or_add(operation, &patched);
        json_patch::patch_unsafe(&mut patched, &[operation]).map_err(|e| PatchError::Rejected(e.to_string()))?;
    }
    Ok(patched)
}

fn no_list(found: &str) -> String {
    format!("json: cannot unmarshal {found} into Go value of type []handlers.jsonPatchOp")
}

/// Upstream lets `replace` add a missing key of an object.
fn replace_or_add(operation: PatchOperation, object: &Value) -> PatchOperation {
    let PatchOperation::Replace(replace) = operation else { return operation };
    let parent = replace.path.parent().and_then(|p| p.resolve(object).ok());
    if replace.path.resolve(object).is_err() && parent.is_some_and(Value::is_object) {
        PatchOperation::Add(AddOperation { path: replace.path, value: replace.value })
    } else {
        PatchOperation::Replace(replace)
    }
}
