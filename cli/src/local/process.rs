//! Processes of a local cluster: started apart from us, found again by file, and never mistaken for another one with the same number.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// One program of the cluster: what to run, and where it leaves its marks. Kept as `NAME.json` once it was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    /// `supervisor`, `server`, `etcd`, `containerd`, `kubelet`, `agent`.
    pub(crate) name: String,
    /// Our own binary, which becomes the program.
    pub(crate) skep: PathBuf,
    /// Holds `NAME.pid` and `NAME.json`.
    pub(crate) run_directory: PathBuf,
    /// Its standard output and error.
    pub(crate) log: PathBuf,
    /// In the v2 hierarchy.
    pub(crate) cgroup: String,
    /// None: the host's.
    pub(crate) namespace: Option<PathBuf>,
    /// Program and arguments.
    pub(crate) command: Vec<String>,
}

impl Process {
    /// Starts it unless it runs. Says whether it was started.
    pub(crate) fn ensure(&self) -> anyhow::Result<bool> {
        if self.pid()?.is_some() {
            return Ok(false);
        }
        for directory in [self.run_directory.as_path(), self.log.parent().unwrap_or_else(|| Path::new("/"))] {
            fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
        }
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .with_context(|| format!("open {}", self.log.display()))?;
        self.keep()?;
        // We start ourselves, which joins the cgroup and the namespace and becomes the program: so its first socket is in the right place.
        #[expect(clippy::disallowed_methods, reason = "`skep up` starts the cluster's processes")]
        let mut command = Command::new(&self.skep);
        command.args(["node", "become", "--cgroup", &self.cgroup, "--pid-file"]).arg(self.pid_file());
        if let Some(namespace) = &self.namespace {
            command.arg("--netns").arg(namespace);
        }
        let mut child = command
            .arg("--")
            .args(&self.command)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("clone the log's handle")?)
            .stderr(log)
            .current_dir("/")
            .spawn()
            .with_context(|| format!("start {}", self.name))?;
        // It claims the name itself: were we killed now, the next `up` would still find it.
        while self.pid()? != Some(child.id()) {
            if let Some(status) = child.try_wait().with_context(|| format!("look after {}", self.name))? {
                if self.pid()?.is_some() {
                    return Ok(false);
                }
                bail!("{} ended at once ({status}); see {}", self.name, self.log.display());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(true)
    }

    /// Its process number while it runs.
    pub(crate) fn pid(&self) -> anyhow::Result<Option<u32>> {
        running(&self.pid_file())
    }

    /// The end of its log, for error messages.
    pub(crate) fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(12)..).unwrap_or_default().join("\n")
    }

    /// Notes what it is, for whoever starts it again.
    fn keep(&self) -> anyhow::Result<()> {
        let file = self.run_directory.join(format!("{}.json", self.name));
        let beside = file.with_extension("json.new");
        fs::write(&beside, serde_json::to_vec(self)?).with_context(|| format!("write {}", beside.display()))?;
        fs::rename(&beside, &file).with_context(|| format!("write {}", file.display()))
    }

    fn pid_file(&self) -> PathBuf {
        pid_file(&self.run_directory, &self.name)
    }
}

fn pid_file(run_directory: &Path, name: &str) -> PathBuf {
    run_directory.join(format!("{name}.pid"))
}

/// The processes noted in `run_directory` that were started and run no more.
pub(crate) fn ended(run_directory: &Path) -> anyhow::Result<Vec<Process>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(run_directory).with_context(|| format!("read {}", run_directory.display()))? {
        let file = entry.with_context(|| format!("read {}", run_directory.display()))?.path();
        if file.extension().is_none_or(|extension| extension != "pid") || running(&file)?.is_some() {
            continue;
        }
        let note = file.with_extension("json");
        let text = match fs::read(&note) {
            // Started by a `skep` that noted none.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            text => text.with_context(|| format!("read {}", note.display()))?,
        };
        found.push(serde_json::from_slice(&text).with_context(|| format!("{} is damaged", note.display()))?);
    }
    Ok(found)
}

/// Asks a process to end and waits; kills it when it does not. Nothing to do when it does not run.
pub(crate) fn stop(run_directory: &Path, name: &str) -> anyhow::Result<()> {
    let pid_file = pid_file(run_directory, name);
    let Some(number) = running(&pid_file)? else { return Ok(()) };
    let pid = Pid::from_raw(i32::try_from(number).context("process number")?);
    kill(pid, Signal::SIGTERM).with_context(|| format!("end {name}"))?;
    let end = Instant::now() + Duration::from_secs(5);
    while running(&pid_file)?.is_some() {
        if Instant::now() > end {
            kill(pid, Signal::SIGKILL).with_context(|| format!("kill {name}"))?;
        }
        if Instant::now() > end + Duration::from_secs(5) {
            bail!("{name} (process {number}) does not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Makes the calling process the one that a file names, unless another one that runs has it: two `up` at once start one of each.
pub(crate) fn claim(pid_file: &Path) -> anyhow::Result<()> {
    let lock = pid_file.with_extension("lock");
    let lock = File::create(&lock).with_context(|| format!("create {}", lock.display()))?;
    let lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, errno)| errno).context("lock a process file")?;
    if let Some(other) = running(pid_file)? {
        bail!("process {other} has {} already", pid_file.display());
    }
    let me = std::process::id();
    let start = start_time(me).context("read our own start time")?;
    let beside = pid_file.with_extension("new");
    fs::write(&beside, format!("{me} {start}")).with_context(|| format!("write {}", beside.display()))?;
    fs::rename(&beside, pid_file).with_context(|| format!("write {}", pid_file.display()))?;
    drop(lock);
    Ok(())
}

/// The process a file names, while it runs.
fn running(pid_file: &Path) -> anyhow::Result<Option<u32>> {
    let text = match fs::read_to_string(pid_file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("read {}", pid_file.display())),
    };
    let Some((pid, start)) = text.split_once(' ') else { return Ok(None) };
    let Ok(pid) = pid.parse() else { return Ok(None) };
    Ok((start_time(pid).as_deref() == Some(start)).then_some(pid))
}

/// Start time in clock ticks since boot (field 22 of /proc/PID/stat): with the number it names one process for good. None for zombies, too.
fn start_time(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    (fields.next()? != "Z").then(|| fields.nth(18).map(str::to_owned)).flatten()
}
