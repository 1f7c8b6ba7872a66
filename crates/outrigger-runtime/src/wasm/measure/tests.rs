use outrigger_testkit::components;

use super::*;

fn measured(functions: &str) -> Measure {
    let core = format!(
        r#"(module (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
        (func (export "run") (result i32) (i32.const 7)) {functions})"#
    );
    let wit = "package test:measure; world plugin { export run: func() -> u32; }";
    Measure::of(&components::component(wit, &core)).expect("it can be measured")
}

#[test]
fn s09_what_makes_compiling_slow_is_seen_before_it_begins() {
    let check = |functions: &str, expected: &str| {
        let measure = measured(functions);
        let problem = measure.within(&SMALL).expect_err(expected);
        assert!(problem.contains(expected), "{problem}");
    };
    let loops = "(loop (br_if 0 (i32.eqz (local.get 0))))".repeat(2_000);
    check(&format!("(func (param i32) (local {}) {loops})", "i64 ".repeat(3_000)), "blocks and locals in one");
    let few = format!("(func (param i32) (local {}) {})", "i64 ".repeat(185), &loops[..loops.len() / 4]);
    check(&few.repeat(12), "summed over all functions");
    check(&format!("(func {})", "(drop (i64.mul (i64.const 1) (i64.const 2)))".repeat(9_000)), "largest function");
    check(&"(func)".repeat(6_000), "number of functions");
    let middle = format!("(func {})", "(drop (i64.mul (i64.const 1) (i64.const 2)))".repeat(3_000));
    check(&middle.repeat(30), "code size in bytes");
    let table = "(block (br_table 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 (local.get 0)))".repeat(1_000);
    check(&format!("(func (param i32) (local {}) {table})", "i64 ".repeat(50)), "blocks and locals in one");
    // Ordinary components made by tool chains are small.
    let hostile = Measure::of(&components::hostile()).expect("it can be measured");
    assert_eq!(hostile.within(&SMALL), Ok(()));
}

#[test]
fn s09_what_is_not_webassembly_is_measured_as_far_as_it_goes() {
    assert_eq!(Measure::of(b"(component)"), Ok(Measure::default()));
    assert_eq!(Measure::of(b""), Ok(Measure::default()));
    let wasm = components::hostile();
    for end in (0..wasm.len()).step_by(97) {
        let _ = Measure::of(&wasm[..end]);
    }
}

#[test]
fn s09_values_of_branches_and_calls_are_counted_before_they_are_validated() {
    let check = |functions: &str| {
        let measure = measured(functions);
        let problem = measure.within(&ANY).expect_err("it takes long to validate");
        assert!(problem.contains("values in its branches and calls"), "{problem}");
    };
    let wide =
        "(type $wide (func (param i32) (result i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))";
    let wide = wide.replace("(result ", &format!("(result {}", "i32 ".repeat(84)));
    let table = format!("(block (type $wide) unreachable br_table {} end)", "0 ".repeat(1_000_000));
    let table = table.replace("(block (type $wide)", "block (type $wide)").replace("end)", "end unreachable");
    let function = format!("(func (param i32) local.get 0 {table})");
    check(&format!("{wide} {}", function.repeat(3)));
    let many = format!("(type $many (func (param {}))) (func $many (type $many))", "i32 ".repeat(900));
    check(&format!("{many} (func unreachable {})", "call $many ".repeat(250_000)));
    check(&format!("{many} (func unreachable loop (type $many) {} end)", "br 0 ".repeat(250_000)));
    check(&format!("{many} (func unreachable {})", "block (type $many) unreachable end ".repeat(150_000)));
    // Ordinary code has few.
    assert!(Measure::of(&components::hostile()).expect("it can be measured").operands < 100_000);
}

#[test]
fn s09_adapters_between_components_are_counted_for_each_instance() {
    // One component lifts functions over a large type, its sibling lowers them.
    let composed = |functions: usize, fields: usize, times: usize| {
        let fields: String = (0..fields).map(|field| format!("(field \"f{field}\" u32)")).collect();
        let lifts: String = (0..functions)
            .map(|number| {
                format!(
                    "(func (export \"f{number}\") (param \"v\" $t) (canon lift (core func $i \"f\") (memory (core memory $i \"m\")) (realloc (core func $i \"r\"))))"
                )
            })
            .collect();
        let imports: String =
            (0..functions).map(|number| format!("(import \"f{number}\" (func $f{number} (param \"v\" $t)))")).collect();
        let lowers: String = (0..functions)
            .map(|number| format!("(core func (canon lower (func $f{number}) (memory (core memory $i \"m\"))))"))
            .collect();
        let arguments: String =
            (0..functions).map(|number| format!("(with \"f{number}\" (func $lifting \"f{number}\"))")).collect();
        let module = "(core module $m (memory (export \"m\") 1) (func (export \"f\") (param i32)) \
            (func (export \"r\") (param i32 i32 i32 i32) (result i32) i32.const 0)) (core instance $i (instantiate $m))";
        let instances = format!("(instance (instantiate $lowers {arguments}))").repeat(times);
        let wat = format!(
            "(component
                (component $lifts (type $t (record {fields})) {module} {lifts})
                (component $lowers (type $t (record {fields})) {imports} {module} {lowers})
                (instance $lifting (instantiate $lifts))
                {instances})"
        );
        Measure::of(&wat::parse_str(&wat).unwrap_or_else(|error| panic!("{error}"))).expect("it can be measured")
    };
    assert_eq!(composed(3, 20, 1).within(&SMALL), Ok(()));
    for (bounds, times) in [(&SMALL, 1), (&ALONE, 10)] {
        let problem = composed(100, 400, times).within(bounds).expect_err("much is made of it");
        assert!(problem.contains("calls between its components"), "{problem}");
    }
}

#[test]
fn s09_initial_memories_and_tables_are_counted_for_each_module() {
    let check = |modules: String, bounds: &Bounds| {
        let wasm = wat::parse_str(format!("(component {modules})")).expect("a component");
        Measure::of(&wasm).expect("it can be measured").within(bounds)
    };
    let ends = "(data (i32.const 0) \"a\") (data (i32.const 16777214) \"b\")";
    let sparse = format!("(core module (memory 256) {ends})");
    let many = format!(
        "(core module {})",
        (0..90).fold(String::new(), |all, memory| {
            all + "(memory 256)" + &ends.replace("(data", &format!("(data (memory {memory})"))
        })
    );
    let table = "(core module (table 1048576 funcref) (func $f) (elem (i32.const 1048575) func $f))".to_owned();
    let tables =
        format!("(core module {} (func $f) (elem (i32.const 1) func $f))", "(table 1048576 funcref)".repeat(90));
    for modules in [sparse.repeat(40), many, table.repeat(90), tables] {
        for bounds in [&SMALL, &ALONE, &ANY] {
            let problem = check(modules.clone(), bounds).expect_err("they are large");
            assert!(problem.contains("initial memories and tables"), "{problem}");
        }
    }
    assert!(check(sparse, &SMALL).is_err());
    // The image is small if all data is far from the beginning, or is placed at instantiation.
    let far = "(core module (memory 1000) (data (i32.const 60000000) \"a\") (data (i32.const 60000100) \"b\"))";
    assert_eq!(check(far.repeat(900), &SMALL), Ok(()));
    let unknown = "(core module (import \"a\" \"b\" (global $g i32)) (memory 256) (data (global.get $g) \"a\"))";
    assert_eq!(check(unknown.repeat(100), &SMALL), Ok(()));
}

#[test]
fn s09_parameters_and_calls_through_tables_count_towards_the_tangle() {
    let check = |functions: &str| {
        let problem = measured(functions).within(&SMALL).expect_err("it takes long to compile");
        assert!(problem.contains("blocks and locals in one function"), "{problem}");
    };
    let parameters = "i64 ".repeat(900);
    let loops = "(loop (br_if 0 (i32.eqz (local.get 0))))".repeat(1_000);
    check(&format!("(func (param i32 {parameters}) {loops})"));
    let calls = "(call_indirect (i32.const 0))".repeat(2_000);
    check(&format!("(table 1 funcref) (func (local {}) {calls})", "i64 ".repeat(5_000)));
    let copies = "(memory.copy (i32.const 0) (i32.const 1) (i32.const 2))".repeat(1_000);
    check(&format!("(func (local {}) {copies})", "i64 ".repeat(5_000)));
}

#[test]
fn s09_blocks_do_not_have_many_results() {
    let types = format!("(type (func (result {})))", "i32 ".repeat(101));
    let wat = format!("(component (core module {types}))");
    assert!(Measure::of(&wat::parse_str(wat).expect("a component")).expect_err("too many").contains("101 results"));
}

#[test]
fn s09_deeply_nested_types_are_not_read() {
    let check = |levels: usize, expected: bool| {
        let types = format!("{}{}", "(type (component ".repeat(levels), "))".repeat(levels));
        let wasm = wat::parse_str(format!("(component (type u8) {types} (type u8))")).expect("a component");
        let problem = Measure::of(&wasm).err().unwrap_or_default();
        assert_eq!(problem.contains("nested more than 20 levels deep"), expected, "{levels}: {problem}");
    };
    check(MOST_NESTED, false);
    check(MOST_NESTED + 1, true);
    // A section with 100,000 levels, as `wat` cannot write it.
    let levels = 100_000;
    let mut section = vec![1];
    section.extend([0x42, 1, 1].repeat(levels));
    section.extend([0x42, 0]);
    assert!(matches!(is_nested_deeply(BinaryReader::new(&section, 0)), Ok(true)));
    let others = r#"(type (instance (export "r" (type (sub resource))) (type (func (param "a" u8))) (alias outer 1 0 (type))
        (export "f" (func (type 1)))))"#;
    let wasm = wat::parse_str(format!("(component (type (tuple u8)) {})", others.repeat(3))).expect("a component");
    assert!(Measure::of(&wasm).is_ok());
}

#[test]
fn s09_deeply_nested_components_are_not_read() {
    let nested = |levels: usize| format!("{}{}", "(component ".repeat(levels), ")".repeat(levels));
    let measure = |levels| Measure::of(&wat::parse_str(nested(levels)).expect("a component"));
    assert!(measure(MOST_NESTED).is_ok());
    let problem = measure(MOST_NESTED + 1).expect_err("it is deep");
    assert!(problem.contains("components are nested"), "{problem}");
}

#[test]
fn s09_components_that_instantiate_each_other_are_counted() {
    let measure = |text: &str| Measure::of(&wat::parse_str(format!("(component {text})")).expect("a component"));
    let refused = |text: &str| {
        let problem = measure(text).expect_err("it takes long to compile");
        assert!(problem.contains("instantiate each other"), "{problem}");
    };
    let doubling = |levels: usize| {
        let level = |level: usize| {
            let twice = format!("(instance (instantiate $c{level}))").repeat(2);
            format!("(component $c{} {twice})", level + 1)
        };
        format!("(component $c0) {}", (0..levels).map(level).collect::<String>())
    };
    // Only what is instantiated counts.
    assert!(measure(&doubling(40)).is_ok());
    assert!(measure(&format!("{} (instance (instantiate $c10))", doubling(10))).is_ok());
    refused(&format!("{} (instance (instantiate $c40))", doubling(40)));
    // A component that instantiates what it is given could be given one like itself.
    let given = r#"(component $x (import "c" (component $c)) (instance (instantiate $c)) (instance (instantiate $c)))"#;
    refused(&format!(r#"(component $c) {given} (instance (instantiate $x (with "c" (component $c))))"#));
}
