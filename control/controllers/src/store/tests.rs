use super::*;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

fn pod(namespace: &str, name: &str, owner: Option<&str>) -> Arc<Pod> {
    Arc::new(Pod {
        metadata: ObjectMeta {
            namespace: Some(namespace.into()),
            name: Some(name.into()),
            owner_references: owner
                .map(|uid| vec![OwnerReference { uid: uid.into(), controller: Some(true), ..Default::default() }]),
            ..Default::default()
        },
        ..Default::default()
    })
}

fn names(pods: &[Arc<Pod>]) -> Vec<&str> {
    pods.iter().filter_map(|p| p.metadata.name.as_deref()).collect()
}

#[test]
fn indices_follow_changes() {
    let mut store = Store::new(Some(|p: &Pod| p.metadata.name.clone()));
    assert!(store.insert(pod("a", "1", None)).is_none());
    store.insert(pod("a", "2", Some("u")));
    store.insert(pod("ab", "1", None));
    assert_eq!(names(&store.in_namespace("a")), ["1", "2"]);
    assert_eq!(names(&store.owned_by("u")), ["2"]);
    assert_eq!(names(&store.orphans_in("a")), ["1"]);
    assert_eq!(store.indexed("1").len(), 2);
    assert!(store.insert(pod("a", "1", Some("u"))).is_some());
    assert!(store.orphans_in("a").is_empty());
    assert_eq!(names(&store.owned_by("u")), ["1", "2"]);
    store.remove(&ObjectKey::new("a", "1"));
    assert_eq!(names(&store.owned_by("u")), ["2"]);
    assert_eq!(store.len(), 2);
}
