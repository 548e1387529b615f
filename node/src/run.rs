//! Puts the kubelet together and runs it until it is told to stop; from [`config`]; to every part. Performs IO.

use std::collections::HashSet;
use std::sync::Arc;

use anyhow::Context as _;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Service;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::reflector::{self, Store};
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cgroups::Cgroups;
use crate::config::{self, Config};
use crate::cri::Runtime;
use crate::directories::Directories;
use crate::events::Events;
use crate::images::Images;
use crate::kubelet::{Kubelet, RuntimeHealth};
use crate::machine::Machine;
use crate::objects::Objects;
use crate::pod_source::{self, Source, mirror, static_pods};
use crate::pods::Pods;
use crate::spec::dns::NodeDns;
use crate::volumes::Volumes;
use crate::{health, image, lease, log_rotation, node_status, relist, server};

/// News waiting between two parts at most.
const QUEUE: usize = 256;

/// Runs the kubelet. Pods keep running when it stops, and are taken up again when it starts.
///
/// # Errors
/// Something it cannot work without is missing: the runtime's address, the kubeconfig, certificates, a free port.
pub async fn run(config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    let runtime = Runtime::new(&config.runtime_endpoint).context("--container-runtime-endpoint")?;
    let client = connect(&config.api).await?;
    std::fs::create_dir_all(&config.root_dir).with_context(|| format!("create {}", config.root_dir.display()))?;
    let events = Events::new(client.clone(), &config.node_name);
    let (changed, objects_changed) = mpsc::unbounded_channel();
    let objects = Arc::new(Objects::new(client.clone(), changed));
    let directories = Directories::new(&config.root_dir, &config.pod_log_dir);
    let machine = Machine::read(&config.root_dir);
    let (health_sender, health) = watch::channel(RuntimeHealth {
        runtime_problem: Some("container runtime status check may not have completed yet".to_owned()),
        network_problem: Some("container runtime status check may not have completed yet".to_owned()),
        ..RuntimeHealth::default()
    });
    let tasks = TaskTracker::new();
    let services = client.clone().map(|client| watch_services(client, &tasks, &stop));
    let kubelet = Arc::new(Kubelet {
        images: Images::new(runtime.clone(), events.clone()),
        volumes: Volumes::new(directories.clone(), client.clone()),
        cgroups: Cgroups::discover(&config.cgroup_root)?,
        dns: dns(&config),
        allocatable: node_status::resources(&machine, config.max_pods).1,
        host_ips: config.node_ips.clone(),
        runtime: runtime.clone(),
        client: client.clone(),
        events,
        objects,
        services,
        directories,
        machine,
        health,
        mirrors: watch::Sender::new(0),
        pods: Default::default(),
        config,
    });
    if let Some(tls) = &kubelet.config.tls {
        let listener = tokio::net::TcpListener::bind(kubelet.config.listen).await;
        let listener =
            listener.with_context(|| format!("listen on {} (is another kubelet running?)", kubelet.config.listen))?;
        let acceptor = server::tls::acceptor(tls)?;
        tasks.spawn(server::serve(Arc::clone(&kubelet), listener, acceptor, stop.clone()));
    }
    tasks.spawn(health::watch(runtime.clone(), health_sender, stop.clone()));
    ensure_pause_image(&kubelet, &stop).await;
    tasks.spawn(log_rotation::run(Arc::clone(&kubelet), stop.clone()));
    let (seen, seen_receiver) = mpsc::channel(1);
    tasks.spawn(relist::run(runtime, seen, stop.clone()));
    let (changes, changes_receiver) = mpsc::channel(QUEUE);
    let wanted = start_sources(&kubelet, client, changes, &tasks, &stop);
    let pods = Pods::new(Arc::clone(&kubelet), wanted);
    tracing::info!(node = kubelet.config.node_name, "kubelet runs");
    pods.run(changes_receiver, seen_receiver, objects_changed, stop.clone()).await;
    tasks.close();
    tasks.wait().await;
    Ok(())
}

async fn connect(api: &config::Api) -> anyhow::Result<Option<Client>> {
    match api {
        config::Api::None => Ok(None),
        config::Api::Client(client) => Ok(Some(client.clone())),
        config::Api::Kubeconfig(path) => {
            let shown = path.display();
            let file = kube::config::Kubeconfig::read_from(path).with_context(|| format!("read kubeconfig {shown}"))?;
            let options = kube::config::KubeConfigOptions::default();
            let config = kube::Config::from_custom_kubeconfig(file, &options).await;
            let mut config = config.with_context(|| format!("use kubeconfig {shown}"))?;
            // Its first word names the owner of the fields we write.
            let agent = format!("kubelet/{} (linux/{}) skep", node_status::VERSION, image::pause::architecture());
            config.headers.push((http::header::USER_AGENT, agent.parse().context("user agent")?));
            Ok(Some(Client::try_from(config).with_context(|| format!("make a client of kubeconfig {shown}"))?))
        }
    }
}

fn dns(config: &Config) -> NodeDns {
    let base = NodeDns {
        cluster_servers: config.cluster_dns.iter().map(ToString::to_string).collect(),
        cluster_domain: config.cluster_domain.clone(),
        ..NodeDns::default()
    };
    match std::fs::read_to_string(&config.resolv_conf) {
        Ok(text) => base.with_resolv_conf(&text),
        Err(error) => {
            tracing::warn!(path = %config.resolv_conf.display(), %error, "pods inherit no name servers");
            base
        }
    }
}

/// All Services, for environment variables.
fn watch_services(client: Client, tasks: &TaskTracker, stop: &CancellationToken) -> Store<Service> {
    let (store, writer) = reflector::store();
    let events =
        watcher(Api::<Service>::all(client), watcher::Config::default()).default_backoff().modify(keep_what_matters);
    let stream = reflector::reflector(writer, events);
    let stop = stop.clone();
    tasks.spawn(async move {
        let follow = stream.for_each(|event| async move {
            if let Err(error) = event {
                tracing::warn!(%error, "watch services");
            }
        });
        tokio::select! {
            () = stop.cancelled() => {}
            () = follow => {}
        }
    });
    store
}

/// Of thousands of Services only names, addresses and ports are needed.
fn keep_what_matters(service: &mut Service) {
    let metadata = std::mem::take(&mut service.metadata);
    service.metadata.name = metadata.name;
    service.metadata.namespace = metadata.namespace;
    service.metadata.resource_version = metadata.resource_version;
    service.status = None;
    if let Some(spec) = &mut service.spec {
        spec.selector = None;
    }
}

/// Stores the pause image; waits for the runtime while it is not there yet.
async fn ensure_pause_image(kubelet: &Kubelet, stop: &CancellationToken) {
    if !kubelet.config.pause_image {
        return;
    }
    let mut health = kubelet.health.clone();
    let ready = async {
        loop {
            // The sender lives as long as the health task.
            if health.wait_for(|health| health.runtime_problem.is_none()).await.is_err() {
                return;
            }
            match image::pause::ensure(&kubelet.runtime, kubelet.runtime.socket()).await {
                Ok(()) => return,
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                    tracing::warn!(%error, cause, "store the pause image");
                    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                }
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = ready => {}
    }
}

/// Starts the sources of pods and the reports to the API; returns which sources there are.
fn start_sources(
    kubelet: &Arc<Kubelet>,
    client: Option<Client>,
    changes: mpsc::Sender<pod_source::Change>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> HashSet<Source> {
    let mut wanted = HashSet::new();
    let config = &kubelet.config;
    let (current, statics) = watch::channel(Vec::new());
    if let Some(directory) = config.static_pods.clone() {
        wanted.insert(Source::File);
        let watch =
            static_pods::watch(directory, config.node_name.clone(), config.file_check, changes.clone(), current);
        spawn(tasks, stop, watch);
    }
    if let Some(client) = client {
        wanted.insert(Source::Api);
        let (mirrors, mirrors_receiver) = mpsc::channel(QUEUE);
        let node = config.node_name.clone();
        spawn(
            tasks,
            stop,
            mirror::keep(client.clone(), node.clone(), statics, mirrors_receiver, kubelet.mirrors.clone()),
        );
        let source = client.clone();
        let (services, name) = (kubelet.services.clone(), node.clone());
        spawn(tasks, stop, async move {
            // Pods started before all Services are known would miss variables.
            if let Some(services) = services
                && services.wait_until_ready().await.is_err()
            {
                tracing::warn!("the watch of services ended");
            }
            pod_source::watch_api(source, &name, changes, mirrors).await;
        });
        tasks.spawn(node_status::run(Arc::clone(kubelet), client.clone(), stop.clone()));
        tasks.spawn(lease::renew(client, node, stop.clone()));
    }
    wanted
}

fn spawn(tasks: &TaskTracker, stop: &CancellationToken, task: impl Future<Output = ()> + Send + 'static) {
    let stop = stop.clone();
    tasks.spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = task => {}
        }
    });
}
