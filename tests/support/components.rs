//! Components made by hand: no tool chain would make them, but an attacker would.

use std::borrow::Cow;

use wasm_encoder::{
    BlockType, CodeSection, ComponentSection as _, ConstExpr, Encode as _, ExportKind, ExportSection, Function,
    FunctionSection, GlobalSection, GlobalType, InstanceSection, MemorySection, MemoryType, Module, ModuleArg,
    ModuleSection, TypeSection, ValType,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

const WIT: &str = include_str!("../../wit/partitioner.wit");
/// The interface's version in [`WIT`].
const VERSION: &str = "1.1.0";
/// The interface as it was before.
const WIT_1_0_0: &str = include_str!("../../wit/1.0.0/partitioner.wit");

/// A minimal partitioner in the text format: it puts everything on partition 0. `more` comes before its functions.
fn partitioner(more: &str, partition: &str, version: &str) -> String {
    format!(
        r#"(module
            {more}
            (memory (export "memory") 1)
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024)
            (func (export "pointsman:partitioner/partitioner@{version}#configure") (param i32 i32) (result i32)
                i32.const 0)
            (func (export "pointsman:partitioner/partitioner@{version}#partition") (param i32 i32 i32 i32) (result i32)
                {partition}
                i32.const 0))"#
    )
}

/// A component from a core module in the text format, for a world of a WIT package.
fn component(module: &str, wit: &str, world: &str) -> Vec<u8> {
    encode(wat::parse_str(module).expect("a module"), wit, world)
}

fn encode(mut module: Vec<u8>, wit: &str, world: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("test.wit", wit).expect("a package");
    let world = resolve.select_world(&[package], Some(world)).expect("a world");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("metadata");
    let mut encoder = ComponentEncoder::default()
        .module(&module)
        .expect("a module for the world");
    encoder.encode().expect("a component")
}

/// A partitioner whose start never ends.
pub(crate) fn endless_start() -> Vec<u8> {
    let more = "(func $endless (loop (br 0))) (start $endless)";
    component(&partitioner(more, "", VERSION), WIT, "plugin")
}

/// A partitioner that grows a table at each call, and traps when it may not.
pub(crate) fn table_hog() -> Vec<u8> {
    let more = "(table $t 1 funcref)";
    let grow = "(if (i32.lt_s (table.grow $t (ref.null func) (i32.const 100000)) (i32.const 0)) (then unreachable))";
    component(&partitioner(more, grow, VERSION), WIT, "plugin")
}

/// A partitioner that traps on a record without a key.
pub(crate) fn needs_a_key() -> Vec<u8> {
    let trap = "(if (i32.eqz (local.get 0)) (then unreachable))";
    component(&partitioner("", trap, VERSION), WIT, "plugin")
}

/// A partitioner that hands 30 MiB to the host at once when a record's key has five bytes, without any work of its own:
/// as bytes to hash, a tenant, a refusal, a log line, or in a look-up.
pub(crate) fn giant(what: &str) -> Vec<u8> {
    let bytes = 30 << 20;
    let answer = |decision: u8| {
        let length = u32::to_le_bytes(bytes).map(|byte| format!("\\{byte:02x}")).concat();
        format!(r#"(data (i32.const 64) "\{decision:02x}\00\00\00\00\01\00\00{length}")"#)
    };
    let import = |interface: &str, function: &str, types: &str| {
        format!(r#"(import "pointsman:partitioner/{interface}@{VERSION}" "{function}" (func $call (param {types})))"#)
    };
    let (import, data, call) = match what {
        "hash" => (String::new(), answer(1), "(return (i32.const 64))".to_owned()),
        "tenant" => (String::new(), answer(3), "(return (i32.const 64))".to_owned()),
        "reject" => (String::new(), answer(4), "(return (i32.const 64))".to_owned()),
        "log" => {
            let call = format!("(call $call (i32.const 1) (i32.const 256) (i32.const {bytes}))");
            (import("log", "log", "i32 i32 i32"), String::new(), call)
        }
        "lookup" => {
            let call = format!("(call $call (i32.const 256) (i32.const {bytes}) (i32.const 128))");
            (import("routes", "lookup", "i32 i32 i32"), String::new(), call)
        }
        other => panic!("no way to hand over {other}"),
    };
    let on_five = format!("(if (i32.eq (local.get 2) (i32.const 5)) (then {call}))");
    let module = partitioner(&import, &on_five, VERSION);
    let module = module.replace(
        "(memory (export \"memory\") 1)",
        &format!("(memory (export \"memory\") 490) {data}"),
    );
    component(&module, WIT, "plugin")
}

/// A component of an entirely different world.
pub(crate) fn wrong_world() -> Vec<u8> {
    let wit = "package other:thing@1.0.0; interface runner { run: func(); } world w { export runner; }";
    let module = r#"(module (func (export "other:thing/runner@1.0.0#run")))"#;
    component(module, wit, "w")
}

/// A partitioner for a version of the interface that this host does not have, compatible or not.
pub(crate) fn of_version(version: &str) -> Vec<u8> {
    let wit = WIT.replace(
        &format!("package pointsman:partitioner@{VERSION}"),
        &format!("package pointsman:partitioner@{version}"),
    );
    component(&partitioner("", "", version), &wit, "plugin")
}

/// A partitioner for version 1.0.0 of the interface, with all that it had: it decides by a record's timestamp, which it asks for, record
/// by record or in batches.
pub(crate) fn of_1_0_0() -> Vec<u8> {
    let more = r#"
        (import "pointsman:partitioner/message@1.0.0" "timestamp" (func $timestamp (param i32)))
        (import "pointsman:partitioner/selection@1.0.0" "select" (func $select (param i32)))
        (func $by_time (result i32)
            (call $timestamp (i32.const 512))
            (i32.wrap_i64 (i64.load (i32.const 520))))
        (func (export "pointsman:partitioner/batch@1.0.0#partition-batch") (param i32 i32 i32 i32 i32) (result i32)
            (local $place i32)
            (loop $next
                (call $select (local.get $place))
                (i32.store (i32.add (i32.const 32768) (i32.mul (i32.const 4) (local.get $place))) (call $by_time))
                (local.set $place (i32.add (i32.const 1) (local.get $place)))
                (br_if $next (i32.lt_u (local.get $place) (local.get 3))))
            (i32.store (i32.const 256) (i32.const 32768))
            (i32.store (i32.const 260) (local.get 3))
            (i32.store (i32.const 264) (i32.const 1024))
            (i32.const 256))"#;
    let decide = "(i32.store (i32.const 68) (call $by_time)) (return (i32.const 64))";
    component(&partitioner(more, decide, "1.0.0"), WIT_1_0_0, "plugin-batch")
}

/// A partitioner that wants the network.
pub(crate) fn with_sockets() -> Vec<u8> {
    let wit = format!(
        "{WIT}\nworld networked {{ import wasi:sockets/tcp@0.2.0; include plugin; }}\n\
         package wasi:sockets@0.2.0 {{ interface tcp {{ connect: func(); }} }}"
    );
    let more = r#"(import "wasi:sockets/tcp@0.2.0" "connect" (func))"#;
    component(&partitioner(more, "", VERSION), &wit, "networked")
}

/// A partitioner with this much extra code: `functions` of about `instructions` each, which are never called. One huge
/// function costs the compiler memory, very many cost it time.
pub(crate) fn much_code(functions: u32, instructions: u32) -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([ValType::I32; 4], [ValType::I32]);
    types.ty().function([ValType::I32; 2], [ValType::I32]);
    let mut declared = FunctionSection::new();
    let mut code = CodeSection::new();
    for of_type in [0, 1, 0] {
        declared.function(of_type);
        let mut constant = Function::new([]);
        constant.instructions().i32_const(0).end();
        code.function(&constant);
    }
    for _ in 0..functions {
        declared.function(0);
        code.function(&busy(instructions));
    }
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: 1,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut exports = ExportSection::new();
    exports.export("memory", ExportKind::Memory, 0);
    exports.export("cabi_realloc", ExportKind::Func, 0);
    for (index, name) in (1..).zip(["configure", "partition"]) {
        exports.export(
            &format!("pointsman:partitioner/partitioner@{VERSION}#{name}"),
            ExportKind::Func,
            index,
        );
    }
    let mut module = Module::new();
    module
        .section(&types)
        .section(&declared)
        .section(&memories)
        .section(&exports)
        .section(&code);
    encode(module.finish(), WIT, "plugin")
}

/// Branches and values that live long, which make register allocation slow.
fn busy(instructions: u32) -> Function {
    let mut function = Function::new([(20, ValType::I32)]);
    let mut body = function.instructions();
    for number in 0..instructions / 8 {
        let (a, b, c) = (4 + number % 20, 4 + (number * 7 + 3) % 20, number % 4);
        body.block(BlockType::Empty)
            .local_get(a)
            .local_get(c)
            .i32_add()
            .local_tee(b)
            .br_if(0)
            .local_get(b)
            .local_set(a)
            .end();
    }
    body.local_get(5).end();

    function
}

/// A component, cut in the middle.
pub(crate) fn truncated(component: &[u8]) -> Cow<'_, [u8]> {
    Cow::Borrowed(&component[..component.len() / 2])
}

/// A partitioner without any fault.
fn plain() -> Vec<u8> {
    component(&partitioner("", "", VERSION), WIT, "plugin")
}

/// A partitioner with extra core instances: this many of a module with this many globals.
pub(crate) fn many_globals(instances: u32, globals: u32) -> Vec<u8> {
    let mut module = Module::new();
    let mut section = GlobalSection::new();
    let of = GlobalType {
        val_type: ValType::I32,
        mutable: false,
        shared: false,
    };
    for _ in 0..globals {
        section.global(of, &ConstExpr::i32_const(0));
    }
    module.section(&section);
    let mut component = plain();
    let index = wasmparser::Parser::new(0)
        .parse_all(&component)
        .filter(|payload| matches!(payload, Ok(wasmparser::Payload::ModuleSection { .. })))
        .count() as u32;
    let mut made = InstanceSection::new();
    for _ in 0..instances {
        made.instantiate(index, std::iter::empty::<(&str, ModuleArg)>());
    }
    component.push(ModuleSection(&module).id());
    ModuleSection(&module).encode(&mut component);
    component.push(made.id());
    made.encode(&mut component);
    component
}

/// A component with types within types: each level has two of the level below, and the lowest is a resource.
pub(crate) fn nested_resource_types(levels: u32) -> Vec<u8> {
    let mut types = "(type $t0 (instance (export \"r\" (type (sub resource)))))".to_owned();
    for level in 1..=levels {
        let below = level - 1;
        types.push_str(&format!(
            "(type $t{level} (instance (alias outer 1 $t{below} (type $b))
                (export \"a\" (instance (type $b))) (export \"b\" (instance (type $b)))))"
        ));
    }
    let text = format!("(component {types} (import \"x\" (instance (type $t{levels}))))");
    wat::parse_str(text).expect("a component")
}

/// A component with this many imports, whose names have this many bytes (100,000 at most).
pub(crate) fn long_names(bytes: usize, imports: usize) -> Vec<u8> {
    let names = (0..imports).map(|number| format!("(import \"n{number}-{}\" (instance))", "x".repeat(bytes)));
    let text = format!("(component {})", names.collect::<String>());
    wat::parse_str(text).expect("a component")
}

/// A component with a name of this many bytes twice, which the engine's own error quotes in full.
pub(crate) fn long_error(bytes: usize) -> Vec<u8> {
    let name = format!("(import \"n-{}\" (instance))", "x".repeat(bytes));
    wat::parse_str(format!("(component {name} {name})")).expect("a component")
}

/// A partitioner whose call about several records never ends; it does decide about a single record.
pub(crate) fn endless_batch() -> Vec<u8> {
    let batch = format!(
        r#"(func (export "pointsman:partitioner/batch@{VERSION}#partition-batch")
        (param i32 i32 i32 i32 i32) (result i32) (loop (br 0)) unreachable)"#
    );
    let module = partitioner("", "", VERSION);
    let module = format!("{}{batch})", module.strip_suffix(')').expect("a module"));
    component(&module, WIT, "plugin-batch")
}
