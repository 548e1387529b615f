//! Starts all controllers on shared informers and stops them together. From a client and settings; to the controllers.

use crate::cluster::{Cluster, Informers};
use crate::config::Config;
use crate::cron_job::CronJobController;
use crate::daemon_set::DaemonSetController;
use crate::deployment::DeploymentController;
use crate::disruption_budget::DisruptionController;
use crate::endpoint_slice::EndpointSliceController;
use crate::endpoint_slice_mirroring::EndpointSliceMirroring;
use crate::endpoints::EndpointsController;
use crate::event_recorder::EventRecorder;
use crate::garbage::GarbageCollector;
use crate::job::JobController;
use crate::leader::run_leading;
use crate::namespace::NamespaceController;
use crate::namespace_defaults::NamespaceDefaults;
use crate::node_ipam::NodeIpam;
use crate::node_lifecycle::NodeLifecycle;
use crate::quota::QuotaController;
use crate::removals::Removals;
use crate::replica_set::ReplicaController;
use crate::stateful_set::StatefulSetController;
use crate::taint_eviction::TaintEviction;
use crate::tasks::Tasks;
use crate::{cluster_role_aggregation, finished_jobs, node_ttl, pod_gc};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::ReplicationController;
use kube::Client;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Runs all controllers until `stop`; with leader election only while the lease is held.
///
/// # Errors
/// When the lease is lost, or a controller ends by itself: the caller should end the process or start anew.
pub async fn run(config: Config, client: Client, stop: CancellationToken) -> anyhow::Result<()> {
    if !config.leader_elect {
        return work(config, client, stop).await;
    }
    let of = client.clone();
    run_leading(client, "kube-controller-manager", &stop, |leading| work(config, of, leading)).await
}

async fn work(config: Config, client: Client, stop: CancellationToken) -> anyhow::Result<()> {
    let stop = stop.child_token();
    let _ends_all = stop.clone().drop_guard();
    let mut tasks = Tasks::new(stop.clone());
    let (recorder, writing) = EventRecorder::new(client.clone(), stop.clone());
    tasks.spawn(writing);
    let cluster = Arc::new(Cluster { client, informers: Informers::new(), recorder, removals: Removals::default() });
    // Handlers first: they must see every object. Workers start when all kinds are listed.
    start_controllers(&config, &cluster, &mut tasks);
    cluster.start_informers(&mut tasks);
    if stop.run_until_cancelled(cluster.informers.wait_synced()).await.is_some() {
        tracing::info!("all kinds are listed, controllers work");
        tasks.ready();
    }
    while let Some(ended) = tasks.next_end().await {
        ended?;
        if !stop.is_cancelled() {
            anyhow::bail!("controllers: a task ended by itself");
        }
    }
    Ok(())
}

fn start_controllers(config: &Config, cluster: &Arc<Cluster>, tasks: &mut Tasks) {
    let informers = &cluster.informers;
    let mut start = |name: &str, start: &dyn Fn(&mut Tasks)| {
        if config.controllers.includes(name) {
            start(tasks);
        }
    };
    start("replicaset-controller", &|tasks| {
        ReplicaController::<ReplicaSet>::start(cluster, &informers.replica_sets, tasks);
    });
    start("replicationcontroller-controller", &|tasks| {
        ReplicaController::<ReplicationController>::start(cluster, &informers.replication_controllers, tasks);
    });
    start("deployment-controller", &|tasks| DeploymentController::start(cluster, tasks));
    start("statefulset-controller", &|tasks| StatefulSetController::start(cluster, tasks));
    start("daemonset-controller", &|tasks| DaemonSetController::start(cluster, tasks));
    start("job-controller", &|tasks| JobController::start(cluster, tasks));
    start("cronjob-controller", &|tasks| CronJobController::start(cluster, tasks));
    start("ttl-after-finished-controller", &|tasks| finished_jobs::start(cluster, tasks));
    start("disruption-controller", &|tasks| DisruptionController::start(cluster, tasks));
    start("endpointslice-controller", &|tasks| EndpointSliceController::start(cluster, tasks));
    start("endpointslice-mirroring-controller", &|tasks| EndpointSliceMirroring::start(cluster, tasks));
    start("endpoints-controller", &|tasks| EndpointsController::start(cluster, tasks));
    start("node-ipam-controller", &|tasks| {
        if config.allocate_node_cidrs {
            NodeIpam::start(config, cluster, tasks);
        }
    });
    start("node-lifecycle-controller", &|tasks| NodeLifecycle::start(config, cluster, tasks));
    start("taint-eviction-controller", &|tasks| TaintEviction::start(cluster, tasks));
    start("ttl-controller", &|tasks| node_ttl::start(cluster, tasks));
    start("pod-garbage-collector-controller", &|tasks| pod_gc::start(config, cluster, tasks));
    start("serviceaccount-controller", &|tasks| NamespaceDefaults::start(config, cluster, tasks));
    start("clusterrole-aggregation-controller", &|tasks| cluster_role_aggregation::start(cluster, tasks));
    start("namespace-controller", &|tasks| NamespaceController::start(cluster, tasks));
    start("resourcequota-controller", &|tasks| QuotaController::start(cluster, tasks));
    start("garbage-collector-controller", &|tasks| GarbageCollector::start(cluster, tasks));
}
