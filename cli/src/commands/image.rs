//! `skep image load`: puts images into every node of a local cluster, without a registry.

use std::path::PathBuf;

use anyhow::Context as _;

use crate::local::plan::Plan;

#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    /// Load docker archives or OCI layouts (directory or tar).
    Load {
        /// The cluster's name.
        #[arg(long, default_value = "dev")]
        name: String,
        /// Archives or directories.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

pub(crate) async fn run(verb: Verb) -> anyhow::Result<()> {
    let Verb::Load { name, files } = verb;
    let plan = Plan::load(&name)?;
    for node in plan.nodes() {
        for file in &files {
            let names = skep_node::image::load(&plan.containerd_socket(&node), file)
                .await
                .with_context(|| format!("load {} into {}", file.display(), node.name))?;
            super::say(&format!("✓ {}: {}", node.name, names.join(", ")));
        }
    }
    Ok(())
}
