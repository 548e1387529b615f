//! The `skep` command: parses, then calls a component's `run` or a verb of its own.

mod commands;
mod local;
mod memory;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// A Kubernetes-compatible cluster whose Services and pod network run in eBPF.
#[derive(Parser)]
#[command(name = "skep", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Start a local cluster, or what is missing of it.
    Up(commands::up::Args),
    /// Remove a local cluster.
    Down(commands::down::Args),
    /// Look at Services as the kernel has them.
    #[command(subcommand)]
    Svc(commands::svc::Verb),
    /// Bring images into a local cluster.
    #[command(subcommand)]
    Image(commands::image::Verb),
    /// Work inside a node of a local cluster.
    #[command(subcommand)]
    Node(commands::node::Verb),
    /// Run the control plane: API server, controllers and scheduler.
    Server(commands::server::Args),
    /// Run the controllers alone.
    Controllers(commands::controllers::Args),
    /// Run the scheduler alone.
    Scheduler(commands::scheduler::Args),
    /// Run the kubelet.
    Kubelet(skep_node::Args),
    /// Run the network agent.
    Proxy(skep_proxy::Args),
}

fn main() -> ExitCode {
    match dispatch(Cli::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            commands::complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn dispatch(verb: Verb) -> anyhow::Result<()> {
    // Entering a namespace is for a single thread: before any runtime.
    if let Verb::Node(verb) = verb {
        return commands::node::run(verb);
    }
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    // On every node, beside what the node is for: small, however many cores it has.
    let is_of_node = matches!(verb, Verb::Kubelet(_) | Verb::Proxy(_));
    if is_of_node {
        memory::keep_little();
        runtime.worker_threads(NODE_WORKERS);
    }
    runtime.enable_all().build()?.block_on(async {
        if is_of_node {
            tokio::spawn(memory::give_back());
        }
        run(verb).await
    })
}

/// Threads of the kubelet's and the agent's runtime: one may be busy with files or maps while the other answers.
const NODE_WORKERS: usize = 2;

async fn run(verb: Verb) -> anyhow::Result<()> {
    match verb {
        Verb::Up(args) => Box::pin(commands::up::run(args)).await,
        Verb::Down(args) => commands::down::run(args).await,
        Verb::Svc(verb) => commands::svc::run(verb),
        Verb::Image(verb) => commands::image::run(verb).await,
        Verb::Node(verb) => commands::node::run(verb),
        Verb::Server(args) => Box::pin(commands::server::run(args, component())).await,
        Verb::Controllers(args) => commands::controllers::run(args, component()).await,
        Verb::Scheduler(args) => commands::scheduler::run(args, component()).await,
        Verb::Kubelet(args) => Box::pin(skep_node::run(args.try_into()?, component())).await,
        Verb::Proxy(args) => Box::pin(skep_proxy::run(args.try_into()?, component())).await,
    }
}

/// What every long-running verb has: logs to standard error, and a token that TERM and INT cancel.
fn component() -> CancellationToken {
    let filter = EnvFilter::try_from_env("SKEP_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    let stop = CancellationToken::new();
    let cancel = stop.clone();
    tokio::spawn(async move {
        if let Err(error) = commands::asked_to_end().await {
            tracing::error!("signals cannot be received: {error}");
        }
        cancel.cancel();
    });
    stop
}
