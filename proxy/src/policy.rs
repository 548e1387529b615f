//! Network policies (networking.k8s.io/v1) → what the kernel enforces.
//!
//! ```text
//! objects   API objects → what matters of policies, pods and namespaces                pure
//! peers     whom a rule names: sets of addresses, and which sets an address is in      pure
//! ports     rules' ports → prefixes of a trie's key                                    pure
//! compile   all of it → the elements of the maps for this node's pods                  pure
//! publish   elements → maps, in an order in which nobody ever gets more than he had
//!           before or has afterwards
//! agent     the loop: watches in, kernel up to date
//! ```
//!
//! Others give each pod a program or a chain of rules, or number the label sets of the whole cluster in one place. Here the
//! node alone divides all addresses into classes which *its* policies treat alike (identities), so a rule is one element
//! however many pods it names, a pod that comes or goes is one element, and nobody has to be asked for a number.

pub mod objects;

pub mod peers;
pub mod ports;

pub mod compile;

pub mod publish;

pub mod agent;

pub use compile::{Cluster, Tables, tables};
pub use objects::{Namespace, Pod, Policy};
pub use publish::Publisher;
