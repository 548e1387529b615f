use super::*;
use crate::service_ports::HEADLESS;
use k8s_openapi::api::core::v1::{
    Container, ContainerPort, Pod, PodCondition, PodIP, PodSpec, PodStatus, ServicePort, ServiceSpec,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

fn service(families: &[&str], target: IntOrString) -> Service {
    Service {
        metadata: ObjectMeta { name: Some("s".into()), uid: Some("su".into()), ..ObjectMeta::default() },
        spec: Some(ServiceSpec {
            ip_families: Some(families.iter().map(|f| (*f).to_owned()).collect()),
            ports: Some(vec![ServicePort { port: 80, target_port: Some(target), ..ServicePort::default() }]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

fn pod(number: usize, port: Option<i32>) -> Arc<Pod> {
    let container = Container {
        ports: port.map(|container_port| {
            vec![ContainerPort { name: Some("web".into()), container_port, ..ContainerPort::default() }]
        }),
        ..Container::default()
    };
    Arc::new(Pod {
        metadata: ObjectMeta {
            name: Some(format!("p{number}")),
            uid: Some(format!("u{number}")),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec { node_name: Some("n".into()), containers: vec![container], ..PodSpec::default() }),
        status: Some(PodStatus {
            phase: Some("Running".into()),
            pod_ips: Some(vec![
                PodIP { ip: format!("10.0.{}.{}", number / 250, number % 250) },
                PodIP { ip: format!("fd00::{number:x}") },
            ]),
            conditions: Some(vec![PodCondition {
                type_: "Ready".into(),
                status: "True".into(),
                ..PodCondition::default()
            }]),
            ..PodStatus::default()
        }),
    })
}

/// Makes a plan and carries it out on `slices`; returns the number of (created, updated, deleted).
fn round(service: &Service, pods: &[Arc<Pod>], slices: &mut Vec<Arc<EndpointSlice>>) -> (usize, usize, usize) {
    let (desired, missing) = Desired::of(service, pods, |_| Some(Some("z".into())));
    assert_eq!(missing, None);
    let layout = plan(&desired, service, slices, &BTreeMap::new());
    let counts = (layout.create.len(), layout.update.len(), layout.delete.len());
    for gone in layout.delete {
        slices.retain(|slice| slice.metadata.name != gone.metadata.name);
    }
    for new in layout.update {
        let old = slices.iter_mut().find(|slice| slice.metadata.name == new.metadata.name).unwrap();
        *old = Arc::new(new);
    }
    for mut new in layout.create {
        new.metadata.name =
            Some(format!("s-{}", slices.len() + 1000 * slices.iter().map(|s| s.endpoints.len()).sum::<usize>()));
        slices.push(Arc::new(new));
    }
    assert!(slices.iter().all(|slice| slice.endpoints.len() <= SLICE_SIZE));
    let total: usize = slices.iter().map(|slice| slice.endpoints.len()).sum();
    let families = service.spec.as_ref().unwrap().ip_families.as_ref().unwrap().len();
    assert_eq!(total, pods.len() * families);
    counts
}

#[test]
fn slices_are_filled_with_few_writes() {
    let service = service(&["IPv4"], IntOrString::Int(8080));
    let mut slices = Vec::new();
    let pods: Vec<_> = (0..250).map(|n| pod(n, None)).collect();
    assert_eq!(round(&service, &[], &mut slices), (1, 0, 0), "placeholder");
    assert_eq!(round(&service, &[], &mut slices), (0, 0, 0));
    assert_eq!(round(&service, &pods[..1], &mut slices), (0, 1, 0), "the placeholder is used");
    assert_eq!(round(&service, &pods, &mut slices), (2, 1, 0));
    assert_eq!(round(&service, &pods, &mut slices), (0, 0, 0));
    assert_eq!(round(&service, &pods[1..], &mut slices), (0, 1, 0), "one gone is one write");
    assert_eq!(round(&service, &pods[..], &mut slices), (0, 1, 0), "one come is one write");
    let (created, updated, deleted) = round(&service, &[], &mut slices);
    assert_eq!((created, updated, deleted), (0, 1, 2));
    assert!(slices[0].ports.is_none());
}

#[test]
fn families_and_named_ports_have_their_own_slices() {
    let service = service(&["IPv4", "IPv6"], IntOrString::String("web".into()));
    let mut slices = Vec::new();
    let pods = [pod(1, Some(1000)), pod(2, Some(2000)), pod(3, Some(1000))];
    assert_eq!(round(&service, &pods, &mut slices), (4, 0, 0));
    let mut seen: Vec<(String, i32, usize)> = slices
        .iter()
        .map(|s| (s.address_type.clone(), s.ports.as_ref().unwrap()[0].port.unwrap(), s.endpoints.len()))
        .collect();
    seen.sort();
    assert_eq!(
        seen,
        [("IPv4".into(), 1000, 2), ("IPv4".into(), 2000, 1), ("IPv6".into(), 1000, 2), ("IPv6".into(), 2000, 1)]
    );
    assert_eq!(slices[0].endpoints[0].zone.as_deref(), Some("z"));
}

#[test]
fn conditions_labels_and_hints_follow_pod_and_service() {
    let mut service = service(&["IPv4"], IntOrString::Int(1));
    let spec = service.spec.as_mut().unwrap();
    spec.cluster_ip = Some("None".into());
    spec.traffic_distribution = Some("PreferSameNode".into());
    service.metadata.labels = Some([("a".to_owned(), "b".to_owned())].into());
    let mut going = (*pod(1, None)).clone();
    going.metadata.deletion_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH));
    let pods = [Arc::new(going), pod(2, None)];
    let mut slices = Vec::new();
    round(&service, &pods, &mut slices);
    let conditions = |n: usize| slices[0].endpoints[n].conditions.clone().unwrap();
    assert_eq!(
        (conditions(0).ready, conditions(0).serving, conditions(0).terminating),
        (Some(false), Some(true), Some(true))
    );
    assert_eq!(conditions(1).ready, Some(true));
    assert!(slices[0].endpoints[0].hints.is_none());
    assert_eq!(slices[0].endpoints[1].hints.as_ref().unwrap().for_nodes.as_ref().unwrap()[0].name, "n");
    let labels = slices[0].metadata.labels.as_ref().unwrap();
    assert_eq!(
        (labels["a"].as_str(), labels[HEADLESS].as_str(), labels["kubernetes.io/service-name"].as_str()),
        ("b", "", "s")
    );
    let unchanged = round(&service, &pods, &mut slices);
    assert_eq!(unchanged, (0, 0, 0));
}
