//! What every namespace has: service account `default`, and the root certificates for talking to the API server. From
//! namespaces; to ServiceAccounts and ConfigMaps.

use crate::cluster::{Cluster, written};
use crate::config::Config;
use crate::informer::{Informer, Watched};
use crate::object_key::ObjectKey;
use crate::pod_control::has_cause;
use crate::sync::{SyncError, has_reason, is_code};
use crate::tasks::Tasks;
use crate::work_queue::WorkQueue;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::sync::Arc;

const SERVICE_ACCOUNT: &str = "default";
const ROOT_CA: &str = "kube-root-ca.crt";
const DESCRIPTION: &str = "Certificates by which pods trust the API server at its in-cluster addresses \
    (kubernetes.default.svc). Not meant for anything else.";

/// The controller.
pub struct NamespaceDefaults {
    cluster: Arc<Cluster>,
    root_ca: Option<String>,
}

impl NamespaceDefaults {
    /// Registers handlers and starts workers.
    pub fn start(config: &Config, cluster: &Arc<Cluster>, tasks: &mut Tasks) {
        let queue = WorkQueue::new();
        let controller = Arc::new(Self { cluster: Arc::clone(cluster), root_ca: config.root_ca.clone() });
        let to = Arc::clone(&queue);
        cluster.informers.namespaces.on_change(move |change| {
            if let Some(namespace) = change.new {
                to.add(ObjectKey::of(&**namespace));
            }
        });
        watch(&cluster.informers.service_accounts, SERVICE_ACCOUNT, &queue);
        watch(&cluster.informers.config_maps, ROOT_CA, &queue);
        tasks.spawn_workers("namespace-defaults", 4, &queue, move |key| {
            let this = Arc::clone(&controller);
            async move { this.sync(&key).await }
        });
    }

    async fn sync(&self, key: &ObjectKey) -> Result<(), SyncError> {
        let informers = &self.cluster.informers;
        let Some(namespace) = informers.namespaces.get(key).filter(|namespace| is_active(namespace)) else {
            return Ok(());
        };
        let name = namespace.metadata.name.as_deref().unwrap_or_default();
        self.publish_root_ca(name).await?;
        if informers.service_accounts.get(&ObjectKey::new(name, SERVICE_ACCOUNT)).is_none() {
            let account = ServiceAccount { metadata: meta(name, SERVICE_ACCOUNT), ..ServiceAccount::default() };
            let outcome = self.cluster.api::<ServiceAccount>(name).create(&written(), &account).await;
            unless_there(outcome)?;
        }
        Ok(())
    }

    async fn publish_root_ca(&self, namespace: &str) -> Result<(), SyncError> {
        let Some(root_ca) = &self.root_ca else { return Ok(()) };
        let data = [("ca.crt".to_owned(), root_ca.clone())].into();
        let api = self.cluster.api::<ConfigMap>(namespace);
        match self.cluster.informers.config_maps.get(&ObjectKey::new(namespace, ROOT_CA)) {
            Some(published) if published.data.as_ref() == Some(&data) => Ok(()),
            Some(other) => {
                let restored = ConfigMap { data: Some(data), binary_data: None, ..(*other).clone() };
                api.replace(ROOT_CA, &written(), &restored).await.map(drop).map_err(SyncError::from)
            }
            None => {
                let mut metadata = meta(namespace, ROOT_CA);
                metadata.annotations = Some([("kubernetes.io/description".to_owned(), DESCRIPTION.to_owned())].into());
                let map = ConfigMap { metadata, data: Some(data), ..ConfigMap::default() };
                unless_there(api.create(&written(), &map).await)
            }
        }
    }
}

fn watch<K: Watched>(informer: &Informer<K>, name: &'static str, queue: &Arc<WorkQueue<ObjectKey>>) {
    let to = Arc::clone(queue);
    informer.on_change(move |change| {
        if let Some(object) = change.latest()
            && object.meta().name.as_deref() == Some(name)
            && (change.new.is_none() || change.old.is_some())
        {
            to.add(ObjectKey::cluster(object.meta().namespace.clone().unwrap_or_default()));
        }
    });
}

fn is_active(namespace: &Namespace) -> bool {
    namespace.metadata.deletion_timestamp.is_none()
        && namespace.status.as_ref().and_then(|status| status.phase.as_deref()) != Some("Terminating")
}

fn meta(namespace: &str, name: &str) -> ObjectMeta {
    ObjectMeta { namespace: Some(namespace.to_owned()), name: Some(name.to_owned()), ..ObjectMeta::default() }
}

/// Success also when the object exists, or the namespace goes away.
fn unless_there<T>(outcome: Result<T, kube::Error>) -> Result<(), SyncError> {
    match outcome {
        Ok(_) => Ok(()),
        Err(error)
            if has_reason(&error, "AlreadyExists")
                || has_cause(&error, "NamespaceTerminating")
                || is_code(&error, 404) =>
        {
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}
