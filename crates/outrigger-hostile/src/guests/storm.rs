//! A guest that does anything that it may with any names that it was told, in the order of a generator of random numbers:
//! folders, links, renames, reads, writes, times. It keeps folders open over the changes that others make.

use std::sync::Arc;

use super::wat::guest;

/// What each file of the canary tree begins with. A guest that reads it says so.
pub const CANARY: &str = "CANARY";

const HEAP: u32 = 1 << 20;

/// `storm(names, targets, seed, rounds)` answers with (operations that succeeded, canary files that were read).
pub fn component() -> Arc<[u8]> {
    let imports = ["wasi:filesystem/types@0.2.0", "wasi:filesystem/preopens@0.2.0", "outrigger:plugin/logging@1.0.0"];
    let exports =
        "export storm: func(names: list<string>, targets: list<string>, seed: u32, rounds: u32) -> tuple<u32, u32>;";
    guest(&imports, exports, HEAP, include_str!("storm.wat"))
}
