//! What an instance of a component takes in the engine beside its memories and tables, found by counting in the component itself:
//! the engine's limiter is not asked about it.
//!
//! For each core instance the engine holds one block with an entry for each import, global, table, memory and function that can be
//! referred to. The sizes are those of wasmtime's `VMOffsets` on a 64-bit machine, rounded up; a test holds them against what a
//! process really takes.

use serde::{Deserialize, Serialize};
use wasmparser::{
    ComponentAlias, ComponentOuterAliasKind, ElementItems, ElementKind, Instance, Parser, Payload, TypeRef,
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

/// A module, or the component around it, while it is read.
#[derive(Debug, Default)]
struct Level {
    is_module: bool,
    bytes: u64,
    entries: u64,
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
    levels: Vec<Level>,
    /// The outermost component's modules in the order of their index; none: one from elsewhere.
    modules: Vec<Option<Level>>,
    /// Modules that the outermost component makes instances of.
    instantiated: Vec<u32>,
    /// Whether core instances are made in components within, as often as those are.
    is_nested: bool,
    /// The largest module anywhere.
    largest: (u64, u64),
    canonical_functions: u64,
}

impl Counting {
    fn payload(&mut self, payload: Payload<'_>) -> wasmparser::Result<()> {
        let depth = self.levels.len();
        match payload {
            Payload::Version { encoding, .. } => self.levels.push(Level {
                is_module: encoding == wasmparser::Encoding::Module,
                bytes: CORE_INSTANCE_BYTES,
                entries: 0,
            }),
            Payload::End(_) => self.leave(),
            Payload::InstanceSection(instances) => {
                for instance in instances {
                    if let Instance::Instantiate { module_index, .. } = instance? {
                        self.is_nested |= depth > 1;
                        self.instantiated.push(module_index);
                    }
                }
            }
            Payload::ComponentAliasSection(aliases) => {
                for alias in aliases {
                    let is_module = match alias? {
                        ComponentAlias::InstanceExport { kind, .. } => {
                            kind == wasmparser::ComponentExternalKind::Module
                        }
                        ComponentAlias::Outer { kind, .. } => kind == ComponentOuterAliasKind::CoreModule,
                        ComponentAlias::CoreInstanceExport { .. } => false,
                    };
                    if is_module && depth == 1 {
                        self.modules.push(None);
                    }
                }
            }
            Payload::ComponentImportSection(imports) if depth == 1 => {
                for import in imports {
                    if let wasmparser::ComponentTypeRef::Module(_) = import?.ty {
                        self.modules.push(None);
                    }
                }
            }
            // What is exported has an index of its own.
            Payload::ComponentExportSection(exports) if depth == 1 => {
                for export in exports {
                    if export?.kind == wasmparser::ComponentExternalKind::Module {
                        self.modules.push(None);
                    }
                }
            }
            Payload::ComponentCanonicalSection(functions) => {
                self.canonical_functions += u64::from(functions.count());
            }
            other => {
                if let Some(level) = self.levels.last_mut().filter(|level| level.is_module) {
                    level.section(other)?;
                }
            }
        }
        Ok(())
    }

    /// The end of a module or component.
    fn leave(&mut self) {
        let Some(level) = self.levels.pop().filter(|level| level.is_module) else {
            return;
        };
        if level.bytes > self.largest.0 {
            self.largest = (level.bytes, level.entries);
        }
        if self.levels.len() == 1 {
            self.modules.push(Some(level));
        }
    }

    fn end(self) -> Survey {
        let module = |index: &u32| self.modules.get(*index as usize)?.as_ref();
        let exact: Option<Vec<&Level>> = match self.is_nested {
            true => None,
            false => self.instantiated.iter().map(module).collect(),
        };
        let (core_instances, bytes, entries) = match &exact {
            Some(levels) => (
                levels.len() as u64,
                levels.iter().map(|level| level.bytes).fold(0, u64::saturating_add),
                levels.iter().map(|level| level.entries).fold(0, u64::saturating_add),
            ),
            // How many there will be is known only when they are made: as many as there may be, each the largest.
            None => {
                let most = MAX_CORE_INSTANCES as u64;
                (
                    most,
                    self.largest.0.saturating_mul(most),
                    self.largest.1.saturating_mul(most),
                )
            }
        };
        Survey {
            engine_bytes: bytes
                .saturating_add(self.canonical_functions.saturating_mul(CANONICAL_BYTES))
                .saturating_add(STORE_BYTES),
            core_instances,
            entries,
        }
    }
}

impl Level {
    fn add(&mut self, entries: u64, bytes_each: u64) {
        self.entries = self.entries.saturating_add(entries);
        self.bytes = self.bytes.saturating_add(entries.saturating_mul(bytes_each));
    }

    fn section(&mut self, section: Payload<'_>) -> wasmparser::Result<()> {
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
    fn instances_made_within_a_component_within_count_as_many_as_there_may_be() {
        let nested =
            "(component (component $c (core module $m (global i32 i32.const 0)) (core instance (instantiate $m)))
             (instance (instantiate $c)) (instance (instantiate $c)))";
        let survey = of(nested);
        assert_eq!(survey.core_instances, MAX_CORE_INSTANCES as u64);
    }

    #[test]
    fn a_module_from_elsewhere_does_not_hide_what_is_instantiated() {
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
