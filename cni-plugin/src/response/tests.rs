use serde_json::json;

use super::{Added, Version};

fn added() -> Added {
    Added {
        previous: None,
        device: "pod000000000001".into(),
        device_mac: [2, 0x73, 0x6b, 0x65, 0x70, 1],
        interface: "eth0".into(),
        mac: [0x0a, 1, 2, 3, 4, 5],
        netns: "/run/netns/x".into(),
        mtu: 1450,
        addresses: vec![
            ("10.244.1.2".parse().unwrap(), "169.254.1.1".parse().unwrap()),
            ("fd00::2".parse().unwrap(), "fe80::1".parse().unwrap()),
        ],
    }
}

#[test]
fn each_version_has_its_shape() {
    let newest = added().render(Version::V1_1_0);
    assert_eq!(newest["cniVersion"], "1.1.0");
    assert_eq!(newest["interfaces"][1]["mtu"], 1450);
    assert_eq!(newest["ips"][0], json!({"address": "10.244.1.2/32", "gateway": "169.254.1.1", "interface": 1}));
    assert_eq!(newest["routes"][1], json!({"dst": "::/0", "gw": "fe80::1", "mtu": 1450}));
    let middle = added().render(Version::V1_0_0);
    assert!(middle["interfaces"][1].get("mtu").is_none() && middle["ips"][0].get("version").is_none());
    let oldest = added().render(Version::V0_3_1);
    assert_eq!(oldest["ips"][1]["version"], "6");
}

#[test]
fn results_of_plugins_before_us_stay() {
    let mut chained = added();
    chained.previous = Some(json!({"cniVersion": "1.0.0", "interfaces": [{"name": "first"}], "dns": {"domain": "x"}}));
    let result = chained.render(Version::V1_0_0);
    assert_eq!(result["interfaces"][0]["name"], "first");
    assert_eq!(result["ips"][0]["interface"], 2, "points at eth0");
    assert_eq!(result["dns"]["domain"], "x");
}
