use super::*;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DeploymentSpec, DeploymentStrategy, ReplicaSetStatus, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// A deployment and its sets, with a stand-in for the ReplicaSet controller.
struct World {
    deployment: Deployment,
    sets: Vec<ReplicaSet>,
    clock: i64,
}

impl World {
    fn new(replicas: i32, surge: i32, unavailable: i32) -> Self {
        let rolling = RollingUpdateDeployment {
            max_surge: Some(IntOrString::Int(surge)),
            max_unavailable: Some(IntOrString::Int(unavailable)),
        };
        let spec = DeploymentSpec {
            replicas: Some(replicas),
            progress_deadline_seconds: Some(600),
            revision_history_limit: Some(2),
            strategy: Some(DeploymentStrategy { rolling_update: Some(rolling), type_: Some("RollingUpdate".into()) }),
            ..DeploymentSpec::default()
        };
        let metadata = ObjectMeta { name: Some("d".into()), uid: Some("du".into()), ..ObjectMeta::default() };
        let mut world =
            Self { deployment: Deployment { metadata, spec: Some(spec), status: None }, sets: Vec::new(), clock: 0 };
        world.image("i:1");
        world
    }

    fn image(&mut self, image: &str) {
        let container = Container { name: "c".into(), image: Some(image.into()), ..Container::default() };
        let spec = PodSpec { containers: vec![container], ..PodSpec::default() };
        self.edit(|d| d.template = PodTemplateSpec { metadata: None, spec: Some(spec) });
    }

    fn edit(&mut self, change: impl FnOnce(&mut DeploymentSpec)) {
        change(self.deployment.spec.as_mut().unwrap());
        self.deployment.metadata.generation = Some(self.deployment.metadata.generation.unwrap_or(0) + 1);
    }

    /// One round of the controller; false when it had nothing to do.
    fn round(&mut self) -> bool {
        self.clock += 1;
        let sets = self.sets.iter().cloned().map(Arc::new).collect();
        let now = Time(Timestamp::from_second(self.clock).unwrap());
        let rollout = Rollout::new(&self.deployment, sets, now);
        let old_run = rollout.old().any(|set| set.actual() > 0);
        let operations = operations(&rollout, || old_run);
        let acted = !operations.is_empty();
        for operation in operations {
            match operation {
                Operation::SetRevision(annotations) => {
                    let all = self.deployment.metadata.annotations.get_or_insert_default();
                    all.extend(annotations.into_iter().map(|(k, v)| (k, v.as_str().unwrap().to_owned())));
                }
                Operation::Create(mut set) => {
                    set.metadata.uid = set.metadata.name.clone();
                    set.metadata.creation_timestamp = Some(Time(Timestamp::from_second(self.clock).unwrap()));
                    self.sets.push(*set);
                }
                Operation::Change { set, patch, .. } => {
                    let set = self.sets.iter_mut().find(|s| s.metadata.name == set.metadata.name).unwrap();
                    let all = set.metadata.annotations.get_or_insert_default();
                    for (k, v) in patch["metadata"]["annotations"].as_object().unwrap() {
                        all.insert(k.clone(), v.as_str().unwrap().to_owned());
                    }
                    if let Some(replicas) = patch["spec"]["replicas"].as_i64() {
                        set.spec.as_mut().unwrap().replicas = Some(i32::try_from(replicas).unwrap());
                    }
                }
                Operation::Delete(set) => self.sets.retain(|s| s.metadata.name != set.metadata.name),
                Operation::Status(status) => self.deployment.status = Some(*status),
            }
        }
        acted
    }

    /// Pods follow the wanted numbers; at most one more becomes available per call.
    fn pods(&mut self) {
        let mut ready_one = true;
        for set in &mut self.sets {
            let wanted = set.spec.as_ref().unwrap().replicas.unwrap();
            let before = set.status.clone().unwrap_or_default();
            let mut available = before.available_replicas.unwrap_or(0).min(wanted);
            if available < wanted && std::mem::take(&mut ready_one) {
                available += 1;
            }
            set.status = Some(ReplicaSetStatus {
                replicas: wanted,
                ready_replicas: Some(available),
                available_replicas: Some(available),
                ..ReplicaSetStatus::default()
            });
        }
    }

    fn settle(&mut self, mut check: impl FnMut(&Self)) {
        for _ in 0..200 {
            let acted = self.round();
            check(self);
            let before = self.sets.clone();
            self.pods();
            if !acted && before == self.sets {
                return;
            }
        }
        panic!("does not settle: {:?}", self.sizes());
    }

    fn sizes(&self) -> Vec<i32> {
        self.sets.iter().map(|set| set.spec.as_ref().unwrap().replicas.unwrap()).collect()
    }

    fn progress(&self) -> String {
        let conditions = self.deployment.status.as_ref().unwrap().conditions.clone().unwrap();
        conditions.into_iter().find(|c| c.type_ == "Progressing").and_then(|c| c.reason).unwrap()
    }

    fn available(&self) -> i32 {
        self.sets.iter().filter_map(|set| set.status.as_ref()?.available_replicas).sum()
    }
}

#[test]
fn a_rolling_update_keeps_its_limits_at_every_step() {
    for (replicas, surge, unavailable) in [(3, 1, 0), (3, 0, 1), (10, 3, 2), (1, 1, 0), (5, 5, 5), (4, 1, 1)] {
        let mut world = World::new(replicas, surge, unavailable);
        world.settle(|_| {});
        assert_eq!(world.sizes(), [replicas]);
        assert_eq!(world.progress(), "NewReplicaSetAvailable");
        world.image("i:2");
        world.settle(|world| {
            let total: i32 = world.sizes().iter().sum();
            assert!(total <= replicas + surge, "{:?} of {replicas} + {surge}", world.sizes());
            let least = world
                .sets
                .iter()
                .map(|set| {
                    let available = set.status.as_ref().and_then(|s| s.available_replicas).unwrap_or(0);
                    available.min(set.spec.as_ref().unwrap().replicas.unwrap())
                })
                .sum::<i32>();
            assert!(least >= replicas - unavailable, "{least} of {replicas} - {unavailable}");
        });
        assert_eq!(world.sizes(), [0, replicas]);
        assert_eq!(world.available(), replicas);
        assert_eq!(world.progress(), "NewReplicaSetAvailable");
    }
}

#[test]
fn a_rollback_reuses_the_old_set_with_a_new_revision_and_history_is_limited() {
    let mut world = World::new(2, 1, 0);
    for image in ["i:1", "i:2", "i:1", "i:3", "i:4", "i:5"] {
        world.image(image);
        world.settle(|_| {});
    }
    let revision = |set: &ReplicaSet| set.metadata.annotations.as_ref().unwrap()[REVISION].clone();
    let revisions: Vec<String> = world.sets.iter().map(revision).collect();
    assert_eq!(revisions, ["4", "5", "6"]);
    assert_eq!(world.deployment.metadata.annotations.as_ref().unwrap()[REVISION], "6");
    world.image("i:3");
    world.settle(|_| {});
    assert_eq!(world.sizes(), [2, 0, 0]);
    assert_eq!(revision(&world.sets[0]), "7");
    assert_eq!(world.sets[0].metadata.annotations.as_ref().unwrap()[revision::REVISION_HISTORY], "4");
}

#[test]
fn recreate_ends_old_pods_before_it_starts_new_ones() {
    let mut world = World::new(3, 1, 0);
    world
        .edit(|spec| spec.strategy = Some(DeploymentStrategy { type_: Some("Recreate".into()), rolling_update: None }));
    world.settle(|_| {});
    world.image("i:2");
    world.settle(|world| {
        if let [old, new] = world.sizes()[..] {
            let old_pods = world.sets[0].status.as_ref().map_or(0, |status| status.replicas);
            assert!(new == 0 || (old == 0 && old_pods == 0));
        }
    });
    assert_eq!(world.sizes(), [0, 3]);
}

#[test]
fn a_paused_deployment_scales_but_does_not_roll_and_replicas_spread_in_proportion() {
    let mut world = World::new(2, 1, 0);
    world.settle(|_| {});
    world.edit(|spec| spec.paused = Some(true));
    world.image("i:2");
    world.settle(|_| {});
    assert_eq!(world.sizes(), [2]);
    assert_eq!(world.progress(), "DeploymentPaused");
    world.edit(|spec| spec.replicas = Some(4));
    world.settle(|_| {});
    assert_eq!(world.sizes(), [4]);
    // As recorded from Kubernetes: 3 old + 2 new of 4 (25% each), then 10 replicas: 8 old, 5 new.
    let quarter = || Some(IntOrString::String("25%".into()));
    world.edit(|spec| {
        spec.paused = None;
        spec.strategy = Some(DeploymentStrategy {
            type_: Some("RollingUpdate".into()),
            rolling_update: Some(RollingUpdateDeployment { max_surge: quarter(), max_unavailable: quarter() }),
        });
    });
    for _ in 0..6 {
        world.round();
        for set in &mut world.sets {
            let replicas = set.spec.as_ref().unwrap().replicas.unwrap();
            let old = set.spec.as_ref().unwrap().template.as_ref().unwrap().spec.as_ref().unwrap().containers[0].image
                == Some("i:1".into());
            let available = Some(if old { replicas } else { 0 });
            set.status =
                Some(ReplicaSetStatus { replicas, available_replicas: available, ..ReplicaSetStatus::default() });
        }
    }
    assert_eq!(world.sizes(), [3, 2]);
    world.edit(|spec| spec.replicas = Some(10));
    for _ in 0..3 {
        world.round();
    }
    assert_eq!(world.sizes(), [8, 5]);
}

#[test]
fn a_stuck_rollout_is_reported_after_the_deadline() {
    let mut world = World::new(1, 1, 0);
    world.round();
    world.round();
    world.clock += 700;
    world.round();
    assert_eq!(world.progress(), "ProgressDeadlineExceeded");
}
