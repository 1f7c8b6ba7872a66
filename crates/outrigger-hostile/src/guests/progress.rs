//! Endless progress reports, with messages of any length.

use super::Attack;
use super::wat::{LARGE, TEXT, data, guest, repeat};

pub fn attacks() -> Vec<Attack> {
    vec![
        reports("progress-often", 2_000_000, 20),
        reports("progress-long", 500, 4 << 20),
        reports("progress-controls", 10_000, 0),
    ]
}

fn reports(name: &str, times: u32, length: u32) -> Attack {
    let (at, said) = if length == 0 { (TEXT, super::errors::CONTROLS.len() as u32) } else { (LARGE, length) };
    let report = format!("(call $report (i32.const 1) (f64.const nan) (i32.const {at}) (i32.const {said}))");
    let core = format!(
        r#"(import "outrigger:plugin/progress@1.0.0" "report" (func $report (param i32 f64 i32 i32)))
        ;; ---
        {}
        (func (export "run") (local $n i32) (call $fill (i32.const {LARGE}) (i32.const {length})) {})"#,
        data(TEXT, super::errors::CONTROLS),
        repeat("n", times, &report),
    );
    let component = guest(&["outrigger:plugin/progress@1.0.0"], "export run: func();", LARGE + length + 1024, &core);
    Attack::new(name, component).run()
}
