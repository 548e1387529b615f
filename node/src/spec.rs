//! From the pod spec to what the runtime is asked for: environment, security, resources, names, files. From
//! [`pod_worker`](crate::pod_worker); to [`cri`](crate::cri). Pure.

pub mod container_config;
pub mod dns;
pub mod environment;
pub mod expansion;
pub mod field_path;
pub mod hosts_file;
pub mod resources;
pub mod sandbox_config;
pub mod security;
pub mod service_links;
