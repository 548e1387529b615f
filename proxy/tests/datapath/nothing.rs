//! A cgroup connect4 program that does nothing, attached beside ours: what it costs is what counting costs. From raw
//! bpf(2), because the object holds only programs that do something.

#![expect(unsafe_code, reason = "bpf(2) takes pointers")]

use std::{
    fs::File,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    time::Duration,
};

use skep_proxy::datapath::statistics::Used;

use crate::fixture::Node;

const PROG_LOAD: i32 = 5;
const LINK_CREATE: i32 = 28;
const CGROUP_SOCK_ADDR: u32 = 18;
const INET4_CONNECT: u32 = 10;
/// `r0 = 1; exit`.
const PROCEED: [u64; 2] = [0x0000_0001_0000_00b7, 0x95];

pub(crate) struct Nothing {
    program: OwnedFd,
    _link: OwnedFd,
}

/// The start of `union bpf_attr` for a program load, up to `expected_attach_type`.
#[repr(C)]
#[derive(Default)]
struct LoadAttr {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log: [u64; 2],
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    ifindex: u32,
    expected_attach_type: u32,
}

/// The same for a link.
#[repr(C)]
#[derive(Default)]
struct LinkAttr {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
}

impl Nothing {
    pub(crate) fn attach(node: &Node) -> Self {
        let mut load = LoadAttr {
            kind: CGROUP_SOCK_ADDR,
            count: 2,
            instructions: PROCEED.as_ptr().expose_provenance() as u64,
            license: c"GPL".as_ptr().expose_provenance() as u64,
            expected_attach_type: INET4_CONNECT,
            ..LoadAttr::default()
        };
        let program = bpf(PROG_LOAD, &mut load);
        let cgroup = File::open(&node.cgroup).unwrap();
        let mut link = LinkAttr {
            program: program.as_raw_fd().unsigned_abs(),
            target: cgroup.as_raw_fd().unsigned_abs(),
            attach_type: INET4_CONNECT,
            flags: 0,
        };
        Self { program, _link: bpf(LINK_CREATE, &mut link) }
    }

    pub(crate) fn used(&self) -> Used {
        let path = format!("/proc/self/fdinfo/{}", self.program.as_raw_fd());
        let text = std::fs::read_to_string(path).unwrap();
        let number = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim_start_matches(':').trim().parse::<u64>().unwrap()
        };
        Used { runs: number("run_cnt"), time: Duration::from_nanos(number("run_time_ns")) }
    }
}

/// One call that makes a descriptor.
fn bpf<T>(command: i32, attr: &mut T) -> OwnedFd {
    // SAFETY: `attr` is a live structure of the size given; its pointers are to constants.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<T>()) };
    assert!(fd >= 0, "bpf {command}: {}", std::io::Error::last_os_error());
    // SAFETY: the kernel has just made this descriptor for us.
    unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).unwrap()) }
}
