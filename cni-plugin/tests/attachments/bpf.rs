//! Just enough BPF to stand in for the agent's pins: a map like `PODS` and programs that let everything pass.
#![expect(unsafe_code, reason = "bpf(2) has no wrapper without a whole object file")]

use std::ffi::CString;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::libc;

const MAP_CREATE: libc::c_int = 0;
const PROG_LOAD: libc::c_int = 5;
const OBJ_PIN: libc::c_int = 6;

const MAP_TYPE_HASH: u32 = 1;
const NO_PREALLOC: u32 = 1;
const PROG_TYPE_SCHED_CLS: u32 = 3;

fn bpf(command: libc::c_int, attributes: &mut [u32; 32]) -> libc::c_long {
    // SAFETY: the pointer and size describe one live array; the kernel reads pointers in it only as the command says.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_mut_ptr(), size_of_val(attributes)) };
    assert!(result >= 0, "bpf({command}): {}", std::io::Error::last_os_error());
    result
}

fn owned(fd: libc::c_long) -> OwnedFd {
    // SAFETY: the kernel has just made this descriptor for us alone.
    unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).expect("a descriptor")) }
}

fn put(attributes: &mut [u32; 32], index: usize, pointer: u64) {
    attributes[index] = u32::try_from(pointer & u64::from(u32::MAX)).expect("32 bits");
    attributes[index + 1] = u32::try_from(pointer >> 32).expect("32 bits");
}

pub(crate) fn pin_hash(path: &Path, key_bytes: usize, value_bytes: usize) {
    let mut attributes = [0; 32];
    attributes[0] = MAP_TYPE_HASH;
    attributes[1] = u32::try_from(key_bytes).expect("small");
    attributes[2] = u32::try_from(value_bytes).expect("small");
    attributes[3] = 1024;
    attributes[4] = NO_PREALLOC;
    pin(&owned(bpf(MAP_CREATE, &mut attributes)), path);
}

/// `return TCX_NEXT`.
pub(crate) fn pin_classifier(path: &Path) {
    let instructions: [u64; 2] = [0xffff_ffff_0000_00b7, 0x0000_0000_0000_0095];
    let licence = CString::new("GPL").expect("no zero inside");
    let mut attributes = [0; 32];
    attributes[0] = PROG_TYPE_SCHED_CLS;
    attributes[1] = u32::try_from(instructions.len()).expect("small");
    put(&mut attributes, 2, instructions.as_ptr().addr() as u64);
    put(&mut attributes, 4, licence.as_ptr().addr() as u64);
    pin(&owned(bpf(PROG_LOAD, &mut attributes)), path);
}

fn pin(fd: &OwnedFd, path: &Path) {
    let path = CString::new(path.as_os_str().as_bytes()).expect("no zero inside");
    let mut attributes = [0; 32];
    put(&mut attributes, 0, path.as_ptr().addr() as u64);
    attributes[2] = u32::try_from(fd.as_raw_fd()).expect("a descriptor");
    bpf(OBJ_PIN, &mut attributes);
}
