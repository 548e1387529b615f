//! Rules of the API without IO: what a request body means, and what becomes of an object on its way to storage.
//!
//! ```text
//! bytes ──decode──▶ Value ──defaults──▶ patch / ownership ──▶ object (prepare, validate) ──▶ canonical JSON
//!            ▲                              ▲                        ▲
//!          schema (one table of types) ◀── kinds (one table of resources, a strategy per kind)
//! ```
//!
//! The object model is [`serde_json::Value`]; its maps are sorted, so that one object has one canonical text.
//! Nothing here reads a clock, a file or the network: times, UIDs and random suffixes are handed in.

#![warn(missing_docs)]

// What there is.
pub mod kinds;
pub mod strategy;

pub mod schema;

// From the wire to an object, and back.
pub mod decode;
pub mod encode;
pub mod protobuf;

// Changes of objects.
pub mod patch;

pub mod ownership;

// From an object to storage.
pub mod object;

pub mod conversion;

// Words and values.
pub mod meta;
pub mod name;

pub mod field;
pub mod selector;

pub mod quantity;
pub mod time;
