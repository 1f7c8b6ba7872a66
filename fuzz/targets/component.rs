//! A component: its types and names are read and rendered. Most inputs are the text of types, from which a component is
//! built here, because the fuzzer would hardly find the binary format. Inputs with the Wasm header are used unchanged.
#![no_main]

use libfuzzer_sys::fuzz_target;
use outrigger_contract::types::{schema, wit};

/// The maximum length of the description of one function. Types with a longer description must be refused.
const LONGEST: usize = 4 << 20;

fuzz_target!(|bytes: &[u8]| {
    if bytes.starts_with(b"\0asm") {
        return read(bytes);
    }
    let Ok(types) = std::str::from_utf8(bytes) else { return };
    // Every type after the first may name those before it: `$t0`, `$t1` …; the last one is the parameter's.
    let mut text = "(component".to_owned();
    let mut last = None;
    for (number, ty) in types.lines().take(200).enumerate() {
        text.push_str(&format!(" (type $t{number} {ty})"));
        last = Some(number);
    }
    let Some(last) = last else { return };
    text.push_str(&format!(
        " (type $f (func (param \"value\" $t{last}))) (import \"host-run\" (func $run (type $f))) (export \"run\" (func $run)))"
    ));
    if let Ok(component) = wat::parse_str(&text) {
        read(&component);
    }
});

fn read(component: &[u8]) {
    match wit::read_component(component) {
        Ok(read) => {
            for function in &read.graph.functions {
                let described = schema::arguments(&read.graph, function).to_string().len()
                    + schema::result(&read.graph, function).to_string().len();
                let signature = read.graph.signature(function).len();
                assert!(
                    described + signature <= LONGEST,
                    "{} bytes of component, {described} of schema, {signature} of signature",
                    component.len()
                );
            }
        }
        Err(error) => assert!(error.to_string().len() <= 64 << 10),
    }
}
