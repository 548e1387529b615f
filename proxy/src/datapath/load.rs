//! The embedded object → programs in the kernel, with maps and programs pinned. From `run`; to `attach`.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use aya::{
    Ebpf, EbpfLoader,
    programs::{ProgramError, ProgramFd, ProgramInfo, SchedClassifier, TestRun as _, TestRunOptions},
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

/// The programs of one node, loaded and pinned. What is kept are descriptors: the object with its instructions and types
/// is needed only while it goes into the kernel.
#[derive(Debug)]
pub struct Datapath {
    pins: PinDirectory,
    programs: HashMap<&'static str, ProgramFd>,
}

/// Every program's name.
fn names() -> impl Iterator<Item = &'static str> {
    program::SOCKET_ADDRESS.into_iter().chain([program::SOCKET_RELEASE]).chain(program::PACKET)
}

impl Datapath {
    /// Loads every program. Maps that are already pinned are taken over with what they hold; programs pinned earlier are
    /// replaced, which does not touch what is attached (see [`super::attach`]). Of an older layout version, the maps that are
    /// the same since then are taken over too.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn load(pins: &PinDirectory) -> Result<Self, LoadError> {
        if OBJECT.is_empty() {
            return Err(LoadError::NotBuilt);
        }
        prepare_directories(pins)?;
        take_over_maps(pins)?;
        let paths: Vec<_> = maps::NAMES.iter().map(|name| (*name, pins.map(name))).collect();
        let mut loader = EbpfLoader::new();
        // The programs ask for no field of the kernel's own types: those types, some ten megabytes, are not needed.
        loader.btf(None);
        for (name, path) in &paths {
            loader.map_pin_path(name, path.as_path());
        }
        let mut object = loader.load(OBJECT).map_err(LoadError::Object)?;
        let mut programs = HashMap::new();
        for name in names() {
            let descriptor = load_program(&mut object, name);
            programs.insert(name, descriptor.map_err(|source| LoadError::Program { program: name, source })?);
        }
        self_test(&object)?;
        let datapath = Self { pins: pins.clone(), programs };
        for name in names() {
            datapath.pin_program(name)?;
        }
        Ok(datapath)
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
    pub(super) fn program(&self, name: &'static str) -> Result<&ProgramFd, LoadError> {
        let source = ProgramError::NotLoaded;
        self.programs.get(name).ok_or(LoadError::Program { program: name, source })
    }

    /// Where this node's programs, maps and links are pinned.
    #[must_use]
    pub const fn pins(&self) -> &PinDirectory {
        &self.pins
    }

    /// Runs a pinned packet program once on `frame`, on the live maps: what it answers, and the frame as it leaves it.
    /// Nothing is sent anywhere; the frame seems to come in by the loopback device.
    ///
    /// # Errors
    /// [`LoadError::Program`] when there is no such packet program, or the kernel refuses the frame (too short for Ethernet).
    pub fn run(&self, name: &'static str, frame: &[u8]) -> Result<Run, LoadError> {
        let program = self.pinned_packet_program(name)?;
        run(&program, frame).map_err(|source| LoadError::Program { program: name, source })
    }

    /// The mean time which a pinned packet program takes for `frame`, over `times` runs.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn time(&self, name: &'static str, frame: &[u8], times: u32) -> Result<Duration, LoadError> {
        let options = TestRunOptions { data_in: Some(frame), repeat: times, ..TestRunOptions::new() };
        let result = self.pinned_packet_program(name)?.test_run(options);
        Ok(result.map_err(|source| LoadError::Program { program: name, source })?.duration)
    }

    fn pinned_packet_program(&self, name: &'static str) -> Result<SchedClassifier, LoadError> {
        SchedClassifier::from_pin(self.pins.program(name))
            .map_err(|source| LoadError::Program { program: name, source })
    }

    /// What the verifier had to do for each pinned program: the instructions it walked through.
    pub fn verified_instructions(&self) -> impl Iterator<Item = (&'static str, u32)> {
        names().filter_map(|name| {
            Some((name, ProgramInfo::from_pin(self.pins.program(name)).ok()?.verified_instruction_count()?))
        })
    }
}

fn load_program(object: &mut Ebpf, name: &'static str) -> Result<ProgramFd, ProgramError> {
    use aya::programs::{CgroupSock, CgroupSockAddr};
    let program = object.program_mut(name).ok_or(ProgramError::NotLoaded)?;
    if program::PACKET.contains(&name) {
        <&mut SchedClassifier>::try_from(&mut *program)?.load()?;
    } else if name == program::SOCKET_RELEASE {
        <&mut CgroupSock>::try_from(&mut *program)?.load()?;
    } else {
        <&mut CgroupSockAddr>::try_from(&mut *program)?.load()?;
    }
    Ok(program.fd()?.try_clone()?)
}

/// Tries the programs before they are attached.
fn self_test(object: &Ebpf) -> Result<(), LoadError> {
    let error = |source| LoadError::Program { program: program::POD_EGRESS, source };
    let program = object.program(program::POD_EGRESS).ok_or(ProgramError::NotLoaded).map_err(error)?;
    let program = <&SchedClassifier>::try_from(program).map_err(error)?;
    // Other machines' ARP is nobody's business.
    let mut frame = [0; 60];
    frame[12..14].copy_from_slice(&[0x08, 0x06]);
    let run = run(program, &frame).map_err(error)?;
    if run.answer == CONTINUE && run.frame == frame { Ok(()) } else { Err(LoadError::SelfTest(run.answer)) }
}

fn run(program: &SchedClassifier, frame: &[u8]) -> Result<Run, ProgramError> {
    let mut out = vec![0; frame.len().saturating_add(ROOM)];
    let options = TestRunOptions { data_in: Some(frame), data_out: Some(&mut out), ..TestRunOptions::new() };
    let result = program.test_run(options)?;
    out.truncate(usize::try_from(result.data_size_out).unwrap_or(0));
    Ok(Run { answer: result.return_value.cast_signed(), frame: out })
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
    pins.other_versions()?.iter().try_for_each(|other| fs::remove_dir_all(other.version()))
}

/// Pins the maps of older layout versions that have not changed since: both versions then work on the same elements.
fn take_over_maps(pins: &PinDirectory) -> Result<(), LoadError> {
    let error = |path: &Path| {
        let path = path.to_owned();
        move |source| LoadError::Pin { path, source }
    };
    let others = pins.other_versions().map_err(error(pins.root()))?;
    for older in others.iter().filter(|other| other.layout() < pins.layout()) {
        let same = maps::NAMES.iter().zip(maps::SINCE).filter(|(_, since)| *since <= older.layout());
        for (name, _) in same {
            let path = pins.map(name);
            if path.exists() {
                continue;
            }
            match syscall::object_get(&older.map(name), 0) {
                Ok(map) => syscall::object_pin(&map, &path).map_err(error(&path))?,
                Err(source) if source.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(error(&older.map(name))(source)),
            }
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
