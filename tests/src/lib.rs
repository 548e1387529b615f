//! What tests and benches on real components share: a cluster of their own, real kubectl, and a look at what is left afterwards.
#![expect(clippy::disallowed_methods, reason = "tests run the real programs and the real clock")]
#![expect(clippy::print_stderr, reason = "tests say what they do")]

pub mod cluster;
pub mod dice;
pub mod holdings;
pub mod ledger;
pub mod leftovers;
pub mod machine;
pub mod script;
pub mod server;
pub mod wire;
