//! Flags and settings of the scheduler. From the command line; to [`crate::scheduler`]. Pure.

use clap::Args as ClapArgs;

/// Command line of the scheduler.
#[derive(Clone, Debug, ClapArgs)]
pub struct Args {
    /// Name that pods give in `spec.schedulerName` to be scheduled by this one.
    #[arg(long, default_value = "default-scheduler")]
    pub scheduler_name: String,
    /// Requests to the API server that run at once.
    #[arg(long, default_value_t = 256)]
    pub parallel_requests: usize,
    /// Work only while holding the lease kube-system/kube-scheduler. Needed when several run.
    #[arg(long, default_value_t = false, action = clap::ArgAction::Set)]
    pub leader_elect: bool,
}

impl Default for Args {
    fn default() -> Self {
        Self { scheduler_name: "default-scheduler".to_owned(), parallel_requests: 256, leader_elect: false }
    }
}

/// Settings of the scheduler.
#[derive(Clone, Debug)]
pub struct Config {
    /// Pods that name this scheduler are scheduled.
    pub scheduler_name: String,
    /// Requests to the API server that run at once, at least 1.
    pub parallel_requests: usize,
    /// Whether to work only while holding a lease.
    pub leader_elect: bool,
}

/// Why the flags make no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// An empty name.
    #[error("--scheduler-name: must not be empty")]
    Name,
    /// No request could be made.
    #[error("--parallel-requests: must be at least 1")]
    Parallel,
}

impl TryFrom<Args> for Config {
    type Error = ConfigError;

    fn try_from(args: Args) -> Result<Self, ConfigError> {
        if args.scheduler_name.is_empty() {
            return Err(ConfigError::Name);
        }
        if args.parallel_requests == 0 {
            return Err(ConfigError::Parallel);
        }
        Ok(Self {
            scheduler_name: args.scheduler_name,
            parallel_requests: args.parallel_requests,
            leader_elect: args.leader_elect,
        })
    }
}
