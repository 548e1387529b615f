//! `DefaultTolerationSeconds`: pods stay five minutes on a node that is not ready or cannot be reached. Pure.

use serde_json::{Value, json};

use super::{Attributes, Operation};
use crate::json_field::{items, list_mut, text};

/// How long pods that say nothing are tolerated on a failing node.
const SECONDS: i64 = 300;

pub(super) fn mutate(attributes: &Attributes<'_>, pod: &mut Value) {
    let writes = matches!(attributes.operation, Operation::Create | Operation::Update);
    if !writes || !attributes.is("", "pods") {
        return;
    }
    for taint in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let tolerated = items(pod, "/spec/tolerations").iter().any(|toleration| {
            matches!(text(toleration, "/effect"), "" | "NoExecute")
                && (text(toleration, "/key") == taint || text(toleration, "/key").is_empty())
        });
        if tolerated {
            continue;
        }
        let toleration =
            json!({"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS});
        if let Some(list) = pod.get_mut("spec").and_then(|spec| list_mut(spec, "tolerations")) {
            list.push(toleration);
        }
    }
}
