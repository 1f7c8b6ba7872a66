//! Memory of an instance besides its linear memory: tables, core instances, further memories.

use std::fmt::Write as _;
use std::sync::Arc;

use super::{Attack, Bound};

pub fn attacks() -> Vec<Attack> {
    // Four concurrent calls, each within its limit of 64 MiB plus the host's overhead.
    let bound = |bound: &mut Bound| bound.memory = 320;
    vec![
        // The very case of S07.
        Attack::new("table-many", tables(16, 15, 200_000)).run().bound(bound),
        Attack::new("table-one", tables(1, 15, 10_000_000)).run().bound(bound),
        Attack::new("table-instances", tables(100, 1, 200_000)).run().bound(bound),
        Attack::new("table-memories", memories(16)).run().bound(bound),
        Attack::new("table-initial", initial(64, 190_000)).run().bound(bound),
    ]
}

/// This many instances of a module with tables, each grown until it is refused.
fn tables(instances: u32, tables: u32, elements: u32) -> Arc<[u8]> {
    let mut module = String::new();
    let mut grow = String::new();
    for table in 0..tables {
        write!(module, "(table $t{table} 0 funcref)").expect("a text");
        write!(grow, "(drop (table.grow $t{table} (ref.null func) (i32.const {elements})))").expect("a text");
        // A growth that was refused in one step may succeed in small steps.
        write!(
            grow,
            "(loop $l{table} (br_if $l{table} (i32.and (i32.ne (table.grow $t{table} (ref.null func) (i32.const 20000)) (i32.const -1)) (i32.lt_u (table.size $t{table}) (i32.const {elements})))))"
        )
        .expect("a text");
    }
    component(instances, &format!("{module} (func (export \"run\") {grow})"))
}

/// This many instances, each with its own memory, grown until it is refused, and written to.
fn memories(instances: u32) -> Arc<[u8]> {
    component(
        instances,
        "(memory 1) (func (export \"run\") (local $at i32)
           (loop $more
             (if (i32.ne (memory.grow (i32.const 16)) (i32.const -1)) (then
               (local.set $at (i32.shl (i32.sub (memory.size) (i32.const 16)) (i32.const 16)))
               (memory.fill (local.get $at) (i32.const 1) (i32.const 1048576))
               (br $more)))))",
    )
}

/// Tables that are large from the start and never grow.
fn initial(instances: u32, elements: u32) -> Arc<[u8]> {
    component(instances, &format!("(table {elements} funcref) (table {elements} funcref) (func (export \"run\"))"))
}

/// A component with this many instances of a core module; its function `run` calls `run` of each.
fn component(instances: u32, module: &str) -> Arc<[u8]> {
    let mut text = format!("(component (core module $m {module})");
    let (mut imports, mut calls, mut given) = (String::new(), String::new(), String::new());
    for number in 0..instances {
        write!(text, "(core instance $i{number} (instantiate $m))").expect("a text");
        write!(imports, "(import \"i{number}\" \"run\" (func $r{number}))").expect("a text");
        write!(calls, "(call $r{number})").expect("a text");
        write!(given, "(with \"i{number}\" (instance $i{number}))").expect("a text");
    }
    write!(
        text,
        "(core module $all {imports} (func (export \"run\") {calls}))
         (core instance $all (instantiate $all {given}))
         (func $run (canon lift (core func $all \"run\")))
         (export \"run\" (func $run)))"
    )
    .expect("a text");
    wat::parse_str(&text).expect("a component").into()
}
