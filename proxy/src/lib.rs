//! The node's network agent: from Services to the kernel.

pub mod datapath;
