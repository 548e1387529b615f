//! A pod as a container runtime makes one: a network namespace, and the plugin called with the agent's own
//! configuration.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::gettid;
use serde_json::Value;

use crate::node::Node;

type Job = Box<dyn FnOnce() + Send>;

/// The plugin's binary, when it has been built: `cargo xtask test` does, `cargo test -p` alone does not.
pub(crate) fn plugin() -> Option<PathBuf> {
    let beside = || Some(std::env::current_exe().ok()?.parent()?.parent()?.to_owned());
    let directory = std::env::var_os("SKEP_BIN_DIR").map(PathBuf::from).or_else(beside)?;
    Some(directory.join("skep-cni")).filter(|path| path.exists())
}

pub(crate) struct Pod {
    path: PathBuf,
    jobs: Sender<Job>,
    name: String,
    config: Value,
    pub(crate) address: IpAddr,
}

impl Pod {
    pub(crate) fn add(node: &Node, name: &str) -> Self {
        let (jobs, inbox) = channel::<Job>();
        let (ready, path) = channel();
        std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("a namespace");
            ready
                .send(PathBuf::from(format!("/proc/{}/task/{}/ns/net", std::process::id(), gettid())))
                .expect("say where");
            inbox.iter().for_each(|job| job());
        });
        let conflist = node.conflist().expect("the node takes pods");
        let mut config = conflist["plugins"][0].clone();
        config["cniVersion"] = conflist["cniVersion"].clone();
        config["name"] = conflist["name"].clone();
        let unspecified = IpAddr::from([0, 0, 0, 0]);
        let path = path.recv().expect("a namespace");
        let mut pod = Self { path, jobs, name: name.to_owned(), config, address: unspecified };
        let result = pod.call("ADD");
        let address = result["ips"][0]["address"].as_str().and_then(|text| text.split('/').next());
        pod.address = address.expect("an address").parse().expect("an address");
        pod
    }

    pub(crate) fn delete(self) {
        self.call("DEL");
    }

    fn call(&self, verb: &str) -> Value {
        let mut child = Command::new(plugin().expect("the plugin"))
            .env_clear()
            .envs([
                ("CNI_COMMAND", verb),
                ("CNI_CONTAINERID", &self.name),
                ("CNI_IFNAME", "eth0"),
                ("CNI_PATH", "/opt"),
            ])
            .env("CNI_NETNS", &self.path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start the plugin");
        child.stdin.take().expect("its input").write_all(self.config.to_string().as_bytes()).expect("write its input");
        let output = child.wait_with_output().expect("its end");
        assert!(output.status.success(), "{verb}: {}", String::from_utf8_lossy(&output.stdout));
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
    }

    fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (sender, result) = channel();
        self.jobs.send(Box::new(move || drop(sender.send(work())))).expect("the namespace's thread");
        result.recv().expect("a result")
    }

    /// Answers every connection with the address it came from.
    pub(crate) fn serve(&self, port: u16) {
        let address = self.address;
        let listener = self.run(move || TcpListener::bind((address, port)).expect("listen"));
        serve(listener);
    }

    /// Connects, and returns what the other side says: the address it sees.
    pub(crate) fn ask(&self, target: SocketAddr) -> std::io::Result<String> {
        self.run(move || ask(target))
    }
}

/// Answers every connection with the address it came from.
pub(crate) fn serve(listener: TcpListener) {
    std::thread::spawn(move || {
        while let Ok((mut stream, from)) = listener.accept() {
            drop(stream.write_all(from.ip().to_string().as_bytes()));
        }
    });
}

/// Connects from here.
pub(crate) fn ask(target: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&target, Duration::from_secs(3))?;
    stream.set_read_timeout(Some(Duration::from_secs(3)))?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
