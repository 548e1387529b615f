use std::collections::HashMap;
use std::net::IpAddr;

use skep_proxy_ebpf::maps::backend::Backend;
use skep_proxy_ebpf::maps::service::{Algorithm, SCOPE_CLUSTER, ServiceKey};
use skep_proxy_ebpf::protocol::Protocol;

use super::{Plan, plan};
use crate::entries::Entry;
use crate::objects::ObjectName;
use crate::reconcile::Actual;
use crate::reconcile::wanted::Wanted;

fn key() -> ServiceKey {
    ServiceKey::new(IpAddr::from([10, 96, 0, 1]).into(), 80, Protocol::Tcp, SCOPE_CLUSTER)
}

fn entry(backends: u8) -> Entry {
    let backends = (0..backends).map(|last| Backend::new(IpAddr::from([10, 244, 0, last]).into(), 8080, 0));
    Entry { service_id: 9, flags: 0, affinity_seconds: 0, algorithm: Algorithm::Random, backends: backends.collect() }
}

/// Plays the agent and a kernel that does what it is told.
#[derive(Default)]
struct World {
    wanted: Wanted,
    actual: HashMap<ServiceKey, Actual>,
    generation: u64,
}

impl World {
    fn want(&mut self, service: &str, entries: Vec<(ServiceKey, Entry)>) -> Vec<ServiceKey> {
        self.wanted.replace(&ObjectName::new("default", service), entries)
    }

    fn round(&mut self, may_delete: bool) -> Plan {
        let mut keys: Vec<ServiceKey> = self.wanted.iter().map(|(key, _)| *key).collect();
        keys.extend(self.actual.keys());
        keys.sort_unstable();
        keys.dedup();
        let plan = plan(&keys, &self.wanted, &self.actual, may_delete, &mut self.generation);
        for write in &plan.writes {
            self.actual.insert(write.key, write.actual.clone());
        }
        for key in &plan.deletes {
            self.actual.remove(key);
        }
        plan
    }
}

#[test]
fn what_is_there_is_not_written_again() {
    let mut world = World::default();
    assert_eq!(world.want("web", vec![(key(), entry(2))]).len(), 1);
    let first = world.round(true);
    assert_eq!((first.writes.len(), first.chunks.len(), first.counters.len()), (1, 0, 3));
    assert!(world.want("web", vec![(key(), entry(2))]).is_empty());
    assert!(world.round(true).writes.is_empty());
}

#[test]
fn many_backends_are_published_whole_and_the_old_ones_go_last() {
    let mut world = World::default();
    world.want("web", vec![(key(), entry(20))]);
    let first = world.round(true);
    assert_eq!((first.chunks.len(), first.writes.len()), (2, 1));
    world.want("web", vec![(key(), entry(40))]);
    let second = world.round(true);
    assert_eq!((second.chunks.len(), second.old_chunks.len()), (3, 2));
    assert_eq!(second.counters.len(), 20, "only the new backends need counters");
    assert!(second.old_chunks.iter().all(|old| first.chunks.iter().any(|(key, _)| key == old)));
    assert!(second.chunks.iter().all(|(key, _)| !first.chunks.iter().any(|(old, _)| old == key)));
    world.want("web", Vec::new());
    let last = world.round(true);
    assert_eq!((last.deletes.len(), last.old_chunks.len()), (1, 3));
    assert!(world.actual.is_empty());
}

#[test]
fn nothing_is_deleted_before_everything_is_known() {
    let mut world = World::default();
    world.actual.insert(key(), Actual { generation: 5, chunks: 0, entry: None });
    assert!(world.round(false).deletes.is_empty());
    assert_eq!(world.round(true).deletes, [key()]);
}

#[test]
fn what_could_not_be_made_out_is_written_anew() {
    let mut world = World { generation: 5, ..World::default() };
    world.want("web", vec![(key(), entry(1))]);
    world.actual.insert(key(), Actual { generation: 5, chunks: 2, entry: None });
    let plan = world.round(true);
    assert_eq!(plan.writes.len(), 1);
    assert_eq!(plan.writes[0].value.generation(), 6);
    assert_eq!(plan.old_chunks.len(), 2);
}

#[test]
fn one_of_two_claims_wins_and_the_other_follows() {
    for order in [["a", "b"], ["b", "a"]] {
        let mut world = World::default();
        for service in order {
            let backends = if service == "a" { 1 } else { 2 };
            world.want(service, vec![(key(), entry(backends))]);
        }
        assert_eq!(world.wanted.get(&key()).unwrap().backends.len(), 1, "a is first by name");
        assert_eq!(world.want("a", Vec::new()), [key()]);
        assert_eq!(world.wanted.get(&key()).unwrap().backends.len(), 2);
    }
}
