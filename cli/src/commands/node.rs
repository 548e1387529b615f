//! `skep node exec`: runs a program where a local node's processes run; `skep node become` is how those are started, `skep node supervise` started again.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;

use crate::local::plan::Plan;
use crate::local::{cgroup, namespace, process, supervisor};

#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    /// Run a program in a local node's network namespace and cgroup, where its Services work.
    Exec {
        /// The cluster's name.
        #[arg(long, default_value = "dev")]
        name: String,
        /// The node's name.
        node: String,
        /// Program and arguments.
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Join a cgroup and a network namespace, then become a program.
    #[command(hide = true)]
    Become {
        #[arg(long)]
        cgroup: String,
        #[arg(long)]
        netns: Option<PathBuf>,
        /// Names the process; one that runs and is named there stays the only one.
        #[arg(long)]
        pid_file: PathBuf,
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Start again what ends of a local cluster.
    #[command(hide = true)]
    Supervise {
        /// Where its processes are noted.
        run_directory: PathBuf,
    },
}

/// The first two return when the program cannot be started. Runs before any thread is made: a namespace is entered by one thread.
pub(crate) fn run(verb: Verb) -> anyhow::Result<()> {
    match verb {
        Verb::Exec { name, node, command } => {
            let plan = Plan::load(&name)?;
            let node = plan.node_named(&node)?;
            cgroup::join(&format!("{}/system", plan.node_cgroup(&node)))?;
            namespace::enter(&plan.namespace(&node))?;
            replace(&command)
        }
        Verb::Become { cgroup, netns, pid_file, command } => {
            nix::unistd::setsid().context("leave the terminal's session")?;
            cgroup::join(&cgroup)?;
            if let Some(netns) = netns {
                namespace::enter(&netns)?;
            }
            process::claim(&pid_file)?;
            replace(&command)
        }
        Verb::Supervise { run_directory } => {
            crate::memory::keep_little();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                supervisor::run(&run_directory, crate::component()).await;
                Ok(())
            })
        }
    }
}

fn replace(command: &[String]) -> anyhow::Result<()> {
    let (program, args) = command.split_first().context("no program named")?;
    #[expect(clippy::disallowed_methods, reason = "running a program on a node is what is asked for")]
    let mut command = Command::new(program);
    Err(command.args(args).exec()).with_context(|| format!("run {program}"))
}
