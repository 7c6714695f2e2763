//! Estimates what the engine allocates for an instance, besides its memories and tables. The engine's limiter is not asked
//! about that, so it is counted in the component itself.
//!
//! For each core instance the engine allocates one block, with an entry for each import, global, table, memory and function
//! that can be referred to. The sizes are those of wasmtime's `VMOffsets` on a 64-bit machine, rounded up. A test compares
//! them with what a process really takes.

use serde::{Deserialize, Serialize};
use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind, ComponentTypeRef, ElementItems,
    ElementKind, Encoding, Instance, Parser, Payload, TypeRef,
};

/// The most core instances of one component: more than tool chains need. The engine's limiter enforces it.
pub(super) const MAX_CORE_INSTANCES: usize = 64;

/// The fixed part of a core instance in the engine and in the store.
const CORE_INSTANCE_BYTES: u64 = 1_024;
/// A function that is imported, or that something may refer to.
const FUNCTION_BYTES: u64 = 32;
/// Any other import, an export, a data segment.
const ENTRY_BYTES: u64 = 16;
/// A table or a memory, which is described in two places.
const MEMORY_BYTES: u64 = 128;
/// An element of a passive segment, which is kept until it is used.
const ELEMENT_BYTES: u64 = 16;
/// A function between the component and a core module.
const CANONICAL_BYTES: u64 = 64;
/// The store of an instance, with the host's own state.
const STORE_BYTES: u64 = 8 << 10;

/// What one instance of the component takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Survey {
    /// What the engine allocates for it, without memories and tables, bytes.
    pub(super) engine_bytes: u64,
    /// How many core instances it consists of.
    pub(super) core_instances: u64,
    /// The entries of all its core instances: globals, functions, …
    pub(super) entries: u64,
}

/// What one instance of a module or of a component takes.
#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    core_instances: u64,
    bytes: u64,
    entries: u64,
}

impl Cost {
    fn add(&mut self, other: Self) {
        self.core_instances = self.core_instances.saturating_add(other.core_instances);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.entries = self.entries.saturating_add(other.entries);
    }
}

/// A module or a component while it is read.
#[derive(Debug, Default)]
struct Level {
    is_module: bool,
    /// The cost of one instance. `None` if it is unknown, because it instantiates a module or component that comes from
    /// outside of this level.
    cost: Option<Cost>,
    /// The costs of a component's modules, by their index; `None` for a module from outside.
    modules: Vec<Option<Cost>>,
    /// The costs of a component's inner components, by their index; `None` for one from outside.
    components: Vec<Option<Cost>>,
}

/// Counts what an instance of the component takes. An error means that the bytes cannot be read.
pub(super) fn survey(component: &[u8]) -> wasmparser::Result<Survey> {
    let mut counting = Counting::default();
    for payload in Parser::new(0).parse_all(component) {
        counting.payload(payload?)?;
    }
    Ok(counting.end())
}

/// The state of a survey.
#[derive(Debug, Default)]
struct Counting {
    /// What is being read, from the outermost component to the innermost module or component.
    levels: Vec<Level>,
    /// The cost of the outermost component, once it has been read.
    whole: Option<Cost>,
    /// The cost of the largest module anywhere in the component.
    largest: Cost,
    /// All functions between components and core modules.
    canonical_functions: u64,
}

impl Counting {
    fn payload(&mut self, payload: Payload<'_>) -> wasmparser::Result<()> {
        match payload {
            Payload::Version { encoding, .. } => self.levels.push(Level::new(encoding == Encoding::Module)),
            Payload::End(_) => self.leave(),
            Payload::ComponentCanonicalSection(functions) => {
                self.canonical_functions += u64::from(functions.count());
            }
            other => match self.levels.last_mut() {
                Some(module) if module.is_module => module.module_section(other)?,
                Some(component) => component.component_section(other)?,
                None => {}
            },
        }
        Ok(())
    }

    /// Ends the innermost module or component, and hands its cost to the one around it.
    fn leave(&mut self) {
        let Some(level) = self.levels.pop() else { return };
        if let Some(cost) = level
            .cost
            .filter(|cost| level.is_module && cost.bytes > self.largest.bytes)
        {
            self.largest = cost;
        }
        match self.levels.last_mut() {
            Some(around) if level.is_module => around.modules.push(level.cost),
            Some(around) => around.components.push(level.cost),
            None => self.whole = level.cost,
        }
    }

    fn end(self) -> Survey {
        let most = MAX_CORE_INSTANCES as u64;
        let cost = match self.whole {
            Some(whole) if whole.core_instances <= most => whole,
            // What will be instantiated is not known here, so assume the worst: as many core instances as are allowed, each
            // of the largest module.
            _ => Cost {
                core_instances: most,
                bytes: self.largest.bytes.saturating_mul(most),
                entries: self.largest.entries.saturating_mul(most),
            },
        };
        let canonical = self.canonical_functions.saturating_mul(CANONICAL_BYTES);
        Survey {
            engine_bytes: cost.bytes.saturating_add(canonical).saturating_add(STORE_BYTES),
            core_instances: cost.core_instances,
            entries: cost.entries,
        }
    }
}

impl Level {
    fn new(is_module: bool) -> Self {
        let own = u64::from(is_module);
        Self {
            is_module,
            cost: Some(Cost {
                core_instances: own,
                bytes: own * CORE_INSTANCE_BYTES,
                entries: 0,
            }),
            ..Self::default()
        }
    }

    /// Adds the cost of an inner instance; `None` if it is unknown.
    fn instance(&mut self, of: Option<Cost>) {
        self.cost = self.cost.zip(of).map(|(mut cost, of)| {
            cost.add(of);
            cost
        });
    }

    fn component_section(&mut self, section: Payload<'_>) -> wasmparser::Result<()> {
        match section {
            Payload::InstanceSection(instances) => {
                for instance in instances {
                    if let Instance::Instantiate { module_index, .. } = instance? {
                        self.instance(self.modules.get(module_index as usize).copied().flatten());
                    }
                }
            }
            Payload::ComponentInstanceSection(instances) => {
                for instance in instances {
                    if let ComponentInstance::Instantiate { component_index, .. } = instance? {
                        self.instance(self.components.get(component_index as usize).copied().flatten());
                    }
                }
            }
            Payload::ComponentAliasSection(aliases) => {
                for alias in aliases {
                    match alias? {
                        ComponentAlias::InstanceExport { kind, .. } => self.foreign(kind),
                        ComponentAlias::Outer { kind, .. } => match kind {
                            ComponentOuterAliasKind::CoreModule => self.modules.push(None),
                            ComponentOuterAliasKind::Component => self.components.push(None),
                            ComponentOuterAliasKind::CoreType | ComponentOuterAliasKind::Type => {}
                        },
                        ComponentAlias::CoreInstanceExport { .. } => {}
                    }
                }
            }
            Payload::ComponentImportSection(imports) => {
                for import in imports {
                    match import?.ty {
                        ComponentTypeRef::Module(_) => self.modules.push(None),
                        ComponentTypeRef::Component(_) => self.components.push(None),
                        _ => {}
                    }
                }
            }
            // An export gives the item a new index.
            Payload::ComponentExportSection(exports) => {
                for export in exports {
                    self.foreign(export?.kind);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Adds a module or component that comes from outside, so its cost is unknown.
    fn foreign(&mut self, kind: ComponentExternalKind) {
        match kind {
            ComponentExternalKind::Module => self.modules.push(None),
            ComponentExternalKind::Component => self.components.push(None),
            _ => {}
        }
    }

    fn add(&mut self, entries: u64, bytes_each: u64) {
        self.instance(Some(Cost {
            core_instances: 0,
            bytes: entries.saturating_mul(bytes_each),
            entries,
        }));
    }

    fn module_section(&mut self, section: Payload<'_>) -> wasmparser::Result<()> {
        match section {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    let bytes = match import?.ty {
                        TypeRef::Func(_) | TypeRef::FuncExact(_) => FUNCTION_BYTES,
                        _ => ENTRY_BYTES,
                    };
                    // Something may refer to the import itself, too.
                    self.add(1, bytes + FUNCTION_BYTES);
                }
            }
            // Only the code says which functions are referred to, so all of them count.
            Payload::FunctionSection(functions) => self.add(u64::from(functions.count()), FUNCTION_BYTES),
            Payload::GlobalSection(globals) => self.add(u64::from(globals.count()), ENTRY_BYTES),
            Payload::TagSection(tags) => self.add(u64::from(tags.count()), ENTRY_BYTES),
            Payload::TableSection(tables) => self.add(u64::from(tables.count()), MEMORY_BYTES),
            Payload::MemorySection(memories) => self.add(u64::from(memories.count()), MEMORY_BYTES),
            Payload::DataSection(segments) => self.add(u64::from(segments.count()), ENTRY_BYTES),
            Payload::ElementSection(segments) => {
                for segment in segments {
                    let segment = segment?;
                    let elements = match &segment.items {
                        ElementItems::Functions(functions) => functions.count(),
                        ElementItems::Expressions(_, expressions) => expressions.count(),
                    };
                    let kept = match segment.kind {
                        ElementKind::Passive => ELEMENT_BYTES,
                        ElementKind::Active { .. } | ElementKind::Declared => 0,
                    };
                    self.add(1, ENTRY_BYTES + u64::from(elements) * kept);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Survey {
        survey(&wat::parse_str(text).expect("a component")).expect("counted")
    }

    /// A component that makes `instances` instances of a module with `globals` globals.
    fn globals(instances: usize, globals: usize) -> String {
        let global = "(global i64 i64.const 0)".repeat(globals);
        let instance = "(core instance (instantiate $m))".repeat(instances);
        format!("(component (core module $m {global}) {instance})")
    }

    #[test]
    fn each_core_instance_counts_with_all_that_it_holds() {
        let (one, ten) = (of(&globals(1, 1_000)), of(&globals(10, 1_000)));
        assert_eq!((one.core_instances, one.entries), (1, 1_000));
        assert_eq!((ten.core_instances, ten.entries), (10, 10_000));
        assert!(one.engine_bytes >= 16_000 && one.engine_bytes < 32_000, "{one:?}");
        assert_eq!(
            ten.engine_bytes - STORE_BYTES,
            10 * (one.engine_bytes - STORE_BYTES),
            "{ten:?}"
        );
    }

    #[test]
    fn instances_within_an_inner_component_count_for_each_instance_of_it() {
        let nested =
            "(component (component $c (core module $m (global i32 i32.const 0)) (core instance (instantiate $m)))
             (instance (instantiate $c)) (instance (instantiate $c)))";
        assert_eq!((of(nested).core_instances, of(nested).entries), (2, 2));
        // Each of 60 levels makes two instances of the level below. The count must not overflow, and is capped.
        let mut text =
            "(component $c0 (core module $m (global i32 i32.const 0)) (core instance (instantiate $m)))".to_owned();
        for level in 1..=60 {
            let twice = format!("(instance (instantiate $c{}))", level - 1).repeat(2);
            text = format!("(component $c{level} {text} {twice})");
        }
        let survey = of(&format!("(component {text} (instance (instantiate $c60)))"));
        assert_eq!(survey.core_instances, MAX_CORE_INSTANCES as u64);
    }

    #[test]
    fn a_module_from_another_component_counts_as_the_largest_module_in_as_many_instances_as_are_allowed() {
        let text = "(component $top (core module $m (global i32 i32.const 0))
             (component (alias outer $top $m (core module $o)) (core instance (instantiate $o)))
             (component $c (alias outer $top $m (core module $o)) (core instance (instantiate $o)))
             (instance (instantiate $c)))";
        assert_eq!(of(text).core_instances, MAX_CORE_INSTANCES as u64);
    }

    #[test]
    fn an_imported_module_does_not_hide_what_is_instantiated() {
        let text = "(component (import \"a\" (core module $i)) (core module $m (global i32 i32.const 0))
             (core instance (instantiate $m)))";
        let survey = of(text);
        assert_eq!((survey.core_instances, survey.entries), (1, 1));
    }

    #[test]
    fn bytes_that_are_not_a_component_are_an_error_and_not_a_panic() {
        assert!(survey(b"\0asm\x0d\0\x01\0\x01\xff\xff\xff\xff\x0f").is_err());
        assert!(survey(b"").is_ok_and(|survey| survey.core_instances == 0) || survey(b"").is_err());
    }
}
