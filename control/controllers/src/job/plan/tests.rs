use super::*;
use crate::job::pods;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::UncountedTerminatedPods;
use k8s_openapi::api::batch::v1::{SuccessPolicy, SuccessPolicyRule};
use k8s_openapi::api::core::v1::PodStatus;

struct World {
    job: Job,
    pods: Vec<Pod>,
    backoff: Backoff,
    clock: i64,
    made: usize,
}

impl World {
    fn new(spec: JobSpec) -> Self {
        let mut job = Job { spec: Some(spec), ..Job::default() };
        job.metadata.name = Some("j".into());
        Self { job, pods: Vec::new(), backoff: Backoff::default(), clock: 1000, made: 0 }
    }

    fn round(&mut self) -> Plan {
        self.clock += 1;
        let pods: Vec<Arc<Pod>> = self.pods.iter().cloned().map(Arc::new).collect();
        let now = Time(Timestamp::from_second(self.clock).unwrap());
        let view = View { job: &self.job, pods: &pods, now, may_manage: true, backoff: &self.backoff };
        let plan = plan(&view);
        self.backoff = plan.backoff.clone();
        let hit = |list: &[Arc<Pod>], pod: &Pod| list.iter().any(|other| other.metadata.uid == pod.metadata.uid);
        for pod in &mut self.pods {
            if hit(&plan.release, pod) {
                pod.metadata.finalizers = None;
            }
            if hit(&plan.delete, pod) {
                pod.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
            }
        }
        self.pods.retain(|pod| pod.metadata.deletion_timestamp.is_none() || is_tracked(pod));
        for new in &plan.create {
            self.made += 1;
            let mut pod = pods::new_pod(&self.job, new.index, new.failures);
            pod.metadata.uid = Some(format!("u{}", self.made));
            pod.status = Some(PodStatus { phase: Some("Running".into()), ..PodStatus::default() });
            self.pods.push(pod);
        }
        self.job.status = Some(plan.status.clone());
        plan
    }

    fn end(&mut self, number: usize, phase: &str) {
        self.pods[number].status.as_mut().unwrap().phase = Some(phase.into());
    }

    fn status(&self) -> JobStatus {
        self.job.status.clone().unwrap()
    }

    fn conditions(&self) -> Vec<(String, String)> {
        let conditions = self.status().conditions.unwrap_or_default();
        conditions.into_iter().map(|c| (c.type_, c.reason.unwrap_or_default())).collect()
    }
}

fn pair(kind: &str, reason: &str) -> (String, String) {
    (kind.to_owned(), reason.to_owned())
}

#[test]
fn pods_run_one_after_the_other_until_enough_succeeded() {
    let mut world = World::new(JobSpec { completions: Some(2), parallelism: Some(1), ..JobSpec::default() });
    assert_eq!(world.round().create.len(), 1);
    let status = world.status();
    assert_eq!((status.active, status.ready, status.terminating), (Some(1), Some(0), Some(0)));
    world.end(0, "Succeeded");
    let plan = world.round();
    let noted = plan.noted.unwrap().uncounted_terminated_pods.unwrap();
    assert_eq!(noted.succeeded, Some(vec!["u1".to_owned()]), "noted before it is released");
    assert_eq!((plan.release.len(), plan.create.len()), (1, 1));
    assert_eq!((world.status().succeeded, world.status().active), (Some(1), Some(1)));
    world.end(1, "Succeeded");
    world.round();
    assert_eq!(world.status().succeeded, Some(2));
    let expected = [pair("SuccessCriteriaMet", "CompletionsReached"), pair("Complete", "CompletionsReached")];
    assert_eq!(world.conditions(), expected);
    assert!(world.round().create.is_empty());
}

#[test]
fn a_crash_between_noting_and_counting_loses_nothing() {
    let mut world = World::new(JobSpec { completions: Some(2), parallelism: Some(2), ..JobSpec::default() });
    world.round();
    world.end(0, "Succeeded");
    let noted = world.round().noted.unwrap();
    world.job.status = Some(noted);
    world.round();
    assert_eq!(world.status().succeeded, Some(1));
    assert_eq!(world.status().uncounted_terminated_pods, Some(UncountedTerminatedPods::default()));
}

#[test]
fn failures_wait_and_then_end_the_job() {
    let mut world = World::new(JobSpec {
        completions: Some(1),
        parallelism: Some(1),
        backoff_limit: Some(1),
        ..JobSpec::default()
    });
    world.round();
    world.end(0, "Failed");
    let plan = world.round();
    assert!(plan.create.is_empty());
    assert_eq!(plan.look_again, Some(10));
    world.clock += 10;
    assert_eq!(world.round().create.len(), 1);
    world.end(1, "Failed");
    world.round();
    assert_eq!(world.status().failed, Some(2));
    let expected = [pair("FailureTarget", "BackoffLimitExceeded"), pair("Failed", "BackoffLimitExceeded")];
    assert_eq!(world.conditions(), expected);
}

#[test]
fn indexed_jobs_know_their_indexes() {
    let spec = JobSpec {
        completions: Some(3),
        parallelism: Some(3),
        completion_mode: Some("Indexed".into()),
        ..JobSpec::default()
    };
    let mut world = World::new(spec.clone());
    let indexes: Vec<_> = world.round().create.into_iter().map(|pod| pod.index).collect();
    assert_eq!(indexes, [Some(0), Some(1), Some(2)]);
    assert_eq!(world.pods[2].metadata.generate_name.as_deref(), Some("j-2-"));
    world.end(1, "Succeeded");
    assert!(world.round().create.is_empty());
    assert_eq!((world.status().completed_indexes.as_deref(), world.status().active), (Some("1"), Some(2)));

    let rule = SuccessPolicyRule { succeeded_indexes: Some("1".into()), succeeded_count: None };
    let success_policy = Some(SuccessPolicy { rules: vec![rule] });
    let mut world = World::new(JobSpec { success_policy, ..spec.clone() });
    world.round();
    world.end(1, "Succeeded");
    assert_eq!(world.round().delete.len(), 2);
    assert_eq!(world.conditions(), [pair("SuccessCriteriaMet", "SuccessPolicy")], "pods are still ending");
    world.round();
    assert_eq!(world.conditions()[1], pair("Complete", "SuccessPolicy"));
    assert_eq!((world.status().failed, world.status().active), (None, None));

    let per_index = JobSpec { completions: Some(2), parallelism: Some(2), backoff_limit_per_index: Some(0), ..spec };
    let mut world = World::new(JobSpec { backoff_limit: Some(i32::MAX), ..per_index });
    world.round();
    world.end(0, "Failed");
    world.round();
    assert_eq!((world.status().failed_indexes.as_deref(), world.status().failed), (Some("0"), Some(1)));
    world.end(1, "Succeeded");
    world.round();
    assert_eq!(world.conditions(), [pair("FailureTarget", "FailedIndexes"), pair("Failed", "FailedIndexes")]);
}
