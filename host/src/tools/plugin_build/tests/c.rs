use super::*;

/// A script for a clang that has all it needs; it "compiles" to the file `made`.
const CLANG: &str = r#"dir=$(dirname "$0")
case $1 in -dumpversion) echo 18.1.8; exit;; --print-targets) echo '  wasm32 - WebAssembly'; exit;; esac
echo "$1 $2" >> "$dir/asked"
case $2 in --print-prog-name=*) echo "$dir/wasm-ld"; exit;; --rtlib=*) echo "$dir/builtins.a"; exit;; esac
while [ "$1" != -o ]; do shift; done
cp "$dir/made" "$2""#;

fn bench() -> anyhow::Result<Bench> {
    let mut bench = Bench::with("glue.c", "")?;
    for file in ["wasm-ld", "builtins.a", "sysroot/include/wasm32-wasi/stdlib.h"] {
        bench.write(file, b"")?;
    }
    bench.tools.c.clangs = vec![bench.program("clang.sh", CLANG)?];
    Ok(bench)
}

/// A module that imports `wasi_snapshot_preview1.fd_write`, without parameters.
fn writes_a_file() -> Vec<u8> {
    let mut module = EMPTY_MODULE.to_vec();
    module.extend(b"\x01\x04\x01\x60\0\0");
    module.extend(b"\x02\x23\x01\x16wasi_snapshot_preview1\x08fd_write\0\0");
    module
}

#[test]
fn a_machine_without_clang_is_told_all_the_packages() -> anyhow::Result<()> {
    let mut bench = bench()?;
    bench.tools.c.clangs = vec!["no-such-program-anywhere".into()];
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
    fs::remove_dir_all(bench.dir().join("sysroot"))?;
    let refusal = bench.refusal()?;
    for told in [
        "/nowhere, ",
        "/sysroot; ",
        "include/wasm32-wasip1/stdlib.h",
        "WASI_SYSROOT",
        "WASI_SDK_PATH",
    ] {
        assert!(refusal.contains(told), "no {told} in {refusal}");
    }
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
    bench.tools.c.clangs.splice(0..0, [old.clone(), other.clone()]);
    bench.write("made", &writes_a_file())?;
    assert!(bench.refusal()?.contains("fd_write"));
    bench.tools.c.clangs = vec![old, other];
    assert!(bench.refusal()?.contains("clang 16 or newer is missing"));
    Ok(())
}

#[test]
fn the_c_library_is_found_under_either_name_of_its_target_and_compiled_for_that() -> anyhow::Result<()> {
    for target in ["wasm32-wasi", "wasm32-wasip1"] {
        let bench = bench()?;
        fs::remove_dir_all(bench.dir().join("sysroot"))?;
        bench.write(&format!("nowhere/include/{target}/stdlib.h"), b"")?;
        bench.write("made", &writes_a_file())?;
        // The source was compiled, and the module was looked at.
        assert!(bench.refusal()?.contains("fd_write"), "{target}");
        let asked = fs::read_to_string(bench.dir().join("asked"))?;
        let compiled = format!("--target={target} --sysroot={}", bench.dir().join("nowhere").display());
        assert_eq!(asked.lines().last(), Some(&*compiled));
    }
    Ok(())
}

#[test]
fn a_sysroot_or_sdk_that_is_named_and_is_none_is_told_by_who_names_it() -> anyhow::Result<()> {
    let mut bench = bench()?;
    bench.tools.c.sysroots = vec![bench.dir().join("empty")];
    for named in ["--sysroot", "WASI_SYSROOT"] {
        bench.tools.c.named = Some(named);
        let refusal = bench.refusal()?;
        assert!(
            refusal.starts_with(named) && refusal.contains("/empty: it has no include/wasm32-wasi/stdlib.h or"),
            "{refusal}"
        );
    }
    // A good C library is used, whatever names it.
    bench.tools.c.sysroots = vec![bench.dir().join("sysroot")];
    bench.write("made", &writes_a_file())?;
    assert!(bench.refusal()?.contains("fd_write"));
    let sdk = bench.dir().join("sdk");
    bench.tools.c.clangs = vec![sdk.join("bin/clang").into()];
    bench.tools.c.sdk = Some(sdk);
    let refusal = bench.refusal()?;
    assert!(
        refusal.starts_with("WASI_SDK_PATH: ") && refusal.contains("/sdk that runs"),
        "{refusal}"
    );
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
    let sources = crate::tools::plugin_build::c::sources(bench.dir())?;
    let names: Vec<_> = sources
        .iter()
        .filter_map(|source| source.file_name()?.to_str())
        .collect();
    assert_eq!(names, ["contest.c", "glue.c", "rule.c"]);
    Ok(())
}
