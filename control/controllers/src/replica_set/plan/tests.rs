use super::*;
use crate::label_match::Selector;
use crate::object_key::ObjectKey;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PodCondition, PodSpec, PodStatus, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

fn time(second: i64) -> Time {
    Time(Timestamp::from_second(second).unwrap())
}

fn target(replicas: i32, min_ready_seconds: i32) -> Target {
    Target {
        key: ObjectKey::new("ns", "r"),
        uid: "u".into(),
        kind: "ReplicaSet".into(),
        replicas,
        selector: Selector::default(),
        template: PodTemplateSpec::default(),
        min_ready_seconds,
        deleting: false,
        generation: 3,
        status: ReplicaSetStatus::default(),
    }
}

fn pod(name: &str, node: Option<&str>, ready_since: Option<i64>) -> Arc<Pod> {
    Arc::new(Pod {
        metadata: ObjectMeta {
            name: Some(name.into()),
            uid: Some(name.into()),
            creation_timestamp: Some(time(0)),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec { node_name: node.map(Into::into), ..PodSpec::default() }),
        status: Some(PodStatus {
            phase: Some(if ready_since.is_some() { "Running" } else { "Pending" }.into()),
            conditions: ready_since.map(|since| {
                vec![PodCondition {
                    type_: "Ready".into(),
                    status: "True".into(),
                    last_transition_time: Some(time(since)),
                    ..PodCondition::default()
                }]
            }),
            ..PodStatus::default()
        }),
    })
}

fn victims(plan: Plan) -> Vec<String> {
    let Plan::Delete(pods) = plan else { panic!("{plan:?}") };
    pods.iter().filter_map(|pod| pod.metadata.name.clone()).collect()
}

#[test]
fn missing_pods_are_created_in_bounded_rounds() {
    let decide = |wanted, pods: &[_]| decide(&target(wanted, 0), pods, Vec::new, time(9));
    assert!(matches!(decide(3, &[]), Plan::Create(3)));
    assert!(matches!(decide(600, &[]), Plan::Create(BURST)));
    assert!(matches!(decide(1, &[pod("a", None, None)]), Plan::Nothing));
}

#[test]
fn pods_that_matter_least_go_first() {
    let pods = [
        pod("ready-long", Some("n1"), Some(0)),
        pod("ready-short", Some("n1"), Some(1000)),
        pod("waiting", Some("n1"), None),
        pod("unbound", None, None),
        pod("crowded", Some("n2"), Some(0)),
    ];
    let related = || vec![pod("x", Some("n2"), None), pod("y", Some("n2"), None), pod("z", Some("n1"), None)];
    let order = victims(decide(&target(1, 0), &pods, related, time(1001)));
    assert_eq!(order, ["unbound", "waiting", "crowded", "ready-short"]);
    let mut cheap = (*pods[0]).clone();
    cheap.metadata.annotations = Some([(DELETION_COST.to_owned(), "-5".to_owned())].into());
    let order = victims(decide(&target(1, 0), &[Arc::new(cheap), Arc::clone(&pods[4])], related, time(1001)));
    assert_eq!(order, ["ready-long"]);
}

#[test]
fn status_counts_and_waits_for_min_ready_seconds() {
    let pods = [pod("a", Some("n"), Some(0)), pod("b", Some("n"), Some(95)), pod("c", None, None)];
    let target = target(3, 10);
    let status = status(&target, &pods, time(100), None);
    assert_eq!((status.replicas, status.ready_replicas, status.available_replicas), (3, Some(2), Some(1)));
    assert_eq!(status.observed_generation, Some(3));
    assert_eq!(next_available(&target, &pods, time(100)), Some(Duration::from_secs(6)));
    let failed = super::status(&target, &[], time(1), Some(&Failure::Create(SyncError::NotYet("no".into()))));
    assert_eq!(failed.conditions.unwrap()[0].reason.as_deref(), Some("FailedCreate"));
    assert_eq!(failed.ready_replicas, None);
}
