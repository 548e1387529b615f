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

pub mod args;
pub mod config;
pub mod server;
pub mod api;

pub mod listener;
pub mod local;
pub mod tls;
pub mod body;
pub mod handler;

pub mod query;
pub mod request_info;
pub mod request;
pub mod identity;
pub mod tokens;
pub mod filters;

pub mod verbs;
pub mod negotiate;
pub mod selection;
pub mod answer;
pub mod status;

pub mod admission;
pub mod registry;
pub mod object;

pub mod kubelet;
pub mod documents;
pub mod discovery;
pub mod openapi;
pub mod table;
pub mod json_field;
pub mod bootstrap;
pub mod defaults;

pub use args::Args;
pub use body::Body;
pub use config::{Config, KubeletClientConfig, Limits, ServiceAccountConfig, StorageConfig};
pub use identity::User;
pub use local::LocalService;
pub use server::{Server, run};
