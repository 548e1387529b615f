//! Typed maps: batches of the sizes that occur, on the real maps.

use std::net::{IpAddr, Ipv4Addr};

use skep_proxy::datapath::{MapError, TypedMaps, typed_maps::node_range};
use skep_proxy_ebpf::{
    maps::{
        node::NodeValue,
        service::{CAPACITY, SCOPE_CLUSTER, ServiceKey, ServiceValue},
    },
    protocol::Protocol,
};

use crate::{may_run, packets};

fn key(number: u32) -> ServiceKey {
    let address = IpAddr::from(Ipv4Addr::from(0x0a61_0000 + number / 1000));
    ServiceKey::new(address.into(), 1 + u16::try_from(number % 1000).unwrap(), Protocol::Tcp, SCOPE_CLUSTER)
}

fn services(count: u32) -> Vec<(ServiceKey, ServiceValue)> {
    (0..count).map(|number| (key(number), ServiceValue::new(key(number), 7, u64::from(number), &[]))).collect()
}

#[test]
fn batches_write_dump_and_delete() {
    if !may_run() {
        return;
    }
    let bench = packets::bench();
    let before = bench.maps.services.dump().unwrap().len();
    let written = services(5000);
    bench.maps.services.put_all(&written).unwrap();
    let readers = TypedMaps::open_read_only(&bench.pins).unwrap();
    let dump = readers.services.dump().unwrap();
    assert_eq!(dump.len(), before + written.len());
    assert!(written.iter().all(|element| readers.services.get(&element.0).unwrap() == Some(element.1)));
    assert!(readers.services.put(&key(0), &written[0].1).is_err(), "readers cannot write");
    // Every third is gone already.
    for number in (0..5000).step_by(3) {
        assert!(bench.maps.services.delete(&key(number)).unwrap());
    }
    bench.maps.services.delete_all(&written.iter().map(|element| element.0).collect::<Vec<_>>()).unwrap();
    assert_eq!(bench.maps.services.dump().unwrap().len(), before);
}

#[test]
fn a_full_map_says_so() {
    if !may_run() {
        return;
    }
    let bench = packets::bench();
    let before = bench.maps.services.dump().unwrap().len();
    let error = bench.maps.services.put_all(&services(CAPACITY + 1)).unwrap_err();
    let room = usize::try_from(CAPACITY).unwrap() - before;
    assert!(matches!(error, MapError::Full { map: "SERVICES", written, .. } if written == room), "{error:?}");
}

#[test]
fn ranges_are_dumped_as_they_were_written() {
    if !may_run() {
        return;
    }
    let bench = packets::bench();
    let before = bench.maps.nodes.dump().unwrap().len();
    let tunnel = NodeValue::overlay([192, 0, 2, 9].into());
    let ranges: Vec<_> = (0..2500_u32)
        .map(|number| (node_range(Ipv4Addr::from(0x0b00_0000 + (number << 8)).into(), 24).unwrap(), tunnel))
        .collect();
    bench.maps.nodes.put_all(&ranges).unwrap();
    let dump = bench.maps.nodes.dump().unwrap();
    assert_eq!(dump.len(), before + ranges.len());
    assert_eq!(dump.iter().filter(|(key, value)| key.prefix_len() == 120 && *value == tunnel).count(), 2500);
    bench.maps.nodes.delete_all(&ranges.iter().map(|range| range.0).collect::<Vec<_>>()).unwrap();
    assert_eq!(bench.maps.nodes.dump().unwrap().len(), before);
}
