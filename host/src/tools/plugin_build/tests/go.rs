use super::*;
use crate::tools::plugin_build::go::{STAND_IN, unknown_calls};

const WAT: &str = include_str!("../go/system.wat");

/// A script for a go of this version; it "compiles" to the file `made`.
fn go(version: &str) -> String {
    format!(
        r#"if [ "$1" = env ]; then echo {version}; exit; fi
[ "$GOOS $GOARCH" = "wasip1 wasm" ] || exit 9
while [ "$1" != -o ]; do shift; done
cp made "$2""#
    )
}

fn bench(version: &str) -> anyhow::Result<Bench> {
    let mut bench = Bench::with("go.mod", "// mine\nmodule example.com/team/mine\n\ngo 1.24\n")?;
    bench.tools.go = bench.program("go.sh", &go(version))?;
    Ok(bench)
}

/// A module that imports these functions of WASI, without parameters.
fn calls(functions: &[&str]) -> anyhow::Result<Vec<u8>> {
    let imports: String = functions
        .iter()
        .map(|name| format!("(import \"wasi_snapshot_preview1\" \"{name}\" (func))"))
        .collect();
    Ok(wat::parse_str(format!("(module {imports})"))?)
}

#[test]
fn a_machine_without_go_or_with_an_old_one_is_told_which_to_get() -> anyhow::Result<()> {
    let refusal = Bench::with("go.mod", "module mine\n")?.refusal()?;
    assert!(
        refusal.contains("which compiles Go; install Go 1.24 or newer"),
        "{refusal}"
    );
    for old in ["go1.23.12", "go1.9", "go1.23rc1"] {
        let refusal = bench(old)?.refusal()?;
        let told = format!("is Go {}, but a plugin needs 1.24", old.trim_start_matches("go"));
        assert!(refusal.contains(&told), "{refusal}");
    }
    for enough in ["go1.24", "go1.24rc1", "go1.30.1", "go2.0", "devel-a1b2c3"] {
        // The version is accepted; the build fails because the file `made` is missing.
        assert!(bench(enough)?.refusal()?.contains("could not build"), "{enough}");
    }
    Ok(())
}

#[test]
fn the_plugin_is_called_as_the_last_part_of_the_modules_path() -> anyhow::Result<()> {
    let name = |text: &str| -> anyhow::Result<String> {
        let bench = bench("go1.24")?;
        bench.write("go.mod", text.as_bytes())?;
        bench.write("made", EMPTY_MODULE)?;
        bench.refusal()
    };
    for (text, called) in [
        ("module mine", "mine"),
        ("module example.com/team/mine", "mine"),
        ("go 1.24\nmodule \"example.com/mine/v2\" // ours", "mine"),
        ("module v2", "v2"),
        ("module example.com/v2", "v2"),
        ("module example.com/vast", "vast"),
    ] {
        let refusal = name(text)?;
        assert!(
            refusal.contains(&format!("cannot make a component of {called}:")),
            "{text}: {refusal}"
        );
    }
    assert!(name("go 1.24")?.contains("write a line `module my-plugin` there"));
    assert!(name("module example.com/~mine")?.contains("names the plugin `~mine`"));
    Ok(())
}

#[test]
fn calls_that_not_even_the_stand_in_has_are_named_and_nothing_is_written() -> anyhow::Result<()> {
    let bench = bench("go1.24")?;
    bench.write(
        "made",
        &calls(&["fd_write", "path_open", "clock_time_get", "path_open", "fd_seek"])?,
    )?;
    let refusal = bench.refusal()?;
    assert!(
        refusal.contains("gives a partitioner: fd_seek, path_open;") && refusal.contains("os.Open"),
        "{refusal}"
    );
    assert!(!bench.left_in_dist());
    Ok(())
}

/// The stand-in has everything that Go 1.24 to 1.26 import for any program, and with fmt, encoding/json, log/slog,
/// text/template and crypto/rand.
#[test]
fn what_every_plugin_in_go_calls_is_there() -> anyhow::Result<()> {
    let usual = [
        "args_get",
        "args_sizes_get",
        "clock_time_get",
        "environ_get",
        "environ_sizes_get",
        "fd_close",
        "fd_fdstat_get",
        "fd_fdstat_set_flags",
        "fd_prestat_dir_name",
        "fd_prestat_get",
        "fd_read",
        "fd_write",
        "poll_oneoff",
        "pointsman_text",
        "proc_exit",
        "random_get",
        "sched_yield",
    ];
    assert_eq!(unknown_calls(&calls(&usual)?)?, [""; 0]);
    Ok(())
}

#[test]
fn the_stand_in_for_the_system_is_what_its_text_says() -> anyhow::Result<()> {
    let made = wat::parse_str(WAT)?;
    if made != STAND_IN {
        let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/system.wasm");
        fs::write(&place, &made)?;
        anyhow::bail!("copy {} to host/src/plugin_build/go/system.wasm", place.display());
    }
    Ok(())
}
