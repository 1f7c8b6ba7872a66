//! Estimates the cost of compiling a component: one pass over its bytes, without validation. Cranelift takes more than
//! linear time and memory for functions with many blocks and locals, and cannot be interrupted.

use std::collections::BTreeMap;

use wasmparser::{
    BlockType, CompositeInnerType, ConstExpr, DataKind, FunctionBody, Operator, Parser, Payload, RecGroup, TypeRef,
};

use super::footprint;

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
    /// Values that blocks, branches and calls take from the stack and return to it. The validator looks at each.
    operands: u64,
    /// Bytes of component types.
    types: u64,
    /// Types, imports, exports and the like.
    items: u64,
    /// The number of nested modules and components.
    parts: u64,
    /// The cost of the adapters between inner components: their number, as in the footprint, times the bytes of types.
    pub(super) adapters: u64,
    /// Bytes of the initial memories and tables that the compiler builds for each module, whether it is used or not.
    images: u64,
}

/// The largest initial memory that the compiler builds with gaps in it, in bytes. Larger ones are at least half full.
const LARGEST_SPARSE: u64 = 16 << 20;
/// The largest initial table that the compiler builds, in elements, and the size of an element in bytes.
const LARGEST_TABLE: u64 = 1 << 20;
const TABLE_ELEMENT: u64 = 8;

/// Function types, functions and initial memories of the module that is being measured.
#[derive(Debug, Default)]
struct Module {
    /// The numbers of parameters and results.
    types: Vec<(u64, u64)>,
    /// The type of each function, imported ones first.
    functions: Vec<u32>,
    /// The number of functions that have no body, or whose body was measured.
    measured: usize,
    /// Elements of its tables.
    elements: u64,
    /// The data of each memory.
    data: BTreeMap<u32, Extent>,
}

/// Where the data of a memory begins and ends, and how much there is, in bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Extent {
    begin: u64,
    end: u64,
    bytes: u64,
}

impl Extent {
    fn with(self, begin: u64, bytes: u64) -> Self {
        let end = begin.saturating_add(bytes);
        match self.bytes {
            0 => Self { begin, end, bytes },
            present => Self { begin: self.begin.min(begin), end: self.end.max(end), bytes: present + bytes },
        }
    }

    /// Bytes of the initial memory.
    fn image(self) -> u64 {
        (self.end - self.begin).min(LARGEST_SPARSE.max(2 * self.bytes))
    }
}

/// The constant that an offset begins with. None if it is known only when the module is instantiated.
fn constant(expression: &ConstExpr<'_>) -> Option<u64> {
    match expression.get_operators_reader().read().ok()? {
        Operator::I32Const { value } => Some(u64::from(value.cast_unsigned())),
        Operator::I64Const { value } => Some(value.cast_unsigned()),
        _ => None,
    }
}

impl Module {
    fn ty(&self, index: u32) -> (u64, u64) {
        self.types.get(index as usize).copied().unwrap_or_default()
    }

    fn function(&self, index: usize) -> (u64, u64) {
        self.functions.get(index).map_or_else(Default::default, |ty| self.ty(*ty))
    }

    fn block(&self, ty: BlockType) -> (u64, u64) {
        match ty {
            BlockType::Empty => (0, 0),
            BlockType::Type(_) => (0, 1),
            BlockType::FuncType(index) => self.ty(index),
        }
    }
}

/// Size limits for one way of compiling.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    code: u64,
    functions: u64,
    largest: u64,
    tangle: u64,
    tangles: u64,
    operands: u64,
    adapters: u64,
    images: u64,
}

/// The limits of a small component, which this process compiles in a few tenths of a second at most.
pub(super) const SMALL: Bounds = Bounds {
    code: 512 << 10,
    functions: 5_000,
    largest: 32 << 10,
    tangle: 200_000,
    tangles: 2_000_000,
    operands: 2_000_000,
    adapters: 100_000,
    images: 8 << 20,
};
/// The limits for compiling in this process, if no child can be started.
pub(super) const ALONE: Bounds = Bounds {
    code: 32 << 20,
    functions: 100_000,
    largest: 512 << 10,
    tangle: 20_000_000,
    tangles: 200_000_000,
    operands: 50_000_000,
    adapters: 2_000_000,
    images: 64 << 20,
};
/// The limits above which compiling is not even started. Limits on time and memory apply to the rest.
pub(super) const ANY: Bounds = Bounds {
    code: 128 << 20,
    functions: 500_000,
    largest: 4 << 20,
    tangle: 1_000_000_000,
    tangles: 10_000_000_000,
    operands: 200_000_000,
    adapters: u64::MAX,
    images: 512 << 20,
};

impl Measure {
    /// Measures a component.
    ///
    /// # Errors
    /// It has too many parts to be measured cheaply. Invalid WebAssembly is measured up to the fault, and refused at
    /// validation.
    pub(super) fn of(wasm: &[u8]) -> Result<Self, String> {
        let (mut measure, mut levels) = (Self::default(), Vec::new());
        for payload in Parser::new(0).parse_all(wasm) {
            let Ok(payload) = payload else { break };
            match payload {
                // Also set for a component, which has no functions or bodies of its own.
                Payload::Version { .. } => levels.push(Module::default()),
                Payload::End(_) => _ = levels.pop(),
                payload => {
                    let Some(module) = levels.last_mut() else { break };
                    measure.add(&payload, module)?;
                }
            }
        }
        // Adapters are generated for each instance of a component. Unknown counts exceed any limit.
        let adapters = footprint::of(wasm).map_or(u64::MAX, |footprint| footprint.adapters());
        measure.adapters = adapters.saturating_mul(measure.types);
        Ok(measure)
    }

    fn add(&mut self, payload: &Payload<'_>, module: &mut Module) -> Result<(), String> {
        let items = match payload {
            Payload::CodeSectionEntry(body) => {
                self.function(body, module);
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
                let types = reader.clone().into_iter().map_while(Result::ok);
                // A group of types counts as one in this index.
                let mut count = 0_u32;
                for ty in types.flat_map(RecGroup::into_types).take(MOST_ITEMS as usize + 1) {
                    count += 1;
                    let arity = match &ty.composite_type.inner {
                        CompositeInnerType::Func(ty) => (ty.params().len(), ty.results().len()),
                        _ => (0, 0),
                    };
                    if arity.1 > MOST_RESULTS {
                        let count = arity.1;
                        return Err(format!("a function or block has {count} results; the limit is {MOST_RESULTS}"));
                    }
                    module.types.push((arity.0 as u64, arity.1 as u64));
                }
                count
            }
            Payload::ImportSection(reader) => {
                let mut count = 0_u32;
                for import in reader.clone().into_imports().map_while(Result::ok).take(MOST_ITEMS as usize + 1) {
                    count += 1;
                    if let TypeRef::Func(ty) = import.ty {
                        module.functions.push(ty);
                    }
                }
                module.measured = module.functions.len();
                count
            }
            Payload::FunctionSection(reader) => {
                // Further bodies are not compiled.
                let room = (ANY.functions as usize).saturating_sub(module.functions.len());
                module.functions.extend(reader.clone().into_iter().map_while(Result::ok).take(room));
                0
            }
            Payload::ExportSection(reader) => reader.count(),
            Payload::GlobalSection(reader) => reader.count(),
            Payload::TableSection(reader) => {
                let tables = reader.clone().into_iter().map_while(Result::ok).take(MOST_ITEMS as usize + 1);
                module.elements += tables.map(|table| table.ty.initial.min(LARGEST_TABLE)).sum::<u64>();
                reader.count()
            }
            Payload::ElementSection(reader) => {
                self.images = self.images.saturating_add(std::mem::take(&mut module.elements) * TABLE_ELEMENT);
                reader.count()
            }
            Payload::DataSection(reader) => {
                for data in reader.clone().into_iter().map_while(Result::ok).take(MOST_ITEMS as usize + 1) {
                    if let DataKind::Active { memory_index, offset_expr } = &data.kind
                        && let Some(begin) = constant(offset_expr)
                    {
                        let extent = module.data.entry(*memory_index).or_default();
                        *extent = extent.with(begin, data.data.len() as u64);
                    }
                }
                let images = module.data.values().map(|extent| extent.image());
                self.images = images.fold(self.images, u64::saturating_add);
                module.data.clear();
                reader.count()
            }
            Payload::InstanceSection(reader) => reader.count(),
            Payload::CoreTypeSection(reader) => reader.count(),
            Payload::ComponentInstanceSection(reader) => reader.count(),
            Payload::ComponentAliasSection(reader) => reader.count(),
            Payload::ComponentTypeSection(reader) => {
                self.types += reader.range().len() as u64;
                reader.count()
            }
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

    fn function(&mut self, body: &FunctionBody<'_>, module: &mut Module) {
        let size = body.range().len() as u64;
        let (parameters, results) = module.function(module.measured);
        module.measured += 1;
        self.functions += 1;
        self.code += size;
        self.largest = self.largest.max(size);
        if size > ANY.largest {
            return;
        }
        let (mut locals, mut blocks) = (1 + parameters, 1_u64);
        if let Ok(reader) = body.get_locals_reader() {
            locals += reader.into_iter().map_while(Result::ok).map(|(count, _)| u64::from(count)).sum::<u64>();
        }
        let Ok(mut operators) = body.get_operators_reader() else { return };
        // The number of values that a branch to each block carries.
        let (mut labels, mut operands) = (vec![results], 0_u64);
        while !operators.eof() {
            // Unreadable code is refused at validation.
            let Ok(operator) = operators.read() else { break };
            let carried = |depth: u32| {
                let place = labels.len().checked_sub(depth as usize + 1);
                place.and_then(|place| labels.get(place)).copied().unwrap_or_default()
            };
            operands += match &operator {
                Operator::Br { relative_depth } | Operator::BrIf { relative_depth } => carried(*relative_depth),
                Operator::BrTable { targets } => {
                    let all = targets.targets().map_while(Result::ok).map(carried).sum::<u64>();
                    all + carried(targets.default())
                }
                Operator::Return => results,
                Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
                    let (taken, given) = module.function(*function_index as usize);
                    taken + given
                }
                Operator::CallIndirect { type_index, .. } | Operator::ReturnCallIndirect { type_index, .. } => {
                    let (taken, given) = module.ty(*type_index);
                    taken + given
                }
                Operator::Block { blockty } | Operator::Loop { blockty } | Operator::If { blockty } => {
                    let (taken, given) = module.block(*blockty);
                    labels.push(if matches!(operator, Operator::Loop { .. }) { taken } else { given });
                    // At its start, its `else`, and its end.
                    2 * (taken + given)
                }
                Operator::End => {
                    _ = labels.pop();
                    0
                }
                _ => 0,
            };
            blocks += match operator {
                Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => 1,
                Operator::Else | Operator::Br { .. } | Operator::BrIf { .. } | Operator::Return => 1,
                Operator::BrTable { targets } => 1 + u64::from(targets.len()),
                // The compiled code may have to initialize the table's element first.
                Operator::CallIndirect { .. } | Operator::ReturnCallIndirect { .. } | Operator::TableGet { .. } => 2,
                Operator::MemoryCopy { .. } | Operator::MemoryFill { .. } | Operator::MemoryInit { .. } => 4,
                Operator::TableCopy { .. } | Operator::TableFill { .. } | Operator::TableInit { .. } => 4,
                _ => 0,
            };
        }
        self.operands = self.operands.saturating_add(operands);
        let tangle = locals.saturating_mul(blocks);
        self.tangle = self.tangle.max(tangle);
        self.tangles = self.tangles.saturating_add(tangle);
    }

    /// Checks that it is within limits.
    ///
    /// # Errors
    /// The first limit that it exceeds.
    pub(super) fn within(&self, bounds: &Bounds) -> Result<(), String> {
        let Bounds { code, functions, largest, tangle, tangles, operands, adapters, images } = *bounds;
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
            () if self.operands > operands => {
                over("the number of values in its branches and calls is", self.operands, operands)
            }
            () if self.images > images => {
                over("the size in bytes of its initial memories and tables is", self.images, images)
            }
            () if self.adapters > adapters => {
                over("the product of calls between its components and their types is", self.adapters, adapters)
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
            let imports: String = (0..functions)
                .map(|number| format!("(import \"f{number}\" (func $f{number} (param \"v\" $t)))"))
                .collect();
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
}
