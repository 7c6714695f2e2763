//! Tests of the build, with scripts in place of the tool chains; for Rust also once with the real one.

use std::ffi::OsString;
use std::process::Command;

use super::component::Component;
use super::*;

mod c;
mod go;
mod rust;
mod scripted;
mod system;

const EMPTY_MODULE: &[u8] = b"\0asm\x01\0\0\0";

const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// A project, and beside it scripts in place of the tools. A test adds the scripts that it needs.
struct Bench {
    folder: tempfile::TempDir,
    tools: Programs,
}

impl Bench {
    fn with(file: &str, text: &str) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("mine").tempdir()?;
        let nothing = OsString::from("no-such-program-anywhere");
        let tools = Programs {
            cargo: nothing.clone(),
            rustc: nothing.clone(),
            c: super::sysroot::SearchPaths {
                clangs: vec![nothing.clone()],
                sysroots: vec![folder.path().join("nowhere"), folder.path().join("sysroot")],
                named: None,
                sdk: None,
            },
            node: nothing.clone(),
            componentize_py: nothing.clone(),
            go: nothing,
        };
        let bench = Self { folder, tools };
        bench.write(file, text.as_bytes())?;
        Ok(bench)
    }

    fn dir(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, file: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let file = self.dir().join(file);
        fs::create_dir_all(file.parent().context("no folder")?)?;
        Ok(fs::write(file, bytes)?)
    }

    /// A shell writes the script, so that no other test's child process can inherit the open file: a file that is open
    /// for writing cannot be run.
    fn program(&self, name: &str, script: &str) -> anyhow::Result<OsString> {
        let file = self.dir().join(name);
        let write = r#"printf '#!/bin/sh\n%s\n' "$1" > "$0" && chmod 755 "$0""#;
        let status = Command::new("sh").args(["-c", write]).arg(&file).arg(script).status()?;
        anyhow::ensure!(status.success(), "cannot write {}", file.display());
        Ok(file.into())
    }

    fn build(&self) -> anyhow::Result<Vec<Built>> {
        build_with(&self.tools, self.dir(), None, &mut |_| {})
    }

    fn refusal(&self) -> anyhow::Result<String> {
        match self.build() {
            Ok(built) => anyhow::bail!("built {built:?}"),
            Err(error) => Ok(format!("{error:#}")),
        }
    }

    fn left_in_dist(&self) -> bool {
        self.dir().join("dist").exists()
    }
}

#[test]
fn the_language_is_told_by_what_lies_in_the_folder() -> anyhow::Result<()> {
    let bench = Bench::with("rule.c", "")?;
    let expected = [
        ("rule.h", Language::C),
        ("go.mod", Language::Go),
        ("pyproject.toml", Language::Python),
        ("package.json", Language::Js),
        ("Cargo.toml", Language::Rust),
    ];
    // In ascending order of precedence.
    for (file, language) in expected {
        bench.write(file, b"")?;
        assert_eq!(Language::of(bench.dir())?, language, "with {file}");
    }
    Ok(())
}

#[test]
fn a_folder_without_a_plugin_is_told_what_would_be_one_in_each_language() -> anyhow::Result<()> {
    // A folder with only a test holds no plugin.
    let refusal = Bench::with("test.c", "")?.refusal()?;
    for named in [
        "Cargo.toml",
        "package.json",
        "pyproject.toml",
        "go.mod",
        ".c file",
        "plugin new",
    ] {
        assert!(refusal.contains(named), "{refusal}");
    }
    Ok(())
}

#[test]
fn a_folder_that_is_not_there_is_not_called_an_empty_one() -> anyhow::Result<()> {
    let bench = Bench::with("rule.c", "")?;
    let refusal = |dir: &Path| match build_with(&bench.tools, dir, None, &mut |_| {}) {
        Ok(built) => anyhow::bail!("built {built:?}"),
        Err(error) => Ok(error.to_string()),
    };
    let missing = refusal(Path::new("/no/such/folder"))?;
    assert!(missing.starts_with("there is no folder /no/such/folder;"), "{missing}");
    let file = refusal(&bench.dir().join("rule.c"))?;
    assert!(file.contains("rule.c is not a folder"), "{file}");
    bench.write("mine.wasm", EMPTY_MODULE)?;
    let module = refusal(&bench.dir().join("mine.wasm"))?;
    assert!(
        module.contains("mine.wasm: it is a core wasm module, expected a component"),
        "{module}"
    );
    Ok(())
}

#[test]
fn a_file_in_place_is_replaced_and_no_draft_stays_behind() -> anyhow::Result<()> {
    let out = tempfile::tempdir()?;
    let component = |name: &str, bytes: &[u8]| Component {
        name: name.to_owned(),
        bytes: bytes.to_vec(),
    };
    place(component("mine", b"old"), out.path())?;
    let built = place(component("mine", b"abc"), out.path())?;
    assert_eq!(fs::read(&built.file)?, b"abc");
    assert_eq!(built.bytes, 3);
    // The example of FIPS 180-4.
    assert_eq!(
        built.sha256,
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    assert_eq!(fs::read_dir(out.path())?.count(), 1);

    let taken = out.path().join("taken.wasm");
    fs::create_dir(&taken)?;
    assert!(place(component("taken", b"abc"), out.path()).is_err_and(|error| format!("{error:#}").contains("taken")));
    assert_eq!(fs::read_dir(out.path())?.count(), 2);
    Ok(())
}
