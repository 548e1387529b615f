use super::*;
use crate::history::REVISION_HASH;
use k8s_openapi::api::apps::v1::{RollingUpdateStatefulSetStrategy, StatefulSetSpec, StatefulSetUpdateStrategy};
use k8s_openapi::api::core::v1::{PodCondition, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

struct World {
    set: StatefulSet,
    pods: BTreeMap<i32, Pod>,
    current: String,
    update: String,
}

impl World {
    fn new(replicas: i32) -> Self {
        let rolling = RollingUpdateStatefulSetStrategy { partition: Some(0), ..Default::default() };
        let set = StatefulSet {
            metadata: ObjectMeta { name: Some("w".into()), ..ObjectMeta::default() },
            spec: Some(StatefulSetSpec {
                replicas: Some(replicas),
                update_strategy: Some(StatefulSetUpdateStrategy {
                    type_: Some("RollingUpdate".into()),
                    rolling_update: Some(rolling),
                }),
                ..StatefulSetSpec::default()
            }),
            status: None,
        };
        Self { set, pods: BTreeMap::new(), current: "r1".into(), update: "r1".into() }
    }

    /// One round; returns what was done.
    fn round(&mut self) -> Vec<String> {
        let pods: Vec<Arc<Pod>> = self.pods.values().cloned().map(Arc::new).collect();
        let view = View {
            set: &self.set,
            pods: &pods,
            current: self.current.clone(),
            update: self.update.clone(),
            collisions: 0,
            now: Timestamp::UNIX_EPOCH,
        };
        let plan = plan(&view);
        let mut done = Vec::new();
        for operation in plan.operations {
            match operation {
                Operation::Create { ordinal, revision } => {
                    done.push(format!("+{ordinal} {revision}"));
                    let template = k8s_openapi::api::core::v1::PodTemplateSpec::default();
                    let pod = super::super::identity::new_pod(&self.set, &template, ordinal, &revision);
                    self.pods.insert(ordinal, pod);
                }
                Operation::Delete(pod) => {
                    let ordinal = ordinal("w", &pod).unwrap();
                    done.push(format!("-{ordinal}"));
                    self.pods.remove(&ordinal);
                }
                Operation::Identify { .. } => done.push("identify".into()),
            }
        }
        self.current = plan.status.current_revision.clone().unwrap();
        self.set.status = Some(plan.status);
        done
    }

    fn make_ready(&mut self) {
        let ready = PodCondition { type_: "Ready".into(), status: "True".into(), ..PodCondition::default() };
        for pod in self.pods.values_mut() {
            let conditions = Some(vec![ready.clone()]);
            pod.status = Some(PodStatus { phase: Some("Running".into()), conditions, ..PodStatus::default() });
        }
    }

    fn settle(&mut self) -> Vec<String> {
        let mut done = Vec::new();
        for _ in 0..30 {
            let round = self.round();
            self.make_ready();
            if round.is_empty() && self.round().is_empty() {
                return done;
            }
            done.extend(round);
        }
        panic!("does not settle: {done:?}");
    }
}

#[test]
fn pods_come_in_order_go_from_the_end_and_update_from_the_end() {
    let mut world = World::new(3);
    assert_eq!(world.round(), ["+0 r1"]);
    assert!(world.round().is_empty(), "the next waits until it is ready");
    world.make_ready();
    assert_eq!(world.settle(), ["+1 r1", "+2 r1"]);
    let status = world.set.status.clone().unwrap();
    assert_eq!((status.replicas, status.current_replicas, status.updated_replicas), (3, Some(3), Some(3)));
    assert_eq!(world.pods[&2].spec.as_ref().unwrap().hostname.as_deref(), Some("w-2"));
    assert_eq!(world.pods[&2].metadata.labels.as_ref().unwrap()[REVISION_HASH], "r1");
    world.update = "r2".into();
    assert_eq!(world.settle(), ["-2", "+2 r2", "-1", "+1 r2", "-0", "+0 r2"]);
    assert_eq!(world.current, "r2");
    world.set.spec.as_mut().unwrap().replicas = Some(1);
    assert_eq!(world.settle(), ["-2", "-1"]);
}

#[test]
fn a_partition_keeps_the_first_pods_as_they_are() {
    let mut world = World::new(3);
    world.settle();
    let strategy = world.set.spec.as_mut().unwrap().update_strategy.as_mut().unwrap();
    strategy.rolling_update.as_mut().unwrap().partition = Some(2);
    world.update = "r2".into();
    assert_eq!(world.settle(), ["-2", "+2 r2"]);
    world.pods.remove(&0);
    assert_eq!(world.settle(), ["+0 r1"], "a lost pod comes back as it was");
}

#[test]
fn parallel_sets_do_not_wait() {
    let mut world = World::new(3);
    world.set.spec.as_mut().unwrap().pod_management_policy = Some("Parallel".into());
    assert_eq!(world.round(), ["+0 r1", "+1 r1", "+2 r1"]);
    world.set.spec.as_mut().unwrap().replicas = Some(0);
    assert_eq!(world.round(), ["-2", "-1", "-0"]);
}
