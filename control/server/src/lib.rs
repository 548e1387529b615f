//! The HTTP API of Kubernetes: the only door to storage.
//!
//! ```text
//! TCP, TLS ─► listener ─┐
//! same process ► local ─┴► handler: request_info → filters/{authenticate, limit, authorize} ─► verbs ─► registry ─► storage
//!                             documents (health, discovery, openapi) ◄─┘          │    admission ┘           │ log
//! client ◄─ answer (bytes of objects, views of table) ◄─────────────── verbs/watch, list ◄─ watch cache ◄───┘
//! ```
//!
//! An object is kept as the bytes that clients get ([`object`]); lists and watches are assembled from them.

pub mod api;
pub mod args;
pub mod config;
pub mod server;

pub mod body;
pub mod handler;
pub mod listener;
pub mod local;
pub mod tls;

pub mod filters;
pub mod identity;
pub mod query;
pub mod request;
pub mod request_info;
pub mod tokens;

pub mod answer;
pub mod label_marks;
pub mod negotiate;
pub mod selection;
pub mod status;
pub mod verbs;

pub mod admission;
pub mod object;
pub mod registry;

pub mod bootstrap;
pub mod defaults;
pub mod discovery;
pub mod documents;
pub mod json_field;
pub mod kubelet;
pub mod openapi;
mod server_endpoints;
pub mod table;

pub use args::Args;
pub use body::Body;
pub use config::{Config, KubeletClientConfig, Limits, ServiceAccountConfig, StorageConfig};
pub use identity::User;
pub use local::LocalService;
pub use server::{Server, run};
