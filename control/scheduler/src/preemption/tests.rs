use super::*;
use crate::cycle::Finder;
use crate::testing::{node, pending, pod};

fn place(state: &mut ClusterState, name: &str, on: &str, cpu: &str, priority: i32) {
    let mut info = PodInfo::of(&pod(name, &[("cpu", cpu)], &[("app", name)]), &mut state.names);
    info.priority = priority;
    state.place(Arc::new(info), on, false);
}

fn attempt(
    state: &mut ClusterState,
    cpu: &str,
    priority: i32,
    budgets: &[Budget],
) -> Result<(String, Vec<String>), String> {
    let mut wanted = pending(state, &pod("new", &[("cpu", cpu)], &[]));
    Arc::make_mut(&mut wanted.info).priority = priority;
    let failed = Finder::new(1).find(state, &wanted).unwrap_err();
    let before = format!("{:?}", state.requested);
    let candidate = find(state, &wanted, &failed, budgets);
    assert_eq!(format!("{:?}", state.requested), before, "the state is left as it was");
    let candidate = candidate?;
    let node = state.node(candidate.node).unwrap().name.clone();
    Ok((node, candidate.victims.iter().map(|victim| victim.name.clone()).collect()))
}

#[test]
fn the_cheapest_victims_are_found() {
    let mut state = ClusterState::default();
    state.set_node(&node("n1", "1", "1Gi", 9, &[]));
    state.set_node(&node("n2", "1", "1Gi", 9, &[]));
    place(&mut state, "a", "n1", "400m", 5);
    place(&mut state, "b", "n1", "400m", 1);
    place(&mut state, "c", "n2", "800m", 5);
    assert_eq!(attempt(&mut state, "500m", 9, &[]), Ok(("n1".into(), vec!["b".into()])));
    let protects_b = Budget {
        namespace: "ns".into(),
        selector: Selector::of_labels([(&"app".to_owned(), &"b".to_owned())]),
        allowed: 0,
    };
    assert_eq!(attempt(&mut state, "900m", 9, &[protects_b]), Ok(("n2".into(), vec!["c".into()])));
}

#[test]
fn the_message_says_why_nothing_helps() {
    let mut state = ClusterState::default();
    state.set_node(&node("n1", "2", "1Gi", 9, &[]));
    state.set_node(&node("n2", "1", "1Gi", 9, &[]));
    place(&mut state, "a", "n1", "1500m", 0);
    assert_eq!(
        attempt(&mut state, "1500m", 0, &[]),
        Err("0/2 nodes are available: 1 No preemption victims found for incoming pod, \
             1 Preemption is not helpful for scheduling."
            .into())
    );
}
