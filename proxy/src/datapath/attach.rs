//! Loaded programs → links on the node's cgroup, its devices and its pods, pinned. From `load`; to the kernel.
//!
//! A link that is already pinned is kept and gets the new program by `BPF_LINK_UPDATE`: from one packet or call to the
//! next, without a gap. So is one that another layout version has pinned. Links whose cgroup or device is gone are
//! removed.

use std::{
    collections::BTreeSet,
    fs, io,
    os::fd::{AsFd as _, BorrowedFd},
    path::{Path, PathBuf},
};

use nix::sys::stat::fstat;
use skep_proxy_ebpf::pins::{Direction, PinDirectory, program};

use super::{
    load::{Datapath, LoadError, remove_if_there},
    syscall::{self, Target},
};

/// A program could not be attached.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The program is not loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The kernel refused.
    #[error("attach {program} to {target}")]
    Attach {
        /// The program.
        program: &'static str,
        /// What it should be attached to.
        target: String,
        #[source]
        source: io::Error,
    },
    /// A pinned link could not be used.
    #[error("{operation} link {}", path.display())]
    Link {
        /// What was tried.
        operation: &'static str,
        /// The pinned link.
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// A device of the node which packets of pods pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The tunnel to other nodes.
    Overlay,
    /// Towards other nodes and the world.
    Uplink,
}

/// What [`Datapath::update_pods`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct UpdatedPods {
    /// Links that have the new program.
    pub updated: usize,
    /// Links that were removed because their device is gone.
    pub gone: usize,
}

/// Attach types of bpf(2) (`enum bpf_attach_type`).
mod attach_type {
    pub(super) const TCX_INGRESS: u32 = 46;
    pub(super) const TCX_EGRESS: u32 = 47;
    pub(super) const SOCKET_RELEASE: u32 = 34;
    /// In the order of `program::SOCKET_ADDRESS`.
    pub(super) const SOCKET_ADDRESS: [u32; 8] = [10, 11, 14, 15, 19, 20, 29, 30];
}

/// Where a program belongs, and where its link is pinned.
struct Place<'fd> {
    program: &'static str,
    target: Target<'fd>,
    attach_type: u32,
    path: PathBuf,
}

/// What became of a pinned link.
enum Updated {
    Yes,
    /// There was no link, or what it was attached to is gone or another.
    No,
}

impl Datapath {
    /// Attaches the socket programs to the node's cgroup, which must be a cgroup2.
    ///
    /// # Errors
    /// [`AttachError`].
    pub fn attach_cgroup(&self, cgroup: BorrowedFd<'_>) -> Result<(), AttachError> {
        self.on_cgroup(cgroup).try_for_each(|place| self.attach(&place))
    }

    /// Attaches the programs of `device` to the interface, in the network namespace of the calling thread.
    ///
    /// # Errors
    /// [`AttachError`].
    pub fn attach_device(&self, device: Device, ifindex: u32) -> Result<(), AttachError> {
        self.on_device(device, ifindex).iter().try_for_each(|place| self.attach(place))
    }

    /// Attaches both programs of a pod to its host-side veth, in the network namespace of the calling thread. The CNI
    /// plugin does the same from the pinned programs.
    ///
    /// # Errors
    /// [`AttachError`].
    pub fn attach_pod(&self, ifindex: u32) -> Result<(), AttachError> {
        self.on_pod(ifindex).iter().try_for_each(|place| self.attach(place))
    }

    /// Puts back what somebody else took off the cgroup, the devices and these pods' host-side veths, or put another
    /// program in the place of. Returns how many programs that were; what is in its place is not touched.
    ///
    /// # Errors
    /// [`AttachError`].
    pub fn put_back(
        &self,
        cgroup: BorrowedFd<'_>,
        devices: &[(Device, u32)],
        pods: &BTreeSet<u32>,
    ) -> Result<usize, AttachError> {
        let devices = devices.iter().flat_map(|(device, ifindex)| self.on_device(*device, *ifindex));
        let pods = pods.iter().flat_map(|ifindex| self.on_pod(*ifindex));
        let mut count = 0;
        for place in self.on_cgroup(cgroup).chain(devices).chain(pods) {
            if !self.is_taken(&place)? {
                self.attach(&place)?;
                count += 1;
            }
        }
        Ok(count)
    }

    fn on_cgroup<'fd>(&self, cgroup: BorrowedFd<'fd>) -> impl Iterator<Item = Place<'fd>> {
        let hooks = program::SOCKET_ADDRESS
            .into_iter()
            .zip(attach_type::SOCKET_ADDRESS)
            .chain([(program::SOCKET_RELEASE, attach_type::SOCKET_RELEASE)]);
        let target = Target::Cgroup(cgroup);
        hooks.map(move |(program, attach_type)| Place { program, target, attach_type, path: self.pins().link(program) })
    }

    fn on_device(&self, device: Device, ifindex: u32) -> [Place<'static>; 2] {
        let (ingress, egress) = match device {
            Device::Overlay => (program::OVERLAY_INGRESS, program::OVERLAY_EGRESS),
            Device::Uplink => (program::UPLINK_INGRESS, program::UPLINK_EGRESS),
        };
        [(ingress, attach_type::TCX_INGRESS), (egress, attach_type::TCX_EGRESS)].map(|(program, attach_type)| {
            let path = self.pins().device_link(program, ifindex);
            Place { program, target: Target::Interface(ifindex), attach_type, path }
        })
    }

    fn on_pod(&self, ifindex: u32) -> [Place<'static>; 2] {
        let directions = [(Direction::Egress, attach_type::TCX_INGRESS), (Direction::Ingress, attach_type::TCX_EGRESS)];
        directions.map(|(direction, attach_type)| {
            let path = self.pins().pod_link(ifindex, direction);
            Place { program: direction.program(), target: Target::Interface(ifindex), attach_type, path }
        })
    }

    /// Whether the link that is pinned there runs our program.
    fn is_taken(&self, place: &Place<'_>) -> Result<bool, AttachError> {
        let error = |source| AttachError::Link { operation: "inspect", path: place.path.clone(), source };
        let ours = syscall::program_id(self.program(place.program)?.as_fd()).map_err(error)?;
        let link = match syscall::object_get(&place.path, 0) {
            Ok(link) => syscall::link_info(&link).map_err(error)?,
            Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(source) => return Err(error(source)),
        };
        // A link that is severed still knows its program.
        Ok(link.program_id == ours && link.is_attached())
    }

    /// Gives every pod, and every device attached earlier, the programs just loaded; forgets those that are gone.
    ///
    /// # Errors
    /// [`AttachError`].
    pub fn update_pods(&self) -> Result<UpdatedPods, AttachError> {
        let directory = self.pins().links();
        let read_error = |source| AttachError::Link { operation: "list", path: directory.clone(), source };
        let mut result = UpdatedPods::default();
        for other in self.pins().other_versions().map_err(read_error)? {
            for entry in fs::read_dir(other.links()).into_iter().flatten() {
                let name = entry.map_err(read_error)?.file_name();
                self.adopt(&directory.join(name))?;
            }
        }
        for entry in fs::read_dir(&directory).map_err(read_error)? {
            let name = entry.map_err(read_error)?.file_name();
            let name = name.to_string_lossy();
            let program = PinDirectory::parse_pod_link(&name)
                .map(|(_, direction)| direction.program())
                .or_else(|| PinDirectory::parse_device_link(&name).map(|(program, _)| program));
            let Some(program) = program else { continue };
            match self.update(program, &directory.join(&*name), None)? {
                Updated::Yes => result.updated += 1,
                Updated::No => result.gone += 1,
            }
        }
        Ok(result)
    }

    fn attach(&self, place: &Place<'_>) -> Result<(), AttachError> {
        let Place { program, target, attach_type, path } = place;
        let cgroup = match target {
            Target::Cgroup(cgroup) => Some(*cgroup),
            Target::Interface(_) => None,
        };
        if matches!(self.update(program, path, cgroup)?, Updated::Yes) {
            return Ok(());
        }
        let link = syscall::link_create(self.program(program)?.as_fd(), *target, *attach_type).map_err(|source| {
            let target = match target {
                Target::Cgroup(_) => "the cgroup".to_owned(),
                Target::Interface(ifindex) => format!("interface {ifindex}"),
            };
            AttachError::Attach { program, target, source }
        })?;
        syscall::object_pin(&link, path).map_err(|source| AttachError::Link {
            operation: "pin",
            path: path.clone(),
            source,
        })
    }

    /// Takes the link that another layout version has pinned under the same name, unless there is one already.
    fn adopt(&self, path: &Path) -> Result<(), AttachError> {
        let error = |source| AttachError::Link { operation: "take over", path: path.to_owned(), source };
        let Some(name) = path.file_name().filter(|_| !path.exists()) else { return Ok(()) };
        for other in self.pins().other_versions().map_err(error)? {
            match fs::rename(other.links().join(name), path) {
                Err(source) if source.kind() == io::ErrorKind::NotFound => {}
                result => return result.map_err(error),
            }
        }
        Ok(())
    }

    /// Replaces the program of the link pinned at `path`, or removes a link that leads nowhere, or to another cgroup.
    fn update(&self, name: &'static str, path: &Path, cgroup: Option<BorrowedFd<'_>>) -> Result<Updated, AttachError> {
        let error = |operation| {
            let path = path.to_owned();
            move |source| AttachError::Link { operation, path, source }
        };
        self.adopt(path)?;
        let link = match syscall::object_get(path, 0) {
            Ok(link) => link,
            Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(Updated::No),
            Err(source) => return Err(error("open")(source)),
        };
        if let Some(cgroup) = cgroup {
            let here = fstat(cgroup).map_err(|errno| error("inspect the cgroup of")(errno.into()))?.st_ino;
            let attached = syscall::link_info(&link).map_err(error("inspect"))?.cgroup_id;
            if attached != here {
                remove_if_there(path).map_err(error("remove"))?;
                return Ok(Updated::No);
            }
        }
        match syscall::link_update(&link, self.program(name)?.as_fd()) {
            Ok(()) => Ok(Updated::Yes),
            // The kernel severs links whose device or cgroup is gone.
            Err(source) if source.raw_os_error() == Some(libc::ENOLINK) => {
                remove_if_there(path).map_err(error("remove"))?;
                Ok(Updated::No)
            }
            Err(source) => Err(error("update")(source)),
        }
    }
}
