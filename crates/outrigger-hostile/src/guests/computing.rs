//! Endless computing and memory growth.

use super::wat::{LARGE, guest};
use super::{Attack, Bound};

pub fn attacks() -> Vec<Attack> {
    // Four concurrent calls, each of which writes to its full 64 MiB.
    let bound = |bound: &mut Bound| bound.memory = 360;
    [
        ("compute-loop", "(loop $again (br $again))"),
        ("compute-memory", "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))) (call $touch)) (loop $again (br $again))"),
        ("compute-trap", "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (call $touch) (unreachable)"),
        ("compute-stack", "(call $deep)"),
        ("compute-bulk", "(call $fill (i32.const 1048576) (i32.const 50000000)) (loop $again (memory.copy (i32.const 1048576) (i32.const 1048577) (i32.const 49000000)) (br $again))"),
    ]
    .into_iter()
    .map(|(name, body)| {
        let core = format!(
            "(func (export \"run\") {body})
             (func $touch (memory.fill (i32.const {LARGE}) (i32.const 1) (i32.sub (i32.shl (memory.size) (i32.const 16)) (i32.const {LARGE}))))
             (func $deep (call $deep) (call $deep))"
        );
        Attack::new(name, guest(&[], "export run: func();", LARGE, &core)).run().bound(bound)
    })
    .collect()
}
