use std::collections::BTreeSet;

use super::*;
use crate::config::Overrides;
use crate::reload::ConfigFile;
use crate::tools::plugin_build;

const ALL: [Language; 5] = [
    Language::Rust,
    Language::C,
    Language::Js,
    Language::Python,
    Language::Go,
];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The paths of all files below a folder, without what builds leave there.
fn files_in(folder: &Path) -> anyhow::Result<BTreeSet<String>> {
    const BUILT: [&str; 7] = [
        "target",
        "dist",
        "build",
        "node_modules",
        ".venv",
        "__pycache__",
        ".cargo",
    ];
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry
            .file_name()
            .into_string()
            .map_err(|name| anyhow::anyhow!("{name:?}"))?;
        if entry.file_type()?.is_dir() {
            if !BUILT.contains(&name.as_str()) {
                found.extend(
                    files_in(&entry.path())?
                        .into_iter()
                        .map(|file| format!("{name}/{file}")),
                );
            }
        } else {
            found.insert(name);
        }
    }
    Ok(found)
}

fn refusal(name: &str, language: Language, dir: &Path) -> anyhow::Result<String> {
    match new(name, language, Some(dir)) {
        Ok(new) => anyhow::bail!("made {new:?}"),
        Err(error) => Ok(format!("{error:#}")),
    }
}

#[test]
fn no_file_of_an_example_or_of_the_sdk_is_forgotten() -> anyhow::Result<()> {
    let lists = [
        ("examples/write-a-plugin/rust", templates::RUST, ""),
        ("examples/write-a-plugin/c", templates::C, ""),
        ("examples/write-a-plugin/js", templates::JS, ""),
        ("examples/write-a-plugin/python", templates::PYTHON, ""),
        ("examples/write-a-plugin/go", templates::GO, ""),
        ("plugins/sdk", templates::SDK, "vendor/pointsman-plugin/"),
        ("plugins/json-pointer", templates::JSON_POINTER, "vendor/json-pointer/"),
    ];
    for (folder, list, place) in lists {
        let listed: BTreeSet<_> = list
            .iter()
            .filter_map(|file| file.path.strip_prefix(place))
            .map(str::to_owned)
            .collect();
        assert_eq!(listed, files_in(&repository().join(folder))?, "{folder}");
    }
    Ok(())
}

#[test]
fn in_every_language_a_new_plugin_is_complete_and_bears_its_own_name() -> anyhow::Result<()> {
    for language in ALL {
        let folder = tempfile::tempdir()?;
        let dir = folder.path().join("by-customer");
        let new = new("by-customer", language, Some(&dir))?;
        let files = files_in(&dir)?;
        assert_eq!(new.files, files.len(), "{language}");
        assert!(
            files.contains("cases.toml") && files.contains("wit/partitioner.wit"),
            "{language}"
        );
        for file in files {
            let text = fs::read_to_string(dir.join(&file))?;
            for left_over in ["customer-tier", "../cases.toml", "plugins/sdk", "dist/c.wasm"] {
                assert!(!text.contains(left_over), "{language}: {file} has {left_over}");
            }
        }
        assert_eq!(Language::of(&dir)?, language);
        assert_eq!(new.next.first(), Some(&format!("cd {}", dir.display())));
        // With `plugin new` itself these are five commands at most, and the last one sends a record.
        assert!(new.next.len() <= 4, "{:?}", new.next);
        assert!(new.next.last().is_some_and(|last| last.starts_with("curl ")));
        let config = ConfigFile::new(Some(dir.join("pointsman.toml")), Vec::new(), Overrides::default()).load()?;
        let route = config.config.routes.first().context("no route")?;
        assert_eq!(route.plugin.as_deref(), Some("by-customer"), "{language}");
        let listens = config.config.listen.http.context("no listener")?;
        assert!(new.next.concat().contains(&format!("http://{listens}/")), "{language}");
    }
    Ok(())
}

#[test]
fn a_name_that_no_file_or_crate_can_have_is_refused() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let dir = folder.path().join("new");
    for name in ["", "1st", "-a", "a b", "a/b", "../a", "ä", "a.b", &"a".repeat(65)] {
        let refusal = refusal(name, Language::Js, &dir)?;
        assert!(refusal.contains("letters, digits, `-` and `_`"), "{refusal}");
    }
    for name in ["serde", "serde_json", "pointsman-plugin", "pointsman_plugin", "std"] {
        let refusal = refusal(name, Language::Rust, &dir)?;
        assert!(refusal.contains("choose another name"), "{refusal}");
    }
    assert!(!dir.exists());
    new("a1_b-C", Language::Js, Some(&dir))?;
    Ok(())
}

#[test]
fn nothing_is_written_over() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let dir = folder.path().join("mine");
    fs::create_dir(&dir)?;
    new("mine", Language::Python, Some(&dir))?;
    fs::write(dir.join("rule.py"), "mine")?;
    assert!(refusal("mine", Language::Python, &dir)?.contains("not empty; choose another folder with --dir"));
    assert_eq!(fs::read_to_string(dir.join("rule.py"))?, "mine");
    assert!(refusal("mine", Language::Python, &dir.join("rule.py"))?.contains("rule.py as the plugin's folder"));
    Ok(())
}

#[test]
fn in_c_the_folder_and_the_plugin_cannot_differ_in_name() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let dir = folder.path().join("other");
    assert!(refusal("mine", Language::C, &dir)?.contains("named by its folder"));
    assert!(!dir.exists());
    Ok(())
}

#[test]
fn the_lock_file_stays_sorted_whatever_the_name() {
    let example = "# head\nversion = 4\n\n[[package]]\nname = \"b\"\nversion = \"1\"\n\n[[package]]\nname = \"customer-tier\"\n\
                   version = \"2\"\ndependencies = [\n \"b\",\n]\n\n[[package]]\nname = \"d\"\nversion = \"3\"\n";
    let names = |name| {
        let lock = templates::lock_file(example, name);
        assert!(
            lock.starts_with("# head\nversion = 4\n\n[[package]]\n") && lock.ends_with("\"\n") | lock.ends_with("]\n")
        );
        lock.lines()
            .filter_map(|line| line.strip_prefix("name = ").map(str::to_owned))
            .collect::<Vec<_>>()
    };
    assert_eq!(names("a"), ["\"a\"", "\"b\"", "\"d\""]);
    assert_eq!(names("c"), ["\"b\"", "\"c\"", "\"d\""]);
    assert_eq!(names("e"), ["\"b\"", "\"d\"", "\"e\""]);
}

// Runs the real cargo. The project always lies at the same path and shares the plugins' target folder, so that compiled
// code is used again and nothing piles up.
#[test]
fn a_new_plugin_in_rust_builds_as_it_is_with_the_versions_that_the_example_was_tested_with() -> anyhow::Result<()> {
    let dir = repository().join("plugins/target/plugin-new/a-plugin");
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    new("a-plugin", Language::Rust, Some(&dir))?;
    fs::create_dir(dir.join(".cargo"))?;
    fs::write(dir.join(".cargo/config.toml"), "[build]\ntarget-dir = \"../..\"\n")?;
    let locked = fs::read_to_string(dir.join("Cargo.lock"))?;

    let built = plugin_build::build(&dir, None, None, &mut |_| {})?;
    let names: Vec<_> = built.iter().map(|built| built.name.as_str()).collect();
    assert_eq!(names, ["a-plugin"]);
    assert!(dir.join("dist/a-plugin.wasm").is_file());
    assert_eq!(fs::read_to_string(dir.join("Cargo.lock"))?, locked);
    Ok(())
}
