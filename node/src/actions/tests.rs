//! Tests of [`actions`](super): one spec and state each, and the plan.

use serde_json::json;

use super::*;

fn pod(spec: serde_json::Value) -> Pod {
    serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap()
}

fn sandbox(id: &str, ready: bool) -> SandboxState {
    let addresses = vec!["10.0.0.2".parse().unwrap()];
    SandboxState { id: id.to_owned(), attempt: 0, ready, created_ns: 1, addresses, host_network: false }
}

fn container(name: &str, phase: Phase, exit_code: i32) -> ContainerState {
    ContainerState {
        id: format!("id-{name}"),
        sandbox_id: "s".to_owned(),
        name: name.to_owned(),
        restart_count: 0,
        phase,
        created_ns: 1,
        started_ns: 1,
        finished_ns: 2,
        exit_code,
        reason: String::new(),
        message: String::new(),
        image: String::new(),
        image_ref: String::new(),
        hash: String::new(),
        annotations: HashMap::new(),
        log_path: String::new(),
        mounts: Vec::new(),
    }
}

fn state(containers: Vec<ContainerState>) -> PodState {
    PodState { sandboxes: vec![sandbox("s", true)], containers }
}

fn starts(plan: &Plan) -> Vec<&str> {
    plan.start.iter().map(|(_, name)| name.as_str()).collect()
}

fn ok() -> Verdict {
    Verdict { started: true, ready: true, ..Verdict::default() }
}

fn verdicts(list: &[(&str, Verdict)]) -> Verdicts {
    list.iter().map(|(name, verdict)| ((*name).to_owned(), *verdict)).collect()
}

#[test]
fn a_new_pod_gets_a_sandbox_and_all_apps_or_the_first_init() {
    let apps = pod(json!({"containers": [{"name": "a"}, {"name": "b"}]}));
    let first = plan(&apps, &PodState::default(), &Verdicts::new());
    assert_eq!(first.sandbox, SandboxAction::Create { attempt: 0, changed: false });
    assert_eq!(starts(&first), ["a", "b"]);
    let init = pod(json!({"containers": [{"name": "a"}], "initContainers": [{"name": "i"}, {"name": "j"}]}));
    assert_eq!(starts(&plan(&init, &PodState::default(), &Verdicts::new())), ["i"]);
}

#[test]
fn init_containers_run_one_after_the_other() {
    let pod = pod(json!({"containers": [{"name": "a"}], "initContainers": [{"name": "i"}, {"name": "j"}]}));
    let next = |containers| starts_of(&pod, containers);
    assert_eq!(next(vec![container("i", Phase::Running, 0)]), Vec::<String>::new());
    assert_eq!(next(vec![container("i", Phase::Exited, 1)]), ["i"]);
    assert_eq!(next(vec![container("i", Phase::Exited, 0)]), ["j"]);
    assert_eq!(next(vec![container("j", Phase::Exited, 0), container("i", Phase::Exited, 0)]), ["a"]);
    assert_eq!(next(vec![container("a", Phase::Running, 0)]), Vec::<String>::new());
}

fn starts_of(pod: &Pod, containers: Vec<ContainerState>) -> Vec<String> {
    let verdicts = verdicts(&[("a", ok()), ("s", ok())]);
    starts(&plan(pod, &state(containers), &verdicts)).into_iter().map(str::to_owned).collect()
}

#[test]
fn a_failed_init_container_ends_a_pod_that_never_restarts() {
    let pod = pod(json!({"restartPolicy": "Never", "containers": [{"name": "a"}], "initContainers": [{"name": "i"}]}));
    let found = plan(&pod, &state(vec![container("i", Phase::Exited, 1)]), &Verdicts::new());
    assert_eq!((found.sandbox, found.start.len()), (SandboxAction::Stop, 0));
}

#[test]
fn a_sidecar_must_have_started_before_the_next_and_is_restarted() {
    let pod = pod(json!({"containers": [{"name": "a"}],
        "initContainers": [{"name": "s", "restartPolicy": "Always"}]}));
    let running = state(vec![container("s", Phase::Running, 0)]);
    assert_eq!(starts(&plan(&pod, &running, &Verdicts::new())), Vec::<&str>::new());
    assert_eq!(starts(&plan(&pod, &running, &verdicts(&[("s", ok())]))), ["a"]);
    let failed = verdicts(&[("s", Verdict { startup_failed: true, ..Verdict::default() })]);
    let found = plan(&pod, &running, &failed);
    assert_eq!((starts(&found), found.stop.len()), (vec!["s"], 1), "what follows waits for the next instance");
    let dead = vec![container("a", Phase::Running, 0), container("s", Phase::Exited, 0)];
    assert_eq!(starts_of(&pod, dead), ["s"]);
}

#[test]
fn restart_policies() {
    let with = |policy: &str| pod(json!({"restartPolicy": policy, "containers": [{"name": "a"}]}));
    for (policy, code, expected) in [
        ("Always", 0, true),
        ("Always", 1, true),
        ("OnFailure", 0, false),
        ("OnFailure", 1, true),
        ("Never", 0, false),
        ("Never", 1, false),
    ] {
        let found = plan(&with(policy), &state(vec![container("a", Phase::Exited, code)]), &Verdicts::new());
        assert_eq!(!found.start.is_empty(), expected, "{policy} {code}");
        assert_eq!(found.sandbox == SandboxAction::Stop, !expected, "{policy} {code}");
    }
}

#[test]
fn probes_and_changed_images_restart_containers() {
    let pod = pod(json!({"containers": [{"name": "a", "image": "x"}]}));
    let mut running = container("a", Phase::Running, 0);
    running.hash = pod::container_hash(&pod.spec.as_ref().unwrap().containers[0]);
    let healthy = plan(&pod, &state(vec![running.clone()]), &verdicts(&[("a", ok())]));
    assert!(healthy.start.is_empty() && healthy.stop.is_empty());
    let sick = Verdict { liveness_failed: true, ..ok() };
    let found = plan(&pod, &state(vec![running.clone()]), &verdicts(&[("a", sick)]));
    assert_eq!(found.stop[0].message, "Container a failed liveness probe, will be restarted");
    assert_eq!(starts(&found), ["a"]);
    running.hash = "other".to_owned();
    let found = plan(&pod, &state(vec![running]), &verdicts(&[("a", ok())]));
    assert_eq!(found.stop[0].reason, StopReason::DefinitionChanged);
}

#[test]
fn a_dead_sandbox_is_replaced() {
    let pod = pod(json!({"containers": [{"name": "a"}]}));
    let mut found = state(vec![container("a", Phase::Exited, 137)]);
    found.sandboxes[0].ready = false;
    let next = plan(&pod, &found, &Verdicts::new());
    assert_eq!(next.sandbox, SandboxAction::Create { attempt: 1, changed: true });
    assert_eq!(starts(&next), ["a"]);
}

#[test]
fn a_finished_pod_gets_no_new_sandbox() {
    let pod = pod(json!({"restartPolicy": "Never", "containers": [{"name": "a"}]}));
    let mut found = state(vec![container("a", Phase::Exited, 0)]);
    found.sandboxes[0].ready = false;
    assert_eq!(plan(&pod, &found, &Verdicts::new()).sandbox, SandboxAction::Stop);
}

#[test]
fn a_deleted_pod_starts_nothing() {
    let mut pod = pod(json!({"containers": [{"name": "a"}]}));
    let now = jiff::Timestamp::now();
    pod.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now));
    assert!(!should_restart(&pod, None));
}
