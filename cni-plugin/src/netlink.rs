//! Asks the kernel about devices, addresses, routes and neighbours, one request at a time. From [`crate::veth`]; to a
//! netlink socket, which stays in the namespace it was opened in.

use std::os::fd::{AsRawFd as _, OwnedFd};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkBuffer, NetlinkHeader,
    NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, sendto, socket,
};

/// What the kernel sends at once at most.
const BUFFER_BYTES: usize = 1 << 16;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetlinkError {
    #[error("{action}")]
    Refused { action: String, source: Errno },
    #[error("netlink socket: {action}")]
    Socket { action: &'static str, source: Errno },
    #[error("{action}: the kernel's answer cannot be read")]
    Answer { action: String, source: netlink_packet_core::DecodeError },
    #[error("{action}")]
    Namespace { action: String, source: std::io::Error },
}

impl NetlinkError {
    /// The kernel's reason.
    pub(crate) const fn errno(&self) -> Option<Errno> {
        match self {
            Self::Refused { source, .. } => Some(*source),
            Self::Socket { .. } | Self::Answer { .. } | Self::Namespace { .. } => None,
        }
    }
}

/// How a request is meant.
#[derive(Clone, Copy)]
pub(crate) enum Mode {
    /// Fails when it is there.
    Create,
    /// Creates or overwrites.
    Replace,
    /// Removes, or changes what is there.
    Plain,
    /// One object.
    Get,
    /// All objects.
    Dump,
}

impl Mode {
    const fn flags(self) -> u16 {
        match self {
            Self::Create => NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
            Self::Replace => NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE,
            Self::Plain => NLM_F_REQUEST | NLM_F_ACK,
            Self::Get => NLM_F_REQUEST,
            Self::Dump => NLM_F_REQUEST | NLM_F_DUMP,
        }
    }
}

/// A socket to the kernel's routing tables.
pub(crate) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

impl Netlink {
    /// Opens a socket in the calling thread's network namespace.
    pub(crate) fn open() -> Result<Self, NetlinkError> {
        let failed = |action| move |source| NetlinkError::Socket { action, source };
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute);
        let socket = socket.map_err(failed("open"))?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0)).map_err(failed("bind"))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// The socket, to ask about the namespace it is in.
    pub(crate) const fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Sends one request and collects the objects of its answer. `action` says what was tried: `create device x`.
    pub(crate) fn request(
        &mut self,
        mode: Mode,
        message: RouteNetlinkMessage,
        action: impl Fn() -> String,
    ) -> Result<Vec<RouteNetlinkMessage>, NetlinkError> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = mode.flags();
        header.sequence_number = self.sequence;
        let mut request = NetlinkMessage::new(header, NetlinkPayload::from(message));
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        let socket = self.socket.as_raw_fd();
        sendto(socket, &bytes, &NetlinkAddr::new(0, 0), MsgFlags::empty())
            .map_err(|source| NetlinkError::Socket { action: "send", source })?;
        self.answer(mode, &action)
    }

    fn answer(&self, mode: Mode, action: &impl Fn() -> String) -> Result<Vec<RouteNetlinkMessage>, NetlinkError> {
        let unreadable = |source| NetlinkError::Answer { action: action(), source };
        let mut objects = Vec::new();
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let len = match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Err(Errno::EINTR) => continue,
                other => other.map_err(|source| NetlinkError::Socket { action: "receive", source })?,
            };
            let mut rest = &buffer[..len];
            while !rest.is_empty() {
                let frame = NetlinkBuffer::new_checked(&rest).map_err(unreadable)?;
                let length = usize::try_from(frame.length()).unwrap_or(usize::MAX);
                let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).map_err(unreadable)?;
                // Messages lie on multiples of four bytes.
                rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
                if message.header.sequence_number != self.sequence {
                    continue;
                }
                match message.payload {
                    NetlinkPayload::Error(error) => {
                        return match error.code {
                            None => Ok(objects),
                            Some(code) => {
                                let source = Errno::from_raw(code.get().wrapping_neg());
                                Err(NetlinkError::Refused { action: action(), source })
                            }
                        };
                    }
                    NetlinkPayload::Done(_) => return Ok(objects),
                    NetlinkPayload::InnerMessage(object) => {
                        objects.push(object);
                        if matches!(mode, Mode::Get) {
                            return Ok(objects);
                        }
                    }
                    NetlinkPayload::Noop | NetlinkPayload::Overrun(_) | _ => {}
                }
            }
        }
    }
}
