use super::*;
use kube::api::ApiResource;

fn object(uid: &str, owners: &[(&str, bool)]) -> Observed {
    let api = ApiResource {
        group: String::new(),
        version: "v1".into(),
        api_version: "v1".into(),
        kind: "K".into(),
        plural: "ks".into(),
    };
    Observed {
        uid: uid.into(),
        id: Identity {
            resource: Arc::new(Resource { api, namespaced: true, verbs: Vec::new() }),
            namespace: "ns".into(),
            name: uid.into(),
        },
        owners: owners
            .iter()
            .map(|(uid, blocks)| Owner {
                uid: (*uid).into(),
                api_version: "v1".into(),
                kind: "K".into(),
                name: (*uid).into(),
                blocks: *blocks,
            })
            .collect(),
        deleting: false,
        foreground: false,
        orphan: false,
    }
}

fn check(uid: &str) -> Todo {
    Todo::Check(uid.into())
}

#[test]
fn dependents_are_checked_when_an_owner_goes() {
    let mut graph = Graph::default();
    assert_eq!(graph.observe(object("a", &[])), []);
    assert_eq!(graph.observe(object("b", &[("a", true)])), []);
    assert_eq!(graph.observe(object("c", &[("unseen", true)])), [check("c")]);
    assert_eq!(graph.remove("a"), [check("b")]);
    assert_eq!(graph.owner_state("a", "ns"), Some(OwnerState::Absent));
    assert_eq!(graph.owner_state("unseen", "ns"), None);
}

#[test]
fn foreground_deletion_waits_for_blocking_dependents() {
    let mut graph = Graph::default();
    graph.observe(object("a", &[]));
    graph.observe(object("b", &[("a", true)]));
    graph.observe(object("c", &[("a", false)]));
    let going = Observed { deleting: true, foreground: true, ..object("a", &[]) };
    let mut todo = graph.observe(going.clone());
    todo.sort_by_key(ToString::to_string);
    assert_eq!(todo, [check("a"), check("b"), check("c")]);
    assert_eq!(graph.observe(going), [], "once");
    assert_eq!(graph.blocking_dependents("a"), ["b"]);
    assert_eq!(graph.owner_state("a", "ns"), Some(OwnerState::WaitsForDependents));
    assert_eq!(graph.remove("b"), [check("a")]);
    assert!(graph.blocking_dependents("a").is_empty());
}

#[test]
fn orphaning_and_other_namespaces_are_noticed() {
    let mut graph = Graph::default();
    graph.observe(object("a", &[]));
    graph.observe(object("b", &[("a", true)]));
    let going = Observed { deleting: true, orphan: true, ..object("a", &[]) };
    assert_eq!(graph.observe(going), [Todo::Orphan("a".into())]);
    assert_eq!(graph.dependents("a").len(), 1);
    graph.observe(object("b", &[]));
    assert!(graph.dependents("a").is_empty());
    let mut far = object("d", &[("a", true)]);
    far.id.namespace = "elsewhere".into();
    assert_eq!(graph.observe(far), [check("d")]);
    assert_eq!(graph.owner_state("a", "elsewhere"), Some(OwnerState::OtherNamespace));
}
