//! One file per verb; the work is in the components and in [`crate::local`].

pub(crate) mod controllers;
pub(crate) mod down;
pub(crate) mod image;
pub(crate) mod node;
pub(crate) mod scheduler;
pub(crate) mod server;
pub(crate) mod svc;
pub(crate) mod up;

use tokio::signal::unix::{SignalKind, signal};

/// A line for the user.
#[expect(clippy::print_stdout, reason = "a command-line tool talks to its user")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}

/// Why a command failed, with every cause.
#[expect(clippy::print_stderr, reason = "a command-line tool talks to its user")]
pub(crate) fn complain(error: &anyhow::Error) {
    eprintln!("skep: {error:#}");
}

/// Returns at the first TERM or INT.
pub(crate) async fn asked_to_end() -> std::io::Result<()> {
    let (mut term, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// A client by a kubeconfig file, or by the surroundings (KUBECONFIG, ~/.kube/config, a pod's service account).
pub(crate) async fn client(kubeconfig: Option<&std::path::Path>) -> anyhow::Result<kube::Client> {
    match kubeconfig {
        Some(file) => crate::local::start::client(file).await,
        None => Ok(kube::Client::try_default().await?),
    }
}
