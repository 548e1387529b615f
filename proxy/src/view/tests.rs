use std::collections::HashMap;
use std::net::IpAddr;

use skep_proxy_ebpf::maps::backend::Backend;
use skep_proxy_ebpf::maps::backend_count::{BackendCount, BackendCountKey};
use skep_proxy_ebpf::maps::service::{SCOPE_CLUSTER, ServiceKey, ServiceValue};
use skep_proxy_ebpf::protocol::Protocol;

use super::table::{Width, detail, list};
use super::{BackendState, Dumped, View};
use crate::names::{EndpointNames, Names, ServicePortNames, State};

fn ip(last: u8) -> IpAddr {
    IpAddr::from([10, 244, 1, last])
}

fn backend(last: u8) -> Backend {
    Backend::new(ip(last).into(), 8080, 0)
}

fn view() -> View {
    let key = ServiceKey::new(IpAddr::from([10, 96, 0, 7]).into(), 80, Protocol::Tcp, SCOPE_CLUSTER);
    let unnamed = ServiceKey::new(IpAddr::from([10, 96, 0, 9]).into(), 53, Protocol::Udp, SCOPE_CLUSTER);
    let count = |opened, closed| BackendCount { opened, closed };
    let mut names = Names { node: "n1".into(), ..Names::default() };
    names.services.push(ServicePortNames {
        id: 5,
        namespace: "default".into(),
        name: "web".into(),
        port_name: "http".into(),
        protocol: "TCP".into(),
        kind: "ClusterIP".into(),
        internal_local: false,
        external_local: false,
        endpoints: vec![
            ((ip(1), 8080).into(), State::Ready),
            ((ip(2), 8080).into(), State::Terminating),
            ((ip(3), 8080).into(), State::Ready),
        ],
    });
    let pod = EndpointNames { pod: "default/web-1".into(), node: "n1".into(), zone: "a".into() };
    names.endpoints.insert(ip(1), pod);
    let dumped = Dumped {
        services: vec![
            (key, ServiceValue::new(key, 5, 1, &[backend(1)])),
            (unnamed, ServiceValue::new(unnamed, 0xabc, 2, &[])),
        ],
        chunks: HashMap::new(),
        counts: [
            (BackendCountKey::of(5, &backend(1)), count(10, 7)),
            (BackendCountKey::of(5, &backend(2)), count(4, 3)),
            (BackendCountKey::of(5, &backend(9)), count(2, 2)),
            (BackendCountKey::refusals(0xabc), count(6, 0)),
        ]
        .into_iter()
        .collect(),
    };
    View::of(dumped, &names)
}

#[test]
fn everybody_is_named_and_in_a_state() {
    let view = view();
    let web = view.clone().only("default", "web").unwrap();
    let states: Vec<_> = web.services[0].backends.iter().map(|b| (b.state, b.live)).collect();
    assert_eq!(states, [(BackendState::Active, 3), (BackendState::Draining, 1), (BackendState::Excluded, 0)]);
    assert_eq!(web.services[0].live, 4);
    assert!(view.only("default", "nothing").is_err());
}

#[test]
fn tables_read_like_kubectls() {
    let view = view();
    let listed = list(&view, Width::Narrow);
    assert_eq!(
        listed,
        "SERVICE            PORT          TYPE        FRONTEND    BACKENDS   LIVE   OPENED   REFUSED\n\
         0000000000000abc   53/UDP        -           10.96.0.9   0          0      0        6\n\
         default/web        http:80/TCP   ClusterIP   10.96.0.7   1          4      14       0\n"
    );
    let shown = detail(&view.only("default", "web").unwrap(), Width::Wide);
    assert!(shown.contains("10.244.1.1:8080   active     default/web-1   n1     3      10       a\n"), "{shown}");
    assert!(shown.contains("Frontend   10.96.0.7:80/TCP (cluster) -> 1 backend\n"), "{shown}");
}
