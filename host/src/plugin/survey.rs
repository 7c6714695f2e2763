//! What an instance of a component takes in the engine beside its memories and tables, found by counting in the component itself:
//! the engine's limiter is not asked about it.
//!
//! For each core instance the engine holds one block with an entry for each import, global, table, memory and function that can be
//! referred to. The sizes are those of wasmtime's `VMOffsets` on a 64-bit machine, rounded up; a test holds them against what a
//! process really takes.

use serde::{Deserialize, Serialize};
use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind, ComponentTypeRef, ElementItems,
    ElementKind, Encoding, Instance, Parser, Payload, TypeRef,
};

/// Most core instances of one component: what tool chains need, with room. The limiter holds to it.
pub(super) const MAX_CORE_INSTANCES: usize = 64;

/// A core instance's own structure in the engine, and its place in the store.
const CORE_INSTANCE_BYTES: u64 = 1_024;
/// A function that is imported, or that something may refer to.
const FUNCTION_BYTES: u64 = 32;
/// Any other import, an export's place, a data segment.
const ENTRY_BYTES: u64 = 16;
/// A table or a memory: its description in two places.
const MEMORY_BYTES: u64 = 128;
/// An element of a segment that is kept until it is used.
const ELEMENT_BYTES: u64 = 16;
/// A function between component and core.
const CANONICAL_BYTES: u64 = 64;
/// The store that an instance lives in, with the host's own state.
const STORE_BYTES: u64 = 8 << 10;

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Survey {
    /// Of an instance in the engine, without memories and tables.
    pub(super) engine_bytes: u64,
    /// Core instances that it consists of.
    pub(super) core_instances: u64,
    /// Entries of all of them: globals, functions, …
    pub(super) entries: u64,
}

/// What instances take, of whatever is made of them.
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

/// A module or a component, while it is read. A component's modules and components stand in the order of their index; none: one from
/// elsewhere.
#[derive(Debug, Default)]
struct Level {
    is_module: bool,
    /// Of one instance. None: it makes instances of something from elsewhere.
    cost: Option<Cost>,
    modules: Vec<Option<Cost>>,
    components: Vec<Option<Cost>>,
}

/// Counts. An error: it cannot be read.
pub(super) fn survey(component: &[u8]) -> wasmparser::Result<Survey> {
    let mut counting = Counting::default();
    for payload in Parser::new(0).parse_all(component) {
        counting.payload(payload?)?;
    }
    Ok(counting.end())
}

#[derive(Debug, Default)]
struct Counting {
    /// From the outermost component to what is read now.
    levels: Vec<Level>,
    /// Of the outermost component, when it has been read.
    whole: Option<Cost>,
    /// The largest module anywhere.
    largest: Cost,
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

    /// The end of a module or component.
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
            // How many of what there will be is known only when they are made: as many as there may be, each the largest.
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

    /// One more instance within; none: of what nobody knows here.
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
            // What is exported has an index of its own.
            Payload::ComponentExportSection(exports) => {
                for export in exports {
                    self.foreign(export?.kind);
                }
            }
            _ => {}
        }
        Ok(())
    }

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
                    // An import is held beside what it refers to, and may be referred to in turn.
                    self.add(1, bytes + FUNCTION_BYTES);
                }
            }
            // Any of them may be referred to; which, says the code.
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

    /// A component of so many instances of a module with so many globals.
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
    fn instances_made_within_a_component_within_count_as_often_as_that_is_made() {
        let nested =
            "(component (component $c (core module $m (global i32 i32.const 0)) (core instance (instantiate $m)))
             (instance (instantiate $c)) (instance (instantiate $c)))";
        assert_eq!((of(nested).core_instances, of(nested).entries), (2, 2));
        // Two of the one below at each of 60 levels: as many as there may be, and no more than can be counted.
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
    fn a_module_that_another_component_gives_counts_as_the_largest_as_often_as_may_be() {
        let text = "(component $top (core module $m (global i32 i32.const 0))
             (component (alias outer $top $m (core module $o)) (core instance (instantiate $o)))
             (component $c (alias outer $top $m (core module $o)) (core instance (instantiate $o)))
             (instance (instantiate $c)))";
        assert_eq!(of(text).core_instances, MAX_CORE_INSTANCES as u64);
    }

    #[test]
    fn a_module_foreign_does_not_hide_what_is_instantiated() {
        let text = "(component (import \"a\" (core module $i)) (core module $m (global i32 i32.const 0))
             (core instance (instantiate $m)))";
        let survey = of(text);
        assert_eq!((survey.core_instances, survey.entries), (1, 1));
    }

    #[test]
    fn bytes_that_are_no_component_are_an_error_and_no_panic() {
        assert!(survey(b"\0asm\x0d\0\x01\0\x01\xff\xff\xff\xff\x0f").is_err());
        assert!(survey(b"").is_ok_and(|survey| survey.core_instances == 0) || survey(b"").is_err());
    }
}
