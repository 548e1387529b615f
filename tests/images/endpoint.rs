//! The program of the test image `skep.test/endpoint`: serves and dials, with the standard library alone, so that it links statically.
//!
//! ```text
//! endpoint serve [PORT]                      HTTP on PORT (8080), a TCP echo on PORT+1, a UDP echo on PORT+2; TERM is answered after 1 s of draining
//! endpoint get URL [COUNT]                   COUNT requests, a new connection each; prints each body; exit 1 at the first failure
//! endpoint load HOST:PORT SECONDS|eof|ever   new connections and one kept connection, until standard input ends, or for ever; prints `new N failed F kept M
//!                                            failed G`, for ever: every second; each failure on standard error
//! endpoint udp HOST:PORT COUNT               COUNT datagrams on one connected socket, answers printed
//! endpoint connect HOST:PORT                 prints `ok` or the error name and the microseconds it took
//! endpoint stream HOST:PORT BYTES            sends BYTES to the echo and checks what comes back
//! endpoint rr HOST:PORT SECONDS              one byte there and back on one connection to the echo; prints exchanges per second
//! endpoint crr HOST:PORT SECONDS             connect, one byte there and back, close; prints rounds per second
//! endpoint flood HOST:PORT SECONDS           sends to the echo's sink (first byte 0xff) as fast as it goes; prints bytes per second
//! ```
//! SECONDS of `rr`, `crr` and `flood` may have a fraction. They run on the first processor; `serve` runs on the one that the variable CPU names, if it does.
//! HTTP paths: `/` and `/hostname` (the host's name), `/clientip` (the peer's address), `/healthz`, `/env`, `/exit` (ends the process).

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["rr" | "crr" | "flood", ..] => processor::stay_on(0),
        ["serve", ..] | [] => {
            if let Some(number) = std::env::var("CPU").ok().and_then(|text| text.parse().ok()) {
                processor::stay_on(number);
            }
        }
        _ => {}
    }
    let done = match words.as_slice() {
        [] | ["serve"] => serve(8080),
        ["serve", port] => port.parse().map_err(|e| format!("port {port}: {e}")).and_then(serve),
        ["get", url] => get(url, 1),
        ["get", url, count] => count.parse().map_err(|e| format!("count {count}: {e}")).and_then(|n| get(url, n)),
        ["load", target, end] => load(target, end),
        ["udp", target, count] => count.parse().map_err(|e| format!("count {count}: {e}")).and_then(|n| udp(target, n)),
        ["connect", target] => connect(target),
        ["stream", target, bytes] => {
            bytes.parse().map_err(|e| format!("bytes {bytes}: {e}")).and_then(|n| stream(target, n))
        }
        ["rr", target, seconds] => {
            length(seconds).and_then(|n| exchanges(target, n))
        }
        ["crr", target, seconds] => {
            length(seconds).and_then(|n| rounds(target, n))
        }
        ["flood", target, seconds] => {
            length(seconds).and_then(|n| flood(target, n))
        }
        _ => Err("usage: endpoint serve|get|load|udp|connect|stream|rr|crr|flood …".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("endpoint: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Seconds, with or without a fraction.
fn length(seconds: &str) -> Result<f64, String> {
    let length: f64 = seconds.parse().map_err(|e| format!("seconds {seconds}: {e}"))?;
    if (0.0..1e6).contains(&length) { Ok(length) } else { Err(format!("seconds {seconds}: not a length")) }
}

const PATIENCE: Duration = Duration::from_secs(5);
static DRAINING: AtomicBool = AtomicBool::new(false);

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

/// A server of pods: PID 1 has no default action for TERM, so the signal is taken by a thread that waits for it.
fn serve(port: u16) -> Result<(), String> {
    term::block();
    let bind = |port: u16| TcpListener::bind(("::", port)).or_else(|_| TcpListener::bind(("0.0.0.0", port)));
    let http = bind(port).map_err(|e| format!("listen on {port}: {e}"))?;
    let echo = bind(port + 1).map_err(|e| format!("listen on {}: {e}", port + 1))?;
    let datagrams = UdpSocket::bind(("::", port + 2))
        .or_else(|_| UdpSocket::bind(("0.0.0.0", port + 2)))
        .map_err(|e| format!("bind {}: {e}", port + 2))?;
    std::thread::spawn(move || {
        for connection in echo.incoming().flatten() {
            std::thread::spawn(move || echo_all(&connection));
        }
    });
    std::thread::spawn(move || {
        let mut buffer = [0; 65536];
        while let Ok((length, peer)) = datagrams.recv_from(&mut buffer) {
            let answer = [host_name().as_bytes(), b" ", &buffer[..length]].concat();
            if let Err(error) = datagrams.send_to(&answer, peer) {
                eprintln!("answer {peer}: {error}");
            }
        }
    });
    std::thread::spawn(move || {
        for connection in http.incoming().flatten() {
            std::thread::spawn(move || answer(&connection));
        }
    });
    println!("serving on {port}");
    term::wait();
    DRAINING.store(true, Ordering::Relaxed);
    std::thread::sleep(Duration::from_secs(1));
    Ok(())
}

fn echo_all(mut connection: &TcpStream) {
    let mut buffer = vec![0; 65536];
    if connection.set_nodelay(true).is_err() {
        return;
    }
    let mut sink = None;
    while let Ok(length @ 1..) = connection.read(&mut buffer) {
        // A stream that begins with 0xff wants no answer.
        if *sink.get_or_insert(buffer[0] == 0xff) {
            continue;
        }
        if connection.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}

/// HTTP/1.1 with kept connections; says `close` while draining, so that clients move on without an error.
fn answer(connection: &TcpStream) {
    let mut reader = BufReader::new(connection);
    let mut writer = connection;
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request).unwrap_or(0) == 0 {
            return;
        }
        let mut close = false;
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header).unwrap_or(0) == 0 {
                return;
            }
            close |= header.to_ascii_lowercase().starts_with("connection: close");
            if header.trim().is_empty() {
                break;
            }
        }
        let path = request.split(' ').nth(1).unwrap_or("/");
        let (code, body) = match path.split('?').next().unwrap_or(path) {
            "/" | "/hostname" => ("200 OK", host_name()),
            "/clientip" => ("200 OK", connection.peer_addr().map(|a| a.to_string()).unwrap_or_default()),
            "/healthz" => ("200 OK", "ok".to_owned()),
            "/env" => ("200 OK", std::env::vars().map(|(k, v)| format!("{k}={v}\n")).collect()),
            "/exit" => std::process::exit(0),
            _ => ("404 Not Found", format!("no {path}\n")),
        };
        close |= DRAINING.load(Ordering::Relaxed);
        let connection_header = if close { "Connection: close\r\n" } else { "" };
        let text = format!("HTTP/1.1 {code}\r\nContent-Length: {}\r\n{connection_header}\r\n{body}", body.len());
        if writer.write_all(text.as_bytes()).is_err() || close {
            return;
        }
    }
}

fn dial(target: &str) -> Result<TcpStream, String> {
    let mut last = format!("{target}: no address");
    for address in target.to_socket_addrs().map_err(|e| format!("{target}: {e}"))? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(connection) => {
                connection.set_read_timeout(Some(PATIENCE)).map_err(|e| e.to_string())?;
                connection.set_nodelay(true).map_err(|e| e.to_string())?;
                return Ok(connection);
            }
            Err(error) => last = format!("{address}: {error}"),
        }
    }
    Err(last)
}

/// One request on an open connection; says whether the server wants to close it.
fn ask(connection: &TcpStream, target: &str, path: &str, close: bool) -> Result<(String, bool), String> {
    let mut writer = connection;
    let wish = if close { "close" } else { "keep-alive" };
    write!(writer, "GET {path} HTTP/1.1\r\nHost: {target}\r\nConnection: {wish}\r\n\r\n").map_err(|e| e.to_string())?;
    let mut reader = BufReader::new(connection);
    let mut status = String::new();
    reader.read_line(&mut status).map_err(|e| e.to_string())?;
    let (mut length, mut closing) = (0, close);
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header).map_err(|e| e.to_string())? == 0 {
            return Err("connection ended within the headers".to_owned());
        }
        let header = header.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(|e| format!("content-length {value}: {e}"))?;
        }
        closing |= header == "connection: close";
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).map_err(|e| e.to_string())?;
    if !status.contains(" 200 ") {
        return Err(status.trim().to_owned());
    }
    Ok((String::from_utf8_lossy(&body).into_owned(), closing))
}

fn get(url: &str, count: u32) -> Result<(), String> {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    let (target, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let target = if target.rsplit(']').next().is_some_and(|tail| tail.contains(':')) { target.to_owned() } else { format!("{target}:80") };
    for _ in 0..count {
        println!("{}", ask(&dial(&target)?, &target, path, true)?.0.trim_end());
    }
    Ok(())
}

/// What the clients of `load` have seen.
static NEW: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];
static KEPT: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];
static OVER: AtomicBool = AtomicBool::new(false);

/// New connections on one thread, a kept one on another, until `end`.
fn load(target: &str, end: &str) -> Result<(), String> {
    let clients = [false, true].map(|keep| {
        let target = target.to_owned();
        std::thread::spawn(move || client(&target, keep))
    });
    match end {
        "eof" => drop(std::io::copy(&mut std::io::stdin(), &mut std::io::sink())),
        "ever" => loop {
            std::thread::sleep(Duration::from_secs(1));
            println!("{}", seen());
        },
        seconds => {
            let seconds = seconds.parse().map_err(|e| format!("seconds {seconds}: {e}"))?;
            std::thread::sleep(Duration::from_secs(seconds));
        }
    }
    OVER.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().map_err(|_| "a client panicked".to_owned())?;
    }
    println!("{}", seen());
    let failed = NEW[1].load(Ordering::Relaxed) + KEPT[1].load(Ordering::Relaxed);
    if failed > 0 { Err(format!("{failed} requests failed")) } else { Ok(()) }
}

fn seen() -> String {
    let [new, kept] = [&NEW, &KEPT].map(|counts| counts.each_ref().map(|count| count.load(Ordering::Relaxed)));
    format!("new {} failed {} kept {} failed {}", new[0], new[1], kept[0], kept[1])
}

fn client(target: &str, keep: bool) {
    let (what, counts) = if keep { ("kept", &KEPT) } else { ("new", &NEW) };
    let mut connection = None::<(TcpStream, u64)>;
    while !OVER.load(Ordering::Relaxed) {
        let open = connection.take().map_or_else(|| dial(target).map(|new| (new, 0)), Ok);
        let (local, used) = open.as_ref().map_or((None, 0), |(c, used)| (c.local_addr().ok(), *used));
        let asked = open.and_then(|(c, used)| {
            ask(&c, target, "/", !keep).map(|(_, closing)| (keep && !closing).then_some((c, used + 1)))
        });
        match asked {
            Ok(again) => {
                counts[0].fetch_add(1, Ordering::Relaxed);
                connection = again;
            }
            Err(error) => {
                counts[1].fetch_add(1, Ordering::Relaxed);
                let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
                eprintln!("{:.3} {what} connection {local:?} after {used} requests: {error}", now.as_secs_f64());
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn udp(target: &str, count: u32) -> Result<(), String> {
    let address = target.to_socket_addrs().map_err(|e| format!("{target}: {e}"))?.next().ok_or("no address")?;
    let local = if address.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
    let socket = UdpSocket::bind(local).map_err(|e| e.to_string())?;
    socket.connect(address).map_err(|e| format!("connect {target}: {e}"))?;
    socket.set_read_timeout(Some(PATIENCE)).map_err(|e| e.to_string())?;
    let mut buffer = [0; 65536];
    for number in 0..count {
        socket.send(number.to_string().as_bytes()).map_err(|e| format!("send to {target}: {e}"))?;
        let length = socket.recv(&mut buffer).map_err(|e| format!("answer of {target}: {e}"))?;
        println!("{}", String::from_utf8_lossy(&buffer[..length]));
    }
    Ok(())
}

fn connect(target: &str) -> Result<(), String> {
    let address = target.to_socket_addrs().map_err(|e| format!("{target}: {e}"))?.next().ok_or("no address")?;
    let start = Instant::now();
    let outcome = TcpStream::connect_timeout(&address, PATIENCE);
    let micros = start.elapsed().as_micros();
    match outcome {
        Ok(_) => println!("ok {micros}"),
        Err(error) => println!("{:?} {micros}", error.kind()),
    }
    Ok(())
}

fn stream(target: &str, bytes: usize) -> Result<(), String> {
    let connection = dial(target)?;
    let sender = connection.try_clone().map_err(|e| e.to_string())?;
    let writer = std::thread::spawn(move || {
        let mut sender = sender;
        let block: Vec<u8> = (0..=255).cycle().take(65536).collect();
        let mut left = bytes;
        while left > 0 {
            let length = left.min(block.len());
            if sender.write_all(&block[..length]).is_err() {
                return;
            }
            left -= length;
        }
        drop(sender.shutdown(Shutdown::Write));
    });
    let (mut reader, mut seen, mut buffer) = (&connection, 0_usize, vec![0; 65536]);
    while seen < bytes {
        let length = reader.read(&mut buffer).map_err(|e| format!("after {seen} bytes: {e}"))?;
        if length == 0 {
            return Err(format!("ended after {seen} of {bytes} bytes"));
        }
        if buffer[..length].iter().enumerate().any(|(i, &b)| usize::from(b) != (seen + i) % 65536 % 256) {
            return Err(format!("wrong bytes after {seen}"));
        }
        seen += length;
    }
    writer.join().map_err(|_| "the writer panicked".to_owned())?;
    println!("{seen}");
    Ok(())
}

fn exchanges(target: &str, seconds: f64) -> Result<(), String> {
    let connection = dial(target)?;
    let (mut reader, mut writer, mut byte) = (&connection, &connection, [1_u8]);
    let (start, length, mut done) = (Instant::now(), Duration::from_secs_f64(seconds), 0_u64);
    while start.elapsed() < length {
        writer.write_all(&byte).map_err(|e| e.to_string())?;
        reader.read_exact(&mut byte).map_err(|e| e.to_string())?;
        done += 1;
    }
    println!("{:.1}", done as f64 / start.elapsed().as_secs_f64());
    Ok(())
}

fn rounds(target: &str, seconds: f64) -> Result<(), String> {
    let (start, length, mut done) = (Instant::now(), Duration::from_secs_f64(seconds), 0_u64);
    while start.elapsed() < length {
        let connection = dial(target)?;
        let (mut reader, mut writer, mut byte) = (&connection, &connection, [1_u8]);
        writer.write_all(&byte).map_err(|e| e.to_string())?;
        reader.read_exact(&mut byte).map_err(|e| e.to_string())?;
        done += 1;
    }
    println!("{:.1}", done as f64 / start.elapsed().as_secs_f64());
    Ok(())
}

fn flood(target: &str, seconds: f64) -> Result<(), String> {
    let connection = dial(target)?;
    let (mut writer, block) = (&connection, vec![0xff_u8; 128 * 1024]);
    let (start, length, mut sent) = (Instant::now(), Duration::from_secs_f64(seconds), 0_u64);
    while start.elapsed() < length {
        writer.write_all(&block).map_err(|e| e.to_string())?;
        sent += block.len() as u64;
    }
    println!("{:.0}", sent as f64 / start.elapsed().as_secs_f64());
    Ok(())
}

/// Client and server that wander between processors measure the scheduler.
mod processor {
    use std::ffi::c_int;

    unsafe extern "C" {
        fn sched_setaffinity(pid: c_int, size: usize, mask: *const u64) -> c_int;
    }

    /// Where that is not possible, the process runs where it likes.
    pub(crate) fn stay_on(number: u32) {
        let mask = 1_u64 << (number % 64);
        // SAFETY: the mask lives through the call and is as long as said.
        unsafe { sched_setaffinity(0, size_of::<u64>(), &raw const mask) };
    }
}

/// SIGTERM and SIGINT, waited for by number: the standard library has no signals.
mod term {
    use std::ffi::c_int;

    #[repr(C)]
    struct SigSet([u64; 16]);

    unsafe extern "C" {
        fn sigemptyset(set: *mut SigSet) -> c_int;
        fn sigaddset(set: *mut SigSet, signal: c_int) -> c_int;
        fn pthread_sigmask(how: c_int, set: *const SigSet, old: *mut SigSet) -> c_int;
        fn sigwait(set: *const SigSet, signal: *mut c_int) -> c_int;
    }

    fn set() -> SigSet {
        let mut set = SigSet([0; 16]);
        // SAFETY: the set is larger than any libc's sigset_t and lives through the calls.
        unsafe {
            sigemptyset(&raw mut set);
            sigaddset(&raw mut set, 15);
            sigaddset(&raw mut set, 2);
        }
        set
    }

    /// Blocks the signals in this thread and all that it starts.
    pub(super) fn block() {
        let set = set();
        // SAFETY: a valid set, no old set wanted. 0 is SIG_BLOCK.
        unsafe { pthread_sigmask(0, &raw const set, std::ptr::null_mut()) };
    }

    /// Returns when one of them arrives.
    pub(super) fn wait() {
        let (set, mut signal) = (set(), 0);
        // SAFETY: both point to live values of the right type.
        unsafe { sigwait(&raw const set, &raw mut signal) };
    }
}
