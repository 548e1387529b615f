use super::*;
use k8s_openapi::api::core::v1::{PodSpec, ResourceRequirements};

fn container(cpu: &str, sidecar: bool) -> Container {
    let requests = (!cpu.is_empty()).then(|| [("cpu".to_owned(), Quantity(cpu.into()))].into());
    Container {
        resources: Some(ResourceRequirements { requests, ..ResourceRequirements::default() }),
        restart_policy: sidecar.then(|| "Always".into()),
        ..Container::default()
    }
}

fn requests(containers: Vec<Container>, init: Vec<Container>) -> PodRequests {
    let spec = PodSpec { containers, init_containers: Some(init), ..PodSpec::default() };
    PodRequests::of(&Pod { spec: Some(spec), ..Pod::default() }, &mut ResourceNames::default())
}

#[test]
fn init_containers_count_by_their_peak_and_sidecars_stay() {
    let sum = |c: &[&str], i: &[(&str, bool)]| {
        let init = i.iter().map(|(cpu, sidecar)| container(cpu, *sidecar)).collect();
        requests(c.iter().map(|cpu| container(cpu, false)).collect(), init).exact.get(CPU)
    };
    assert_eq!(sum(&["100m", "200m"], &[]), 300);
    assert_eq!(sum(&["100m"], &[("500m", false), ("400m", false)]), 500);
    assert_eq!(sum(&["100m"], &[("50m", true), ("500m", false)]), 550);
    assert_eq!(sum(&["100m"], &[("500m", false), ("50m", true)]), 500);
    assert_eq!(sum(&["100m"], &[("50m", true), ("60m", true)]), 210);
}

#[test]
fn containers_without_requests_count_in_scores() {
    let requests = requests(vec![container("", false), container("1", false)], vec![]);
    assert_eq!(requests.exact.0, [(CPU, 1000)]);
    assert_eq!(requests.scored, [1100, 2 * DEFAULT_MEMORY_BYTES]);
}
