//! Several servers on one store.

use serde_json::Value;

use crate::fixture::Fixture;

/// The addresses in Endpoints and EndpointSlice of the Service `kubernetes`, which must be the same.
async fn published(server: &Fixture) -> Vec<String> {
    let texts = |list: &Value, pointer: &str| -> Vec<String> {
        let items = list.as_array().unwrap().iter();
        items.map(|item| item.pointer(pointer).unwrap().as_str().unwrap().to_owned()).collect()
    };
    let (_, endpoints) = server.admin().get("/api/v1/namespaces/default/endpoints/kubernetes").await;
    let slice = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes";
    let (_, slice) = server.admin().get(slice).await;
    let addresses = texts(&endpoints["subsets"][0]["addresses"], "/ip");
    assert_eq!(texts(&slice["endpoints"], "/addresses/0"), addresses);
    addresses
}

/// `loopback` is reached by no pod, so it is no endpoint itself.
pub(crate) async fn all_are_endpoints_as_long_as_they_run(loopback: Fixture) {
    let first = loopback.beside("10.1.0.1").await;
    assert_eq!(published(&first).await, ["10.1.0.1"]);
    let mut second = loopback.beside("10.1.0.2").await;
    assert_eq!(published(&second).await, ["10.1.0.1", "10.1.0.2"]);
    assert_eq!(published(&first).await, ["10.1.0.1", "10.1.0.2"]);
    // Who stops leaves at once; who dies would be left out when its lease ends.
    let (_, ended) = second.serve();
    drop(second);
    ended.await.unwrap().unwrap();
    assert_eq!(published(&first).await, ["10.1.0.1"]);
}
