use super::*;
use crate::plugin::PACKAGE;
use crate::tools::plugin_build::component::surface;
use crate::tools::plugin_build::rust::{Module, modules_in, tells_of_another_build};

/// A bench with a crate and scripts for cargo and rustc.
fn bench(cargo: &str, rustc: &str) -> anyhow::Result<Bench> {
    let mut bench = Bench::with("Cargo.toml", "")?;
    bench.tools.cargo = bench.program("cargo.sh", cargo)?;
    bench.tools.rustc = bench.program("rustc.sh", rustc)?;
    Ok(bench)
}

/// A bench whose cargo says that it made this module.
fn bench_with_module(module: &[u8]) -> anyhow::Result<Bench> {
    let bench = bench("cat messages", "exit 1")?;
    let file = bench.dir().join("module.wasm");
    fs::write(&file, module)?;
    let message = artifact("path+file:///x/mine#0.1.0", "cdylib", &[file.to_str().context("path")?]);
    fs::write(bench.dir().join("messages"), message)?;
    Ok(bench)
}

fn artifact(package_id: &str, crate_type: &str, files: &[&str]) -> String {
    let target = serde_json::json!({"kind": [crate_type], "crate_types": [crate_type], "name": "x"});
    let message = serde_json::json!({
        "reason": "compiler-artifact", "package_id": package_id, "target": target, "filenames": files, "fresh": false,
    });
    format!("{message}\n")
}

#[test]
fn a_machine_without_cargo_is_told_to_get_it() -> anyhow::Result<()> {
    let mut bench = bench("exit 0", "exit 1")?;
    bench.tools.cargo = "no-such-cargo-anywhere".into();
    let refusal = bench.refusal()?;
    assert!(
        refusal.contains("`no-such-cargo-anywhere`") && refusal.contains("install Rust"),
        "{refusal}"
    );
    Ok(())
}

#[test]
fn a_missing_target_is_told_apart_from_code_that_does_not_compile() -> anyhow::Result<()> {
    let refusal = bench("exit 101", "echo /no/such/folder")?.refusal()?;
    assert!(
        refusal.contains("rustup target add wasm32-unknown-unknown"),
        "{refusal}"
    );
    for rustc in ["echo /", "exit 1"] {
        let refusal = bench("exit 101", rustc)?.refusal()?;
        assert!(
            refusal.contains("101") && refusal.contains("see its messages above"),
            "{refusal}"
        );
    }
    Ok(())
}

#[test]
fn a_crate_that_makes_no_module_is_told_which_line_it_lacks() -> anyhow::Result<()> {
    let message = artifact("path+file:///x/mine#0.1.0", "lib", &["/t/libmine.rlib"]);
    let refusal = bench(&format!("echo '{message}'"), "exit 1")?.refusal()?;
    assert!(refusal.contains("crate-type = [\"cdylib\"]"), "{refusal}");
    Ok(())
}

#[test]
fn a_module_that_is_no_partitioner_is_refused_and_nothing_is_written() -> anyhow::Result<()> {
    let bench = bench_with_module(EMPTY_MODULE)?;
    assert!(bench.refusal()?.contains("mine is a plain WebAssembly module"));
    assert!(!bench.left_in_dist());

    let bench = bench_with_module(b"not wasm")?;
    assert!(bench.refusal()?.contains("cannot make a component of mine"));
    assert!(!bench.left_in_dist());
    Ok(())
}

#[test]
fn of_cargos_messages_only_modules_of_ones_own_are_taken() {
    let output = [
        artifact(
            "registry+https://github.com/rust-lang/crates.io-index#other@1.0.0",
            "cdylib",
            &["/t/other.wasm"],
        ),
        "{\"reason\":\"build-finished\",\"success\":true}\n".to_owned(),
        "something that a program printed\n".to_owned(),
        artifact("path+file:///x/zeta#0.1.0", "cdylib", &["/t/zeta.d", "/t/zeta.wasm"]),
        artifact("path+file:///x/folder#alpha@0.1.0", "cdylib", &["/t/alpha.wasm"]),
        artifact("path+file:///x/tool#0.1.0", "bin", &["/t/tool.wasm"]),
    ];
    let module = |name: &str, file: &str| Module {
        name: name.to_owned(),
        file: file.into(),
    };
    let expected = [module("alpha", "/t/alpha.wasm"), module("zeta", "/t/zeta.wasm")];
    assert_eq!(modules_in(output.concat().as_bytes()), expected);
}

#[test]
fn the_outer_build_is_not_heard_and_the_user_is() {
    for variable in [
        "CARGO_PKG_NAME",
        "CARGO_MANIFEST_DIR",
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTC_WORKSPACE_WRAPPER",
    ] {
        assert!(tells_of_another_build(variable), "{variable}");
    }
    for variable in [
        "RUSTFLAGS",
        "CARGO_TARGET_DIR",
        "CARGO_HOME",
        "CARGO_NET_OFFLINE",
        "RUSTUP_TOOLCHAIN",
        "PATH",
    ] {
        assert!(!tells_of_another_build(variable), "{variable}");
    }
}

// Runs the real cargo: slow where the plugins have never been built, quick after that.
#[test]
fn the_plugins_of_this_repository_build_and_import_nothing_but_their_own_interface() -> anyhow::Result<()> {
    let out = tempfile::tempdir()?;
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins");
    let built = build(&plugins, Some(out.path()), None, &mut |_| {})?;
    for name in ["header", "json-field", "key-hash", "round-robin", "tenant"] {
        let built = built.iter().find(|built| built.name == name).context(name)?;
        assert_eq!(built.file, out.path().join(format!("{name}.wasm")));
        let (imports, exports) = surface(&fs::read(&built.file)?)?;
        assert!(
            imports.iter().all(|import| import.starts_with(PACKAGE)),
            "{name}: {imports:?}"
        );
        let both = [
            "pointsman:partitioner/partitioner@1.1.0",
            "pointsman:partitioner/batch@1.1.0",
        ];
        assert_eq!(exports, both, "{name}");
    }
    Ok(())
}
