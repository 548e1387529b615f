//! What all controllers share: client, informers, event recorder. From [`crate::runner`]; to every controller.

use crate::event_recorder::EventRecorder;
use crate::informer::{Informer, Watched};
use crate::owners::controller_of;
use crate::removals::Removals;
use crate::tasks::Tasks;
use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{
    ConfigMap, Endpoints, Namespace, Node, PersistentVolumeClaim, Pod, ReplicationController, ResourceQuota, Service,
    ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{PatchParams, PostParams};
use kube::runtime::watcher;
use kube::{Api, Client, Resource};
use std::sync::Arc;

/// Name under which changes are recorded in managedFields.
pub const FIELD_MANAGER: &str = "kube-controller-manager";

/// Declares the informers, one per watched kind.
macro_rules! informers {
    ($($field:ident: $kind:ty $(, by $index:expr)? $(, only $scope:tt)?;)*) => {
        /// The shared informers.
        #[derive(Debug)]
        pub struct Informers { $(
            #[doc = concat!("All objects of kind `", stringify!($kind), "`.")]
            pub $field: Arc<Informer<$kind>>,
        )* }

        impl Informers {
            /// Informers that watch nothing yet.
            #[expect(clippy::new_without_default, reason = "making them is cheap, but they are not a value")]
            pub fn new() -> Self {
                Self { $( $field: Informer::new(informers!(@index $($index)?)), )* }
            }

            fn start(&self, client: &Client, tasks: &mut Tasks) {
                $( {
                    let (api, config) = informers!(@scope client $($scope)?);
                    let stop = tasks.stop().clone();
                    tasks.spawn(Arc::clone(&self.$field).run(api, config, stop));
                } )*
            }

            /// Waits until every kind was listed.
            pub async fn wait_synced(&self) {
                $( self.$field.wait_synced().await; )*
            }
        }
    };
    (@scope $client:ident) => { (Api::all($client.clone()), watcher::Config::default()) };
    (@scope $client:ident { namespace $namespace:literal }) => {
        (Api::namespaced($client.clone(), $namespace), watcher::Config::default())
    };
    (@scope $client:ident { fields $fields:literal }) => {
        (Api::all($client.clone()), watcher::Config::default().fields($fields))
    };
    (@index) => { None };
    (@index $index:expr) => { Some($index) };
}

informers! {
    pods: Pod, by |pod| Some(crate::pod_state::node_name(pod).unwrap_or_default().to_owned());
    replica_sets: ReplicaSet;
    replication_controllers: ReplicationController;
    deployments: Deployment;
    stateful_sets: StatefulSet;
    daemon_sets: DaemonSet;
    controller_revisions: ControllerRevision;
    jobs: Job;
    cron_jobs: CronJob;
    services: Service;
    endpoints: Endpoints;
    endpoint_slices: EndpointSlice, by service_of_slice;
    namespaces: Namespace;
    nodes: Node;
    leases: Lease, only { namespace "kube-node-lease" };
    service_accounts: ServiceAccount;
    config_maps: ConfigMap, only { fields "metadata.name=kube-root-ca.crt" };
    budgets: PodDisruptionBudget;
    quotas: ResourceQuota;
    cluster_roles: ClusterRole;
    claims: PersistentVolumeClaim;
}

fn service_of_slice(slice: &EndpointSlice) -> Option<String> {
    let namespace = slice.metadata.namespace.as_deref()?;
    let service = slice.metadata.labels.as_ref()?.get("kubernetes.io/service-name")?;
    Some(format!("{namespace}/{service}"))
}

/// Client, informers and recorder.
pub struct Cluster {
    /// Talks to the API server as the controller manager.
    pub client: Client,
    /// What the API server has.
    pub informers: Informers,
    /// Writes Events.
    pub recorder: EventRecorder,
    /// Tells of objects of all kinds that are gone.
    pub removals: Removals,
}

impl Cluster {
    /// Starts the watches.
    pub fn start_informers(&self, tasks: &mut Tasks) {
        self.informers.start(&self.client, tasks);
    }

    /// Requests about a kind in a namespace.
    pub fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Requests about a kind without namespace (or in all of them).
    pub fn cluster_api<K: Resource<DynamicType = ()>>(&self) -> Api<K> {
        Api::all(self.client.clone())
    }
}

/// Parameters of creations and updates.
pub fn written() -> PostParams {
    PostParams { dry_run: false, field_manager: Some(FIELD_MANAGER.to_owned()) }
}

/// Parameters of patches.
pub fn patched() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

/// Now, in whole seconds as the API keeps times.
pub fn now() -> Time {
    let now = Timestamp::now();
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

/// The object that controls `object`, looked up in its informer; only if it is that very object (uid).
pub fn controller_object<K: Resource, O: Watched>(object: &K, owners: &Informer<O>) -> Option<Arc<O>> {
    let reference = controller_of(object)?;
    if reference.kind != O::kind(&()) {
        return None;
    }
    let namespace = object.meta().namespace.clone().unwrap_or_default();
    let owner = owners.get(&crate::object_key::ObjectKey::new(namespace, reference.name.clone()))?;
    (owner.meta().uid.as_deref() == Some(reference.uid.as_str())).then_some(owner)
}
