//! A node: network and mount namespaces of its own, a bpffs with pins like the agent's, and pods' namespaces.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};

use aya::maps::{HashMap, Map, MapData};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::gettid;
use serde_json::{Value, json};
use skep_proxy_ebpf::maps::pod::{self, PodKey, PodValue};
use skep_proxy_ebpf::pins::{Direction, PinDirectory};

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The program came to its end.
    Ended,
    /// It was killed before.
    Killed,
}

pub(crate) struct Node {
    directory: tempfile::TempDir,
}

impl Node {
    /// Moves the calling thread into new namespaces.
    pub(crate) fn new() -> Self {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("new namespaces");
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
            .expect("private mounts");
        let directory = tempfile::tempdir().expect("a directory");
        let node = Self { directory };
        fs::create_dir_all(node.bpffs()).expect("the pin directory");
        mount(Some("bpf"), &node.bpffs(), Some("bpf"), MsFlags::empty(), None::<&str>).expect("bpffs");
        let pins = node.pins();
        for directory in [pins.maps(), pins.programs(), pins.links()] {
            fs::create_dir_all(directory).expect("a directory of pins");
        }
        crate::bpf::pin_hash(&pins.map(pod::NAME), size_of::<PodKey>(), size_of::<PodValue>());
        for direction in [Direction::Egress, Direction::Ingress] {
            crate::bpf::pin_classifier(&pins.program(direction.program()));
        }
        node
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    fn bpffs(&self) -> PathBuf {
        self.directory.path().join("bpf")
    }

    fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    fn pins(&self) -> PinDirectory {
        PinDirectory::new(self.bpffs().join("skep"))
    }

    /// A namespace as a runtime makes one for a pod. It ends when the value is dropped.
    pub(crate) fn pod(&self) -> Pod {
        Pod::new()
    }

    pub(crate) fn call(&self, container: &str, interface: &str, pod: &Pod) -> Call {
        Call {
            container: container.to_owned(),
            interface: interface.to_owned(),
            netns: Some(pod.path.clone()),
            config: json!({
                "cniVersion": "1.0.0", "name": "test", "type": "skep-cni", "pinDir": self.pins().root(),
                "stateDir": self.state(), "podCIDRs": ["10.9.0.0/24", "fd09::/64"], "mtu": 1450, "quarantineSeconds": 0,
            }),
            input: Vec::new(),
        }
        .rendered()
    }

    pub(crate) fn devices(&self) -> Vec<String> {
        let names = fs::read_to_string("/proc/thread-self/net/dev").expect("the devices");
        let names = names.lines().skip(2).filter_map(|line| line.split(':').next()).map(|name| name.trim().to_owned());
        names.filter(|name| name != "lo").collect()
    }

    pub(crate) fn entries(&self) -> usize {
        let map = Map::from_map_data(MapData::from_pin(self.pins().map(pod::NAME)).expect("PODS")).expect("a map");
        let map: HashMap<MapData, PodKey, PodValue> = map.try_into().expect("a hash");
        map.keys().count()
    }

    pub(crate) fn links(&self) -> usize {
        fs::read_dir(self.pins().links()).expect("the links").count()
    }

    pub(crate) fn assert_empty(&self) {
        assert_eq!(self.devices(), Vec::<String>::new(), "devices");
        assert_eq!(self.entries(), 0, "entries of PODS");
        assert_eq!(self.links(), 0, "pinned links");
    }

    /// Gives the node the addresses that its overlay device would have.
    pub(crate) fn have_addresses(&self) {
        for arguments in ["link set lo up", "address add 10.9.0.1/32 dev lo", "address add fd09::1/128 dev lo"] {
            let status = Command::new("ip").args(arguments.split(' ')).status().expect("run ip");
            assert!(status.success(), "ip {arguments}");
        }
    }

    /// Lets packets pass from pod to pod: the programs of the fixture redirect nothing.
    pub(crate) fn forward(&self) {
        for setting in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            fs::write(Path::new("/proc/sys/net").join(setting), "1").expect(setting);
        }
    }

    /// A namespace ends, and its devices with it, some time after its last process.
    pub(crate) fn until_no_device(&self) {
        let begin = std::time::Instant::now();
        while !self.devices().is_empty() {
            assert!(begin.elapsed().as_secs() < 20, "{:?} stay", self.devices());
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    /// As after a restart of the machine.
    pub(crate) fn lose_pins(&self) {
        fs::remove_dir_all(self.pins().root()).expect("remove the pins");
    }

    /// A journal that the next DEL rewrites: one address was taken and given back so often.
    pub(crate) fn write_long_journal(&self) {
        let line =
            |op: &str| format!(r#"{{"op":"{op}","container":"old","interface":"eth0","ips":["10.9.0.1"],"at":1}}"#);
        let lines = [line("take"), line("free").replace(r#""ips":["10.9.0.1"],"#, "")].join("\n") + "\n";
        let directory = self.state().join("test");
        fs::create_dir_all(&directory).expect("the state directory");
        fs::write(directory.join("addresses.journal"), lines.repeat(520)).expect("write the journal");
    }

    pub(crate) fn journal_lines(&self) -> usize {
        fs::read_to_string(self.state().join("test/addresses.journal")).expect("the journal").lines().count()
    }

    pub(crate) fn lose_state(&self) {
        fs::remove_dir_all(self.state()).expect("remove the state");
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// A pod's network namespace, held by a thread.
pub(crate) struct Pod {
    path: PathBuf,
    jobs: Sender<Job>,
}

impl Pod {
    fn new() -> Self {
        let (jobs, inbox) = channel::<Job>();
        let (ready, path) = channel();
        std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("a namespace");
            let path = format!("/proc/{}/task/{}/ns/net", std::process::id(), gettid());
            ready.send(PathBuf::from(path)).expect("say where");
            inbox.iter().for_each(|job| job());
        });
        Self { path: path.recv().expect("a namespace"), jobs }
    }

    /// Runs something inside.
    pub(crate) fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (sender, result) = channel();
        self.jobs.send(Box::new(move || drop(sender.send(work())))).expect("the namespace's thread");
        result.recv().expect("a result")
    }
}

/// One call of the plugin, as a runtime makes it.
#[derive(Clone)]
pub(crate) struct Call {
    container: String,
    interface: String,
    netns: Option<PathBuf>,
    config: Value,
    input: Vec<u8>,
}

impl Call {
    fn rendered(mut self) -> Self {
        self.input = serde_json::to_vec(&self.config).expect("JSON");
        self
    }

    pub(crate) fn with(&self, field: &str, value: Value) -> Self {
        let mut call = self.clone();
        call.config[field] = value;
        call.rendered()
    }

    pub(crate) fn version(&self, version: &str) -> Self {
        self.with("cniVersion", version.into())
    }

    pub(crate) fn without_netns(&self) -> Self {
        Self { netns: None, ..self.clone() }
    }

    pub(crate) fn config(&self) -> &Value {
        &self.config
    }

    pub(crate) fn input(&self) -> &[u8] {
        &self.input
    }

    pub(crate) fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(Path::new(env!("CARGO_BIN_EXE_skep-cni")));
        command.env_clear().env("CNI_COMMAND", verb).env("CNI_PATH", "/opt/cni/bin");
        for (name, value) in [("CNI_CONTAINERID", &self.container), ("CNI_IFNAME", &self.interface)] {
            if !value.is_empty() {
                command.env(name, value);
            }
        }
        if let Some(netns) = &self.netns {
            command.env("CNI_NETNS", netns);
        }
        command
    }

    pub(crate) fn start(&self, verb: &str) -> Running {
        let mut command = self.command(verb);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("start the plugin");
        child.stdin.take().expect("its input").write_all(&self.input).expect("write its input");
        Running(child)
    }

    pub(crate) fn add(&self) -> Answer {
        self.start("ADD").finish()
    }

    /// ADD for a runtime that is dead when the answer comes. Whether it succeeds.
    pub(crate) fn add_unheard(&self) -> bool {
        let mut running = self.command("ADD");
        let mut child = running.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("start the plugin");
        drop(child.stdout.take());
        child.stdin.take().expect("its input").write_all(&self.input).expect("write its input");
        child.wait().expect("the plugin's end").success()
    }

    pub(crate) fn del(&self) -> Answer {
        self.start("DEL").finish()
    }

    pub(crate) fn check(&self) -> Answer {
        self.start("CHECK").finish()
    }

    pub(crate) fn gc(&self) -> Answer {
        self.start("GC").finish()
    }

    pub(crate) fn status(&self) -> Answer {
        self.start("STATUS").finish()
    }
}

pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn finish(self) -> Answer {
        let output = self.0.wait_with_output().expect("the plugin's end");
        let text = if output.stdout.is_empty() { &b"null"[..] } else { &output.stdout };
        Answer { ok: output.status.success(), value: serde_json::from_slice(text).expect("JSON") }
    }
}

pub(crate) struct Answer {
    ok: bool,
    value: Value,
}

impl Answer {
    pub(crate) fn success(self) -> Value {
        assert!(self.ok, "the plugin failed: {}", self.value);
        self.value
    }

    pub(crate) fn error_code(self) -> u64 {
        assert!(!self.ok, "the plugin succeeded: {}", self.value);
        self.value["code"].as_u64().expect("a code")
    }
}
