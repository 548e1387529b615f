//! Bodies to objects: forms, words of errors, canonical values; pure.

use serde_json::json;

use super::*;
use crate::kinds::builtin;

fn kind(group: &str, version: &str, name: &str) -> &'static Kind {
    builtin().by_kind(group, version, name).expect("in the table")
}

fn config_map(body: &str, validation: FieldValidation) -> Result<Decoded, DecodeError> {
    decode(body.as_bytes(), MediaType::Json, kind("", "v1", "ConfigMap"), validation)
}

fn refused(body: &str) -> String {
    config_map(body, FieldValidation::Strict).expect_err("refused").to_string()
}

#[test]
fn a_body_without_kind_is_taken_for_the_one_wanted() {
    let decoded = config_map(r#"{"metadata": {"name": "a"}}"#, FieldValidation::Strict).expect("valid");
    assert_eq!(decoded.object, json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}));
}

#[test]
fn unknown_and_duplicate_fields() {
    let prefix = "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: ";
    assert_eq!(
        refused(r#"{"metadata": {"name": "x", "foo": {"bar": 1}}}"#),
        format!("{prefix}unknown field \"metadata.foo\"")
    );
    let twice = r#"{"metadata":{"name":"d1"},"data":{"a":"1","a":"2"},"data":{"b":"3"}}"#;
    assert_eq!(refused(twice), format!("{prefix}duplicate field \"data.a\", duplicate field \"data\""));
    let warned = config_map(twice, FieldValidation::Warn).expect("only warned");
    assert_eq!(warned.object["data"], json!({"a": "2", "b": "3"}));
    assert_eq!(warned.warnings, ["duplicate field \"data.a\"", "duplicate field \"data\""]);
    assert!(config_map(twice, FieldValidation::Ignore).expect("ignored").warnings.is_empty());
}

#[test]
fn unknown_fields_are_named_in_order_of_the_body() {
    let body = r#"{"spec": {"template": {"spec": {"containers": [{"name": "c", "Image": "j", "imagePullPolcy": "x"}], "image": "x"}}}}"#;
    let decoded = decode(body.as_bytes(), MediaType::Json, kind("apps", "v1", "Deployment"), FieldValidation::Warn)
        .expect("warned");
    let at = "spec.template.spec";
    let expected = [
        format!("unknown field \"{at}.containers[0].Image\""),
        format!("unknown field \"{at}.containers[0].imagePullPolcy\""),
        format!("unknown field \"{at}.image\""),
    ];
    assert_eq!(decoded.warnings, expected);
}

#[test]
fn wrong_types() {
    let prefix = "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal ";
    let name = r#"{"metadata": {"name": true}}"#;
    assert_eq!(refused(name), format!("{prefix}bool into Go struct field ObjectMeta.metadata.name of type string"));
    assert_eq!(
        refused(r#"{"data": {"a": 1}}"#),
        format!("{prefix}number into Go struct field ConfigMap.data of type string")
    );
    assert_eq!(
        refused(r#"{"data": ["a"]}"#),
        format!("{prefix}array into Go struct field ConfigMap.data of type map[string]string")
    );
    let body = br#"{"spec": {"replicas": "3", "template": {"spec": {"containers": [{"image": 1}]}}}}"#;
    let error =
        decode(body, MediaType::Json, kind("apps", "v1", "Deployment"), FieldValidation::Warn).expect_err("wrong");
    assert!(
        error
            .0
            .ends_with("json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"),
        "{error}"
    );
}

#[test]
fn bodies_that_are_no_object() {
    let prefix = "the object provided is unrecognized (must be of type ConfigMap): ";
    let parse = format!("{prefix}couldn't get version/kind; json parse error: ");
    assert_eq!(refused(""), format!("{parse}unexpected end of JSON input (<empty>)"));
    assert_eq!(refused("{\"a\":"), format!("{parse}unexpected end of JSON input ({{\"a\":)"));
    assert!(
        refused("[]")
            .starts_with(&format!("{parse}json: cannot unmarshal array into Go value of type struct {{ APIVersion"))
    );
    assert!(refused("[]").ends_with("(5b5d)"));
    assert_eq!(refused("{\"a\" 1}"), format!("{parse}invalid character '1' after object key ({{\"a\" 1}})"));
    let three = "{\"apiVersion\": \"a/b/c\", \"kind\": \"ConfigMap\"}";
    assert_eq!(
        refused(three),
        format!("{prefix}unexpected GroupVersion string: a/b/c ({{\"apiVersion\": \"a/b/c\", \"kind\" ...)")
    );
}

#[test]
fn bodies_of_other_kinds() {
    let cannot = "cannot be handled as a ConfigMap: ";
    let body = |api: &str, kind: &str| format!("{{\"apiVersion\": \"{api}\", \"kind\": \"{kind}\"}}");
    assert_eq!(
        refused(&body("v1", "Secret")),
        format!("Secret in version \"v1\" {cannot}converting (v1.Secret) to (core.ConfigMap): unknown conversion")
    );
    assert_eq!(
        refused(&body("v2", "ConfigMap")),
        format!(
            "ConfigMap in version \"v2\" {cannot}no kind \"ConfigMap\" is registered for version \"v2\" in scheme \"pkg/api/legacyscheme/scheme.go:30\""
        )
    );
    assert!(refused(&body("apps/v1", "Deployment")).contains("converting (v1.Deployment) to (core.ConfigMap)"));
}

#[test]
fn options_and_evictions_come_in_several_versions() {
    let options = |body: &str| {
        let schema = crate::schema::meta("DeleteOptions");
        let body = body.as_bytes();
        decode_as(body, MediaType::Json, schema.get(), "meta.k8s.io", "v1", "DeleteOptions", FieldValidation::Ignore)
    };
    for body in
        ["{}", r#"{"kind":"DeleteOptions","apiVersion":"v1"}"#, r#"{"kind":"DeleteOptions","apiVersion":"apps/v1"}"#]
    {
        assert!(options(body).is_ok(), "{body}");
    }
    assert!(options(r#"{"kind":"Pod","apiVersion":"v1"}"#).is_err());
    let schema = crate::schema::of_kind("policy", "v1", "Eviction");
    let body = br#"{"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": "p"}}"#;
    let eviction = decode_as(body, MediaType::Json, schema.get(), "policy", "v1", "Eviction", FieldValidation::Strict);
    assert!(eviction.is_ok());
}

#[test]
fn yaml_is_that_of_upstream() {
    let yaml = |text: &str, v| decode(text.as_bytes(), MediaType::Yaml, kind("", "v1", "ConfigMap"), v);
    let name = yaml("kind: ConfigMap\napiVersion: v1\nmetadata: {name: y}\n", FieldValidation::Ignore)
        .expect_err("y is a truth value");
    assert!(
        name.0.ends_with("json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.name of type string"),
        "{name}"
    );
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: d2}\ndata: {a: \"1\"}\ndata: {b: \"2\"}\nwhat: 1\n";
    let error = yaml(text, FieldValidation::Strict).expect_err("duplicate");
    let expected = "strict decoding error: yaml: unmarshal errors:\n  line 5: key \"data\" already set in map, unknown field \"what\"";
    assert!(error.0.ends_with(expected), "{error}");
    assert_eq!(yaml(text, FieldValidation::Warn).expect("warned").object["data"], json!({"b": "2"}));
}

#[test]
fn malformed_yaml_has_the_words_of_upstream() {
    let error =
        decode(b"a: b: c", MediaType::Yaml, kind("", "v1", "ConfigMap"), FieldValidation::Warn).expect_err("malformed");
    let words = "the object provided is unrecognized (must be of type ConfigMap): yaml: mapping values are not allowed in this context (613a20623a2063)";
    assert_eq!(error.0, words);
}

#[test]
fn yaml_bombs_are_refused() {
    let mut text = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (next, last) in ["b", "c", "d", "e", "f", "g", "h", "i"].iter().zip(["a", "b", "c", "d", "e", "f", "g", "h"]) {
        let line = format!("{next}: &{next} [{}]\n", vec![format!("*{last}"); 10].join(", "));
        text.push_str(&line);
    }
    assert!(yaml_to_value(&text).is_err());
}

#[test]
fn values_become_canonical() {
    let body = r#"{"metadata": {"name": "p", "creationTimestamp": null, "deletionTimestamp": "2026-01-02T05:04:05.5+02:00"},
        "spec": {"hostNetwork": false, "nodeSelector": null, "containers": [{"name": "c", "command": [null],
            "resources": {"limits": {"cpu": 0.5, "memory": "1024Ki"}}, "ports": [{"containerPort": 80, "hostPort": 0}],
            "livenessProbe": {"httpGet": {"port": "http"}}}]}}"#;
    let decoded =
        decode(body.as_bytes(), MediaType::Json, kind("", "v1", "Pod"), FieldValidation::Strict).expect("valid");
    let object = &decoded.object;
    assert_eq!(object["metadata"], json!({"name": "p", "deletionTimestamp": "2026-01-02T03:04:05Z"}));
    let container = &object["spec"]["containers"][0];
    assert_eq!(container["resources"]["limits"], json!({"cpu": "500m", "memory": "1Mi"}));
    assert_eq!(container["command"], json!([""]));
    assert_eq!(object["spec"].get("hostNetwork"), None);
    assert_eq!(container["ports"][0].get("hostPort"), None);
}

#[test]
fn malformed_values_have_the_words_of_upstream() {
    let pod = |container: &str| {
        let body = format!("{{\"spec\": {{\"containers\": [{container}]}}}}");
        decode(body.as_bytes(), MediaType::Json, kind("", "v1", "Pod"), FieldValidation::Warn).expect_err("malformed").0
    };
    let quantity = pod(r#"{"resources": {"limits": {"cpu": "1x"}}}"#);
    assert!(quantity.contains("quantities must match the regular expression"), "{quantity}");
    let secret = decode(br#"{"data": {"a": "%%"}}"#, MediaType::Json, kind("", "v1", "Secret"), FieldValidation::Warn);
    assert!(secret.expect_err("malformed").0.ends_with("illegal base64 data at input byte 0"));
}
