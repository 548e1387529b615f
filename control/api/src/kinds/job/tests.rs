//! Tests of jobs against recorded answers of Kubernetes v1.34.

use serde_json::{Value, json};

use super::*;

fn job(spec: Value) -> Value {
    let mut job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "uid": "u"}, "spec": spec});
    Job.defaults(&mut job);
    Job.prepare_for_create(&mut job);
    job
}

fn with(extra: Value) -> Value {
    let mut spec =
        json!({"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "b"}]}}});
    for (key, value) in extra.as_object().unwrap() {
        spec[key] = value.clone();
    }
    job(spec)
}

fn told(errors: Vec<FieldError>) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

fn refused(extra: Value) -> Vec<String> {
    told(Job.validate_create(&with(extra)))
}

#[test]
fn selector_and_labels_are_generated() {
    let job = with(json!({}));
    assert_eq!(job["spec"]["selector"], json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}}));
    let labels = json!({"batch.kubernetes.io/controller-uid": "u", "batch.kubernetes.io/job-name": "j", "controller-uid": "u", "job-name": "j"});
    assert_eq!(job["spec"]["template"]["metadata"]["labels"], labels);
    assert_eq!(job["metadata"]["labels"], labels);
    assert_eq!(Job.validate_create(&job), Vec::new());
}

#[test]
fn own_selectors_are_refused_unless_manual() {
    let errors = refused(json!({"selector": {"matchLabels": {"app": "a"}}}));
    assert_eq!(
        errors[0],
        "spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"a\",\"batch.kubernetes.io/controller-uid\":\"u\"}}: `selector` not auto-generated"
    );
    assert!(errors[1].ends_with("`selector` does not match template `labels`"));
    assert_eq!(
        refused(json!({"manualSelector": true})),
        [
            "spec.selector: Required value",
            "spec.template.metadata.labels: Invalid value: null: `selector` does not match template `labels`"
        ]
    );
}

#[test]
fn specs_are_checked_in_upstream_s_words() {
    for (extra, words) in [
        (json!({"parallelism": -1}), "spec.parallelism: Invalid value: -1: must be greater than or equal to 0"),
        (
            json!({"completionMode": "X"}),
            "spec.completionMode: Unsupported value: \"X\": supported values: \"NonIndexed\", \"Indexed\"",
        ),
        (
            json!({"backoffLimitPerIndex": 1}),
            "spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode",
        ),
        (
            json!({"podReplacementPolicy": "X"}),
            "spec.podReplacementPolicy: Unsupported value: \"X\": supported values: \"Failed\", \"TerminatingOrFailed\"",
        ),
        (
            json!({"successPolicy": {"rules": []}}),
            "spec.successPolicy: Invalid value: {\"Rules\":[]}: requires indexed completion mode",
        ),
        (
            json!({"managedBy": "bad name"}),
            "spec.managedBy: Invalid value: \"bad name\": must be a domain-prefixed path (such as \"acme.io/foo\")",
        ),
        (
            json!({"podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [0]}}]}}),
            "spec.podFailurePolicy.rules[0].onExitCodes.values[0]: Invalid value: 0: must not be 0 for the In operator",
        ),
    ] {
        assert_eq!(refused(extra), [words]);
    }
    assert_eq!(
        refused(json!({"podFailurePolicy": {"rules": [{"action": "X"}]}})),
        [
            "spec.podFailurePolicy.rules[0].action: Unsupported value: \"X\": supported values: \"Count\", \"FailIndex\", \"FailJob\", \"Ignore\"",
            "spec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required"
        ]
    );
    assert_eq!(
        told(Job.validate_create(&job(json!({})))),
        [
            "spec.template.spec.containers: Required value",
            "spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""
        ]
    );
}

#[test]
fn updates_keep_what_pods_were_made_from() {
    let old = with(json!({"completionMode": "Indexed", "completions": 1}));
    let mut new = old.clone();
    new["spec"]["completions"] = json!(3);
    assert_eq!(
        told(Job.validate_update(Part::Whole, &new, &old)),
        ["spec.completions: Invalid value: 3: can only be modified in tandem with spec.parallelism"]
    );
    let mut new = old.clone();
    new["spec"]["backoffLimit"] = json!(2);
    assert_eq!(Job.validate_update(Part::Whole, &new, &old), Vec::new());
}

#[test]
fn statuses_must_make_sense() {
    let old = with(json!({}));
    let mut new = old.clone();
    new["status"] = json!({"conditions": [{"type": "Complete", "status": "True"}]});
    assert_eq!(
        told(Job.validate_update(Part::Status, &new, &old)),
        [
            "status.conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
            "status.completionTime: Required value: completionTime is required for Complete jobs",
            "status.startTime: Required value: startTime is required for finished job"
        ]
    );
}

#[test]
fn schedules() {
    let cron = |spec: Value| {
        let mut job = json!({"metadata": {"name": "c"}, "spec": spec});
        job["spec"]["jobTemplate"] = json!({"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "b"}]}}}});
        CronJob.defaults(&mut job);
        told(CronJob.validate_create(&job))
    };
    assert_eq!(cron(json!({"schedule": "*/5 0-3,7 1 jan mon"})), Vec::<String>::new());
    assert_eq!(cron(json!({"schedule": "@daily", "timeZone": "UTC"})), Vec::<String>::new());
    assert_eq!(
        cron(json!({"schedule": "bogus"})),
        ["spec.schedule: Invalid value: \"bogus\": expected exactly 5 fields, found 1: [bogus]"]
    );
    assert_eq!(
        cron(json!({"schedule": "61 * * * *"})),
        ["spec.schedule: Invalid value: \"61 * * * *\": end of range (61) above maximum (59): 61"]
    );
}
