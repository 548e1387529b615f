//! Tests of the admission chain against recorded answers of Kubernetes v1.34.

use std::sync::Arc;

use serde_json::{Value, json};
use skep_api::kinds;

use super::*;

/// A cluster of listed objects: (group, resource, object).
#[derive(Default)]
struct Cluster {
    objects: Vec<(&'static str, &'static str, Arc<Value>)>,
    rights: Vec<(&'static str, &'static str)>,
}

impl Cluster {
    fn with(mut self, group: &'static str, resource: &'static str, object: Value) -> Self {
        self.objects.push((group, resource, Arc::new(object)));
        self
    }

    /// A namespace with its default account.
    fn namespace(labels: Value) -> Self {
        Self::default()
            .with(
                "",
                "namespaces",
                json!({"metadata": {"name": "ns", "labels": labels}, "status": {"phase": "Active"}}),
            )
            .with("", "serviceaccounts", json!({"metadata": {"name": "default", "namespace": "ns"}}))
    }
}

impl Lister for Cluster {
    fn get(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.list(group, resource, namespace).into_iter().find(|object| object["metadata"]["name"] == name)
    }

    fn list(&self, group: &str, resource: &str, namespace: &str) -> Vec<Arc<Value>> {
        let matching = self.objects.iter().filter(|(g, r, object)| {
            let of = object["metadata"]["namespace"].as_str().unwrap_or_default();
            *g == group && *r == resource && (namespace.is_empty() || of == namespace)
        });
        matching.map(|(_, _, object)| Arc::clone(object)).collect()
    }

    fn authorized(&self, _user: &User, verb: &str, _group: &str, _resource: &str, name: &str) -> bool {
        self.rights.contains(&(verb, name))
    }
}

struct Request {
    operation: Operation,
    group: &'static str,
    resource: &'static str,
    subresource: &'static str,
    user: User,
}

impl Request {
    fn create(group: &'static str, resource: &'static str) -> Self {
        Self { operation: Operation::Create, group, resource, subresource: "", user: User::component("eve") }
    }

    fn run(&self, cluster: &Cluster, object: &mut Value, old: Option<&Value>) -> Result<Vec<String>, Rejection> {
        self.attributed(object, |attributes, object| {
            mutate(cluster, attributes, object, old)?;
            let verdict = validate(cluster, attributes, object, old)?;
            resource_quota::charges(cluster, attributes, object, old)?;
            Ok(verdict.warnings)
        })
    }

    fn attributed<R>(&self, object: &mut Value, run: impl FnOnce(&Attributes<'_>, &mut Value) -> R) -> R {
        let version = if self.group == "autoscaling" { "v2" } else { "v1" };
        let kind = kinds::builtin().by_resource(self.group, version, self.resource).unwrap();
        let namespaced = kind.scope == kinds::Scope::Namespaced;
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let attributes = Attributes {
            operation: self.operation,
            kind,
            subresource: self.subresource,
            namespace: if namespaced { "ns" } else { "" },
            name: &name,
            user: &self.user,
            dry_run: false,
        };
        run(&attributes, object)
    }
}

fn pod(spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "ns"}, "spec": spec})
}

fn create_pod(cluster: &Cluster, spec: Value) -> Result<Value, String> {
    let mut object = pod(spec);
    match Request::create("", "pods").run(cluster, &mut object, None) {
        Ok(_) => Ok(object),
        Err(Rejection::Forbidden(text)) => Err(text),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn a_plain_pod_gets_account_token_priority_and_tolerations() {
    let pod = create_pod(&Cluster::namespace(json!({})), json!({"containers": [{"name": "c", "image": "i"}]})).unwrap();
    let spec = &pod["spec"];
    assert_eq!(spec["serviceAccountName"], "default");
    assert_eq!(spec["serviceAccount"], "default");
    assert_eq!(spec["priority"], 0);
    assert_eq!(spec["preemptionPolicy"], "PreemptLowerPriority");
    let name = spec["volumes"][0]["name"].as_str().unwrap();
    assert!(name.starts_with("kube-api-access-") && name.len() == 21, "{name}");
    assert_eq!(
        spec["containers"][0]["volumeMounts"],
        json!([{"name": name, "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}])
    );
    assert_eq!(spec["volumes"][0]["projected"]["defaultMode"], 420);
    assert_eq!(spec["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"], 3607);
    assert_eq!(
        spec["tolerations"],
        json!([
            {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
            {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
        ])
    );
}

#[test]
fn accounts_must_exist_and_may_keep_their_token() {
    let cluster = Cluster::namespace(json!({})).with(
        "",
        "serviceaccounts",
        json!({"metadata": {"name": "quiet", "namespace": "ns"}, "automountServiceAccountToken": false, "imagePullSecrets": [{"name": "s"}]}),
    );
    let refused = create_pod(&cluster, json!({"serviceAccountName": "nope", "containers": [{"name": "c"}]}));
    assert_eq!(refused.unwrap_err(), "error looking up service account ns/nope: serviceaccount \"nope\" not found");
    let pod = create_pod(&cluster, json!({"serviceAccountName": "quiet", "containers": [{"name": "c"}]})).unwrap();
    assert!(pod["spec"].get("volumes").is_none());
    assert_eq!(pod["spec"]["imagePullSecrets"], json!([{"name": "s"}]));

    let young = Cluster::default().with("", "namespaces", json!({"metadata": {"name": "ns"}}));
    let mut object = json!({"metadata": {"name": "p"}, "spec": {}});
    let waits = Request::create("", "pods").attributed(&mut object, |attributes, object| {
        service_account::awaits_default_account(&young, attributes, object)
    });
    assert!(waits);
}

#[test]
fn priorities_come_from_classes() {
    let cluster = Cluster::namespace(json!({}))
        .with(
            "scheduling.k8s.io",
            "priorityclasses",
            json!({"metadata": {"name": "high"}, "value": 1000, "preemptionPolicy": "Never"}),
        )
        .with(
            "scheduling.k8s.io",
            "priorityclasses",
            json!({"metadata": {"name": "usual"}, "value": 7, "globalDefault": true}),
        );
    let containers = json!([{"name": "c"}]);
    let pod = create_pod(&cluster, json!({"priorityClassName": "high", "containers": containers})).unwrap();
    assert_eq!((&pod["spec"]["priority"], &pod["spec"]["preemptionPolicy"]), (&json!(1000), &json!("Never")));
    let pod = create_pod(&cluster, json!({"containers": containers})).unwrap();
    assert_eq!((&pod["spec"]["priority"], &pod["spec"]["priorityClassName"]), (&json!(7), &json!("usual")));
    assert_eq!(
        create_pod(&Cluster::namespace(json!({})), json!({"priority": 5, "containers": containers})).unwrap_err(),
        "the integer value of priority (5) must not be provided in pod spec; priority admission controller computed 0 from the given PriorityClass name"
    );
    assert_eq!(
        create_pod(&cluster, json!({"priorityClassName": "missing", "containers": containers})).unwrap_err(),
        "no PriorityClass with name missing was found"
    );
    let mut second = json!({"metadata": {"name": "other"}, "value": 1, "globalDefault": true});
    let refused = Request::create("scheduling.k8s.io", "priorityclasses").run(&cluster, &mut second, None);
    let text = "PriorityClass usual is already marked as default. Only one default can exist";
    assert_eq!(refused, Err(Rejection::forbidden(text)));
}

#[test]
fn namespaces_refuse_when_missing_terminating_or_immortal() {
    let config_map = || json!({"metadata": {"name": "c"}});
    let request = Request::create("", "configmaps");
    let missing = request.run(&Cluster::default(), &mut config_map(), None);
    assert!(matches!(missing, Err(Rejection::NotFound { name, .. }) if name == "ns"));
    let ending = Cluster::default().with(
        "",
        "namespaces",
        json!({"metadata": {"name": "ns"}, "status": {"phase": "Terminating"}}),
    );
    let refused = request.run(&ending, &mut config_map(), None);
    assert_eq!(refused, Err(Rejection::NamespaceTerminating("ns".to_owned())));

    let mut system = json!({"metadata": {"name": "kube-system"}});
    let delete = Request { operation: Operation::Delete, ..Request::create("", "namespaces") };
    let refused = delete.attributed(&mut system, |attributes, _| validate(&ending, attributes, &Value::Null, None));
    assert_eq!(refused, Err(Rejection::forbidden("this namespace may not be deleted")));
}

fn limits() -> Cluster {
    Cluster::namespace(json!({})).with("", "limitranges", json!({"metadata": {"name": "l", "namespace": "ns"}, "spec": {"limits": [
        {"type": "Container", "default": {"cpu": "500m", "memory": "64Mi"}, "defaultRequest": {"cpu": "100m", "memory": "64Mi"},
            "max": {"cpu": "1"}, "min": {"memory": "16Mi"}, "maxLimitRequestRatio": {"memory": "2"}},
        {"type": "Pod", "max": {"cpu": "1500m"}},
        {"type": "PersistentVolumeClaim", "max": {"storage": "2Gi"}, "min": {"storage": "1Gi"}}]}}))
}

#[test]
fn limit_ranges_give_defaults() {
    let spec = json!({"containers": [{"name": "c"}], "initContainers": [{"name": "z"}]});
    let pod = create_pod(&limits(), spec).unwrap();
    assert_eq!(
        pod["metadata"]["annotations"]["kubernetes.io/limit-ranger"],
        "LimitRanger plugin set: cpu, memory request for container c; cpu, memory limit for container c; \
         cpu, memory request for init container z; cpu, memory limit for init container z"
    );
    assert_eq!(
        pod["spec"]["containers"][0]["resources"],
        json!({"limits": {"cpu": "500m", "memory": "64Mi"}, "requests": {"cpu": "100m", "memory": "64Mi"}})
    );
}

#[test]
fn limit_ranges_bound_containers_pods_and_claims() {
    let with = |resources: Value| create_pod(&limits(), json!({"containers": [{"name": "c", "resources": resources}]}));
    assert_eq!(
        with(json!({"limits": {"cpu": "2"}, "requests": {"cpu": "2"}})).unwrap_err(),
        "[maximum cpu usage per Container is 1, but limit is 2, maximum cpu usage per Pod is 1500m, but limit is 2]"
    );
    assert_eq!(
        with(json!({"limits": {"memory": "1Mi"}, "requests": {"memory": "1Mi"}})).unwrap_err(),
        "minimum memory usage per Container is 16Mi, but request is 1Mi"
    );
    assert_eq!(
        with(json!({"limits": {"memory": "64Mi"}, "requests": {"memory": "16Mi"}})).unwrap_err(),
        "memory max limit to request ratio per Container is 2, but provided ratio is 4.000000"
    );
    let four: Vec<Value> = ["a", "b", "c", "d"].iter().map(|name| json!({"name": name})).collect();
    assert_eq!(
        create_pod(&limits(), json!({"containers": four})).unwrap_err(),
        "maximum cpu usage per Pod is 1500m, but limit is 2"
    );
    let claim = |size: &str| {
        let mut claim = json!({"metadata": {"name": "c"}, "spec": {"storageClassName": "x", "resources": {"requests": {"storage": size}}}});
        Request::create("", "persistentvolumeclaims").run(&limits(), &mut claim, None).map(|_| claim)
    };
    assert_eq!(
        claim("5Gi"),
        Err(Rejection::forbidden("maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 5Gi"))
    );
    assert_eq!(
        claim("1Mi"),
        Err(Rejection::forbidden("minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi"))
    );
    assert_eq!(claim("2Gi").unwrap()["metadata"]["finalizers"], json!(["kubernetes.io/pvc-protection"]));
}

fn quota() -> Cluster {
    Cluster::namespace(json!({})).with("", "resourcequotas", json!({"metadata": {"name": "q", "namespace": "ns"}, "status": {
        "hard": {"pods": "2", "requests.cpu": "1", "limits.memory": "1Gi", "services": "1", "services.nodeports": "0",
            "persistentvolumeclaims": "1", "requests.storage": "5Gi", "secrets": "1", "count/configmaps": "3"},
        "used": {"pods": "1", "requests.cpu": "600m", "limits.memory": "100Mi", "services": "1", "services.nodeports": "0",
            "persistentvolumeclaims": "1", "requests.storage": "4Gi", "secrets": "0", "count/configmaps": "1"}}}))
}

#[test]
fn quotas_refuse_what_does_not_fit() {
    let with = |resources: Value| create_pod(&quota(), json!({"containers": [{"name": "c", "resources": resources}]}));
    assert_eq!(with(json!({})).unwrap_err(), "failed quota: q: must specify limits.memory for: c; requests.cpu for: c");
    assert_eq!(
        with(json!({"requests": {"cpu": "600m", "memory": "2Gi"}, "limits": {"memory": "2Gi"}})).unwrap_err(),
        "exceeded quota: q, requested: limits.memory=2Gi,requests.cpu=600m, used: limits.memory=100Mi,requests.cpu=600m, limited: limits.memory=1Gi,requests.cpu=1"
    );
    let mut service = json!({"metadata": {"name": "s"}, "spec": {"type": "NodePort", "ports": [{"port": 1}]}});
    assert_eq!(
        Request::create("", "services").run(&quota(), &mut service, None),
        Err(Rejection::forbidden(
            "exceeded quota: q, requested: services=1,services.nodeports=1, used: services=1,services.nodeports=0, limited: services=1,services.nodeports=0"
        ))
    );
    let mut claim = json!({"metadata": {"name": "c2"}, "spec": {"storageClassName": "x", "resources": {"requests": {"storage": "4Gi"}}}});
    assert_eq!(
        Request::create("", "persistentvolumeclaims").run(&quota(), &mut claim, None),
        Err(Rejection::forbidden(
            "exceeded quota: q, requested: persistentvolumeclaims=1,requests.storage=4Gi, used: persistentvolumeclaims=1,requests.storage=4Gi, limited: persistentvolumeclaims=1,requests.storage=5Gi"
        ))
    );
}

#[test]
fn quotas_are_charged_for_what_fits() {
    let charge = |resource: &'static str, object: Value| {
        let mut object = object;
        Request::create("", resource)
            .attributed(&mut object, |attributes, object| resource_quota::charges(&quota(), attributes, object, None))
            .unwrap()
    };
    let charges = charge("configmaps", json!({"metadata": {"name": "c"}}));
    assert_eq!(charges[0].quota["status"]["used"]["count/configmaps"], "2");
    assert_eq!(charges[0].quota["status"]["used"]["requests.cpu"], "600m");
    assert!(charge("podtemplates", json!({"metadata": {"name": "c"}})).is_empty());
    // A service that only changes its ports costs nothing more.
    let mut service =
        json!({"metadata": {"name": "s"}, "spec": {"type": "ClusterIP", "ports": [{"port": 1}, {"port": 2}]}});
    let old = json!({"metadata": {"name": "s"}, "spec": {"type": "ClusterIP", "ports": [{"port": 1}]}});
    let update = Request { operation: Operation::Update, ..Request::create("", "services") };
    assert_eq!(update.run(&quota(), &mut service, Some(&old)), Ok(Vec::new()));
}

fn restricted() -> Cluster {
    Cluster::namespace(
        json!({"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "v1.34",
        "pod-security.kubernetes.io/warn": "restricted"}),
    )
}

const ESCALATION: &str =
    "allowPrivilegeEscalation != false (container \"c\" must set securityContext.allowPrivilegeEscalation=false)";
const NON_ROOT: &str = "runAsNonRoot != true (pod or container \"c\" must set securityContext.runAsNonRoot=true)";
const SECCOMP: &str = "seccompProfile (pod or container \"c\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")";
const DROP: &str = "unrestricted capabilities (container \"c\" must set securityContext.capabilities.drop=[\"ALL\"])";

#[test]
fn pod_security_says_what_is_wrong() {
    let refused = |spec: Value| create_pod(&restricted(), spec).unwrap_err();
    let start = "violates PodSecurity \"restricted:v1.34\": ";
    assert_eq!(
        refused(json!({"containers": [{"name": "c"}]})),
        format!("{start}{ESCALATION}, {DROP}, {NON_ROOT}, {SECCOMP}")
    );
    assert_eq!(
        refused(json!({"containers": [{"name": "c"}], "hostNetwork": true, "hostPID": true})),
        format!("{start}host namespaces (hostNetwork=true, hostPID=true), {ESCALATION}, {DROP}, {NON_ROOT}, {SECCOMP}")
    );
    let caps =
        json!({"containers": [{"name": "c", "securityContext": {"capabilities": {"add": ["NET_ADMIN", "CHOWN"]}}}]});
    assert_eq!(
        refused(caps),
        format!(
            "{start}{ESCALATION}, unrestricted capabilities (container \"c\" must set securityContext.capabilities.drop=[\"ALL\"]; \
             container \"c\" must not include \"CHOWN\", \"NET_ADMIN\" in securityContext.capabilities.add), {NON_ROOT}, {SECCOMP}"
        )
    );
    let host_path = json!({"containers": [{"name": "c", "ports": [{"containerPort": 1, "hostPort": 1}]}], "volumes": [{"name": "v", "hostPath": {"path": "/"}}]});
    assert_eq!(
        refused(host_path),
        format!(
            "{start}hostPort (container \"c\" uses hostPort 1), {ESCALATION}, {DROP}, \
             restricted volume types (volume \"v\" uses restricted volume type \"hostPath\"), {NON_ROOT}, {SECCOMP}"
        )
    );
    assert_eq!(
        refused(json!({"containers": [{"name": "c"}], "securityContext": {"runAsUser": 0}})),
        format!("{start}{ESCALATION}, {DROP}, {NON_ROOT}, runAsUser=0 (pod must not set runAsUser=0), {SECCOMP}")
    );
    let good = json!({"allowPrivilegeEscalation": false, "runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}, "capabilities": {"drop": ["ALL"]}});
    assert!(create_pod(&restricted(), json!({"containers": [{"name": "c", "securityContext": good}]})).is_ok());
}

#[test]
fn pod_security_warns_of_workloads_and_checks_labels() {
    let template =
        json!({"spec": {"hostIPC": true, "containers": [{"name": "c", "securityContext": {"privileged": true}}]}});
    let mut deployment = json!({"metadata": {"name": "d"}, "spec": {"template": template}});
    let warnings = Request::create("apps", "deployments").run(&restricted(), &mut deployment, None).unwrap();
    assert_eq!(
        warnings,
        [format!(
            "would violate PodSecurity \"restricted:latest\": host namespaces (hostIPC=true), \
             privileged (container \"c\" must not set securityContext.privileged=true), {ESCALATION}, {DROP}, {NON_ROOT}, {SECCOMP}"
        )]
    );
    let namespace = |labels: Value| json!({"metadata": {"name": "ns", "labels": labels}});
    let update = Request { operation: Operation::Update, ..Request::create("", "namespaces") };
    let old = namespace(json!({}));
    let mut new = namespace(json!({"pod-security.kubernetes.io/enforce": "bogus"}));
    let Err(Rejection::Invalid(errors)) = update.run(&restricted(), &mut new, Some(&old)) else { panic!("accepted") };
    assert_eq!(
        errors[0].to_string(),
        "metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"bogus\": must be one of privileged, baseline, restricted"
    );
    let cluster = restricted().with("", "pods", pod(json!({"containers": [{"name": "c"}]})));
    let mut new = namespace(json!({"pod-security.kubernetes.io/enforce": "restricted"}));
    assert_eq!(
        update.run(&cluster, &mut new, Some(&old)).unwrap(),
        [
            "existing pods in namespace \"ns\" violate the new PodSecurity enforce level \"restricted:latest\"",
            "p: allowPrivilegeEscalation != false, unrestricted capabilities, runAsNonRoot != true, seccompProfile"
        ]
    );
}

#[test]
fn kubelets_stay_within_their_node() {
    let kubelet = || User::authenticated("system:node:n1", ["system:nodes".to_owned()]);
    let cluster = Cluster::namespace(json!({})).with("", "nodes", json!({"metadata": {"name": "n1", "uid": "u"}}));
    let node = |name: &str, labels: Value| json!({"metadata": {"name": name, "labels": labels}, "spec": {}});
    let create = Request { user: kubelet(), ..Request::create("", "nodes") };
    let mut own = node("n1", json!({"kubernetes.io/hostname": "n1", "example.com/x": "y"}));
    assert_eq!(create.run(&cluster, &mut own, None), Ok(Vec::new()));
    assert_eq!(own["spec"]["taints"], json!([{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]));
    assert_eq!(
        create.run(&cluster, &mut node("n2", json!({})), None),
        Err(Rejection::forbidden("node \"n1\" is not allowed to modify node \"n2\""))
    );
    assert_eq!(
        create.run(&cluster, &mut node("n1", json!({"node-restriction.kubernetes.io/a": "", "x.k8s.io/b": ""})), None),
        Err(Rejection::forbidden(
            "node \"n1\" is not allowed to set the following labels: node-restriction.kubernetes.io/a, x.k8s.io/b"
        ))
    );
    let status =
        Request { operation: Operation::Update, subresource: "status", user: kubelet(), ..Request::create("", "pods") };
    let of = |node: &str| json!({"metadata": {"name": "p"}, "spec": {"nodeName": node}});
    assert_eq!(status.run(&cluster, &mut of("n1"), Some(&of("n1"))), Ok(Vec::new()));
    assert_eq!(
        status.run(&cluster, &mut of("n2"), Some(&of("n2"))),
        Err(Rejection::forbidden("node \"n1\" can only update pod status for pods with spec.nodeName set to itself"))
    );
    let lease = Request { user: kubelet(), ..Request::create("coordination.k8s.io", "leases") };
    assert_eq!(
        lease.run(&cluster, &mut json!({"metadata": {"name": "n1"}}), None),
        Err(Rejection::forbidden("can only access leases in the \"kube-node-lease\" system namespace"))
    );
}

#[test]
fn runtime_classes_bring_overhead_and_scheduling() {
    let cluster = Cluster::namespace(json!({})).with(
        "node.k8s.io",
        "runtimeclasses",
        json!({"metadata": {"name": "vm"},
        "overhead": {"podFixed": {"memory": "1Mi"}}, "scheduling": {"nodeSelector": {"vm": "yes"}}}),
    );
    let pod = create_pod(&cluster, json!({"runtimeClassName": "vm", "containers": [{"name": "c"}]})).unwrap();
    assert_eq!(pod["spec"]["overhead"], json!({"memory": "1Mi"}));
    assert_eq!(pod["spec"]["nodeSelector"], json!({"vm": "yes"}));
    assert_eq!(
        create_pod(&cluster, json!({"runtimeClassName": "none", "containers": [{"name": "c"}]})).unwrap_err(),
        "pod rejected: RuntimeClass \"none\" not found"
    );
    assert_eq!(
        create_pod(&cluster, json!({"overhead": {"cpu": "1"}, "containers": [{"name": "c"}]})).unwrap_err(),
        "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
    );
}

#[test]
fn classes_that_are_the_default_are_filled_in() {
    let class = |name: &str, at: &str, annotation: &str| json!({"metadata": {"name": name, "creationTimestamp": at, "annotations": {annotation: "true"}}});
    let cluster = Cluster::namespace(json!({}))
        .with(
            "storage.k8s.io",
            "storageclasses",
            class("old", "2026-01-01T00:00:00Z", "storageclass.kubernetes.io/is-default-class"),
        )
        .with(
            "storage.k8s.io",
            "storageclasses",
            class("new", "2026-01-02T00:00:00Z", "storageclass.kubernetes.io/is-default-class"),
        )
        .with(
            "networking.k8s.io",
            "ingressclasses",
            class("web", "2026-01-01T00:00:00Z", "ingressclass.kubernetes.io/is-default-class"),
        );
    let mut claim = json!({"metadata": {"name": "c"}, "spec": {}});
    Request::create("", "persistentvolumeclaims").run(&cluster, &mut claim, None).unwrap();
    assert_eq!(claim["spec"]["storageClassName"], "new");
    let mut ingress = json!({"metadata": {"name": "i"}, "spec": {}});
    Request::create("networking.k8s.io", "ingresses").run(&cluster, &mut ingress, None).unwrap();
    assert_eq!(ingress["spec"]["ingressClassName"], "web");
}

#[test]
fn signers_are_guarded() {
    let cluster = Cluster { rights: vec![("approve", "e.example/*")], ..Cluster::default() };
    let approve = Request {
        operation: Operation::Update,
        subresource: "approval",
        ..Request::create("certificates.k8s.io", "certificatesigningrequests")
    };
    let request = |signer: &str| json!({"metadata": {"name": "r"}, "spec": {"signerName": signer}});
    assert_eq!(approve.run(&cluster, &mut request("e.example/s"), Some(&request("e.example/s"))), Ok(Vec::new()));
    assert_eq!(
        approve.run(&cluster, &mut request("other/s"), Some(&request("other/s"))),
        Err(Rejection::forbidden("user not permitted to approve requests with signerName \"other/s\""))
    );
}

#[test]
fn certificate_requests_speak_for_their_maker() {
    let mut request =
        json!({"metadata": {"name": "r"}, "spec": {"signerName": "e.example/s", "username": "spoof", "uid": "x"}});
    Request::create("certificates.k8s.io", "certificatesigningrequests")
        .run(&Cluster::default(), &mut request, None)
        .unwrap();
    assert_eq!(
        request["spec"],
        json!({"signerName": "e.example/s", "username": "eve", "groups": ["system:authenticated"]})
    );
}
