//! Arguments and results that take far more memory than text.

use serde_json::json;

use super::wat::{LARGE, guest};
use super::{Attack, Bound};

pub fn attacks() -> Vec<Attack> {
    let bound = |bound: &mut Bound| *bound = Bound { memory: 320, answer: 6 << 10, ..*bound };
    vec![
        // The very case of S12.
        takes("argument-deep", "list<list<list<list<u8>>>>", "[[[\"AQ==\"]],[[\"Ag==\"]]]").bound(bound),
        takes("argument-texts", "list<string>", "\"\"").bound(bound),
        takes("argument-tuples", "list<tuple<u8, option<u8>, string>>", "[1,null,\"\"]").bound(bound),
        takes("argument-numbers", "list<u64>", "1").bound(bound),
        results("result-empty-lists", "list<list<list<u8>>>").bound(bound),
        results("result-texts", "list<string>").bound(bound),
    ]
}

/// A function that takes a list, called with one of 7 MB.
fn takes(name: &str, ty: &str, item: &str) -> Attack {
    let core = "(func (export \"take\") (param i32 i32) (call $reset))";
    let component = guest(&[], &format!("export take: func(value: {ty});"), LARGE, core);
    let count = (7 << 20) / (item.len() + 1);
    let list = vec![item; count].join(",");
    let mut attack = Attack::new(name, component);
    attack.calls.push(("take".to_owned(), format!("{{\"value\":[{list}]}}").into()));
    attack
}

/// A function that returns a list whose items all share the same memory.
fn results(name: &str, ty: &str) -> Attack {
    // 500,000 items of eight bytes: empty lists, or empty texts.
    let core = format!(
        "(func (export \"give\") (result i32)
           (call $reach (i32.const {end}))
           (memory.fill (i32.const {LARGE}) (i32.const 0) (i32.const {bytes}))
           (i32.store (i32.const 512) (i32.const {LARGE})) (i32.store (i32.const 516) (i32.const {count}))
           (i32.const 512))",
        count = 500_000,
        bytes = 4_000_000,
        end = LARGE + 4_000_000,
    );
    let component = guest(&[], &format!("export give: func() -> {ty};"), LARGE + 4_001_024, &core);
    Attack::new(name, component).call("give", &json!({}))
}
