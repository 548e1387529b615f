//! The embedded object → programs in the kernel, with maps and programs pinned. From `run`; to `attach`.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use aya::{
    Ebpf, EbpfLoader,
    programs::{ProgramError, SchedClassifier, TestRun as _, TestRunOptions, TestRunResult},
};
use skep_proxy_ebpf::{
    maps,
    pins::{PinDirectory, program},
};

use super::syscall;

/// The object of `proxy-ebpf`, built by `build.rs`; empty after a build with `SKEP_EBPF=skip`.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/programs.o"));

/// The programs could not be put into the kernel.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// This binary was built without the programs.
    #[error("this binary was built with SKEP_EBPF=skip and holds no eBPF programs")]
    NotBuilt,
    /// The pin directory is not in a bpffs, and none could be mounted.
    #[error("{} is not in a mounted bpffs", path.display())]
    NoBpffs {
        /// The pin directory.
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The object, or one of its maps, was refused.
    #[error("load the eBPF object")]
    Object(#[source] aya::EbpfError),
    /// A program is missing in the object, or the kernel refused it (the source says what the verifier said).
    #[error("load program {program}")]
    Program {
        /// Its name.
        program: &'static str,
        #[source]
        source: ProgramError,
    },
    /// A program does not do what it should, so nothing was attached or replaced.
    #[error("self-test: pod_egress answered {0} to a foreign ARP frame")]
    SelfTest(i32),
    /// Something could not be pinned.
    #[error("pin {}", path.display())]
    Pin {
        /// Where.
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// What a program did with a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// `TC_ACT_*`: -1 goes on, 2 drops, 7 redirects.
    pub answer: i32,
    /// The frame afterwards.
    pub frame: Vec<u8>,
}

/// How much longer a program may make a frame.
const ROOM: usize = 256;

/// What a packet program answers when it leaves a frame to others (`TC_ACT_UNSPEC`).
const CONTINUE: i32 = -1;

/// The programs of one node, loaded and pinned.
#[derive(Debug)]
pub struct Datapath {
    pins: PinDirectory,
    object: Ebpf,
}

impl Datapath {
    /// Loads every program. Maps that are already pinned are taken over with what they hold; programs pinned earlier are
    /// replaced, which does not touch what is attached (see [`super::attach`]).
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn load(pins: &PinDirectory) -> Result<Self, LoadError> {
        if OBJECT.is_empty() {
            return Err(LoadError::NotBuilt);
        }
        prepare_directories(pins)?;
        let paths: Vec<_> = maps::NAMES.iter().map(|name| (*name, pins.map(name))).collect();
        let mut loader = EbpfLoader::new();
        for (name, path) in &paths {
            loader.map_pin_path(name, path.as_path());
        }
        let object = loader.load(OBJECT).map_err(LoadError::Object)?;
        let mut datapath = Self { pins: pins.clone(), object };
        for name in program::SOCKET_ADDRESS.into_iter().chain([program::SOCKET_RELEASE]).chain(program::PACKET) {
            datapath.load_program(name).map_err(|source| LoadError::Program { program: name, source })?;
        }
        datapath.self_test()?;
        for name in program::SOCKET_ADDRESS.into_iter().chain([program::SOCKET_RELEASE]).chain(program::PACKET) {
            datapath.pin_program(name)?;
        }
        Ok(datapath)
    }

    fn load_program(&mut self, name: &'static str) -> Result<(), ProgramError> {
        use aya::programs::{CgroupSock, CgroupSockAddr};
        let program = self.object.program_mut(name).ok_or(ProgramError::NotLoaded)?;
        if program::PACKET.contains(&name) {
            <&mut SchedClassifier>::try_from(program)?.load()
        } else if name == program::SOCKET_RELEASE {
            <&mut CgroupSock>::try_from(program)?.load()
        } else {
            <&mut CgroupSockAddr>::try_from(program)?.load()
        }
    }

    /// Pins beside the old program and renames: whoever opens the path finds the old or the new one.
    fn pin_program(&self, name: &'static str) -> Result<(), LoadError> {
        let path = self.pins.program(name);
        // bpffs reserves names with a dot.
        let next = self.pins.program(&format!("{name}-next"));
        let descriptor = self.program(name)?;
        remove_if_there(&next)
            .and_then(|()| syscall::object_pin(descriptor, &next))
            .and_then(|()| fs::rename(&next, &path))
            .map_err(|source| LoadError::Pin { path, source })
    }

    /// The loaded program `name`.
    pub(super) fn program(&self, name: &'static str) -> Result<&aya::programs::ProgramFd, LoadError> {
        self.object
            .program(name)
            .ok_or(ProgramError::NotLoaded)
            .and_then(aya::programs::Program::fd)
            .map_err(|source| LoadError::Program { program: name, source })
    }

    /// Where this node's programs, maps and links are pinned.
    #[must_use]
    pub const fn pins(&self) -> &PinDirectory {
        &self.pins
    }

    /// Runs a packet program once on `frame`, on the live maps: what it answers, and the frame as it leaves it. Nothing is
    /// sent anywhere; the frame seems to come in by the loopback device.
    ///
    /// # Errors
    /// [`LoadError::Program`] when there is no such packet program, or the kernel refuses the frame (too short for Ethernet).
    pub fn run(&self, name: &'static str, frame: &[u8]) -> Result<Run, LoadError> {
        let mut out = vec![0; frame.len().saturating_add(ROOM)];
        let options = TestRunOptions { data_in: Some(frame), data_out: Some(&mut out), ..TestRunOptions::new() };
        let result = self.test_run(name, options)?;
        out.truncate(usize::try_from(result.data_size_out).unwrap_or(0));
        Ok(Run { answer: result.return_value.cast_signed(), frame: out })
    }

    /// The mean time which a packet program takes for `frame`, over `times` runs.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn time(&self, name: &'static str, frame: &[u8], times: u32) -> Result<Duration, LoadError> {
        let options = TestRunOptions { data_in: Some(frame), repeat: times, ..TestRunOptions::new() };
        Ok(self.test_run(name, options)?.duration)
    }

    fn test_run(&self, name: &'static str, options: TestRunOptions<'_>) -> Result<TestRunResult, LoadError> {
        let error = |source| LoadError::Program { program: name, source };
        let program = self.object.program(name).ok_or(ProgramError::NotLoaded).map_err(error)?;
        let program = <&SchedClassifier>::try_from(program).map_err(error)?;
        program.test_run(options).map_err(error)
    }

    /// Tries the programs before they are attached.
    fn self_test(&self) -> Result<(), LoadError> {
        // Other machines' ARP is nobody's business.
        let mut frame = [0; 60];
        frame[12..14].copy_from_slice(&[0x08, 0x06]);
        let run = self.run(program::POD_EGRESS, &frame)?;
        if run.answer == CONTINUE && run.frame == frame { Ok(()) } else { Err(LoadError::SelfTest(run.answer)) }
    }

    /// What the verifier had to do for each program: the instructions it walked through.
    pub fn verified_instructions(&self) -> impl Iterator<Item = (&str, u32)> {
        self.object
            .programs()
            .filter_map(|(name, program)| Some((name, program.info().ok()?.verified_instruction_count()?)))
    }
}

/// Removes everything a node has in its pin directory, all layout versions: programs are detached, maps are freed.
///
/// # Errors
/// When the directory cannot be removed; one that is not there is no error.
pub fn remove(pins: &PinDirectory) -> io::Result<()> {
    match fs::remove_dir_all(pins.root()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Removes what other layout versions left in the pin directory, after this one is attached.
///
/// # Errors
/// When the pin directory cannot be read, or a version in it not be removed.
pub fn remove_other_versions(pins: &PinDirectory) -> io::Result<()> {
    let current = pins.version();
    for entry in fs::read_dir(pins.root())? {
        let path = entry?.path();
        let is_version = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('v'));
        if is_version && path != current {
            fs::remove_dir_all(&path)?;
        }
    }
    Ok(())
}

pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Makes the directories, and mounts a bpffs at its usual place when the pin directory lies there and none is mounted.
fn prepare_directories(pins: &PinDirectory) -> Result<(), LoadError> {
    let usual = Path::new("/sys/fs/bpf");
    let no_bpffs = |source| LoadError::NoBpffs { path: pins.root().to_owned(), source };
    if !is_in_bpffs(pins.root()).map_err(no_bpffs)? {
        if !pins.root().starts_with(usual) {
            return Err(no_bpffs(io::ErrorKind::NotFound.into()));
        }
        let flags = nix::mount::MsFlags::MS_NOSUID | nix::mount::MsFlags::MS_NODEV | nix::mount::MsFlags::MS_NOEXEC;
        nix::mount::mount(Some("bpffs"), usual, Some("bpf"), flags, Some("mode=0700"))
            .map_err(|source| no_bpffs(source.into()))?;
    }
    for directory in [pins.maps(), pins.programs(), pins.links()] {
        fs::create_dir_all(&directory).map_err(|source| LoadError::Pin { path: directory, source })?;
    }
    Ok(())
}

/// Whether the closest directory above `path` that exists is in a bpffs.
fn is_in_bpffs(path: &Path) -> io::Result<bool> {
    let existing = path.ancestors().find(|ancestor| ancestor.exists()).ok_or(io::ErrorKind::NotFound)?;
    Ok(nix::sys::statfs::statfs(existing)?.filesystem_type() == nix::sys::statfs::BPF_FS_MAGIC)
}
