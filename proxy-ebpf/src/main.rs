//! The programs. For the host: an empty `main`.
fn main() {}
