use super::*;

/// A clang with all that it needs; it "compiles" to the file `made`.
const CLANG: &str = r#"dir=$(dirname "$0")
case $1 in -dumpversion) echo 18.1.8; exit;; --print-targets) echo '  wasm32 - WebAssembly'; exit;; esac
case $2 in --print-prog-name=*) echo "$dir/wasm-ld"; exit;; --rtlib=*) echo "$dir/builtins.a"; exit;; esac
while [ "$1" != -o ]; do shift; done
cp "$dir/made" "$2""#;

fn bench() -> anyhow::Result<Bench> {
    let mut bench = Bench::with("glue.c", "")?;
    for file in ["wasm-ld", "builtins.a", "sysroot/include/wasm32-wasi/stdlib.h"] {
        bench.write(file, b"")?;
    }
    bench.tools.clangs = vec![bench.program("clang.sh", CLANG)?];
    Ok(bench)
}

/// A module that imports `wasi_snapshot_preview1.fd_write`, of no parameters.
fn writes_a_file() -> Vec<u8> {
    let mut module = EMPTY_MODULE.to_vec();
    module.extend(b"\x01\x04\x01\x60\0\0");
    module.extend(b"\x02\x23\x01\x16wasi_snapshot_preview1\x08fd_write\0\0");
    module
}

#[test]
fn a_machine_without_clang_is_told_all_the_packages() -> anyhow::Result<()> {
    let mut bench = bench()?;
    bench.tools.clangs = vec!["no-such-program-anywhere".into()];
    let refusal = bench.refusal()?;
    assert!(refusal.contains("clang 16 or newer is missing"), "{refusal}");
    assert!(
        refusal.ends_with("apt-get install clang-19 lld-19 wasi-libc libclang-rt-19-dev-wasm32"),
        "{refusal}"
    );
    Ok(())
}

#[test]
fn a_clang_that_lacks_something_is_told_only_that() -> anyhow::Result<()> {
    let bench = bench()?;
    fs::remove_file(bench.dir().join("wasm-ld"))?;
    let refusal = bench.refusal()?;
    assert!(refusal.contains("the linker wasm-ld of"), "{refusal}");
    assert!(refusal.ends_with("apt-get install lld-18"), "{refusal}");
    fs::remove_file(bench.dir().join("builtins.a"))?;
    fs::remove_dir_all(&bench.tools.sysroot)?;
    let refusal = bench.refusal()?;
    assert!(
        refusal.ends_with("apt-get install lld-18 wasi-libc libclang-rt-18-dev-wasm32"),
        "{refusal}"
    );
    Ok(())
}

#[test]
fn a_clang_that_is_too_old_or_knows_no_wasm_is_passed_over() -> anyhow::Result<()> {
    let mut bench = bench()?;
    let old = bench.program("old.sh", &CLANG.replace("18.1.8", "15.0.6"))?;
    let other = bench.program("other.sh", &CLANG.replace("wasm32", "x86"))?;
    bench.tools.clangs.splice(0..0, [old.clone(), other.clone()]);
    bench.write("made", &writes_a_file())?;
    assert!(bench.refusal()?.contains("fd_write"));
    bench.tools.clangs = vec![old, other];
    assert!(bench.refusal()?.contains("clang 16 or newer is missing"));
    Ok(())
}

#[test]
fn calls_of_the_system_are_named_and_nothing_is_written() -> anyhow::Result<()> {
    let bench = bench()?;
    bench.write("made", &writes_a_file())?;
    let refusal = bench.refusal()?;
    assert!(
        refusal.contains("gives a partitioner: fd_write;") && refusal.contains("printf"),
        "{refusal}"
    );
    assert!(!bench.left_in_dist());
    Ok(())
}

#[test]
fn a_module_that_exports_no_partitioner_is_refused() -> anyhow::Result<()> {
    let bench = bench()?;
    bench.write("made", EMPTY_MODULE)?;
    let refusal = bench.refusal()?;
    assert!(refusal.contains("cannot make a component of mine"), "{refusal}");
    Ok(())
}

#[test]
fn tests_are_no_part_of_the_plugin() -> anyhow::Result<()> {
    let bench = bench()?;
    for file in ["rule.c", "rule.h", "test.c", "test_rule.c", "rule_test.c", "contest.c"] {
        bench.write(file, b"")?;
    }
    let sources = crate::plugin_build::c::sources(bench.dir())?;
    let names: Vec<_> = sources
        .iter()
        .filter_map(|source| source.file_name()?.to_str())
        .collect();
    assert_eq!(names, ["contest.c", "glue.c", "rule.c"]);
    Ok(())
}
