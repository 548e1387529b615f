//! Tests of warnings about pods.

use serde_json::json;

use super::*;

#[test]
fn what_is_most_likely_not_meant() {
    let spec = json!({
        "volumes": [{"name": "a", "emptyDir": {}}, {"name": "b", "rbd": {"image": "x"}}],
        "imagePullSecrets": [{"name": ""}],
        "topologySpreadConstraints": [{"topologyKey": "z"}],
        "containers": [{"ports": [{"containerPort": 1}, {"containerPort": 1}], "env": [{"name": "A"}, {"name": "A"}]}],
    });
    let path = Path::new("spec");
    assert_eq!(
        of_spec(&spec, None, &path),
        [
            "spec.volumes[1].rbd: deprecated in v1.28, non-functional in v1.31+",
            "spec.imagePullSecrets[0].name: invalid empty name \"\"",
            "spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod",
            "spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]",
            "spec.containers[0].env[1]: hides previous definition of \"A\", which may be unexpected when using apply",
        ]
    );
    assert_eq!(of_spec(&spec, Some(&spec), &path), Vec::<String>::new());
}
