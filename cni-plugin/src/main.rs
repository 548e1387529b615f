//! The binary `skep-cni`: gives pods their network, executed by a container runtime for each pod.
//!
//! ```text
//! request   environment and standard input → what is asked, for which attachment
//! add       reserve addresses → veth pair → map entry → programs → addresses and routes; any failure is undone
//! del       the same backwards, from (container id, interface) alone        gc: the same for every attachment not named
//! dead      and for every attachment whose device is gone, whenever another one comes or goes
//! check     compares all of it with what the runtime was told               status: could ADD work now?
//! address   the addresses of this node's ranges, kept in a crash-safe journal
//! veth      the devices; netlink: how the kernel is asked
//! pod_map   the entry in `PODS` and the pinned programs
//! grace_period  the kernel's waiting, kept short meanwhile
//! response  results in the asked version, and error codes
//! ```
//!
//! It needs neither the agent nor the API server: only what is pinned in bpffs and its own state directory.

mod add;
mod address;
mod attachment;
mod check;
mod dead;
mod del;
mod gc;
mod grace_period;
mod loopback;
mod netlink;
mod pod_map;
mod request;
mod response;
mod status;
mod veth;

use std::process::ExitCode;

use grace_period::Expedited;
use request::{Call, Request, Verb};
use response::{Failure, Version};

fn main() -> ExitCode {
    let call = match Call::receive() {
        Ok(call) => call,
        Err(failure) => {
            // Whoever asked in a way that is not understood may not listen either.
            drop(response::write(&response::error(failure.version.unwrap_or_default(), &failure.error.into())));
            return ExitCode::FAILURE;
        }
    };
    let outcome = answer(&call);
    let written = match &outcome {
        Ok(None) => Ok(()),
        Ok(Some(answer)) => response::write(answer),
        Err(failure) => response::write(&response::error(call.version(), failure)),
    };
    if let (Call::Network { verb: Verb::Add, request }, Ok(_), Err(_)) = (&call, &outcome, &written) {
        // The runtime was killed meanwhile. It knows of no interface, so it may never ask for its removal.
        drop(perform(Verb::Del, request));
    }
    if outcome.is_ok() && written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What is written to standard output; nothing for verbs that have no result.
fn answer(call: &Call) -> Result<Option<serde_json::Value>, Failure> {
    match call {
        Call::Network { verb, request } => perform(*verb, request),
        Call::Versions { .. } => Ok(Some(response::versions(call.version()))),
    }
}

fn perform(verb: Verb, request: &Request) -> Result<Option<serde_json::Value>, Failure> {
    if request.network.is_loopback() {
        return loopback::run(verb, request);
    }
    let _expedited = match verb {
        Verb::Add | Verb::Del | Verb::Gc => Expedited::wish(&request.network.state_dir),
        Verb::Check | Verb::Status => None,
    };
    match verb {
        Verb::Add => add::run(request).map(|result| Some(result.render(request.network.version))),
        Verb::Del => del::run(request).map(|()| None),
        Verb::Check => check::run(request).map(|()| None),
        Verb::Gc => gc::run(request).map(|()| None),
        Verb::Status => status::run(request).map(|()| None),
    }
}

impl Call {
    fn version(&self) -> Version {
        match self {
            Self::Versions { asked } => asked.unwrap_or_default(),
            Self::Network { request, .. } => request.network.version,
        }
    }
}
