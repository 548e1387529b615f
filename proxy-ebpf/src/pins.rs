//! Where programs, maps and links live in bpffs, and the version of their layout. To the agent, the CNI plugin and the
//! operator's view; the only place that knows these names.
//!
//! ```text
//! <pin directory>/v<LAYOUT_VERSION>/maps/<NAME>
//!                                   programs/<program>
//!                                   links/<hook>                 one per node
//!                                   links/pod-<ifindex>-egress   one per pod: program pod_egress, on TCX ingress
//!                                   links/pod-<ifindex>-ingress  one per pod: program pod_ingress, on TCX egress
//! ```

/// Version of everything in [`crate::maps`] and of the meaning of the program names.
///
/// A pin directory of another version is not read, only taken over: maps that are the same since then, and links. Raise it with every change of a map's shape
/// or meaning, and say in [`crate::maps::SINCE`] which map that is.
pub const LAYOUT_VERSION: u32 = 2;

/// The pin directory of a machine that is one node.
pub const DEFAULT_PIN_DIRECTORY: &str = "/sys/fs/bpf/skep";

/// The programs, by the names they are pinned and loaded under.
pub mod program {
    /// On TCX ingress of the host side of every pod's veth: what the pod sends.
    pub const POD_EGRESS: &str = "pod_egress";
    /// On TCX egress of the host side of every pod's veth: what the node's stack sends to the pod.
    pub const POD_INGRESS: &str = "pod_ingress";
    /// On TCX ingress of the overlay device.
    pub const OVERLAY_INGRESS: &str = "overlay_ingress";
    /// On TCX egress of the overlay device.
    pub const OVERLAY_EGRESS: &str = "overlay_egress";
    /// On TCX ingress of the uplink.
    pub const UPLINK_INGRESS: &str = "uplink_ingress";
    /// On TCX egress of the uplink.
    pub const UPLINK_EGRESS: &str = "uplink_egress";

    /// Programs of the traffic control hook.
    pub const PACKET: [&str; 6] =
        [POD_EGRESS, POD_INGRESS, OVERLAY_INGRESS, OVERLAY_EGRESS, UPLINK_INGRESS, UPLINK_EGRESS];

    /// Programs of the node's cgroup that translate addresses of sockets.
    pub const SOCKET_ADDRESS: [&str; 8] = [
        "socket_connect4",
        "socket_connect6",
        "socket_sendmsg4",
        "socket_sendmsg6",
        "socket_recvmsg4",
        "socket_recvmsg6",
        "socket_getpeername4",
        "socket_getpeername6",
    ];
    /// On the node's cgroup: a socket is closed.
    pub const SOCKET_RELEASE: &str = "socket_release";
}

/// Paths below one pin directory.
#[cfg(feature = "user")]
mod directory {
    use super::LAYOUT_VERSION;
    use std::{
        format, fs, io,
        path::{Path, PathBuf},
        string::String,
        vec::Vec,
    };

    /// A pin directory: one per node, so that several nodes (network namespaces) of one machine do not meet.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct PinDirectory {
        root: PathBuf,
        layout: u32,
    }

    /// Direction of a pod's traffic, as the pod sees it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Direction {
        /// What the pod sends: program `pod_egress`, TCX *ingress* of the host-side veth.
        Egress,
        /// What the node's stack sends to the pod: program `pod_ingress`, TCX *egress* of the host-side veth.
        Ingress,
    }

    impl PinDirectory {
        /// The pin directory at `root`, a directory in a bpffs that need not exist yet.
        pub fn new(root: impl Into<PathBuf>) -> Self {
            Self { root: root.into(), layout: LAYOUT_VERSION }
        }

        /// The same directory as an agent of another layout version sees it.
        #[must_use]
        pub const fn with_layout(mut self, layout: u32) -> Self {
            self.layout = layout;
            self
        }

        /// The layout version, [`LAYOUT_VERSION`] unless said otherwise.
        #[must_use]
        pub const fn layout(&self) -> u32 {
            self.layout
        }

        /// What other versions left here, the newest first; nothing where there is no such directory.
        ///
        /// # Errors
        /// When the directory cannot be read.
        pub fn other_versions(&self) -> io::Result<Vec<Self>> {
            let entries = match fs::read_dir(&self.root) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                other => other?,
            };
            let mut layouts = Vec::new();
            for entry in entries {
                let name = entry?.file_name();
                let layout = name.to_str().and_then(|name| name.strip_prefix('v')?.parse::<u32>().ok());
                layouts.extend(layout.filter(|layout| *layout != self.layout));
            }
            layouts.sort_unstable();
            Ok(layouts.into_iter().rev().map(|layout| self.clone().with_layout(layout)).collect())
        }

        /// The directory itself.
        #[must_use]
        pub fn root(&self) -> &Path {
            &self.root
        }

        /// What holds everything of the layout version.
        #[must_use]
        pub fn version(&self) -> PathBuf {
            self.root.join(format!("v{}", self.layout))
        }

        /// The directory of the maps.
        #[must_use]
        pub fn maps(&self) -> PathBuf {
            self.version().join("maps")
        }

        /// The map `name`, one of [`crate::maps::NAMES`].
        #[must_use]
        pub fn map(&self, name: &str) -> PathBuf {
            self.maps().join(name)
        }

        /// The directory of the programs.
        #[must_use]
        pub fn programs(&self) -> PathBuf {
            self.version().join("programs")
        }

        /// The program `name` of [`super::program`].
        #[must_use]
        pub fn program(&self, name: &str) -> PathBuf {
            self.programs().join(name)
        }

        /// The directory of the links.
        #[must_use]
        pub fn links(&self) -> PathBuf {
            self.version().join("links")
        }

        /// The link of a program that is attached once per node: a cgroup program under its own name, a program of a
        /// device under `<program>-<ifindex>` (see [`Self::device_link`]).
        #[must_use]
        pub fn link(&self, hook: &str) -> PathBuf {
            self.links().join(hook)
        }

        /// The link of a program on the overlay device or an uplink.
        #[must_use]
        pub fn device_link(&self, program: &str, ifindex: u32) -> PathBuf {
            self.links().join(format!("{program}-{ifindex}"))
        }

        /// The link of the program for one direction of a pod, by its host-side veth.
        #[must_use]
        pub fn pod_link(&self, ifindex: u32, direction: Direction) -> PathBuf {
            let direction = match direction {
                Direction::Egress => "egress",
                Direction::Ingress => "ingress",
            };
            self.links().join(format!("pod-{ifindex}-{direction}"))
        }

        /// Takes apart the file name of a pod's link; `None` for other links.
        #[must_use]
        pub fn parse_pod_link(file_name: &str) -> Option<(u32, Direction)> {
            let (ifindex, direction) = file_name.strip_prefix("pod-")?.split_once('-')?;
            let direction = match direction {
                "egress" => Direction::Egress,
                "ingress" => Direction::Ingress,
                _ => return None,
            };
            Some((ifindex.parse().ok()?, direction))
        }

        /// Takes apart the file name of a device's link: program and ifindex; `None` for other links.
        #[must_use]
        pub fn parse_device_link(file_name: &str) -> Option<(&'static str, u32)> {
            let (program, ifindex) = file_name.rsplit_once('-')?;
            let program = super::program::PACKET.into_iter().find(|known| *known == program)?;
            Some((program, ifindex.parse().ok()?))
        }
    }

    impl Direction {
        /// The program for it.
        #[must_use]
        pub const fn program(self) -> &'static str {
            match self {
                Self::Egress => super::program::POD_EGRESS,
                Self::Ingress => super::program::POD_INGRESS,
            }
        }
    }

    impl From<PinDirectory> for String {
        fn from(pins: PinDirectory) -> Self {
            pins.root.to_string_lossy().into_owned()
        }
    }
}

#[cfg(feature = "user")]
pub use directory::{Direction, PinDirectory};

#[cfg(test)]
mod tests;
