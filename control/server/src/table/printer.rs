//! Which columns and which row function a kind's table has. From [`super`]; to the files of rows. Pure.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::column::{Column, GENERIC, columns_of};
use super::{Row, cluster, configuration, network, pod, storage, workload};
use crate::json_field as field;

/// How the objects of one resource become rows.
#[derive(Clone, Copy, Debug)]
pub struct Printer {
    columns: &'static [Column],
    row: fn(&Value, Timestamp) -> Row,
}

impl Printer {
    /// The printer of a resource; kinds without one of their own show name and creation time.
    #[must_use]
    pub fn of(group: &str, version: &str, resource: &str) -> Self {
        let columns = columns_of(group, version, resource);
        match (columns, row_of(group, resource)) {
            (Some(columns), Some(row)) => Self { columns, row },
            _ => Self { columns: &GENERIC, row: generic },
        }
    }

    /// The columns, in order.
    #[must_use]
    pub fn columns(&self) -> &'static [Column] {
        self.columns
    }

    /// The cells of one object.
    #[must_use]
    pub fn row(&self, object: &Value, now: Timestamp) -> Row {
        (self.row)(object, now)
    }
}

fn generic(object: &Value, _now: Timestamp) -> Row {
    Row::of(vec![
        json!(field::text(object, "/metadata/name")),
        json!(field::text(object, "/metadata/creationTimestamp")),
    ])
}

fn row_of(group: &str, resource: &str) -> Option<fn(&Value, Timestamp) -> Row> {
    let row: fn(&Value, Timestamp) -> Row = match (group, resource) {
        ("", "pods") => pod::row,
        ("", "componentstatuses") => cluster::component_status,
        ("", "configmaps") => configuration::config_map,
        ("", "endpoints") => network::endpoints,
        ("" | "events.k8s.io", "events") => cluster::event,
        ("", "namespaces") => cluster::namespace,
        ("", "nodes") => cluster::node,
        ("", "persistentvolumeclaims") => storage::persistent_volume_claim,
        ("", "persistentvolumes") => storage::persistent_volume,
        ("", "podtemplates") => workload::pod_template,
        ("", "replicationcontrollers") => workload::replication_controller,
        ("", "resourcequotas") => configuration::resource_quota,
        ("", "secrets") => configuration::secret,
        ("", "serviceaccounts") => configuration::service_account,
        ("", "services") => network::service,
        ("apiregistration.k8s.io", "apiservices") => cluster::api_service,
        ("apps", "controllerrevisions") => workload::controller_revision,
        ("apps", "daemonsets") => workload::daemon_set,
        ("apps", "deployments") => workload::deployment,
        ("apps", "replicasets") => workload::replica_set,
        ("apps", "statefulsets") => workload::stateful_set,
        ("autoscaling", "horizontalpodautoscalers") => workload::autoscaler,
        ("autoscaling", "scale") => workload::scale,
        ("batch", "cronjobs") => workload::cron_job,
        ("batch", "jobs") => workload::job,
        ("certificates.k8s.io", "certificatesigningrequests") => configuration::certificate_signing_request,
        ("networking.k8s.io", "ingressclasses") => network::ingress_class,
        ("networking.k8s.io", "ingresses") => network::ingress,
        ("networking.k8s.io", "ipaddresses") => network::ip_address,
        ("networking.k8s.io", "networkpolicies") => network::network_policy,
        ("networking.k8s.io", "servicecidrs") => network::service_cidr,
        ("policy", "poddisruptionbudgets") => workload::disruption_budget,
        ("rbac.authorization.k8s.io", "clusterrolebindings" | "rolebindings") => configuration::role_binding,
        ("storage.k8s.io", "csidrivers") => storage::csi_driver,
        ("storage.k8s.io", "csinodes") => storage::csi_node,
        ("storage.k8s.io", "storageclasses") => storage::storage_class,
        ("storage.k8s.io", "volumeattachments") => storage::volume_attachment,
        ("storage.k8s.io", "volumeattributesclasses") => storage::volume_attributes_class,
        ("admissionregistration.k8s.io", "mutatingwebhookconfigurations" | "validatingwebhookconfigurations") => {
            cluster::webhook_configuration
        }
        ("admissionregistration.k8s.io", "validatingadmissionpolicies") => cluster::admission_policy,
        ("admissionregistration.k8s.io", "validatingadmissionpolicybindings") => cluster::admission_policy_binding,
        ("scheduling.k8s.io", "priorityclasses") => cluster::priority_class,
        ("coordination.k8s.io", "leases") => cluster::lease,
        ("node.k8s.io", "runtimeclasses") => cluster::runtime_class,
        ("discovery.k8s.io", "endpointslices") => network::endpoint_slice,
        ("resource.k8s.io", "deviceclasses" | "resourceclaimtemplates") => storage::name_and_age,
        ("resource.k8s.io", "resourceclaims") => storage::resource_claim,
        ("resource.k8s.io", "resourceslices") => storage::resource_slice,
        ("flowcontrol.apiserver.k8s.io", "flowschemas") => cluster::flow_schema,
        ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations") => cluster::priority_level,
        _ => return None,
    };
    Some(row)
}
