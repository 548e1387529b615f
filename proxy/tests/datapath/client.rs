//! Clients: the same calls from a thread (which is in no node's cgroup, so its packets take the packet path) or from a
//! process in the node's cgroup (whose sockets meet the socket hooks).

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream, UdpSocket},
    os::unix::process::CommandExt as _,
    path::Path,
    process::Command,
    thread,
    time::Duration,
};

use crate::fixture::{Node, enter, inside};

const LIMIT: Duration = Duration::from_secs(5);

/// What a client does, and what it says about it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Call {
    /// Connects: `<answer> peer=<peer name>`.
    Tcp(SocketAddr),
    /// Connects and echoes a megabyte: `ok`.
    Stream(SocketAddr),
    /// A datagram from an unconnected socket: `<answer> from=<source of the answer>`.
    UdpSendTo(SocketAddr),
    /// A datagram from a connected socket: `<answer> peer=<peer name>`.
    UdpConnect(SocketAddr),
}

impl Call {
    fn to_text(self) -> String {
        match self {
            Self::Tcp(to) => format!("tcp {to}"),
            Self::Stream(to) => format!("stream {to}"),
            Self::UdpSendTo(to) => format!("sendto {to}"),
            Self::UdpConnect(to) => format!("connect {to}"),
        }
    }

    fn from_text(text: &str) -> Self {
        let (word, to) = text.split_once(' ').unwrap();
        let to = to.parse().unwrap();
        match word {
            "tcp" => Self::Tcp(to),
            "stream" => Self::Stream(to),
            "sendto" => Self::UdpSendTo(to),
            _ => Self::UdpConnect(to),
        }
    }

    /// Makes the call here and now; errors come as `error <kind>`.
    pub(crate) fn make(self) -> String {
        self.attempt().unwrap_or_else(|error| format!("error {:?}", error.kind()))
    }

    fn attempt(self) -> std::io::Result<String> {
        match self {
            Self::Tcp(to) => {
                let stream = TcpStream::connect_timeout(&to, LIMIT)?;
                stream.set_read_timeout(Some(LIMIT))?;
                let mut answer = String::new();
                BufReader::new(&stream).read_line(&mut answer)?;
                Ok(format!("{} peer={}", answer.trim(), stream.peer_addr()?))
            }
            Self::Stream(to) => {
                let stream = TcpStream::connect_timeout(&to, LIMIT)?;
                stream.set_read_timeout(Some(LIMIT))?;
                let mut reader = BufReader::new(stream.try_clone()?);
                reader.read_line(&mut String::new())?;
                let sent: Vec<u8> = (0..1_u32 << 20).map(|index| (index % 251) as u8).collect();
                let mut writer = stream.try_clone()?;
                let copy = sent.clone();
                let sender = thread::spawn(move || writer.write_all(&copy));
                let mut received = vec![0; sent.len()];
                reader.read_exact(&mut received)?;
                sender.join().unwrap()?;
                Ok(if received == sent { "ok".into() } else { "corrupted".into() })
            }
            Self::UdpSendTo(to) => {
                let socket = UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
                socket.set_read_timeout(Some(LIMIT))?;
                socket.send_to(b"hello", to)?;
                let mut buffer = [0; 256];
                let (count, from) = socket.recv_from(&mut buffer)?;
                Ok(format!("{} from={from}", String::from_utf8_lossy(&buffer[..count])))
            }
            Self::UdpConnect(to) => {
                let socket = UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
                socket.set_read_timeout(Some(LIMIT))?;
                socket.connect(to)?;
                socket.send(b"hello")?;
                let mut buffer = [0; 256];
                let count = socket.recv(&mut buffer)?;
                Ok(format!("{} peer={}", String::from_utf8_lossy(&buffer[..count]), socket.peer_addr()?))
            }
        }
    }

    /// Makes the call in a namespace, past the socket hooks.
    pub(crate) fn by_packets(self, namespace: &str) -> String {
        inside(namespace, || self.make())
    }

    /// Makes the call in a namespace, in the node's cgroup.
    pub(crate) fn by_socket(self, node: &Node, namespace: &str) -> String {
        process_in(Some(&node.cgroup), namespace, "client::process", "SKEP_TEST_CALL", &self.to_text())
    }
}

/// Runs a test of this binary as a process of its own, in a namespace and perhaps in a cgroup; what it prints after
/// `answer: `.
#[expect(unsafe_code, reason = "pre_exec")]
pub(crate) fn process_in(cgroup: Option<&Path>, namespace: &str, test: &str, variable: &str, value: &str) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--quiet"]).env(variable, value);
    let procs = cgroup.map(|cgroup| cgroup.join("cgroup.procs"));
    let namespace = namespace.to_owned();
    // SAFETY: the child only opens and writes files between fork and exec; this is a test.
    unsafe {
        command.pre_exec(move || {
            if let Some(procs) = &procs {
                std::fs::write(procs, "0")?;
            }
            enter(&namespace);
            Ok(())
        });
    }
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let answer = text.lines().find_map(|line| line.split_once("answer: ").map(|(_, answer)| answer.to_owned()));
    answer.unwrap_or_else(|| panic!("{text} {}", String::from_utf8_lossy(&output.stderr)))
}

/// Not a test: what [`Call::by_socket`] runs.
#[test]
fn process() {
    if let Ok(call) = std::env::var("SKEP_TEST_CALL") {
        println!("answer: {}", Call::from_text(&call).make());
    }
}
