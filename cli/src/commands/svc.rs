//! `skep svc`: Services as the kernel has them, by name. The work is in `skep_proxy::view`.

use std::path::PathBuf;

use clap::ValueEnum;
use skep_proxy::view::View;
use skep_proxy::view::instance::{self, Instance};
use skep_proxy::view::table::{self, Width};

use super::say;

#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    /// Every Service port with its frontends, backends and connections.
    Ls {
        #[command(flatten)]
        from: From,
        /// Only this namespace.
        #[arg(long, short)]
        namespace: Option<String>,
    },
    /// One Service: frontends, and backends with pod, node, state and connections.
    Get {
        #[command(flatten)]
        from: From,
        /// NAME, or NAMESPACE/NAME.
        #[arg(value_name = "SERVICE")]
        service: String,
        /// Namespace of the Service.
        #[arg(long, short, default_value = "default")]
        namespace: String,
    },
}

/// Which node, and how it is shown.
#[derive(clap::Args)]
pub(crate) struct From {
    /// The node to look at, when several live on this machine.
    #[arg(long)]
    node: Option<String>,
    /// The local cluster whose nodes are meant.
    #[arg(long = "name", value_name = "CLUSTER")]
    cluster: Option<String>,
    /// The node's pin directory, instead of its name.
    #[arg(long, conflicts_with_all = ["node", "cluster"])]
    pin_dir: Option<PathBuf>,
    /// Where the agents keep names.
    #[arg(long, default_value = skep_proxy::names::DEFAULT_DIRECTORY, hide = true)]
    view_dir: PathBuf,
    /// How it is shown.
    #[arg(long, short, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// The columns one needs.
    Table,
    /// All columns.
    Wide,
    /// Everything, for programs.
    Json,
}

pub(crate) fn run(verb: Verb) -> anyhow::Result<()> {
    match verb {
        Verb::Ls { from, namespace } => {
            let (view, others) = from.read()?;
            let view = match &namespace {
                Some(namespace) => view.in_namespace(namespace),
                None => view,
            };
            if from.output == Output::Table && !others.is_empty() {
                say(&format!("node {}; choose another with --node: {}\n", view.node, others.join(", ")));
            }
            from.show(&view, table::list)
        }
        Verb::Get { from, service: name, namespace } => {
            let (namespace, name) = name.split_once('/').unwrap_or((&namespace, &name));
            let view = from.read()?.0.only(namespace, name)?;
            from.show(&view, table::detail)
        }
    }
}

impl From {
    fn read(&self) -> anyhow::Result<(View, Vec<String>)> {
        let (node, cluster) = (self.node.as_deref(), self.cluster.as_deref());
        let (Instance { pins, .. }, others) = instance::choose(self.pin_dir.clone(), node, cluster, &self.view_dir)?;
        Ok((View::read(&pins, &self.view_dir)?, others))
    }

    fn show(&self, view: &View, text: fn(&View, Width) -> String) -> anyhow::Result<()> {
        let shown = match self.output {
            Output::Table => text(view, Width::Narrow),
            Output::Wide => text(view, Width::Wide),
            Output::Json => serde_json::to_string_pretty(view)?,
        };
        say(shown.trim_end());
        Ok(())
    }
}
