#![cfg(feature = "user")]
use crate::pins::{Direction, PinDirectory};

#[test]
fn link_names_come_back() {
    let pins = PinDirectory::new("/sys/fs/bpf/skep");
    let path = pins.pod_link(7, Direction::Ingress);
    let name = path.file_name().and_then(|name| name.to_str()).unwrap();
    assert_eq!(PinDirectory::parse_pod_link(name), Some((7, Direction::Ingress)));
    assert_eq!(PinDirectory::parse_pod_link("pod-x-egress"), None);
    assert_eq!(PinDirectory::parse_device_link("uplink_egress-12"), Some(("uplink_egress", 12)));
    assert_eq!(PinDirectory::parse_device_link("socket_connect4"), None);
    assert!(pins.map("PODS").starts_with(pins.version()));
}
