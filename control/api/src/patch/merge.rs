//! JSON merge patch (RFC 7396); from [`super`]; to it; pure.

use serde_json::Value;

use super::PatchError;

pub(super) fn apply(patch: &[u8], current: &Value, strict: &mut Vec<String>) -> Result<Value, PatchError> {
    let patch =
        super::parse(patch, strict).map_err(|why| PatchError::BadRequest(format!("error decoding patch: {why}")))?;
    let mut patched = current.clone();
    json_patch::merge(&mut patched, &patch);
    Ok(patched)
}
