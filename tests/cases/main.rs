//! Tests on a real cluster: real kernel, containerd, kubectl. One cluster for all cases of a suite; each case has a namespace or names of its own.
#![expect(clippy::print_stderr, reason = "tests say what they do")]
#![expect(clippy::disallowed_methods, reason = "the clock tells how long a case took")]

mod halfway;
mod kills;
mod kubectl;
mod network;
mod policy;
mod restart;
mod streams;
mod workload;

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, MutexGuard, PoisonError};
    use std::time::Instant;

    use skep_tests::cluster::Cluster;
    use skep_tests::{leftovers, machine};

    use crate::{halfway, kills, kubectl, network, policy, restart, streams, workload};

    type Case = (&'static str, fn(&Cluster) -> anyhow::Result<()>);

    /// One test at a time: two would share the machine's cores, and neither be as quick as its cases expect.
    pub(crate) fn machine_alone() -> MutexGuard<'static, ()> {
        static MACHINE: Mutex<()> = Mutex::new(());
        MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs every case on a cluster of its own, or those whose name contains `SKEP_CASE`, then says which failed: one broken case hides no other.
    fn run(nodes: u32, storage: &'static str, cases: &[Case]) {
        if !machine::is_prepared() {
            return;
        }
        let _alone = machine_alone();
        let chosen = std::env::var("SKEP_CASE").unwrap_or_default();
        let cluster = Cluster::up_on(nodes, storage).unwrap();
        let name = cluster.name().to_owned();
        let mut failed = Vec::new();
        for (name, case) in cases.iter().filter(|(name, _)| name.contains(&chosen)) {
            let begin = Instant::now();
            match case(&cluster) {
                Ok(()) => eprintln!("case {name}: ok ({:.1?})", begin.elapsed()),
                Err(error) => {
                    eprintln!("case {name}: FAILED: {error:?}");
                    failed.push(format!("{name}: {error:#}"));
                }
            }
        }
        let sockets = leftovers::sockets(&name);
        drop(cluster);
        failed.extend(leftovers::of(&name).into_iter().map(|left| format!("left behind: {left}")));
        let left = sockets.into_iter().filter(|socket| socket.exists());
        failed.extend(left.map(|socket| format!("left behind: {}", socket.display())));
        assert!(failed.is_empty(), "{}", failed.join("\n"));
    }

    #[test]
    fn killed_before_it_was_up() {
        if !machine::is_prepared() || std::env::var_os("SKEP_CASE").is_some() {
            return;
        }
        let _alone = machine_alone();
        halfway::down_after_killed_up().unwrap();
        halfway::up_after_killed_up().unwrap();
    }

    #[test]
    fn three_nodes() {
        run(
            3,
            "embedded",
            &[
                ("a deployment is spread and its service answers everywhere", workload::spread_and_served),
                ("components are killed at any moment", kills::at_any_moment),
                ("up on a healthy cluster changes nothing", restart::up_again),
                ("what is killed comes back without up", restart::back_without_up),
                ("a status that somebody wrote over comes back", restart::status_written_over),
                ("service views work with the agent dead", restart::views_without_agent),
                ("pods see real addresses", network::real_addresses),
                ("udp through a service", network::udp),
                ("a service without endpoints refuses", network::refusal),
                ("full-size segments and datagrams pass", network::full_size),
                ("network policies say who may ask whom", policy::who_may_ask_whom),
                ("a pod reaches itself through its service", network::hairpin),
                ("kubectl makes, changes and removes a namespace", kubectl::life),
                ("kubectl runs, follows, copies and drains", kubectl::pods_and_nodes),
                ("kubectl has terminals", streams::terminals),
                ("kubectl sends more than a window holds", streams::large_input),
                ("kubectl forwards ports", streams::forwarded_ports),
                ("a rolling update loses no request", workload::rolling_update),
            ],
        );
    }

    #[test]
    fn two_nodes_on_etcd() {
        run(
            2,
            "etcd",
            &[
                ("components are killed at any moment", kills::at_any_moment),
                ("up on a healthy cluster changes nothing", restart::up_again),
                ("a rolling update loses no request", workload::rolling_update),
                ("kubectl makes, changes and removes a namespace", kubectl::life),
                ("kubectl runs, follows, copies and drains", kubectl::pods_and_nodes),
                ("kubectl has terminals", streams::terminals),
                ("kubectl sends more than a window holds", streams::large_input),
                ("kubectl forwards ports", streams::forwarded_ports),
            ],
        );
    }
}
