//! Patches of all forms: effects and words of errors; pure.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::kinds::builtin;

fn kind(group: &str, name: &str) -> &'static Kind {
    builtin().by_kind(group, "v1", name).expect("in the table")
}

fn config_map() -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "labels": {"x/y": "z"}}, "data": {"a": "1", "b": "2"}})
}

fn patch(form: PatchType, patch: &Value, current: &Value, validation: FieldValidation) -> Result<Decoded, PatchError> {
    let kind = builtin().of_object(current).expect("in the table");
    apply(form, patch.to_string().as_bytes(), current, kind, validation)
}

fn json_patch(operations: Value) -> Result<Value, PatchError> {
    patch(PatchType::Json, &operations, &config_map(), FieldValidation::Strict).map(|d| d.object)
}

#[test]
fn json_patch_operations() {
    let data = |operations| json_patch(operations).expect("applies")["data"].clone();
    assert_eq!(data(json!([{"op": "add", "path": "/data/c", "value": "3"}])), json!({"a": "1", "b": "2", "c": "3"}));
    assert_eq!(
        data(json!([{"op": "replace", "path": "/data/z", "value": "3"}])),
        json!({"a": "1", "b": "2", "z": "3"})
    );
    assert_eq!(
        data(json!([{"op": "move", "from": "/data/a", "path": "/data/e"}, {"op": "remove", "path": "/data/b"}])),
        json!({"e": "1"})
    );
    let labels = json_patch(json!([{"op": "add", "path": "/metadata/labels/x~1y", "value": "q"}])).expect("applies");
    assert_eq!(labels["metadata"]["labels"], json!({"x/y": "q"}));
}

#[test]
fn json_patch_errors() {
    for operation in [
        json!({"op": "test", "path": "/data/a", "value": "no"}),
        json!({"op": "remove", "path": "/data/zzz"}),
        json!({"op": "bogus", "path": "/data/a"}),
        json!({"op": "add", "path": "/none/a/b", "value": "1"}),
    ] {
        assert!(matches!(json_patch(json!([operation.clone()])), Err(PatchError::Rejected(_))), "{operation}");
    }
    let error = json_patch(json!({"data": {}})).expect_err("no list");
    assert_eq!(
        error.to_string(),
        "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"
    );
    let error =
        apply(PatchType::Json, b"[", &config_map(), kind("", "ConfigMap"), FieldValidation::Warn).expect_err("cut");
    assert_eq!(error.to_string(), "error decoding patch: unexpected end of JSON input");
    let error = json_patch(json!([{"op": "add", "path": "/data/n", "value": 5}])).expect_err("number").to_string();
    assert!(error.starts_with(" \"\" is invalid: patch: Invalid value: "), "{error}");
    assert!(
        error.ends_with("json: cannot unmarshal number into Go struct field ConfigMap.data of type string"),
        "{error}"
    );
    let error =
        json_patch(json!([{"op": "add", "path": "/foo", "value": 1, "zip": 1}])).expect_err("unknown").to_string();
    assert!(
        error.ends_with("strict decoding error: json patch unknown field \"[0].zip\", unknown field \"foo\""),
        "{error}"
    );
}

#[test]
fn a_patch_keeps_the_name() {
    let error = json_patch(json!([{"op": "replace", "path": "", "value": {}}])).expect_err("nameless");
    let expected = "the name of the object (c based on URL) was undeterminable: name must be provided";
    assert_eq!(error, PatchError::BadRequest(expected.to_owned()));
}

#[test]
fn copies_cannot_grow_without_end() {
    let operations: Vec<Value> =
        (0..200).map(|n| json!({"op": "copy", "from": "/data", "path": format!("/data/k{n}")})).collect();
    assert!(matches!(json_patch(Value::Array(operations)), Err(PatchError::Rejected(_))));
}

#[test]
fn merge_patch() {
    let merged = patch(
        PatchType::Merge,
        &json!({"data": {"a": null, "c": "3"}, "foo": 1}),
        &config_map(),
        FieldValidation::Warn,
    );
    let merged = merged.expect("applies");
    assert_eq!(merged.object["data"], json!({"b": "2", "c": "3"}));
    assert_eq!(merged.warnings, ["unknown field \"foo\""]);
    let error =
        patch(PatchType::Merge, &json!({"kind": "Foo"}), &config_map(), FieldValidation::Warn).expect_err("kind");
    assert!(error.to_string().contains("no kind \"Foo\" is registered for version \"v1\" in scheme"), "{error}");
}

fn deployment() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "finalizers": ["a.b/c", "d.e/f"]}, "spec": {
        "selector": {"matchLabels": {"app": "a"}}, "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}},
        "template": {"metadata": {"labels": {"app": "a"}}, "spec": {
            "containers": [
                {"name": "a", "image": "a:1", "args": ["x", "y"], "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                 "ports": [{"containerPort": 80, "name": "w"}, {"containerPort": 81}]},
                {"name": "b", "image": "b:1"}],
            "volumes": [{"name": "v", "emptyDir": {}}], "imagePullSecrets": [{"name": "a"}, {"name": "b"}]
        }}
    }})
}

fn strategic(pod_spec: Value) -> Result<Value, PatchError> {
    strategic_spec(json!({"template": {"spec": pod_spec}})).map(|spec| spec["template"]["spec"].clone())
}

fn strategic_spec(spec: Value) -> Result<Value, PatchError> {
    strategic::apply(&deployment(), json!({"spec": spec}), kind("apps", "Deployment").schema.get())
        .map(|d| d["spec"].clone())
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().map(|l| l.iter().filter_map(|i| i["name"].as_str()).collect()).unwrap_or_default()
}

#[test]
fn lists_merge_by_their_key() {
    let spec = strategic(json!({"containers": [{"name": "a", "image": "a:2"}]})).expect("applies");
    assert_eq!((names(&spec["containers"]), &spec["containers"][0]["image"]), (vec!["a", "b"], &json!("a:2")));
    assert_eq!(spec["containers"][0]["args"], json!(["x", "y"]));
    let spec = strategic(json!({"containers": [{"name": "c", "image": "c"}]})).expect("applies");
    assert_eq!(names(&spec["containers"]), ["c", "a", "b"]);
    let env = json!({"containers": [{"name": "a", "args": ["z"], "env": [{"name": "B", "value": "9"}, {"name": "A", "$patch": "delete"}, {"name": "C"}]}]});
    let spec = strategic(env).expect("applies");
    assert_eq!(spec["containers"][0]["env"], json!([{"name": "B", "value": "9"}, {"name": "C"}]));
    assert_eq!(spec["containers"][0]["args"], json!(["z"]));
    let ports = json!({"containers": [{"name": "a", "ports": [{"containerPort": 80, "protocol": "UDP"}]}]});
    let spec = strategic(ports).expect("applies");
    assert_eq!(
        spec["containers"][0]["ports"],
        json!([{"containerPort": 80, "name": "w", "protocol": "UDP"}, {"containerPort": 81}])
    );
}

#[test]
fn directives() {
    let spec = strategic(json!({"containers": [{"name": "b", "$patch": "delete"}]})).expect("applies");
    assert_eq!(names(&spec["containers"]), ["a"]);
    let spec = strategic(json!({"containers": [{"$patch": "replace"}, {"name": "n", "image": "n"}]})).expect("applies");
    assert_eq!(spec["containers"], json!([{"name": "n", "image": "n"}]));
    let ordered = json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [{"name": "a", "image": "a:3"}]});
    let spec = strategic(ordered).expect("applies");
    assert_eq!((names(&spec["containers"]), &spec["containers"][1]["image"]), (vec!["b", "a"], &json!("a:3")));
    let retained =
        json!({"volumes": [{"name": "v", "$retainKeys": ["name", "configMap"], "configMap": {"name": "c"}}]});
    assert_eq!(strategic(retained).expect("applies")["volumes"], json!([{"name": "v", "configMap": {"name": "c"}}]));
    let both = json!({"volumes": [{"name": "v", "configMap": {"name": "c"}}]});
    assert_eq!(strategic(both).expect("applies")["volumes"][0]["emptyDir"], json!({}));
    let recreate = strategic_spec(json!({"strategy": {"$retainKeys": ["type"], "type": "Recreate"}})).expect("applies");
    assert_eq!(recreate["strategy"], json!({"type": "Recreate"}));
    let replaced =
        strategic_spec(json!({"strategy": {"$patch": "replace", "rollingUpdate": {"maxSurge": 3}}})).expect("applies");
    assert_eq!(replaced["strategy"], json!({"rollingUpdate": {"maxSurge": 3}}));
    let schema = &kind("apps", "Deployment").schema;
    let gone = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a.b/c"]}});
    let patched = strategic::apply(&deployment(), gone, schema.get()).expect("applies");
    assert_eq!(patched["metadata"]["finalizers"], json!(["d.e/f"]));
    let added = strategic::apply(&deployment(), json!({"metadata": {"finalizers": ["x.y/z", "a.b/c"]}}), schema.get())
        .expect("applies");
    assert_eq!(added["metadata"]["finalizers"], json!(["x.y/z", "a.b/c", "d.e/f"]));
}

#[test]
fn strategic_errors() {
    let words = |spec| strategic(spec).expect_err("refused").to_string();
    assert_eq!(
        words(json!({"containers": [{"image": "nameless"}]})),
        "map: map[image:nameless] does not contain declared merge key: name"
    );
    assert_eq!(
        words(json!({"containers": [{"name": "n", "$patch": "bogus"}]})),
        "unknown patch type: bogus in map: map[$patch:bogus name:n]"
    );
    let error = patch(PatchType::Strategic, &json!({"spec": {"foo": 1}}), &deployment(), FieldValidation::Strict)
        .expect_err("unknown");
    let expected = " \"\" is invalid: patch: Invalid value: \"map[spec:map[foo:1]]\": strict decoding error: unknown field \"spec.foo\"";
    assert_eq!(error.to_string(), expected);
}

proptest! {
    /// Merging an object with itself changes nothing, and a replaced list is the patch's list.
    #[test]
    fn merging_is_idempotent(names in proptest::collection::btree_set("[a-d]", 1..4), image in "[a-z]{1,4}") {
        let list: Vec<Value> = names.iter().map(|n| json!({"name": n, "image": image.clone()})).collect();
        let schema = kind("apps", "Deployment").schema.get();
        let change = json!({"spec": {"template": {"spec": {"containers": list}}}});
        let once = strategic::apply(&deployment(), change.clone(), schema).expect("applies");
        let twice = strategic::apply(&once, change, schema).expect("applies");
        prop_assert_eq!(&once, &twice);
        let same = strategic::apply(&once, once.clone(), schema).expect("applies");
        prop_assert_eq!(same, once);
    }
}

#[test]
fn strategic_merges_refuse_wrong_types_in_words_of_their_own() {
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {}});
    let refused = |patch: Value| {
        let (patch, kind) = (patch.to_string(), kind("apps", "Deployment"));
        let result = apply(PatchType::Strategic, patch.as_bytes(), &deployment, kind, FieldValidation::Warn);
        result.expect_err("a wrong type").to_string()
    };
    for (patch, why) in [
        (json!({"spec": {"replicas": "2"}}), "unrecognized type: int32"),
        (json!({"metadata": {"labels": {"a": 1}}}), "cannot convert int64 to string"),
        (json!({"metadata": {"labels": {"a": true}}}), "unrecognized type: string"),
        (json!({"metadata": {"labels": "a"}}), "cannot restore map from string"),
        (json!({"spec": {"strategy": 1}}), "cannot restore struct from: int64"),
    ] {
        let error = refused(patch);
        assert!(error.ends_with(why), "{error}");
    }
}
