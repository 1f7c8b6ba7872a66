//! Validates a component, and counts the work on its types before it can take long. A type of a few bytes can expand to
//! a million values, because types refer to each other. The validator looks at all of them again for each instance,
//! adapter function and ascribed export, and copies those that mention resources.

use std::collections::HashMap;

use wasmparser::component_types::{
    ComponentAnyTypeId, ComponentCoreModuleTypeId, ComponentDefinedType, ComponentEntityType, ComponentItem,
    ComponentValType,
};
use wasmparser::types::TypesRef;
use wasmparser::{
    BinaryReader, BinaryReaderError, CanonicalFunction, ComponentInstance, ComponentType, ComponentTypeDeclaration,
    ComponentTypeRef, ComponentTypeSectionReader, FuncValidatorAllocations, Instance, InstanceTypeDeclaration, Parser,
    Payload, TypeBounds, ValidPayload, Validator, WasmFeatures,
};

/// The maximum number of values, fields and names that are visited, for all instances and functions together: about
/// a tenth of a second, and 150 MiB if all of them are copied.
const LOOKS_AT_MOST: u64 = 1_000_000;
/// What a component or instance type counts that is declared inside another type. The validator limits each to a
/// million values.
const NESTED: u64 = 250_000;
/// Bytes of a name that count as one.
const BYTES: u64 = 64;

/// Why a component is refused.
#[derive(Debug)]
pub(super) enum Problem {
    Invalid(BinaryReaderError),
    /// It exceeds [`LOOKS_AT_MOST`].
    Expensive,
}

impl From<BinaryReaderError> for Problem {
    fn from(error: BinaryReaderError) -> Self {
        Self::Invalid(error)
    }
}

/// Validates a component, as `Validator::validate_all` does.
pub(super) fn validate(features: WasmFeatures, wasm: &[u8]) -> Result<(), Problem> {
    let (mut validator, mut looks) = (Validator::new_with_features(features), Looks::default());
    let mut functions = Vec::new();
    let mut parser = Parser::new(0);
    parser.set_features(features);
    for payload in parser.parse_all(wasm) {
        let payload = payload?;
        if let Payload::ComponentTypeSection(section) = &payload {
            looks.types(&mut validator, features, wasm, section)?;
            continue;
        }
        if let Some(types) = validator.types(0) {
            looks.before(&payload, types)?;
        }
        if let ValidPayload::Func(function, body) = validator.payload(&payload)? {
            functions.push((function, body));
        }
        if let Some(types) = validator.types(0) {
            looks.after(&payload, types)?;
        }
    }
    let mut allocations = FuncValidatorAllocations::default();
    for (function, body) in functions {
        let mut validator = function.into_validator(allocations);
        validator.validate(&body)?;
        allocations = validator.into_allocations();
    }
    Ok(())
}

/// Counts what the validator looks at.
#[derive(Default)]
struct Looks {
    /// The expanded size of each known type.
    sizes: HashMap<ComponentAnyTypeId, u64>,
    modules: HashMap<ComponentCoreModuleTypeId, u64>,
    count: u64,
}

impl Looks {
    fn add(&mut self, count: u64) -> Result<(), Problem> {
        self.count = self.count.saturating_add(count);
        if self.count > LOOKS_AT_MOST { Err(Problem::Expensive) } else { Ok(()) }
    }

    /// Validates a section of types, one at a time.
    fn types(
        &mut self,
        validator: &mut Validator,
        features: WasmFeatures,
        wasm: &[u8],
        section: &ComponentTypeSectionReader<'_>,
    ) -> Result<(), Problem> {
        let mut starts = Vec::new();
        for ty in section.clone().into_iter_with_offsets() {
            let (start, ty) = ty?;
            self.add(NESTED.saturating_mul(nested(&ty)))?;
            starts.push(start);
        }
        let ends = starts.iter().skip(1).copied().chain([section.range().end]);
        for (start, end) in starts.iter().copied().zip(ends) {
            let mut one = vec![1];
            one.extend_from_slice(wasm.get(start..end).unwrap_or_default());
            let one = BinaryReader::new_features(&one, start - 1, features);
            validator.component_type_section(&ComponentTypeSectionReader::new(one)?)?;
            let Some(types) = validator.types(0) else { continue };
            let latest = types.component_type_count().checked_sub(1).map(|index| types.component_any_type_at(index));
            if let Some(id @ (ComponentAnyTypeId::Instance(_) | ComponentAnyTypeId::Component(_))) = latest {
                let size = self.size(types, id);
                self.add(size)?;
            }
        }
        Ok(())
    }

    /// Counts what a section refers to that is defined before it.
    fn before(&mut self, payload: &Payload<'_>, types: TypesRef<'_>) -> Result<(), Problem> {
        match payload {
            Payload::InstanceSection(section) => {
                for instance in section.clone() {
                    if let Instance::Instantiate { module_index, .. } = instance?
                        && module_index < types.module_count()
                    {
                        let size = self.module(types, types.module_at(module_index));
                        self.add(size)?;
                    }
                }
            }
            Payload::ComponentInstanceSection(section) => {
                for instance in section.clone() {
                    if let ComponentInstance::Instantiate { component_index, .. } = instance?
                        && component_index < types.component_count()
                    {
                        let id = ComponentAnyTypeId::Component(types.component_at(component_index));
                        let size = self.size(types, id);
                        self.add(size)?;
                    }
                }
            }
            Payload::ComponentCanonicalSection(section) => {
                // Functions that this section adds can be used in it.
                let mut added = Vec::new();
                for function in section.clone() {
                    let size = match function? {
                        CanonicalFunction::Lift { type_index, .. } => {
                            let size = self.indexed(types, type_index);
                            added.push(size);
                            size
                        }
                        CanonicalFunction::Lower { func_index, .. } => {
                            match func_index.checked_sub(types.component_function_count()) {
                                None => {
                                    let id = types.component_function_at(func_index);
                                    self.size(types, ComponentAnyTypeId::Func(id))
                                }
                                Some(place) => added.get(place as usize).copied().unwrap_or(1),
                            }
                        }
                        CanonicalFunction::TaskReturn {
                            result: Some(wasmparser::ComponentValType::Type(index)),
                            ..
                        } => self.indexed(types, index),
                        _ => 1,
                    };
                    self.add(size)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Counts the imports and exports of a section, whose types can be defined in it. The validator limits them to a
    /// million values for each component.
    fn after(&mut self, payload: &Payload<'_>, types: TypesRef<'_>) -> Result<(), Problem> {
        let mut count = |reference: ComponentTypeRef| {
            let size = match reference {
                ComponentTypeRef::Func(index)
                | ComponentTypeRef::Instance(index)
                | ComponentTypeRef::Component(index)
                | ComponentTypeRef::Type(TypeBounds::Eq(index)) => self.indexed(types, index),
                _ => 1,
            };
            self.add(size)
        };
        match payload {
            Payload::ComponentImportSection(section) => {
                for import in section.clone() {
                    count(import?.ty)?;
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section.clone() {
                    if let Some(ascribed) = export?.ty {
                        count(ascribed)?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The expanded size of the type at an index.
    fn indexed(&mut self, types: TypesRef<'_>, index: u32) -> u64 {
        // An unknown type is refused by the validator.
        match index < types.component_type_count() {
            true => self.size(types, types.component_any_type_at(index)),
            false => 1,
        }
    }

    /// The expanded size of a type.
    fn size(&mut self, types: TypesRef<'_>, id: ComponentAnyTypeId) -> u64 {
        if let Some(known) = self.sizes.get(&id) {
            return *known;
        }
        let size = match id {
            ComponentAnyTypeId::Resource(_) => 1,
            ComponentAnyTypeId::Defined(id) => self.defined(types, &types[id]),
            ComponentAnyTypeId::Func(id) => {
                let function = &types[id];
                let parameters = function.params.iter().map(|(name, ty)| self.field(types, name, Some(ty)));
                let parameters = parameters.fold(1, u64::saturating_add);
                parameters.saturating_add(function.result.as_ref().map_or(0, |ty| self.value(types, ty)))
            }
            ComponentAnyTypeId::Instance(id) => self.items(types, types[id].exports.iter()),
            ComponentAnyTypeId::Component(id) => {
                let component = &types[id];
                self.items(types, component.imports.iter().chain(component.exports.iter()))
            }
        };
        self.sizes.insert(id, size);
        size
    }

    fn items<'a>(&mut self, types: TypesRef<'_>, items: impl Iterator<Item = (&'a String, &'a ComponentItem)>) -> u64 {
        items.fold(1, |size, (name, item)| {
            let item = match item.ty {
                ComponentEntityType::Module(id) => self.module(types, id),
                ComponentEntityType::Func(id) => self.size(types, ComponentAnyTypeId::Func(id)),
                ComponentEntityType::Value(ty) => self.value(types, &ty),
                ComponentEntityType::Type { referenced, .. } => self.size(types, referenced),
                ComponentEntityType::Instance(id) => self.size(types, ComponentAnyTypeId::Instance(id)),
                ComponentEntityType::Component(id) => self.size(types, ComponentAnyTypeId::Component(id)),
            };
            size.saturating_add(1 + text(name)).saturating_add(item)
        })
    }

    fn module(&mut self, types: TypesRef<'_>, id: ComponentCoreModuleTypeId) -> u64 {
        *self.modules.entry(id).or_insert_with(|| {
            let module = &types[id];
            let imports = module.imports.iter().map(|((module, name), _)| 1 + text(module) + text(name));
            imports.chain(module.exports.iter().map(|(name, _)| 1 + text(name))).sum::<u64>() + 1
        })
    }

    fn defined(&mut self, types: TypesRef<'_>, ty: &ComponentDefinedType) -> u64 {
        let inner = match ty {
            ComponentDefinedType::Record(record) => {
                let fields = record.fields.iter().map(|(name, ty)| self.field(types, name, Some(ty)));
                fields.fold(0, u64::saturating_add)
            }
            ComponentDefinedType::Variant(variant) => {
                let cases = variant.cases.iter().map(|(name, case)| self.field(types, name, case.ty.as_ref()));
                cases.fold(0, u64::saturating_add)
            }
            ComponentDefinedType::Tuple(tuple) => {
                tuple.types.iter().map(|ty| self.value(types, ty)).fold(0, u64::saturating_add)
            }
            ComponentDefinedType::Flags(names) | ComponentDefinedType::Enum(names) => {
                names.iter().map(|name| 1 + text(name)).sum()
            }
            ComponentDefinedType::List { element: ty, .. }
            | ComponentDefinedType::FixedLengthList { element: ty, .. }
            | ComponentDefinedType::Option { ty, .. } => self.value(types, ty),
            ComponentDefinedType::Map { key, value, .. } => {
                self.value(types, key).saturating_add(self.value(types, value))
            }
            ComponentDefinedType::Result { ok, err, .. } => {
                [ok, err].into_iter().flatten().map(|ty| self.value(types, ty)).fold(0, u64::saturating_add)
            }
            ComponentDefinedType::Future { ty, .. } | ComponentDefinedType::Stream { ty, .. } => {
                ty.as_ref().map_or(0, |ty| self.value(types, ty))
            }
            _ => 0,
        };
        inner.saturating_add(1)
    }

    fn field(&mut self, types: TypesRef<'_>, name: &str, ty: Option<&ComponentValType>) -> u64 {
        (1 + text(name)).saturating_add(ty.map_or(0, |ty| self.value(types, ty)))
    }

    fn value(&mut self, types: TypesRef<'_>, ty: &ComponentValType) -> u64 {
        match ty {
            ComponentValType::Primitive(_) => 1,
            ComponentValType::Type(id) => self.size(types, ComponentAnyTypeId::Defined(*id)),
        }
    }
}

fn text(name: &str) -> u64 {
    name.len() as u64 / BYTES
}

/// The number of component and instance types that are declared inside a type.
fn nested(ty: &ComponentType<'_>) -> u64 {
    let inner = |ty: &ComponentType<'_>| match ty {
        ComponentType::Component(_) | ComponentType::Instance(_) => 1 + nested(ty),
        _ => 0,
    };
    match ty {
        ComponentType::Component(declarations) => {
            let types = declarations.iter().map(|declaration| match declaration {
                ComponentTypeDeclaration::Type(ty) => inner(ty),
                _ => 0,
            });
            types.sum()
        }
        ComponentType::Instance(declarations) => {
            let types = declarations.iter().map(|declaration| match declaration {
                InstanceTypeDeclaration::Type(ty) => inner(ty),
                _ => 0,
            });
            types.sum()
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use outrigger_testkit::components;

    use super::*;

    /// A function type `$f` that expands to half a million values.
    fn large() -> String {
        let mut types = "(type $t0 (tuple bool bool))".to_owned();
        for level in 1..17 {
            let inner = level - 1;
            types.push_str(&format!("(type $t{level} (tuple $t{inner} $t{inner}))"));
        }
        format!("{types}(type $f (func (param \"x\" $t16)))")
    }

    fn check(text: &str) {
        let wasm = wat::parse_str(format!("(component {text})")).expect("a component");
        let started = Instant::now();
        assert!(matches!(validate(WasmFeatures::default(), &wasm), Err(Problem::Expensive)), "{} bytes", wasm.len());
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }

    #[test]
    fn s09_types_are_counted_for_each_instance_before_it_is_validated() {
        let large = large();
        let inner = "(component $c (import \"f\" (func (type $f))))";
        let instances = "(instance (instantiate $c (with \"f\" (func $g))))".repeat(1_000);
        check(&format!("{large} {inner} (import \"f\" (func $g (type $f))) {instances}"));
    }

    #[test]
    fn s09_types_are_counted_for_each_component_that_exports_them_again() {
        let large = large();
        let again = "(component (import \"f\" (func $g (type $f))) (export \"g\" (func $g) (func (type $f))))";
        check(&format!("{large} {}", again.repeat(100)));
    }

    #[test]
    fn s09_records_with_resources_are_counted_for_each_copy() {
        let fields: String = (0..5_000).map(|field| format!("(field \"f{field}\" (own $r))")).collect();
        let instance = format!(
            "(type $i (instance (export \"r\" (type $r (sub resource))) (type $big (record {fields}))
             (export \"big\" (type (eq $big)))))"
        );
        let copies: String = (0..50).map(|copy| format!("(import \"i{copy}\" (instance (type $i)))")).collect();
        check(&format!("{instance} {}", format!("(component {copies})").repeat(20)));
        let nested = "(type (instance (export \"i\" (instance (type $i)))))".repeat(200);
        check(&format!("{instance} (type (component {nested}))"));
        check(&format!("{instance} {nested}"));
    }

    #[test]
    fn s09_imports_of_a_core_module_are_counted_for_each_instance() {
        let each = |text: fn(usize) -> String| (0..2_000).map(text).collect::<String>();
        let imports = each(|place| format!("(import \"\" \"f{place}\" (func))"));
        let exports = each(|place| format!("(export \"f{place}\")"));
        let module = format!("(core module $m {imports}) (core module $n (func {exports}))");
        let instances = "(core instance (instantiate $m (with \"\" (instance $o))))".repeat(4_000);
        check(&format!("{module} (core instance $o (instantiate $n)) {instances}"));
    }

    #[test]
    fn s09_ordinary_components_are_far_below_the_limit() {
        for wasm in [components::hostile(), components::hostile_with_memories()] {
            validate(WasmFeatures::default(), &wasm).expect("it is valid");
        }
    }
}
