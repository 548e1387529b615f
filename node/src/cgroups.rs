//! Pod cgroups on every hierarchy the node has (v1 controllers, cgroup2, hybrids of both); from
//! [`pod_worker`](crate::pod_worker); to the cgroup file systems. Performs IO.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::pod::{self, Qos};
use crate::spec::resources::{self, CPU_PERIOD_US, PodLimits};

/// Controllers that cgroup2 groups pass down to pods.
const PASSED_DOWN: &str = "cpu cpuset io memory pids hugetlb";

/// One mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hierarchy {
    mount: PathBuf,
    /// Controllers of a v1 hierarchy, or its `name=…`: runtimes make groups there too. Empty for cgroup2.
    controllers: Vec<String>,
}

/// The node's cgroup hierarchies, and where in them pods live.
#[derive(Clone, Debug)]
pub struct Cgroups {
    hierarchies: Vec<Hierarchy>,
    root: String,
}

/// What cgroup work can end with.
#[derive(Debug, thiserror::Error)]
#[error("{action} cgroup {path}")]
pub struct CgroupError {
    action: &'static str,
    path: String,
    #[source]
    source: io::Error,
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CgroupError {
    let path = path.display().to_string();
    move |source| CgroupError { action, path, source }
}

impl Cgroups {
    /// Finds the hierarchies. `root` is the cgroup below which pods live, for example `/` or `/skep-demo/node-1`.
    ///
    /// # Errors
    /// /proc cannot be read.
    pub fn discover(root: &str) -> Result<Self, CgroupError> {
        let path = Path::new("/proc/self/mountinfo");
        let text = fs::read_to_string(path).map_err(failed("find", path))?;
        Ok(Self { hierarchies: parse(&text), root: root.trim_end_matches('/').to_owned() })
    }

    /// The pod's cgroup, as runtimes want it: absolute, below the root of each hierarchy.
    pub fn pod_path(&self, pod: &Pod) -> String {
        let uid = pod::uid(pod);
        match pod::qos(pod) {
            Qos::Guaranteed => format!("{}/kubepods/pod{uid}", self.root),
            Qos::Burstable => format!("{}/kubepods/burstable/pod{uid}", self.root),
            Qos::BestEffort => format!("{}/kubepods/besteffort/pod{uid}", self.root),
        }
    }

    /// Makes the pod's cgroup with its limits, and the groups above it.
    ///
    /// # Errors
    /// A directory cannot be made or a limit cannot be set.
    pub fn create_pod(&self, pod: &Pod) -> Result<(), CgroupError> {
        let (path, limits) = (self.pod_path(pod), resources::pod_limits(pod));
        for hierarchy in self.hierarchies.iter().filter(|hierarchy| hierarchy.is_used()) {
            hierarchy.create(&path)?;
            hierarchy.limit(&path, &limits)?;
        }
        Ok(())
    }

    /// Removes the cgroups of a pod that has ended (whatever class it had), with what is left below them. A process that is left, too, is killed: a
    /// runtime that was killed itself while it made a container may not know of it.
    ///
    /// # Errors
    /// A group still has processes: those that were killed need a moment to end.
    pub fn remove_pod(&self, uid: &str) -> Result<(), CgroupError> {
        for hierarchy in &self.hierarchies {
            for class in ["", "burstable/", "besteffort/"] {
                let path =
                    hierarchy.mount.join(format!("{}/kubepods/{class}pod{uid}", self.root).trim_start_matches('/'));
                if let Err(error) = remove_tree(&path) {
                    kill_tree(&path);
                    return Err(failed("remove", &path)(error));
                }
            }
        }
        Ok(())
    }

    /// Kills what runs in groups of a pod's containers that the runtime does not have (`known` are the ids of those that it has): a runtime that was
    /// killed while it made a container may have forgotten it. Only while none is being made for the pod.
    pub fn kill_forgotten(&self, pod: &Pod, known: &HashSet<&str>) {
        let Some(hierarchy) = self.hierarchies.iter().find(|hierarchy| hierarchy.is_used()) else { return };
        let path = hierarchy.mount.join(self.pod_path(pod).trim_start_matches('/'));
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if container_id(&name).is_some_and(|id| !known.contains(id)) {
                kill_tree(&entry.path());
            }
        }
    }

    /// UIDs of all pods that have a cgroup here.
    pub fn pods(&self) -> Vec<String> {
        let mut uids = std::collections::BTreeSet::new();
        for hierarchy in &self.hierarchies {
            for class in ["", "burstable", "besteffort"] {
                let path = hierarchy.mount.join(format!("{}/kubepods/{class}", self.root).trim_start_matches('/'));
                for entry in fs::read_dir(path).into_iter().flatten().flatten() {
                    let name = entry.file_name().to_string_lossy().into_owned();
                    uids.extend(name.strip_prefix("pod").map(str::to_owned));
                }
            }
        }
        uids.into_iter().collect()
    }

    /// Directory of the node's cgroup for a v1 controller, or in cgroup2.
    pub fn node_directory(&self, controller: &str) -> Option<PathBuf> {
        let has = |hierarchy: &&Hierarchy| hierarchy.controllers.iter().any(|known| known == controller);
        let unified = || self.hierarchies.iter().find(|hierarchy| hierarchy.controllers.is_empty());
        let hierarchy = self.hierarchies.iter().find(has).or_else(unified)?;
        Some(hierarchy.mount.join(self.root.trim_start_matches('/')))
    }
}

impl Hierarchy {
    fn unified(&self) -> bool {
        self.controllers.is_empty()
    }

    fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|known| known == controller)
    }

    /// Whether pods get a group of their own before the runtime makes one.
    fn is_used(&self) -> bool {
        self.unified() || ["cpu", "memory", "pids", "cpuset"].iter().any(|controller| self.has(controller))
    }

    fn create(&self, path: &str) -> Result<(), CgroupError> {
        let mut directory = self.mount.clone();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            let parent = directory.clone();
            directory.push(part);
            if self.unified() {
                pass_down(&parent);
            }
            match fs::create_dir(&directory) {
                Ok(()) if self.has("cpuset") => inherit_cpuset(&parent, &directory),
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed("create", &directory)(error)),
            }
        }
        if self.unified() {
            pass_down(&directory);
        }
        Ok(())
    }

    fn limit(&self, path: &str, limits: &PodLimits) -> Result<(), CgroupError> {
        let directory = self.mount.join(path.trim_start_matches('/'));
        let quota = limits.quota_us.unwrap_or(-1);
        let mut files: Vec<(&str, String)> = Vec::new();
        if self.unified() {
            let max = |value: Option<i64>| value.map_or_else(|| "max".to_owned(), |value| value.to_string());
            files.push(("cpu.weight", resources::weight(limits.shares).to_string()));
            files.push(("cpu.max", format!("{} {CPU_PERIOD_US}", max(limits.quota_us))));
            files.push(("memory.max", max(limits.memory_bytes)));
        }
        if self.has("cpu") {
            files.push(("cpu.shares", limits.shares.to_string()));
            files.push(("cpu.cfs_period_us", CPU_PERIOD_US.to_string()));
            files.push(("cpu.cfs_quota_us", quota.to_string()));
        }
        if self.has("memory")
            && let Some(bytes) = limits.memory_bytes
        {
            files.push(("memory.limit_in_bytes", bytes.to_string()));
        }
        for (name, value) in files {
            let file = directory.join(name);
            // A hybrid's cgroup2 has no controllers, and a v1 kernel may lack a knob.
            if file.exists() {
                fs::write(&file, value).map_err(failed("limit", &file))?;
            }
        }
        Ok(())
    }
}

/// Enables for the children of a cgroup2 group what it has itself; one by one, as some may be refused.
fn pass_down(directory: &Path) {
    let available = fs::read_to_string(directory.join("cgroup.controllers")).unwrap_or_default();
    for controller in available.split_whitespace().filter(|name| PASSED_DOWN.split(' ').any(|known| known == *name)) {
        if let Err(error) = fs::write(directory.join("cgroup.subtree_control"), format!("+{controller}")) {
            tracing::debug!(directory = %directory.display(), controller, %error, "enable cgroup controller");
        }
    }
}

/// A new v1 cpuset is empty and would refuse every process.
fn inherit_cpuset(parent: &Path, directory: &Path) {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let copied =
            fs::read_to_string(parent.join(file)).and_then(|text| fs::write(directory.join(file), text.trim()));
        if let Err(error) = copied {
            tracing::debug!(directory = %directory.display(), file, %error, "inherit cpuset");
        }
    }
}

fn remove_tree(path: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    match fs::remove_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The id in the name that a runtime gives a container's group: 64 hexadecimal digits, alone or after a prefix.
fn container_id(group: &str) -> Option<&str> {
    let id = group.rsplit('-').next()?;
    let id = id.strip_suffix(".scope").unwrap_or(id);
    (id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
}

/// Kills every process of a group and the groups below it.
fn kill_tree(path: &Path) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            kill_tree(&entry.path());
        }
    }
    for line in fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default().lines() {
        // 0 stands for processes of other process namespaces, and would mean our own group.
        let Some(process) = line.parse().ok().filter(|number| *number > 0).map(Pid::from_raw) else { continue };
        match kill(process, Signal::SIGKILL) {
            Err(error) => tracing::debug!(%process, %error, "kill what is left in a cgroup"),
            Ok(()) => tracing::info!(%process, path = %path.display(), "killed what was left in a cgroup"),
        }
    }
}

/// Hierarchies in the text of /proc/self/mountinfo; of several mounts of one hierarchy the first that shows its root.
fn parse(mountinfo: &str) -> Vec<Hierarchy> {
    let mut hierarchies: Vec<Hierarchy> = Vec::new();
    for line in mountinfo.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let left: Vec<&str> = left.split(' ').collect();
        let right: Vec<&str> = right.split(' ').collect();
        let (Some(root), Some(mount), Some(kind)) = (left.get(3), left.get(4), right.first()) else { continue };
        let options = right.get(2).copied().unwrap_or_default();
        let controllers: Vec<String> = match *kind {
            "cgroup2" => Vec::new(),
            "cgroup" => {
                options.split(',').filter(|option| !matches!(*option, "rw" | "ro")).map(str::to_owned).collect()
            }
            _ => continue,
        };
        let mount = PathBuf::from(mount.replace("\\040", " "));
        if *root == "/" && !hierarchies.iter().any(|known| known.controllers == controllers) {
            hierarchies.push(Hierarchy { mount, controllers });
        }
    }
    hierarchies
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_hybrid_and_pure_hierarchies() {
        let hybrid = "30 25 0:26 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
                      31 25 0:27 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
                      32 25 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
                      33 25 0:28 / /mnt/again rw - cgroup2 cgroup2 rw\n";
        let found = parse(hybrid);
        assert_eq!(found.len(), 3);
        assert_eq!(found[0].controllers, ["cpu", "cpuacct"]);
        assert!(!found[1].unified() && !found[1].is_used(), "nothing is made there, but removed");
        assert!(found[2].unified() && found[2].mount == Path::new("/sys/fs/cgroup/unified"));
    }

    #[test]
    fn groups_of_containers_have_their_ids() {
        let id = "a1".repeat(32);
        assert_eq!(container_id(&id), Some(id.as_str()));
        assert_eq!(container_id(&format!("cri-containerd-{id}.scope")), Some(id.as_str()));
        assert_eq!(container_id("init.scope"), None);
    }

    #[test]
    fn pods_live_in_their_class() {
        let cgroups = Cgroups { hierarchies: vec![], root: "/skep/n1".to_owned() };
        let pod: Pod = serde_json::from_value(serde_json::json!({"metadata": {"uid": "u1"},
            "spec": {"containers": [{"name": "a", "resources": {"requests": {"cpu": "1"}}}]}}))
        .unwrap();
        assert_eq!(cgroups.pod_path(&pod), "/skep/n1/kubepods/burstable/podu1");
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a process to be found")]
    fn a_process_that_nobody_knows_ends_with_its_pod() {
        if std::env::var_os("SKEP_TEST_ROOT").is_none() {
            eprintln!("needs SKEP_TEST_ROOT=1 (set by `cargo xtask test` as root)");
            return;
        }
        let root = format!("/skep-test-cgroups-{}", std::process::id());
        let cgroups = Cgroups::discover(&root).unwrap();
        let pod: Pod = serde_json::from_value(serde_json::json!({"metadata": {"uid": "u1"}})).unwrap();
        cgroups.create_pod(&pod).unwrap();
        let hierarchy = cgroups.hierarchies.iter().find(|hierarchy| hierarchy.is_used()).unwrap();
        let directory = hierarchy.mount.join(cgroups.pod_path(&pod).trim_start_matches('/'));
        let mut sleep = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let (known, forgotten) = ("1".repeat(64), "2".repeat(64));
        fs::create_dir(directory.join(&known)).unwrap();
        fs::write(directory.join(&known).join("cgroup.procs"), sleep.id().to_string()).unwrap();
        cgroups.kill_forgotten(&pod, &HashSet::from([known.as_str()]));
        assert!(sleep.try_wait().unwrap().is_none(), "it was spared");
        fs::create_dir(directory.join(&forgotten)).unwrap();
        fs::write(directory.join(&forgotten).join("cgroup.procs"), sleep.id().to_string()).unwrap();
        cgroups.kill_forgotten(&pod, &HashSet::from([known.as_str()]));
        assert!(!sleep.wait().unwrap().success(), "it was killed");

        let mut sleep = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        fs::write(directory.join("cgroup.procs"), sleep.id().to_string()).unwrap();
        cgroups.remove_pod("u1").unwrap_err();
        assert!(!sleep.wait().unwrap().success(), "it was killed");
        cgroups.remove_pod("u1").unwrap();
        assert!(cgroups.pods().is_empty());
        for hierarchy in &cgroups.hierarchies {
            remove_tree(&hierarchy.mount.join(root.trim_start_matches('/'))).unwrap();
        }
    }
}
