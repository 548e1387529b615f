//! `skep up` killed anywhere on its way: `down` finds all there is, and `up` goes on from there.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use skep_tests::cluster::Cluster;
use skep_tests::dice::Dice;
use skep_tests::leftovers;

/// Longer than `up` takes until its last process is started.
const SPAN: Duration = Duration::from_secs(4);

pub(crate) fn down_after_killed_up() -> anyhow::Result<()> {
    let mut dice = Dice::shaken();
    for storage in ["embedded", "etcd", "embedded", "embedded"] {
        let cluster = Cluster::planned(2, storage);
        let after = dice.moment(SPAN);
        cluster.start_and_kill(after)?;
        let sockets = leftovers::sockets(cluster.name());
        cluster
            .remove()
            .with_context(|| format!("down of a cluster on {storage} whose up was killed after {after:?}"))?;
        let left = leftovers::of(cluster.name());
        ensure!(left.is_empty(), "up was killed after {after:?}, down left {left:?}");
        ensure!(
            !sockets.iter().any(|socket| socket.exists()),
            "up was killed after {after:?}, down left of {sockets:?}"
        );
    }
    Ok(())
}

pub(crate) fn up_after_killed_up() -> anyhow::Result<()> {
    let mut dice = Dice::shaken();
    let cluster = Cluster::planned(2, "etcd");
    for _ in 0..4 {
        cluster.start_and_kill(dice.moment(SPAN))?;
    }
    cluster.start().context("up after it was killed four times")?;
    let name = cluster.name().to_owned();
    for program in ["supervisor", "server", "etcd", "containerd", "kubelet", "agent"] {
        let wanted = if matches!(program, "supervisor" | "server" | "etcd") { 1 } else { 2 };
        let found = leftovers::processes(&name, program);
        ensure!(found.len() == wanted, "{program} runs {} times: {found:?}", found.len());
    }
    drop(cluster);
    let left = leftovers::of(&name);
    ensure!(left.is_empty(), "down left {left:?}");
    Ok(())
}
