use serde_json::{Value, json};

use super::Node;
use crate::strategy::{Part, Strategy as _};

fn broken(spec: Value) -> Vec<String> {
    Node.validate_create(&json!({"spec": spec})).iter().map(ToString::to_string).collect()
}

#[test]
fn taints_have_a_known_effect_and_are_unique() {
    let fine = json!({"taints": [
        {"key": "a", "value": "b", "effect": "NoSchedule"}, {"key": "a", "value": "b", "effect": "NoExecute"},
    ]});
    assert_eq!(broken(fine), [""; 0]);
    let wrong = json!({"taints": [{"key": "a", "effect": "Sometimes"}, {"key": "b"}]});
    assert_eq!(
        broken(wrong),
        [
            r#"metadata.taints[0].effect: Unsupported value: "Sometimes": supported values: "NoExecute", "NoSchedule", "PreferNoSchedule""#,
            "metadata.taints[1].effect: Required value",
        ]
    );
    let twice =
        json!({"taints": [{"key": "a", "effect": "NoSchedule"}, {"key": "a", "value": "c", "effect": "NoSchedule"}]});
    assert_eq!(
        broken(twice),
        [
            r#"metadata.taints[1]: Duplicate value: {"Key":"a","Value":"c","Effect":"NoSchedule","TimeAdded":null}: taints must be unique by key and effect pair"#
        ]
    );
}

#[test]
fn ranges_stay_once_given() {
    let mut given = json!({"spec": {"podCIDR": "10.1.0.0/24"}});
    Node.defaults(&mut given);
    assert_eq!(given["spec"]["podCIDRs"], json!(["10.1.0.0/24"]));
    let none = json!({"spec": {}});
    assert_eq!(Node.validate_update(Part::Whole, &given, &none), []);
    let errors = Node.validate_update(Part::Whole, &none, &given);
    assert_eq!(
        errors.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [r#"spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid"#]
    );
}
