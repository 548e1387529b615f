//! Kills a program at the entry of its n-th system call: every state a real kill can leave behind is one of these.
#![expect(unsafe_code, reason = "a child asks to be traced between fork and exec")]

use std::io::{Seek as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::node::Outcome;

/// Lets the program make `allowed` system calls, then kills it.
pub(crate) fn run_until_system_call(mut command: Command, input: &[u8], allowed: usize) -> Outcome {
    let mut file = tempfile::tempfile().expect("a file for the input");
    file.write_all(input).expect("write the input");
    file.rewind().expect("rewind the input");
    command.stdin(Stdio::from(file)).stdout(Stdio::null()).stderr(Stdio::null());
    // SAFETY: ptrace(TRACEME) is one system call; it allocates nothing and takes no lock.
    unsafe { command.pre_exec(|| ptrace::traceme().map_err(std::io::Error::from)) };
    #[expect(clippy::zombie_processes, reason = "waited for by its id below")]
    let child = command.spawn().expect("start the program");
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a process id"));
    // Stops once at exec.
    assert!(matches!(waitpid(pid, None).expect("wait"), WaitStatus::Stopped(_, Signal::SIGTRAP)));
    ptrace::setoptions(pid, ptrace::Options::PTRACE_O_TRACESYSGOOD | ptrace::Options::PTRACE_O_EXITKILL)
        .expect("options");
    let mut stops = 0;
    loop {
        ptrace::syscall(pid, None).expect("go on");
        match waitpid(pid, None).expect("wait") {
            WaitStatus::Exited(..) => return Outcome::Ended,
            WaitStatus::PtraceSyscall(_) => stops += 1,
            WaitStatus::Stopped(..)
            | WaitStatus::Signaled(..)
            | WaitStatus::PtraceEvent(..)
            | WaitStatus::Continued(_)
            | WaitStatus::StillAlive => {}
        }
        // Two stops for each call, at its entry and at its return.
        if stops > allowed * 2 {
            ptrace::kill(pid).expect("kill");
            waitpid(pid, None).expect("wait for the end");
            return Outcome::Killed;
        }
    }
}
