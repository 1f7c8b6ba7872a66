//! Estimates the cost of compiling a component: one pass over its bytes, without validation. Cranelift takes more than
//! linear time and memory for functions with many blocks and locals, and cannot be interrupted.

use std::collections::BTreeMap;

use wasmparser::{
    BinaryReader, BlockType, ComponentType, ComponentTypeDeclaration, CompositeInnerType, ConstExpr, DataKind,
    FunctionBody, Operator, Parser, Payload, RecGroup, TypeRef,
};

use super::footprint;

/// The maximum number of types, imports, exports and the like, in a component and everything nested in it.
const MOST_ITEMS: u64 = 100_000;
/// The maximum number of such items, counted for each time that their component is instantiated. Each takes about a
/// microsecond.
const MOST_STEPS: u64 = 300_000;
/// The number of nested modules and components.
const MOST_PARTS: u64 = 1_000;
/// How deeply components can be nested, and component types.
const MOST_NESTED: usize = 20;
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

/// Whether a section has component types that are nested too deeply. `wasmparser` reads and validates them recursively,
/// without a limit: 300 levels, in 1 KiB, overflow the stack of a thread, which ends the process.
fn is_nested_deeply(mut section: BinaryReader<'_>) -> wasmparser::Result<bool> {
    const DECLARES_TYPE: u8 = 0x01;
    const COMPONENT: u8 = 0x41;
    const INSTANCE: u8 = 0x42;
    // For each level, how many of its types or declarations were not read yet.
    let mut left = vec![section.read_var_u32()?];
    while let Some(count) = left.last_mut() {
        let Some(less) = count.checked_sub(1) else {
            left.pop();
            continue;
        };
        *count = less;
        let mut ahead = section.clone();
        let is_type = left.len() == 1 || ahead.read_u8()? == DECLARES_TYPE;
        if is_type && matches!(ahead.read_u8()?, COMPONENT | INSTANCE) {
            if left.len() > MOST_NESTED {
                return Ok(true);
            }
            left.push(ahead.read_var_u32()?);
            section = ahead;
        } else if left.len() == 1 {
            section.read::<ComponentType<'_>>()?;
        } else {
            section.read::<ComponentTypeDeclaration<'_>>()?;
        }
    }
    Ok(false)
}

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
                Payload::Version { .. } => {
                    levels.push(Module::default());
                    if levels.len() > MOST_NESTED {
                        return Err(format!("its components are nested more than {MOST_NESTED} levels deep"));
                    }
                }
                Payload::End(_) => _ = levels.pop(),
                payload => {
                    if let Payload::ComponentTypeSection(reader) = &payload {
                        let section = wasm.get(reader.range()).unwrap_or_default();
                        // Unreadable types are refused at validation.
                        if matches!(is_nested_deeply(BinaryReader::new(section, 0)), Ok(true)) {
                            return Err(format!("its types are nested more than {MOST_NESTED} levels deep"));
                        }
                    }
                    let Some(module) = levels.last_mut() else { break };
                    measure.add(&payload, module)?;
                }
            }
        }
        // Adapters are generated for each instance of a component. Unknown counts exceed any limit.
        let footprint = footprint::of(wasm);
        if footprint.as_ref().is_ok_and(|footprint| footprint.steps > MOST_STEPS) {
            return Err(format!("its components instantiate each other with more than {MOST_STEPS} items in total"));
        }
        let adapters = footprint.map_or(u64::MAX, |footprint| footprint.adapters());
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
mod tests;
