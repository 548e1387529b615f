//! TokenReview: whose token is this? From [`super`]; to the tokens. Pure over the caches.

use std::sync::Arc;

use serde_json::{Value, json};

use super::user_info;
use crate::api::Api;
use crate::status::ApiError;

/// Fills in `status`.
///
/// # Errors
/// 400 without a token.
pub fn answer(api: &Arc<Api>, review: &mut Value) -> Result<(), ApiError> {
    let token = review.pointer("/spec/token").and_then(Value::as_str).unwrap_or_default();
    if token.is_empty() {
        return Err(ApiError::bad_request("token is required for TokenReview in authentication"));
    }
    let asked: Vec<String> = review
        .pointer("/spec/audiences")
        .and_then(Value::as_array)
        .map(|list| list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        .unwrap_or_default();
    let audiences = if asked.is_empty() { api.tokens.audiences().to_vec() } else { asked };
    let status = match api.tokens.check(token, &audiences, &api.registry) {
        Ok((user, shared)) => json!({"authenticated": true, "user": user_info(&user), "audiences": shared}),
        Err(error) => {
            json!({"authenticated": false, "user": {}, "error": format!("[invalid bearer token, {error}]")})
        }
    };
    review["status"] = status;
    Ok(())
}
