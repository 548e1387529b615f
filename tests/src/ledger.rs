//! A client that writes without a pause and remembers what was acknowledged: none of it may be missing later.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, Config};

/// The writer.
#[derive(Debug)]
pub struct Ledger {
    over: Arc<AtomicBool>,
    writer: Option<JoinHandle<anyhow::Result<(usize, u64)>>>,
}

impl Ledger {
    /// Begins to write ConfigMaps into a namespace that exists.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn open(kubeconfig: &Path, namespace: &str) -> anyhow::Result<Self> {
        let over = Arc::new(AtomicBool::new(false));
        let (kubeconfig, namespace) = (kubeconfig.to_owned(), namespace.to_owned());
        let stop = Arc::clone(&over);
        let writer = std::thread::Builder::new().name("ledger".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(write(&kubeconfig, &namespace, &stop))
        })?;
        Ok(Self { over, writer: Some(writer) })
    }

    /// Ends it: how many writes were acknowledged, and how many requests failed meanwhile (the server was dead).
    ///
    /// # Errors
    /// When one that was acknowledged is missing.
    pub fn close(mut self) -> anyhow::Result<(usize, u64)> {
        self.over.store(true, Ordering::Relaxed);
        let writer = self.writer.take().context("closed before")?;
        writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

async fn write(kubeconfig: &Path, namespace: &str, over: &AtomicBool) -> anyhow::Result<(usize, u64)> {
    let document = kube::config::Kubeconfig::read_from(kubeconfig).context("read the kubeconfig")?;
    let config = Config::from_custom_kubeconfig(document, &kube::config::KubeConfigOptions::default()).await?;
    let api: Api<ConfigMap> = Api::namespaced(Client::try_from(config)?, namespace);
    let mut map = ConfigMap::default();
    let (mut acknowledged, mut failed) = (BTreeSet::new(), 0_u64);
    while !over.load(Ordering::Relaxed) {
        let name = format!("entry-{}", acknowledged.len());
        map.metadata.name = Some(name.clone());
        match api.create(&PostParams::default(), &map).await {
            Ok(_) => drop(acknowledged.insert(name)),
            // The answer to an earlier try was lost, not the write.
            Err(kube::Error::Api(status)) if status.code == 409 && failed > 0 => drop(acknowledged.insert(name)),
            Err(_dead) => {
                failed += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let there = api.list_metadata(&ListParams::default()).await.context("read what was written")?;
    let there: BTreeSet<String> = there.items.into_iter().filter_map(|map| map.metadata.name).collect();
    let lost: Vec<&String> = acknowledged.difference(&there).collect();
    ensure!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    Ok((acknowledged.len(), failed))
}
