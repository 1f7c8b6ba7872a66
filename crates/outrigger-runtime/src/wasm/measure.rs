//! Estimates the cost of compiling a component: one pass over its bytes, without validation. Cranelift takes more than
//! linear time and memory for functions with many blocks and locals, and cannot be interrupted.

use wasmparser::{FunctionBody, Operator, Parser, Payload};

/// The maximum number of types, imports, exports and the like, in a component and everything nested in it.
const MOST_ITEMS: u64 = 100_000;
/// The number of nested modules and components.
const MOST_PARTS: u64 = 1_000;
/// The maximum number of results of a block or function. Each branch passes them.
const MOST_RESULTS: usize = 100;

/// The measured size of a component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Measure {
    /// Bytes of all function bodies.
    pub(super) code: u64,
    pub(super) functions: u64,
    /// Bytes of the largest body.
    pub(super) largest: u64,
    /// The largest product of blocks and locals of a function.
    pub(super) tangle: u64,
    /// The sum of these products.
    pub(super) tangles: u64,
    /// Types, imports, exports and the like.
    items: u64,
    /// The number of nested modules and components.
    parts: u64,
}

/// Size limits for one way of compiling.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    code: u64,
    functions: u64,
    largest: u64,
    tangle: u64,
    tangles: u64,
}

/// Limits for compiling in this process: a few tenths of a second at most.
pub(super) const SMALL: Bounds =
    Bounds { code: 512 << 10, functions: 5_000, largest: 32 << 10, tangle: 200_000, tangles: 2_000_000 };
/// Limits for compiling in this process if no child process can be started.
pub(super) const ALONE: Bounds =
    Bounds { code: 32 << 20, functions: 100_000, largest: 512 << 10, tangle: 20_000_000, tangles: 200_000_000 };
/// Limits above which compiling is not attempted. Below them, limits on CPU time and memory apply.
pub(super) const ANY: Bounds =
    Bounds { code: 128 << 20, functions: 500_000, largest: 4 << 20, tangle: 1_000_000_000, tangles: 10_000_000_000 };

impl Measure {
    /// Measures a component.
    ///
    /// # Errors
    /// It has too many parts to be measured cheaply. Invalid WebAssembly is measured up to the fault, and refused at
    /// validation.
    pub(super) fn of(wasm: &[u8]) -> Result<Self, String> {
        let mut measure = Self::default();
        for payload in Parser::new(0).parse_all(wasm) {
            let Ok(payload) = payload else { break };
            measure.add(&payload)?;
        }
        Ok(measure)
    }

    fn add(&mut self, payload: &Payload<'_>) -> Result<(), String> {
        let items = match payload {
            Payload::CodeSectionEntry(body) => {
                self.function(body);
                return Ok(());
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                self.parts += 1;
                if self.parts > MOST_PARTS {
                    return Err(format!("it consists of more than {MOST_PARTS} modules and components"));
                }
                0
            }
            Payload::TypeSection(reader) => {
                let mut types = reader.clone().into_iter_err_on_gc_types().map_while(Result::ok);
                if let Some(ty) = types.find(|ty| ty.results().len() > MOST_RESULTS) {
                    let count = ty.results().len();
                    return Err(format!("a function or block has {count} results; the limit is {MOST_RESULTS}"));
                }
                reader.count()
            }
            Payload::ImportSection(reader) => reader.count(),
            Payload::ExportSection(reader) => reader.count(),
            Payload::GlobalSection(reader) => reader.count(),
            Payload::ElementSection(reader) => reader.count(),
            Payload::DataSection(reader) => reader.count(),
            Payload::InstanceSection(reader) => reader.count(),
            Payload::CoreTypeSection(reader) => reader.count(),
            Payload::ComponentInstanceSection(reader) => reader.count(),
            Payload::ComponentAliasSection(reader) => reader.count(),
            Payload::ComponentTypeSection(reader) => reader.count(),
            Payload::ComponentCanonicalSection(reader) => reader.count(),
            Payload::ComponentImportSection(reader) => reader.count(),
            Payload::ComponentExportSection(reader) => reader.count(),
            _ => 0,
        };
        self.items += u64::from(items);
        match self.items > MOST_ITEMS {
            true => Err(format!("it has more than {MOST_ITEMS} types, imports, exports, instances and the like")),
            false => Ok(()),
        }
    }

    fn function(&mut self, body: &FunctionBody<'_>) {
        let size = body.range().len() as u64;
        self.functions += 1;
        self.code += size;
        self.largest = self.largest.max(size);
        let (mut locals, mut blocks) = (1_u64, 1_u64);
        if let Ok(reader) = body.get_locals_reader() {
            locals += reader.into_iter().map_while(Result::ok).map(|(count, _)| u64::from(count)).sum::<u64>();
        }
        let Ok(mut operators) = body.get_operators_reader() else { return };
        while !operators.eof() {
            // Unreadable code is refused at validation.
            let Ok(operator) = operators.read() else { break };
            blocks += match operator {
                Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => 1,
                Operator::Else | Operator::Br { .. } | Operator::BrIf { .. } | Operator::Return => 1,
                Operator::BrTable { targets } => 1 + u64::from(targets.len()),
                _ => 0,
            };
        }
        let tangle = locals.saturating_mul(blocks);
        self.tangle = self.tangle.max(tangle);
        self.tangles = self.tangles.saturating_add(tangle);
    }

    /// Checks that it is within limits.
    ///
    /// # Errors
    /// The first limit that it exceeds.
    pub(super) fn within(&self, bounds: &Bounds) -> Result<(), String> {
        let Bounds { code, functions, largest, tangle, tangles } = *bounds;
        let over = |what: &str, found: u64, limit: u64| Err(format!("{what} {found}; the limit is {limit}"));
        match () {
            () if self.code > code => over("its code size in bytes is", self.code, code),
            () if self.functions > functions => over("its number of functions is", self.functions, functions),
            () if self.largest > largest => over("the size in bytes of its largest function is", self.largest, largest),
            () if self.tangle > tangle => {
                over("the product of blocks and locals in one function is", self.tangle, tangle)
            }
            () if self.tangles > tangles => {
                over("the product of blocks and locals, summed over all functions, is", self.tangles, tangles)
            }
            () => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
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
    fn s09_blocks_do_not_have_many_results() {
        let types = format!("(type (func (result {})))", "i32 ".repeat(101));
        let wat = format!("(component (core module {types}))");
        assert!(Measure::of(&wat::parse_str(wat).expect("a component")).expect_err("too many").contains("101 results"));
    }
}
