//! Words of field errors; pure.

use serde_json::json;

use super::*;

#[test]
fn words_are_those_of_upstream() {
    let path = Path::new("spec").child("containers").index(0).child("image");
    assert_eq!(FieldError::required(&path, "").to_string(), "spec.containers[0].image: Required value");
    let invalid = FieldError::invalid(&Path::new("a"), &json!("x"), "bad");
    assert_eq!(invalid.to_string(), "a: Invalid value: \"x\": bad");
    let unsupported = FieldError::not_supported(&Path::new("dryRun"), &json!(["x"]), &["All"]);
    assert_eq!(unsupported.to_string(), "dryRun: Unsupported value: [\"x\"]: supported values: \"All\"");
    assert_eq!(unsupported.cause()["reason"], "FieldValueNotSupported");
}

#[test]
fn several_errors_are_listed_once_each() {
    let error = FieldError::required(&Path::new("a"), "");
    let invalid = Invalid {
        group: "apps".into(),
        kind: "Deployment".into(),
        name: "d".into(),
        errors: vec![error.clone(), error, FieldError::forbidden(&Path::new("b"), "no")],
    };
    assert_eq!(invalid.to_string(), "Deployment.apps \"d\" is invalid: [a: Required value, b: Forbidden: no]");
    assert_eq!(invalid.details()["causes"].as_array().map(Vec::len), Some(3));
}

#[test]
fn go_formats() {
    assert_eq!(go_format(&json!({"b": [1, "x"], "a": null})), "map[a:<nil> b:[1 x]]");
    assert_eq!(go_quote("a\"b\n\u{1}"), "\"a\\\"b\\n\\x01\"");
}
