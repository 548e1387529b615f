//! Tests on a real cluster: real kernel, containerd, kubectl. One cluster for all cases of a suite; each case has a namespace or names of its own.
#![expect(clippy::print_stderr, reason = "tests say what they do")]

mod kubectl;
mod network;
mod restart;
mod workload;

#[cfg(test)]
mod tests {
    use skep_tests::cluster::Cluster;
    use skep_tests::{leftovers, machine};

    type Case = (&'static str, fn(&Cluster) -> anyhow::Result<()>);

    /// Runs every case, then says which failed: one broken case hides no other.
    fn run(cluster: &Cluster, cases: &[Case]) -> Vec<String> {
        let mut failed = Vec::new();
        for (name, case) in cases {
            match case(cluster) {
                Ok(()) => eprintln!("case {name}: ok"),
                Err(error) => {
                    eprintln!("case {name}: FAILED: {error:?}");
                    failed.push(format!("{name}: {error:#}"));
                }
            }
        }
        failed
    }

    #[test]
    fn three_nodes() {
        if !machine::is_prepared() {
            return;
        }
        let cluster = Cluster::up(3).unwrap();
        let name = cluster.name().to_owned();
        let cases: &[Case] = &[
            ("a deployment is spread and its service answers everywhere", super::workload::spread_and_served),
            ("pods see real addresses", super::network::real_addresses),
            ("udp through a service", super::network::udp),
            ("a service without endpoints refuses", super::network::refusal),
            ("full-size segments and datagrams pass", super::network::full_size),
            ("a pod reaches itself through its service", super::network::hairpin),
            ("kubectl makes, changes and removes a namespace", super::kubectl::life),
            ("kubectl runs, follows, copies and drains", super::kubectl::pods_and_nodes),
            ("kubectl has terminals and forwards ports", super::kubectl::terminals),
            ("a rolling update loses no request", super::workload::rolling_update),
            ("killed components come back and lose no request", super::restart::kill_each),
            ("service views work with the agent dead", super::restart::views_without_agent),
        ];
        let mut failed = run(&cluster, cases);
        drop(cluster);
        failed.extend(leftovers::of(&name).into_iter().map(|left| format!("left behind: {left}")));
        assert!(failed.is_empty(), "{}", failed.join("\n"));
    }
}
