//! The calls of bpf(2) which aya has no safe form of: links of programs known by descriptor, and maps in batches. From
//! `attach` and `typed_maps`; to the kernel.

#![expect(unsafe_code, reason = "bpf(2) takes pointers")]

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

/// Command numbers of bpf(2) (`enum bpf_cmd`).
#[derive(Clone, Copy)]
#[repr(i32)]
enum Command {
    LookupElement = 1,
    UpdateElement = 2,
    DeleteElement = 3,
    ObjectPin = 6,
    ObjectGet = 7,
    ObjectInfo = 15,
    LookupBatch = 24,
    UpdateBatch = 26,
    DeleteBatch = 27,
    LinkCreate = 28,
    LinkUpdate = 29,
}

/// `BPF_F_RDONLY` for [`object_get`].
pub(super) const READ_ONLY: u32 = 1 << 3;

#[repr(C)]
#[derive(Default)]
struct ElementAttr {
    map_fd: u32,
    zero: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
#[derive(Default)]
struct BatchAttr {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    element_flags: u64,
    flags: u64,
}

#[repr(C)]
#[derive(Default)]
struct ObjectAttr {
    path: u64,
    fd: u32,
    flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct InfoAttr {
    fd: u32,
    length: u32,
    info: u64,
}

#[repr(C)]
#[derive(Default)]
struct LinkCreateAttr {
    program_fd: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
    relative_fd: u32,
    zero: u32,
    expected_revision: u64,
}

#[repr(C)]
#[derive(Default)]
struct LinkUpdateAttr {
    link_fd: u32,
    new_program_fd: u32,
    flags: u32,
    old_program_fd: u32,
}

/// The start of `struct bpf_link_info`, with what cgroup and TCX links say after it.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct LinkInfo {
    kind: u32,
    id: u32,
    pub(super) program_id: u32,
    zero: u32,
    /// Identity of the cgroup, for links of cgroup programs; for others the lower half is the device's index.
    pub(super) cgroup_id: u64,
    attach_type: u32,
    zero_after: u32,
}

impl LinkInfo {
    /// `BPF_LINK_TYPE_CGROUP`.
    const CGROUP: u32 = 3;

    /// Whether it still leads to its cgroup or device.
    pub(super) const fn is_attached(&self) -> bool {
        if self.kind == Self::CGROUP { self.cgroup_id != 0 } else { self.cgroup_id & 0xffff_ffff != 0 }
    }
}

/// The start of `struct bpf_prog_info`.
#[repr(C)]
#[derive(Default)]
struct ProgramInfo {
    kind: u32,
    id: u32,
}

/// One call; `attr` is the command's own structure.
fn bpf<T>(command: Command, attr: &mut T) -> io::Result<i64> {
    let size = size_of::<T>();
    // SAFETY: `attr` is a live, initialised structure of `size` bytes; the pointers in it are to memory that the callers
    // below borrow for the time of the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command as i32, std::ptr::from_mut(attr), size) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A descriptor as bpf(2) takes it.
fn number(fd: impl AsFd) -> u32 {
    // Descriptors are never negative.
    fd.as_fd().as_raw_fd().unsigned_abs()
}

fn owned(result: i64) -> io::Result<OwnedFd> {
    let fd = i32::try_from(result).map_err(|_out_of_range| io::ErrorKind::InvalidData)?;
    // SAFETY: the kernel has just made this descriptor for us; nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn address<T>(pointer: *const T) -> u64 {
    pointer.expose_provenance() as u64
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_nul| io::ErrorKind::InvalidInput.into())
}

/// What a link is attached to.
#[derive(Clone, Copy)]
pub(super) enum Target<'fd> {
    Cgroup(BorrowedFd<'fd>),
    Interface(u32),
}

/// Attaches a program. Cgroup programs stack, TCX programs are added behind those already there.
pub(super) fn link_create(program: impl AsFd, target: Target<'_>, attach_type: u32) -> io::Result<OwnedFd> {
    let target = match target {
        Target::Cgroup(cgroup) => number(cgroup),
        Target::Interface(ifindex) => ifindex,
    };
    let mut attr = LinkCreateAttr { program_fd: number(program), target, attach_type, ..LinkCreateAttr::default() };
    owned(bpf(Command::LinkCreate, &mut attr)?)
}

/// Replaces the program of a link: from one packet or call to the next.
pub(super) fn link_update(link: impl AsFd, program: impl AsFd) -> io::Result<()> {
    let mut attr =
        LinkUpdateAttr { link_fd: number(link), new_program_fd: number(program), ..LinkUpdateAttr::default() };
    bpf(Command::LinkUpdate, &mut attr).map(drop)
}

/// What the kernel says about a link.
pub(super) fn link_info(link: impl AsFd) -> io::Result<LinkInfo> {
    let mut info = LinkInfo::default();
    let mut attr = InfoAttr {
        fd: number(link),
        length: u32::try_from(size_of::<LinkInfo>()).unwrap_or(0),
        info: address(&raw mut info),
    };
    bpf(Command::ObjectInfo, &mut attr)?;
    Ok(info)
}

/// The kernel's number of a loaded program.
pub(super) fn program_id(program: impl AsFd) -> io::Result<u32> {
    let mut info = ProgramInfo::default();
    let mut attr = InfoAttr {
        fd: number(program),
        length: u32::try_from(size_of::<ProgramInfo>()).unwrap_or(0),
        info: address(&raw mut info),
    };
    bpf(Command::ObjectInfo, &mut attr)?;
    Ok(info.id)
}

/// Opens what is pinned at `path`; `flags` 0 or [`READ_ONLY`].
pub(super) fn object_get(path: &Path, flags: u32) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    let mut attr = ObjectAttr { path: address(path.as_ptr()), fd: 0, flags };
    owned(bpf(Command::ObjectGet, &mut attr)?)
}

/// Pins at `path`, which must not exist.
pub(super) fn object_pin(object: impl AsFd, path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    let mut attr = ObjectAttr { path: address(path.as_ptr()), fd: number(object), flags: 0 };
    bpf(Command::ObjectPin, &mut attr).map(drop)
}

/// Sizes of a map's key and value as its owner declared them; every call below checks its buffers against them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) key: usize,
    pub(super) value: usize,
}

/// Copies the element under `key` into `value`; `false` when there is none.
pub(super) fn lookup(map: impl AsFd, sizes: Sizes, key: &[u8], value: &mut [u8]) -> io::Result<bool> {
    check(sizes, 1, key.len(), value.len())?;
    let mut attr = ElementAttr {
        map_fd: number(map),
        key: address(key.as_ptr()),
        value: address(value.as_mut_ptr()),
        ..ElementAttr::default()
    };
    found(bpf(Command::LookupElement, &mut attr))
}

/// Writes one element.
pub(super) fn update(map: impl AsFd, sizes: Sizes, key: &[u8], value: &[u8]) -> io::Result<()> {
    check(sizes, 1, key.len(), value.len())?;
    let mut attr = ElementAttr {
        map_fd: number(map),
        key: address(key.as_ptr()),
        value: address(value.as_ptr()),
        ..ElementAttr::default()
    };
    bpf(Command::UpdateElement, &mut attr).map(drop)
}

/// Deletes one element; `false` when there was none.
pub(super) fn delete(map: impl AsFd, sizes: Sizes, key: &[u8]) -> io::Result<bool> {
    check(sizes, 1, key.len(), sizes.value)?;
    let mut attr = ElementAttr { map_fd: number(map), key: address(key.as_ptr()), ..ElementAttr::default() };
    found(bpf(Command::DeleteElement, &mut attr))
}

/// Writes `count` elements, keys and values each one after the other. On failure: how many were written, and why.
pub(super) fn update_batch(
    map: impl AsFd,
    sizes: Sizes,
    count: u32,
    keys: &[u8],
    values: &[u8],
) -> Result<(), (u32, io::Error)> {
    check(sizes, count, keys.len(), values.len()).map_err(|error| (0, error))?;
    let mut attr = BatchAttr {
        keys: address(keys.as_ptr()),
        values: address(values.as_ptr()),
        count,
        map_fd: number(map),
        ..BatchAttr::default()
    };
    bpf(Command::UpdateBatch, &mut attr).map(drop).map_err(|error| (attr.count, error))
}

/// Deletes `count` elements. On failure: how many were deleted, and why.
pub(super) fn delete_batch(map: impl AsFd, sizes: Sizes, count: u32, keys: &[u8]) -> Result<(), (u32, io::Error)> {
    let values = sizes.value.saturating_mul(count.try_into().unwrap_or(usize::MAX));
    check(sizes, count, keys.len(), values).map_err(|error| (0, error))?;
    let mut attr = BatchAttr { keys: address(keys.as_ptr()), count, map_fd: number(map), ..BatchAttr::default() };
    bpf(Command::DeleteBatch, &mut attr).map(drop).map_err(|error| (attr.count, error))
}

/// One step of a dump.
pub(super) struct Dumped {
    /// Elements in the buffers.
    pub(super) count: u32,
    /// Whether there is more.
    pub(super) more: bool,
}

/// Copies up to `count` elements. `cursor` is where the last step ended (`None` for the first) and where this one ends.
pub(super) fn lookup_batch(
    map: impl AsFd,
    sizes: Sizes,
    cursor: &mut Option<Vec<u8>>,
    count: u32,
    keys: &mut [u8],
    values: &mut [u8],
) -> io::Result<Dumped> {
    check(sizes, count, keys.len(), values.len())?;
    // Hash maps take a word as cursor, others a key.
    let mut next = vec![0_u8; sizes.key.max(8)];
    let mut attr = BatchAttr {
        in_batch: cursor.as_ref().map_or(0, |cursor| address(cursor.as_ptr())),
        out_batch: address(next.as_mut_ptr()),
        keys: address(keys.as_mut_ptr()),
        values: address(values.as_mut_ptr()),
        count,
        map_fd: number(map),
        ..BatchAttr::default()
    };
    match bpf(Command::LookupBatch, &mut attr) {
        Ok(_) => {
            *cursor = Some(next);
            Ok(Dumped { count: attr.count.min(count), more: true })
        }
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
            Ok(Dumped { count: attr.count.min(count), more: false })
        }
        Err(error) => Err(error),
    }
}

fn found(result: io::Result<i64>) -> io::Result<bool> {
    match result {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The kernel trusts our sizes: it must never read or write past a buffer.
fn check(sizes: Sizes, count: u32, keys: usize, values: usize) -> io::Result<()> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let fits = sizes.key.checked_mul(count).is_some_and(|need| need <= keys)
        && sizes.value.checked_mul(count).is_some_and(|need| need <= values);
    if fits { Ok(()) } else { Err(io::ErrorKind::InvalidInput.into()) }
}
