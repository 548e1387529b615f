//! Selectors: matching and words of errors; pure.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::kinds::builtin;

fn matches(selector: &str, labels: &[(&str, &str)]) -> bool {
    let selector = LabelSelector::parse(selector).expect("valid");
    selector.matches(|key| labels.iter().find(|(k, _)| *k == key).map(|(_, v)| *v))
}

#[test]
fn label_selectors() {
    let labels = [("app", "x"), ("n", "5")];
    for text in ["app=x", "app==x", "app in (x, y)", "n", "!z", "z!=1", "z notin (a)", "n>4", "n<6", "app=x,n=5", ""] {
        assert!(matches(text, &labels), "{text}");
    }
    for text in ["app=y", "!app", "app!=x", "app notin (x,y)", "z", "n>5", "app in ()", "app>1"] {
        assert!(!matches(text, &labels), "{text}");
    }
    let selector = LabelSelector::parse("b in (z,a),a=1,!c,d").expect("valid");
    assert_eq!(selector.to_string(), "a=1,b in (a,z),!c,d");
}

#[test]
fn words_of_label_selector_errors() {
    for (text, expected) in [
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("app=x=", "found '=', expected: ',' or 'end of string'"),
        ("app in x", "unable to parse requirement: found 'x' expected: '('"),
        (",,", "found ',', expected: !, identifier, or 'end of string'"),
        ("a=b,", "found '', expected: identifier after ','"),
    ] {
        assert_eq!(LabelSelector::parse(text), Err(expected.to_owned()), "{text}");
    }
    let error = LabelSelector::parse("-a=b").expect_err("key");
    assert!(
        error.starts_with("unable to parse requirement: <nil>: Invalid value: \"-a\": name part must consist"),
        "{error}"
    );
    let error = LabelSelector::parse("a=-b").expect_err("value");
    assert!(
        error.starts_with("unable to parse requirement: values[0][a]: Invalid value: \"-b\": a valid label must"),
        "{error}"
    );
}

#[test]
fn selectors_of_objects() {
    let selector =
        json!({"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "NotIn", "values": ["x"]}]});
    let selector = LabelSelector::from_object(&selector).expect("valid");
    assert!(selector.matches_object(&json!({"metadata": {"labels": {"a": "1"}}})));
    assert!(!selector.matches_object(&json!({"metadata": {"labels": {"a": "1", "b": "x"}}})));
    assert_eq!(selector.to_string(), "a=1,b notin (x)");
    assert!(!LabelSelector::from_object(&Value::Null).expect("valid").matches_object(&json!({})));
    assert!(LabelSelector::from_object(&json!({})).expect("valid").is_everything());
    let bad = json!({"matchExpressions": [{"key": "b", "operator": "Foo"}]});
    assert_eq!(LabelSelector::from_object(&bad), Err("\"Foo\" is not a valid label selector operator".to_owned()));
}

#[test]
fn field_selectors() {
    let pods = builtin().by_kind("", "v1", "Pod").expect("there");
    let pod = json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n1"}, "status": {"phase": "Running"}});
    for (text, expected) in [
        ("metadata.name=p", true),
        ("metadata.name=p,,", true),
        ("spec.nodeName!=n1", false),
        ("spec.hostNetwork=false,status.phase==Running", true),
        ("status.podIP=", true),
    ] {
        let selector = FieldSelector::parse(text).expect("valid");
        assert_eq!(selector.check(pods), Ok(()));
        assert_eq!(selector.matches(pods, &pod), expected, "{text}");
    }
    assert_eq!(FieldSelector::parse("a=b\\,c").expect("valid").exact("a"), Some("b,c"));
}

#[test]
fn words_of_field_selector_errors() {
    assert_eq!(FieldSelector::parse("bogus"), Err("invalid selector: 'bogus'; can't understand 'bogus'".to_owned()));
    let check = |kind: &str, group: &str, text: &str| {
        let kind = builtin().by_kind(group, "v1", kind).expect("there");
        FieldSelector::parse(text).expect("valid").check(kind).expect_err("unknown field")
    };
    let plain = "\"data.k\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"";
    assert_eq!(check("ConfigMap", "", "data.k=a"), plain);
    assert_eq!(check("Pod", "", "spec.bogus=1"), "field label not supported: spec.bogus");
    assert_eq!(check("Job", "batch", "status.bogus=1"), "field label \"status.bogus\" not supported for Job");
}

proptest! {
    #[test]
    fn nothing_panics(text in "[a-z=!(),<> .\\-/]{0,30}") {
        if let Ok(selector) = LabelSelector::parse(&text) {
            prop_assert_eq!(LabelSelector::parse(&selector.to_string()).map(|s| s.to_string()), Ok(selector.to_string()));
        }
        if let Ok(selector) = FieldSelector::parse(&text) {
            prop_assert!(selector.requirements().iter().all(|r| !r.value.contains(',')));
        }
    }
}
