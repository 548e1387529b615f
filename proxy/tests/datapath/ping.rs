//! An echo request that must not be fragmented.

#![expect(unsafe_code, reason = "std has neither raw sockets nor the option against fragmentation")]

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    os::fd::{AsRawFd as _, FromRawFd as _},
    time::{Duration, Instant},
};

const LIMIT: Duration = Duration::from_secs(5);

/// Whether `to` answers an echo request with `payload` bytes of data.
pub(crate) fn ping(to: IpAddr, payload: usize) -> io::Result<bool> {
    ping_within(to, payload, LIMIT)
}

/// The same, within `limit`.
pub(crate) fn ping_within(to: IpAddr, payload: usize, limit: Duration) -> io::Result<bool> {
    let (family, protocol, level, option, request, reply, header) = match to {
        IpAddr::V4(_) => (libc::AF_INET, libc::IPPROTO_ICMP, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, 8_u8, 0_u8, 20),
        IpAddr::V6(_) => {
            (libc::AF_INET6, libc::IPPROTO_ICMPV6, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, 128, 129, 0)
        }
    };
    // SAFETY: plain numbers. `UdpSocket` below only sends and receives, which a raw socket does as well.
    let raw = unsafe { libc::socket(family, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol) };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just made, known to nobody else.
    let socket = unsafe { UdpSocket::from_raw_fd(raw) };
    let never = libc::IP_PMTUDISC_DO;
    let length = libc::socklen_t::try_from(size_of_val(&never)).unwrap();
    // SAFETY: a live integer of the given size.
    let set = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const never).cast(), length) };
    if set != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut message = vec![0x5a; 8 + payload];
    message[..8].copy_from_slice(&[request, 0, 0, 0, 0x12, 0x34, 0, 1]);
    if to.is_ipv4() {
        let sum = crate::frame::checksum(&message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    socket.set_read_timeout(Some(limit))?;
    socket.send_to(&message, SocketAddr::new(to, 0))?;
    let mut buffer = vec![0; 65536];
    let end = Instant::now() + limit;
    while Instant::now() < end {
        let (count, from) = socket.recv_from(&mut buffer)?;
        let answer = &buffer[header.min(count)..count];
        if from.ip() == to && answer.first() == Some(&reply) && answer.get(4..) == message.get(4..) {
            return Ok(true);
        }
    }
    Ok(false)
}
