//! A guest that runs random file operations on given names: folders, links, renames, reads, writes, times. It keeps
//! folders open while others change them.

use std::sync::Arc;

use super::wat::guest;

/// The first bytes of each file of the canary tree. A guest that reads them reports it.
pub const CANARY: &str = "CANARY";

const HEAP: u32 = 1 << 20;

/// `storm(names, targets, seed, rounds)` returns (successful operations, canary files that were read).
pub fn component() -> Arc<[u8]> {
    let imports = ["wasi:filesystem/types@0.2.0", "wasi:filesystem/preopens@0.2.0", "outrigger:plugin/logging@1.0.0"];
    let exports =
        "export storm: func(names: list<string>, targets: list<string>, seed: u32, rounds: u32) -> tuple<u32, u32>;";
    guest(&imports, exports, HEAP, include_str!("storm.wat"))
}
