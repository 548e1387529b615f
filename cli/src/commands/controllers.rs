//! `skep controllers`: the control loops alone, against any API server.

use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How to reach the API server; default: as kubectl and pods find it.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    #[command(flatten)]
    component: skep_controllers::Args,
}

pub(crate) async fn run(args: Args, stop: CancellationToken) -> anyhow::Result<()> {
    let client = super::client(args.kubeconfig.as_deref()).await?;
    skep_controllers::run(args.component.try_into()?, client, stop).await
}
