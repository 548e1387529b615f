//! `DROP_COUNT`: what was dropped or refused, by reason. A per-CPU array counted up by every program, indexed by
//! [`DropReason`]; read by the agent and the operator's view.

use crate::verdict::DropReason;

/// Name of the map, a per-CPU array.
pub const NAME: &str = "DROP_COUNT";
/// Elements: one per reason, and room for more.
pub const CAPACITY: u32 = 32;
const _: () = assert!(DropReason::ALL.len() <= CAPACITY as usize);

/// Value, per CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct DropCount {
    /// Packets dropped, or calls refused.
    pub packets: u64,
    /// Bytes in those packets; 0 for sockets.
    pub bytes: u64,
}
map_type!(DropCount, size = 16);
