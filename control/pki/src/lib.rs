//! Certificates, service-account keys and kubeconfigs.
//!
//! ```text
//! authority (a CA: key and certificate) → certificate (what it issues) → cluster (every file of a control plane, kept on disk)
//!                                         service_account (token signing key) ↗        kubeconfig (how clients find it) ↗
//! ```
//! File names and subjects are kubeadm's, so that people and tools find what they know.

pub mod authority;
pub mod certificate;
pub mod cluster;
pub mod kubeconfig;
mod secret_file;
pub mod service_account;

pub use authority::Authority;
pub use certificate::{KeyedCertificate, Request, Usage};
pub use cluster::{ClusterPki, Names};

/// Why certificates or their files could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file could not be read or written.
    #[error("{action} {path}")]
    File {
        /// `read`, `write` or `create directory`.
        action: &'static str,
        /// The file.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file is there, but is not what its name says.
    #[error("{path} is damaged or not PEM: remove it to have it made anew")]
    Parse {
        /// The file.
        path: String,
        /// What the parser said.
        #[source]
        source: rcgen::Error,
    },
    /// A certificate could not be made.
    #[error("issue certificate {subject:?}")]
    Issue {
        /// The common name asked for.
        subject: String,
        /// What the library said.
        #[source]
        source: rcgen::Error,
    },
    /// A kubeconfig is not YAML of the expected shape.
    #[error("kubeconfig {path}: {reason}")]
    Kubeconfig {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}
