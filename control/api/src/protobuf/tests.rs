//! Protobuf both ways: hand-made bytes and random objects of every kind; pure.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use super::*;
use crate::decode::{FieldValidation, MediaType, decode as decode_body, retype};
use crate::kinds::builtin;
use crate::schema::{self, Type, canonical};

/// What `kubectl create configmap c --from-literal=a=b` sends.
#[test]
fn bytes_of_a_config_map() {
    let raw = [
        &b"\x0a\x11\x0a\x01c\x12\x00\x1a\x00\x22\x00\x2a\x00\x32\x00\x38\x00\x42\x00"[..],
        &b"\x12\x06\x0a\x01a\x12\x01b"[..],
    ]
    .concat();
    let body = wrap("v1", "ConfigMap", &raw);
    let kind = builtin().by_kind("", "v1", "ConfigMap").expect("there");
    let decoded = decode_body(&body, MediaType::Protobuf, kind, FieldValidation::Strict).expect("valid");
    assert_eq!(
        decoded.object,
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "b"}})
    );
}

#[test]
fn embedded_messages_and_special_values() {
    let pod = schema::of_kind("", "v1", "Pod");
    let object = json!({
        "metadata": {"name": "p", "creationTimestamp": "2026-01-02T03:04:05Z"},
        "spec": {
            "containers": [{"name": "c", "resources": {"limits": {"cpu": "500m"}}, "livenessProbe": {"httpGet": {"port": "http"}, "periodSeconds": 5},
                "ports": [{"containerPort": 80}]}],
            "securityContext": {"supplementalGroups": [1, -1]},
            "terminationGracePeriodSeconds": 0,
            "volumes": [{"name": "v", "emptyDir": {}}, {"name": "h", "hostPath": {"path": "/x"}}]
        },
        "status": {}
    });
    let raw = encode(&object, pod.get());
    let mut back = decode(&raw, pod.get()).expect("our own bytes");
    canonical::canonicalize(pod.get(), &mut back);
    assert_eq!(back, object);
}

#[test]
fn malformed_bytes_are_errors() {
    let pod = schema::of_kind("", "v1", "Pod");
    assert_eq!(decode(b"\x0a\x05a", pod.get()), Err(ProtobufError::Truncated));
    assert_eq!(decode(&[0xff; 11], pod.get()), Err(ProtobufError::Overflow));
    assert_eq!(unwrap(b"x"), Err(ProtobufError::NoMagic));
    assert!(matches!(decode(b"\x08\x01", pod.get()), Err(ProtobufError::WireType { wire: 0, .. })));
}

#[test]
fn watch_frames_carry_their_length() {
    let frame = watch_frame("ADDED", b"x");
    let length = u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]);
    assert_eq!(usize::try_from(length), Ok(frame.len() - 4));
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let pod = schema::of_kind("", "v1", "Pod");
        prop_assert!(decode(&bytes, pod.get()).map_or(true, |v| v.is_object()));
    }
}

/// A random value of a type; objects hold a random half of their fields.
fn any_value(ty: &Type, depth: u32) -> BoxedStrategy<Value> {
    match ty {
        Type::String => "[a-z]{1,5}".prop_map(Value::from).boxed(),
        Type::Int32 | Type::IntOrString => (-1000_i64..1000).prop_map(Value::from).boxed(),
        Type::Int64 => any::<i64>().prop_map(Value::from).boxed(),
        Type::Double => Just(Value::from(1.5)).boxed(),
        Type::Bool => any::<bool>().prop_map(Value::from).boxed(),
        Type::Bytes => Just(Value::from("YWI=")).boxed(),
        Type::Quantity => (1_u32..5000)
            .prop_map(|n| Value::from(crate::quantity::canonical(&format!("{n}m")).expect("valid")))
            .boxed(),
        Type::Time => Just(Value::from("2026-01-02T03:04:05Z")).boxed(),
        Type::MicroTime => Just(Value::from("2026-01-02T03:04:05.000006Z")).boxed(),
        Type::Raw => Just(json!({"a": [1, "x"]})).boxed(),
        Type::SchemaOrBool => any::<bool>().prop_map(Value::from).boxed(),
        Type::SchemaOrStrings => Just(json!(["a", "b"])).boxed(),
        Type::SchemaOrArray => Just(json!([{"type": "string"}])).boxed(),
        Type::Object(object) => any_object(object.get(), depth),
        Type::Map(item) => proptest::collection::btree_map("[a-z]{1,3}", any_value(item, depth), 0..3)
            .prop_map(|m| m.into_iter().collect())
            .boxed(),
        Type::List(item) | Type::WrappedList(item) => {
            proptest::collection::vec(any_value(item, depth), 0..3).prop_map(Value::from).boxed()
        }
    }
}

fn any_object(object: &ObjectType, depth: u32) -> BoxedStrategy<Value> {
    let mut all: BoxedStrategy<Map<String, Value>> = Just(Map::new()).boxed();
    for field in object.fields().iter().filter(|f| !f.tags.is_empty()) {
        let nested = !field.ty.is_scalar();
        if nested && depth == 0 {
            continue;
        }
        let name = field.name.to_string();
        let value = proptest::option::of(any_value(&field.ty, depth.saturating_sub(u32::from(nested))));
        all = (all, value)
            .prop_map(move |(mut map, value)| {
                map.extend(value.map(|v| (name.clone(), v)));
                map
            })
            .boxed();
    }
    all.prop_map(Value::Object).boxed()
}

/// An object of every kind survives the way over the wire, and its canonical form is stable.
#[test]
fn every_kind_round_trips() {
    let mut runner = TestRunner::new(Config { cases: 4, failure_persistence: None, ..Config::default() });
    for kind in builtin().all() {
        let object = kind.schema.get();
        let outcome = runner.run(&any_object(object, 3), |value| {
            let typed = retype(value, object, FieldValidation::Strict).expect("typed").object;
            let mut back = decode(&encode(&typed, object), object).expect("our own bytes");
            canonical::canonicalize(object, &mut back);
            prop_assert_eq!(back, typed);
            Ok(())
        });
        assert!(outcome.is_ok(), "{}: {outcome:?}", kind.gvk_text());
    }
}

#[test]
fn a_list_of_bodies_is_the_list_of_objects() {
    let maps = builtin().by_resource("", "v1", "configmaps").expect("kind");
    let item = |name: &str| serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": "v".repeat(200)}});
    let metadata = serde_json::json!({"resourceVersion": "7", "remainingItemCount": 3});
    let list = serde_json::json!({"apiVersion": "v1", "kind": "ConfigMapList", "metadata": metadata, "items": [item("a"), item("b")]});
    let whole = encode_body(&list, schema::of_kind("", "v1", "ConfigMapList").get());
    let bodies = vec![encode_body(&item("a"), maps.schema.get()), encode_body(&item("b"), maps.schema.get())];
    let pieces = list_pieces("v1", "ConfigMapList", &metadata, bodies);
    assert_eq!(pieces.flat_map(|piece| piece.bytes().to_vec()).collect::<Vec<u8>>(), whole);
}
