//! `skep up`: a cluster on this machine.

use std::path::PathBuf;

use anyhow::Context as _;
use skep_pki::ClusterPki;
use skep_pki::kubeconfig::Kubeconfig;

use crate::local::plan::{Plan, Storage};
use crate::local::start;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The cluster's name; the kubeconfig context is `skep-NAME`.
    #[arg(long, default_value = "dev")]
    name: String,
    /// How many nodes. Running `up` again with more adds nodes.
    #[arg(long, default_value_t = 1)]
    nodes: u32,
    /// How the cluster reaches the world outside this machine.
    #[arg(long, value_enum, default_value_t = Uplink::None)]
    uplink: Uplink,
    /// Where the API server keeps its objects; a cluster stays with what it was made with.
    #[arg(long, value_enum)]
    storage: Option<Storage>,
    /// The kubeconfig to merge the context into.
    #[arg(long, env = "KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Uplink {
    /// Not at all: nodes and pods reach each other and this machine.
    None,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let Uplink::None = args.uplink;
    let plan = Plan::make(&args.name, args.nodes, args.storage)?;
    start::cluster(&plan, &|step| super::say(&format!("✓ {step}"))).await?;
    let file = kubeconfig_file(args.kubeconfig)?;
    let pki = ClusterPki::ensure(&plan.server_directory().join("pki"), &start::names(&plan))?;
    Kubeconfig {
        context: plan.context(),
        user: plan.user(),
        server: format!("https://{}", plan.server_address()),
        ca_pem: pki.ca().cert_pem().to_owned(),
        credentials: pki.admin()?,
    }
    .merge_into(&file)?;
    super::say(&format!("✓ context {} in {}", plan.context(), file.display()));
    Ok(())
}

/// As kubectl finds it: the first file of KUBECONFIG, or ~/.kube/config.
pub(super) fn kubeconfig_file(named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let first = named.as_deref().and_then(|list| std::env::split_paths(list).find(|p| !p.as_os_str().is_empty()));
    match first {
        Some(file) => Ok(file),
        None => {
            Ok(PathBuf::from(std::env::var_os("HOME").context("HOME is not set: name the file with --kubeconfig")?)
                .join(".kube/config"))
        }
    }
}
