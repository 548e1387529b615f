//! `skep down`: removes a local cluster and everything of it.

use std::path::PathBuf;

use skep_pki::kubeconfig;

use crate::local::plan::Plan;
use crate::local::remove;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The cluster's name.
    #[arg(long, default_value = "dev")]
    name: String,
    /// The kubeconfig to take the context out of.
    #[arg(long, env = "KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let Some(plan) = Plan::find(&args.name)? else {
        remove::remains(&args.name)?;
        super::say(&format!("there is no local cluster named {:?}", args.name));
        return Ok(());
    };
    remove::cluster(&plan, &|step| super::say(&format!("✓ removed {step}"))).await?;
    let file = super::up::kubeconfig_file(args.kubeconfig)?;
    kubeconfig::remove_from(&file, &plan.context(), &plan.user())?;
    Ok(())
}
