use super::*;
use k8s_openapi::api::apps::v1::{DaemonSetSpec, DaemonSetUpdateStrategy, RollingUpdateDaemonSet};
use k8s_openapi::api::core::v1::{NodeSpec, PodCondition, PodSpec, PodStatus, Taint, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

struct World {
    set: DaemonSet,
    nodes: Vec<Arc<Node>>,
    pods: Vec<Arc<Pod>>,
    hash: &'static str,
}

impl World {
    fn new(nodes: &[&str]) -> Self {
        let nodes = nodes.iter().map(|name| Arc::new(node(name, None))).collect();
        let set = DaemonSet { spec: Some(DaemonSetSpec::default()), ..DaemonSet::default() };
        Self { set, nodes, pods: Vec::new(), hash: "h1" }
    }

    /// One round, after which new pods are ready; returns (created, deleted).
    fn round(&mut self) -> (Vec<String>, usize) {
        let plan = plan(&View {
            set: &self.set,
            pods: &self.pods,
            nodes: &self.nodes,
            hash: self.hash,
            now: Timestamp::UNIX_EPOCH,
        });
        self.pods.retain(|pod| !plan.delete.iter().any(|gone| gone.metadata.name == pod.metadata.name));
        for node in &plan.create {
            let mut pod = super::super::pods::new_pod(&self.set, node, self.hash);
            pod.metadata.name = Some(format!("{node}-{}", self.hash));
            pod.metadata.uid = pod.metadata.name.clone();
            let ready = PodCondition { type_: "Ready".into(), status: "True".into(), ..PodCondition::default() };
            pod.status = Some(PodStatus {
                phase: Some("Running".into()),
                conditions: Some(vec![ready]),
                ..PodStatus::default()
            });
            self.pods.push(Arc::new(pod));
        }
        self.set.status = Some(plan.status);
        (plan.create, plan.delete.len())
    }
}

fn node(name: &str, taint: Option<&str>) -> Node {
    let taint = taint.map(|key| vec![Taint { key: key.into(), effect: "NoSchedule".into(), ..Taint::default() }]);
    Node {
        metadata: ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() },
        spec: Some(NodeSpec { taints: taint, ..NodeSpec::default() }),
        status: None,
    }
}

#[test]
fn each_node_that_fits_gets_one_pod() {
    let mut world = World::new(&["n1"]);
    world.nodes.push(Arc::new(node("n2", Some("t"))));
    world.nodes.push(Arc::new(node("n3", Some("node.kubernetes.io/unschedulable"))));
    assert_eq!(world.round(), (vec!["n1".into(), "n3".into()], 0));
    assert_eq!(world.round(), (vec![], 0));
    let status = world.set.status.clone().unwrap();
    assert_eq!(
        (status.desired_number_scheduled, status.number_available, status.number_unavailable),
        (2, Some(2), None)
    );
    world.nodes[0] = Arc::new(node("n1", Some("t")));
    assert_eq!(world.round(), (vec![], 0), "NoSchedule does not drive away");
    assert_eq!(world.set.status.as_ref().unwrap().number_misscheduled, 1);
    let toleration = Toleration { key: Some("t".into()), operator: Some("Exists".into()), ..Toleration::default() };
    let spec = PodSpec { tolerations: Some(vec![toleration]), ..PodSpec::default() };
    world.set.spec.as_mut().unwrap().template.spec = Some(spec);
    assert_eq!(world.round().0, ["n2"]);
    let selector = PodSpec { node_selector: Some([("d".to_owned(), "1".to_owned())].into()), ..PodSpec::default() };
    world.set.spec.as_mut().unwrap().template.spec = Some(selector);
    assert_eq!(world.round(), (vec![], 3));
}

#[test]
fn updates_keep_to_their_limits() {
    let mut world = World::new(&["n1", "n2", "n3"]);
    world.round();
    world.hash = "h2";
    assert_eq!(world.round(), (vec![], 1));
    assert_eq!(world.round().0.len(), 1, "the replacement");
    for _ in 0..4 {
        let (created, deleted) = world.round();
        assert!(created.len() + deleted <= 1);
    }
    assert!(world.pods.iter().all(|pod| revision_hash(pod) == Some("h2")));
    let rolling =
        RollingUpdateDaemonSet { max_surge: Some(IntOrString::Int(2)), max_unavailable: Some(IntOrString::Int(0)) };
    world.set.spec.as_mut().unwrap().update_strategy =
        Some(DaemonSetUpdateStrategy { rolling_update: Some(rolling), type_: Some("RollingUpdate".into()) });
    world.hash = "h3";
    assert_eq!(world.round(), (vec!["n1".into(), "n2".into()], 0), "new pods come before old ones go");
    assert_eq!(world.round(), (vec![], 2));
    assert_eq!(world.round().0, ["n3"]);
    assert_eq!(world.round(), (vec![], 1));
    assert_eq!(world.round(), (vec![], 0));
}
