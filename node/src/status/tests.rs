//! Tests of [`status`](super): states of containers, and what is reported.

use serde_json::{Value, json};

use super::*;
use crate::actions::Verdict;
use crate::cri::observed::{ContainerState, Phase, SandboxState};

fn pod(spec: Value) -> Pod {
    serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": spec})).unwrap()
}

fn container(name: &str, phase: Phase, exit_code: i32, count: u32) -> ContainerState {
    ContainerState {
        id: format!("{name}{count}"),
        sandbox_id: "s".to_owned(),
        name: name.to_owned(),
        restart_count: count,
        phase,
        created_ns: 1_000_000_000 + i64::from(count),
        started_ns: 1_000_000_000,
        finished_ns: 2_000_000_000,
        exit_code,
        reason: String::new(),
        message: String::new(),
        image: "docker.io/library/x:1".to_owned(),
        image_ref: "sha256:1".to_owned(),
        hash: String::new(),
        annotations: HashMap::new(),
        log_path: String::new(),
        mounts: Vec::new(),
    }
}

struct Case {
    pod: Pod,
    state: PodState,
    verdicts: Verdicts,
    waiting: HashMap<String, Waiting>,
    terminal: bool,
    previous: PodStatus,
}

impl Case {
    fn new(spec: Value, containers: Vec<ContainerState>) -> Self {
        let addresses = vec!["fd00::2".parse().unwrap(), "10.0.0.2".parse().unwrap()];
        let sandbox =
            SandboxState { id: "s".into(), attempt: 0, ready: true, created_ns: 1, addresses, host_network: false };
        let ok = Verdict { started: true, ready: true, ..Verdict::default() };
        let verdicts = containers.iter().map(|c| (c.name.clone(), ok)).collect();
        let state = PodState { sandboxes: vec![sandbox], containers };
        Self {
            pod: pod(spec),
            state,
            verdicts,
            waiting: HashMap::new(),
            terminal: false,
            previous: PodStatus::default(),
        }
    }

    fn status(&self) -> PodStatus {
        pod_status(&Input {
            pod: &self.pod,
            state: &self.state,
            verdicts: &self.verdicts,
            waiting: &self.waiting,
            last_words: &HashMap::new(),
            failure: None,
            terminal: self.terminal,
            previous: &self.previous,
            host_ips: &["10.1.0.1".parse().unwrap()],
            now: jiff::Timestamp::from_second(100).unwrap(),
        })
    }
}

fn condition(status: &PodStatus, kind: &str) -> (String, String, String) {
    let list = status.conditions.as_ref().unwrap();
    let found = list.iter().find(|condition| condition.type_ == kind).unwrap();
    (found.status.clone(), found.reason.clone().unwrap_or_default(), found.message.clone().unwrap_or_default())
}

#[test]
fn a_running_pod() {
    let status = Case::new(json!({"containers": [{"name": "a"}]}), vec![container("a", Phase::Running, 0, 0)]).status();
    assert_eq!(status.phase.as_deref(), Some("Running"));
    assert_eq!(status.pod_ip.as_deref(), Some("10.0.0.2"));
    assert_eq!(status.pod_ips.as_ref().unwrap().len(), 2);
    for kind in ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"] {
        assert_eq!(condition(&status, kind).0, "True", "{kind}");
    }
    let container = &status.container_statuses.unwrap()[0];
    assert!(container.ready && container.started == Some(true));
    assert_eq!(container.container_id.as_deref(), Some("containerd://a0"));
}

#[test]
fn a_pod_that_is_being_created_or_initialized() {
    let fresh = Case::new(json!({"containers": [{"name": "a", "image": "x"}]}), vec![]).status();
    assert_eq!(fresh.phase.as_deref(), Some("Pending"));
    let state = fresh.container_statuses.as_ref().unwrap()[0].state.clone().unwrap();
    assert_eq!(state.waiting.unwrap().reason.as_deref(), Some("ContainerCreating"));
    assert_eq!(
        condition(&fresh, "Ready"),
        ("False".into(), "ContainersNotReady".into(), "containers with unready status: [a]".into())
    );
    let spec = json!({"initContainers": [{"name": "i"}, {"name": "j"}], "containers": [{"name": "a"}]});
    let init = Case::new(spec, vec![container("i", Phase::Running, 0, 0)]).status();
    assert_eq!(init.phase.as_deref(), Some("Pending"));
    assert_eq!(
        condition(&init, "Initialized"),
        ("False".into(), "ContainersNotInitialized".into(), "containers with incomplete status: [i j]".into())
    );
    let waiting = init.container_statuses.unwrap()[0].state.clone().unwrap().waiting.unwrap();
    assert_eq!(waiting.reason.as_deref(), Some("PodInitializing"));
}

#[test]
fn crash_loop() {
    let mut case = Case::new(
        json!({"containers": [{"name": "a"}]}),
        vec![container("a", Phase::Exited, 1, 3), container("a", Phase::Exited, 1, 2)],
    );
    let message = "back-off 40s restarting failed container=a pod=p_n(u)".to_owned();
    case.waiting.insert("a".into(), Waiting { reason: "CrashLoopBackOff".into(), message });
    let status = case.status();
    assert_eq!(status.phase.as_deref(), Some("Running"));
    let container = &status.container_statuses.unwrap()[0];
    assert_eq!(container.restart_count, 3);
    assert_eq!(container.state.as_ref().unwrap().waiting.as_ref().unwrap().reason.as_deref(), Some("CrashLoopBackOff"));
    let last = container.last_state.as_ref().unwrap().terminated.as_ref().unwrap();
    assert_eq!((last.exit_code, last.reason.as_deref()), (1, Some("Error")));
}

#[test]
fn phases_of_ended_pods() {
    for (policy, code, terminal, phase) in [
        ("Never", 0, false, "Succeeded"),
        ("Never", 2, false, "Failed"),
        ("OnFailure", 0, false, "Succeeded"),
        ("OnFailure", 2, false, "Running"),
        ("Always", 0, false, "Running"),
        ("Always", 143, true, "Failed"),
        ("Always", 0, true, "Succeeded"),
    ] {
        let spec = json!({"restartPolicy": policy, "containers": [{"name": "a"}]});
        let mut case = Case::new(spec, vec![container("a", Phase::Exited, code, 0)]);
        case.terminal = terminal;
        assert_eq!(case.status().phase.as_deref(), Some(phase), "{policy} {code} {terminal}");
    }
    let mut done = Case::new(json!({"restartPolicy": "Never", "containers": [{"name": "a"}]}), vec![]);
    done.previous.phase = Some("Succeeded".into());
    done.terminal = true;
    assert_eq!(done.status().phase.as_deref(), Some("Succeeded"));
}

#[test]
fn transition_times_stay_while_the_status_stays() {
    let mut case = Case::new(json!({"containers": [{"name": "a"}]}), vec![container("a", Phase::Running, 0, 0)]);
    case.previous = case.status();
    for condition in case.previous.conditions.iter_mut().flatten() {
        condition.last_transition_time = Some(whole_seconds(jiff::Timestamp::from_second(5).unwrap()));
    }
    let again = case.status();
    assert!(again.conditions.unwrap().iter().all(|c| c.last_transition_time.as_ref().unwrap().0.as_second() == 5));
}

#[test]
fn readiness_gates_hold_back_ready_but_not_containers_ready() {
    let spec = json!({"readinessGates": [{"conditionType": "x.io/ok"}], "containers": [{"name": "a"}]});
    let status = Case::new(spec, vec![container("a", Phase::Running, 0, 0)]).status();
    assert_eq!(condition(&status, "ContainersReady").0, "True");
    let message = "corresponding condition of pod readiness gate \"x.io/ok\" does not exist.";
    assert_eq!(condition(&status, "Ready"), ("False".into(), "ReadinessGatesNotReady".into(), message.into()));
}
