use super::*;
use crate::testing::{pending, pod};

fn pending_pod(name: &str, priority: i32, gates: &[&str]) -> Arc<PendingPod> {
    let mut pending = pending(&mut crate::cluster_state::ClusterState::default(), &pod(name, &[], &[]));
    Arc::make_mut(&mut pending.info).priority = priority;
    pending.gates = gates.iter().map(|gate| (*gate).to_owned()).collect();
    Arc::new(pending)
}

fn name(pod: Option<Arc<PendingPod>>) -> Option<String> {
    pod.map(|pod| pod.info.name.clone())
}

#[tokio::test(start_paused = true)]
async fn higher_priority_first_then_first_come() {
    let mut queue = Queue::default();
    for (name, priority) in [("a", 0), ("b", 10), ("c", 0)] {
        queue.add(pending_pod(name, priority, &[]), false);
    }
    let now = Instant::now();
    let order: Vec<_> = (0..4).map(|_| name(queue.pop(now))).collect();
    assert_eq!(order, [Some("b".into()), Some("a".into()), Some("c".into()), None]);
}

#[tokio::test(start_paused = true)]
async fn refused_pods_wait_for_the_right_change() {
    let mut queue = Queue::default();
    let now = Instant::now();
    queue.add(pending_pod("a", 0, &[]), false);
    queue.pop(now);
    queue.refused("a", vec![node_resources_fit::NAME], now);
    queue.changed(Changed::NODE_TAINTS);
    assert_eq!(name(queue.pop(now)), None);
    queue.changed(Changed::POD_REMOVED);
    assert_eq!(name(queue.pop(now)), Some("a".into()), "nothing else to do: no pause");
    queue.refused("a", vec![node_resources_fit::NAME], now);
    assert_eq!(name(queue.pop(now + GIVE_UP_WAITING)), Some("a".into()));
    queue.failed("a", now);
    assert_eq!(name(queue.pop(now)), None, "after an error the pause counts");
    assert_eq!(queue.wake_at(), Some(now + Duration::from_secs(4)));
    assert_eq!(name(queue.pop(now + Duration::from_secs(4))), Some("a".into()));
    queue.remove("a");
    assert!(queue.entries.is_empty() && queue.ready.is_empty() && queue.pausing.is_empty());
}

#[tokio::test(start_paused = true)]
async fn gated_pods_wait_for_their_gates() {
    let mut queue = Queue::default();
    queue.add(pending_pod("a", 0, &["g"]), false);
    queue.changed(Changed::NODE_ADDED);
    assert_eq!(name(queue.pop(Instant::now())), None);
    queue.add(pending_pod("a", 0, &[]), true);
    assert_eq!(name(queue.pop(Instant::now())), Some("a".into()));
}
