//! The real binary in real namespaces: results, repetition, parallel calls, and a kill at every system call. Needs
//! root.
#![expect(clippy::tests_outside_test_module, reason = "the whole file is a test")]
#![expect(clippy::print_stderr, reason = "says why it does nothing")]
#![expect(clippy::disallowed_methods, reason = "runs the binary as a runtime does")]

mod bpf;
mod killer;
mod node;
mod runtime;

use node::{Node, Outcome};
use runtime::Runtime;
use serde_json::json;

/// Runs a test on a node of its own; says so when it cannot.
fn on_a_node(test: impl FnOnce(&Node) + Send + 'static) {
    if std::env::var_os("SKEP_TEST_ROOT").is_none() {
        eprintln!("needs SKEP_TEST_ROOT=1 (run by cargo xtask test)");
        return;
    }
    // Namespaces belong to a thread, and end with it.
    std::thread::spawn(move || test(&Node::new())).join().expect("the test on its node");
}

#[test]
fn add_check_del_in_every_version() {
    on_a_node(|node| {
        for version in ["0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
            let pod = node.pod();
            let call = node.call("c1", "eth0", &pod).version(version);
            let result = call.add().success();
            assert_eq!(result["cniVersion"], version);
            assert_eq!(result["interfaces"][1]["name"], "eth0");
            assert_eq!(result["ips"].as_array().map(Vec::len), Some(2));
            if version != "0.3.1" {
                call.with("prevResult", result.clone()).check().success();
                let mut other = result.clone();
                other["interfaces"][1]["mac"] = "0a:00:00:00:00:01".into();
                assert_eq!(call.with("prevResult", other).check().error_code(), 100);
            }
            assert_eq!(call.add().error_code(), 7, "eth0 exists");
            assert_eq!(node.entries(), 2);
            assert_eq!(node.links(), 2);
            call.del().success();
            call.del().success();
            node.assert_empty();
        }
    });
}

#[test]
fn a_pod_reaches_its_node() {
    on_a_node(|node| {
        node.have_addresses();
        let pod = node.pod();
        let result = node.call("c1", "eth0", &pod).add().success();
        for ip in result["ips"].as_array().unwrap() {
            let address: std::net::IpAddr = ip["address"].as_str().unwrap().split('/').next().unwrap().parse().unwrap();
            // The program of the fixture lets everything pass: this is the node's own stack, routes and neighbours.
            let listener = pod.run(move || std::net::TcpListener::bind((address, 0)).unwrap());
            let port = listener.local_addr().unwrap().port();
            let limit = std::time::Duration::from_secs(5);
            std::net::TcpStream::connect_timeout(&(address, port).into(), limit).expect("the node reaches its pod");
        }
    });
}

#[test]
fn del_needs_neither_namespace_nor_pins() {
    on_a_node(|node| {
        let pod = node.pod();
        let call = node.call("c1", "eth0", &pod);
        call.add().success();
        drop(pod);
        call.without_netns().del().success();
        node.assert_empty();

        let pod = node.pod();
        let call = node.call("c2", "eth0", &pod);
        call.add().success();
        node.lose_pins();
        call.del().success();
        assert!(node.devices().is_empty());
    });
}

#[test]
fn status_is_honest() {
    on_a_node(|node| {
        let call = node.call("", "", &node.pod()).version("1.1.0");
        call.status().success();
        let small = call.with("podCIDRs", json!(["10.9.0.0/30"]));
        let pod = node.pod();
        let holder = node.call("c1", "eth0", &pod).with("podCIDRs", json!(["10.9.0.0/30"]));
        holder.add().success();
        assert_eq!(small.status().error_code(), 50, "no address left");
        holder.del().success();
        node.lose_pins();
        assert_eq!(call.status().error_code(), 50, "no agent was ever here");
        assert_eq!(node.call("c2", "eth0", &node.pod()).add().error_code(), 11);
        assert!(node.devices().is_empty());
    });
}

#[test]
fn gc_keeps_what_is_named() {
    on_a_node(|node| {
        let pods: Vec<_> = (0..3).map(|_| node.pod()).collect();
        for (number, pod) in pods.iter().enumerate() {
            node.call(&format!("c{number}"), "eth0", pod).add().success();
        }
        let valid = json!([{"containerID": "c1", "ifname": "eth0"}]);
        let call = node.call("", "", &pods[0]).version("1.1.0");
        assert_eq!(call.gc().error_code(), 7, "without a list nothing is removed");
        assert_eq!(node.devices().len(), 3);
        call.with("cni.dev/valid-attachments", valid).gc().success();
        assert_eq!((node.devices().len(), node.entries(), node.links()), (1, 2, 2));
        // The journal is lost: what nothing leads to any more goes, what is named stays as far as it is known.
        node.lose_state();
        call.with("cni.dev/valid-attachments", json!([])).gc().success();
        node.assert_empty();
    });
}

/// As a runtime leaves it that forgot what it had begun: the namespace is gone, and nobody calls DEL.
#[test]
fn what_lost_its_device_goes_when_another_comes_or_goes() {
    on_a_node(|node| {
        let range = json!(["10.9.0.0/30"]);
        for verb in ["ADD", "DEL"] {
            let dead = node.pod();
            node.call("c1", "eth0", &dead).with("podCIDRs", range.clone()).add().success();
            drop(dead);
            node.until_no_device();
            assert_eq!(node.entries(), 1);
            let pod = node.pod();
            // The only address of the range is free for it.
            let other = node.call("c2", "eth0", &pod).with("podCIDRs", range.clone());
            other.start(verb).finish().success();
            let left = if verb == "ADD" { (1, 1, 2) } else { (0, 0, 0) };
            assert_eq!((node.devices().len(), node.entries(), node.links()), left);
            other.del().success();
            node.assert_empty();
        }
    });
}

#[test]
fn an_answer_that_nobody_reads_is_taken_back() {
    on_a_node(|node| {
        let pod = node.pod();
        let call = node.call("c1", "eth0", &pod);
        assert!(!call.add_unheard());
        node.assert_empty();
        call.add().success();
        call.del().success();
    });
}

#[test]
fn asked_addresses_are_given() {
    on_a_node(|node| {
        let (one, two) = (node.pod(), node.pod());
        let asked = json!({"ips": ["10.9.0.77/24"], "mac": "0a:58:0a:09:00:4d"});
        let call = node.call("c1", "eth0", &one).with("runtimeConfig", asked.clone());
        let result = call.add().success();
        assert_eq!(result["ips"][0]["address"], "10.9.0.77/32");
        assert_eq!(result["interfaces"][1]["mac"], "0a:58:0a:09:00:4d");
        assert_eq!(node.call("c2", "eth0", &two).with("runtimeConfig", asked).add().error_code(), 11);
        assert_eq!(node.devices().len(), 1, "the refused one left nothing");
    });
}

#[test]
fn twenty_at_once() {
    on_a_node(|node| {
        let pods: Vec<_> = (0..20).map(|_| node.pod()).collect();
        let calls: Vec<_> = pods.iter().enumerate().map(|(n, pod)| node.call(&format!("c{n}"), "eth0", pod)).collect();
        let results: Vec<_> = calls.iter().map(|call| call.start("ADD")).collect::<Vec<_>>();
        let results: Vec<_> = results.into_iter().map(|running| running.finish().success()).collect();
        let unique: std::collections::HashSet<_> =
            results.iter().flat_map(|r| r["ips"].as_array().unwrap()).map(|ip| ip["address"].to_string()).collect();
        assert_eq!(unique.len(), 40);
        assert_eq!((node.devices().len(), node.entries(), node.links()), (20, 40, 40));
        for running in calls.iter().map(|call| call.start("DEL")).collect::<Vec<_>>() {
            running.finish().success();
        }
        node.assert_empty();
    });
}

#[test]
fn add_killed_at_every_system_call_leaves_nothing_after_del_or_gc() {
    on_a_node(|node| {
        // One usable address per family: a leaked one would show at once.
        let ranges = json!(["10.9.0.0/30", "fd09::/126"]);
        let mut steps = 0;
        loop {
            let pod = node.pod();
            let call = node.call("c1", "eth0", &pod).with("podCIDRs", ranges.clone());
            let outcome = killer::run_until_system_call(call.command("ADD"), call.input(), steps);
            let cleaned = match steps % 3 {
                0 => call.del(),
                1 => call.without_netns().del(),
                _ => call.version("1.1.0").with("cni.dev/valid-attachments", json!([])).gc(),
            };
            cleaned.success();
            node.assert_empty();
            if outcome == Outcome::Ended {
                break;
            }
            steps += 1;
        }
        assert!(steps > 100, "only {steps} system calls: was it traced at all?");
        let pod = node.pod();
        let last = node.call("c9", "eth0", &pod).with("podCIDRs", ranges);
        last.add().success();
    });
}

#[test]
fn del_killed_at_every_system_call_is_finished_by_the_next() {
    on_a_node(|node| {
        let ranges = json!(["10.9.0.0/30", "fd09::/126"]);
        let mut steps = 0;
        loop {
            let pod = node.pod();
            let call = node.call("c1", "eth0", &pod).with("podCIDRs", ranges.clone());
            call.add().success();
            let outcome = killer::run_until_system_call(call.command("DEL"), call.input(), steps);
            call.del().success();
            node.assert_empty();
            if outcome == Outcome::Ended {
                break;
            }
            steps += 1;
        }
    });
}

/// Each DEL rewrites the journal, too.
#[test]
fn del_killed_while_it_rewrites_the_journal_loses_no_reservation() {
    on_a_node(|node| {
        let mut steps = 0;
        loop {
            node.write_long_journal();
            let (kept, pod) = (node.pod(), node.pod());
            let holder = node.call("c0", "eth0", &kept);
            let held = holder.add().success()["ips"].clone();
            let call = node.call("c1", "eth0", &pod);
            call.add().success();
            let outcome = killer::run_until_system_call(call.command("DEL"), call.input(), steps);
            call.del().success();
            assert_eq!((node.devices().len(), node.entries(), node.links()), (1, 2, 2));
            let taken = json!({"ips": [held[0]["address"]]});
            assert_eq!(node.call("c2", "eth0", &pod).with("runtimeConfig", taken).add().error_code(), 11);
            holder.del().success();
            node.assert_empty();
            if outcome == Outcome::Ended {
                break;
            }
            steps += 1;
        }
        assert!(node.journal_lines() < 100, "it was never rewritten");
    });
}

#[test]
fn gc_killed_at_every_system_call_is_finished_by_the_next() {
    on_a_node(|node| {
        let mut steps = 0;
        loop {
            let pods = [node.pod(), node.pod(), node.pod()];
            let calls: Vec<_> =
                pods.iter().enumerate().map(|(n, pod)| node.call(&format!("c{n}"), "eth0", pod)).collect();
            for call in &calls {
                call.add().success();
            }
            let valid = json!([{"containerID": "c1", "ifname": "eth0"}]);
            let gc = calls[0].version("1.1.0").with("cni.dev/valid-attachments", valid);
            let outcome = killer::run_until_system_call(gc.command("GC"), gc.input(), steps);
            gc.gc().success();
            assert_eq!((node.devices().len(), node.entries(), node.links()), (1, 2, 2));
            calls[1].del().success();
            node.assert_empty();
            if outcome == Outcome::Ended {
                break;
            }
            steps += 1;
        }
        assert!(steps > 50, "only {steps} system calls: was it traced at all?");
    });
}

/// Another pod comes at the same time: it gets its interface, and keeps it while the rest of the killed one is removed.
#[test]
fn add_killed_at_every_system_call_harms_no_other_add() {
    on_a_node(|node| {
        let mut steps = 0;
        loop {
            let (pod, other_pod) = (node.pod(), node.pod());
            let call = node.call("c1", "eth0", &pod);
            let other = node.call("c2", "eth0", &other_pod);
            let running = other.start("ADD");
            let outcome = killer::run_until_system_call(call.command("ADD"), call.input(), steps);
            running.finish().success();
            let valid = json!([{"containerID": "c2", "ifname": "eth0"}]);
            let cleaned = match steps % 3 {
                0 => call.del(),
                // The runtime tries again, without a DEL before.
                1 if outcome == Outcome::Killed => node.call("c1", "eth0", &node.pod()).add(),
                _ => call.version("1.1.0").with("cni.dev/valid-attachments", valid).gc(),
            };
            cleaned.success();
            call.del().success();
            assert_eq!((node.devices().len(), node.entries(), node.links()), (1, 2, 2));
            other.del().success();
            node.assert_empty();
            if outcome == Outcome::Ended {
                break;
            }
            steps += 1;
        }
    });
}

#[test]
fn sandboxes_of_containerd_alone_reach_each_other() {
    on_a_node(|node| {
        node.forward();
        let pod = node.pod();
        let runtime = Runtime::start(node, &node.call("", "", &pod));
        let (one, two) = (runtime.run("one"), runtime.run("two"));
        assert_eq!((node.devices().len(), node.entries(), node.links()), (2, 4, 4));
        let interface = runtime.inside(&one, &["/bin/busybox", "ip", "address", "show", "dev", "eth0"]);
        assert_eq!((one.ips.len(), two.ips.len()), (2, 2), "{one:?} {two:?}");
        for (mine, theirs) in one.ips.iter().zip(&two.ips) {
            assert!(interface.contains(mine), "{mine} in {interface}");
            runtime.inside(&one, &["/bin/busybox", "ping", "-c", "2", "-W", "2", theirs]);
            let host = if theirs.contains(':') { format!("[{theirs}]") } else { theirs.clone() };
            let seen = runtime.inside(&one, &["/bin/endpoint", "get", &format!("http://{host}:8080/clientip")]);
            assert!(seen.contains(mine), "{one:?} is seen as {seen}");
        }
        assert_eq!(runtime.inside(&one, &["/bin/endpoint", "get", "http://127.0.0.1:8080/hostname"]), "one");
        runtime.remove(&one.id);
        assert_eq!((node.devices().len(), node.entries(), node.links()), (1, 2, 2));
        runtime.remove(&two.id);
        node.assert_empty();
    });
}

/// Killed while it makes sandboxes, containerd forgets some that have an interface: what GC is for.
#[test]
fn gc_removes_what_a_killed_containerd_forgot() {
    on_a_node(|node| {
        node.forward();
        let pod = node.pod();
        let network = node.call("", "", &pod);
        let mut runtime = Runtime::start(node, &network);
        let kept = runtime.run("kept");
        for round in 0..12 {
            runtime.begin(&format!("lost-{round}"), std::time::Duration::from_millis(round * 25));
            runtime.kill_and_start_again();
        }
        for sandbox in runtime.sandboxes().iter().filter(|id| **id != kept.id) {
            runtime.remove(sandbox);
        }
        eprintln!("{} interfaces of {:?} before GC", node.devices().len(), runtime.sandboxes());
        let valid = json!([{"containerID": kept.id, "ifname": "eth0"}]);
        network.version("1.1.0").with("cni.dev/valid-attachments", valid).gc().success();
        assert_eq!((node.devices().len(), node.entries(), node.links()), (1, 2, 2));
        let other = runtime.run("other");
        runtime.inside(&kept, &["/bin/busybox", "ping", "-c", "2", "-W", "2", &other.ips[0]]);
        for sandbox in [kept, other] {
            runtime.remove(&sandbox.id);
        }
        node.assert_empty();
    });
}
