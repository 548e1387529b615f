//! The cookie by which programs know a network namespace. From the kernel; to `CONFIG`.

#![expect(unsafe_code, reason = "getsockopt(2) takes pointers")]

use std::{io, net::UdpSocket, os::fd::AsRawFd as _};

/// `asm-generic/socket.h`, since Linux 5.14.
const SO_NETNS_COOKIE: libc::c_int = 71;

/// The cookie of this thread's namespace.
///
/// # Errors
/// When no socket can be made, or the kernel is older than 5.14.
pub fn own_cookie() -> io::Result<u64> {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).or_else(|_| UdpSocket::bind(("::1", 0)))?;
    let mut cookie = 0_u64;
    let mut len = libc::socklen_t::try_from(size_of::<u64>()).unwrap_or(8);
    // SAFETY: both pointers are to live locals, and `len` is the size of what the first points to.
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, SO_NETNS_COOKIE, (&raw mut cookie).cast(), &raw mut len)
    };
    if result == 0 { Ok(cookie) } else { Err(io::Error::last_os_error()) }
}
