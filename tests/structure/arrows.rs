//! Which file uses which, by their `use` lines and the paths in their code.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use crate::support::files::files_below;

/// A module's path below the crate: `["ingest", "parse"]`.
type Module = Vec<String>;

/// Arrows from each file to those that define what it uses.
pub(super) struct Arrows(BTreeMap<Module, BTreeSet<Module>>);

/// What is read of one file.
struct Source {
    /// Paths that it uses, from `crate`, `self`, `super` or one of its own modules on.
    uses: Vec<Vec<String>>,
    /// Names that it hands on, with where they come from.
    handed_on: BTreeMap<String, Vec<String>>,
}

impl Arrows {
    /// Reads all files of a folder with a lib.rs, but for `tests` modules and these folders.
    pub(super) fn read(dir: &Path, without: &[&str]) -> Self {
        let files = files_below(dir, ".rs").into_iter();
        let sources: BTreeMap<Module, Source> = files
            .map(|file| {
                let module = module_of(file.strip_prefix(dir).unwrap());
                (module, Source::of(&fs::read_to_string(&file).unwrap()))
            })
            .filter(|(module, _)| *module != ["main"])
            .collect();
        let arrows = sources
            .iter()
            .filter(|(module, _)| !module.is_empty() && !without.contains(&module[0].as_str()))
            .filter(|(module, _)| !module.iter().any(|part| part == "tests"))
            .map(|(module, source)| {
                let used = source.uses.iter().filter_map(|path| resolve(&sources, module, path, 0));
                (
                    module.clone(),
                    used.filter(|used| used != module && !used.is_empty()).collect(),
                )
            });
        Self(arrows.collect())
    }

    /// Every arrow.
    pub(super) fn all(&self) -> impl Iterator<Item = (String, String)> {
        let arrows = self.0.iter();
        arrows.flat_map(|(from, used)| used.iter().map(|to| (from.join("::"), to.join("::"))))
    }

    /// Files that can be reached from themselves, those of one circle on one line.
    pub(super) fn circles(&self) -> Vec<String> {
        let reached: BTreeMap<&Module, BTreeSet<&Module>> =
            self.0.keys().map(|module| (module, self.reached(module))).collect();
        let mut circles = BTreeSet::new();
        for (module, below) in &reached {
            let in_circle = |other: &&&Module| reached.get(**other).is_some_and(|above| above.contains(module));
            let circle: Vec<String> = below.iter().filter(in_circle).map(|other| other.join("::")).collect();
            if !circle.is_empty() {
                circles.insert(circle.join(", "));
            }
        }
        circles.into_iter().collect()
    }

    fn reached(&self, from: &Module) -> BTreeSet<&Module> {
        let mut reached = BTreeSet::new();
        let mut next: Vec<&Module> = self.0[from].iter().collect();
        while let Some(module) = next.pop() {
            if reached.insert(module) {
                next.extend(self.0.get(module).into_iter().flatten());
            }
        }
        reached
    }
}

/// `ingest/parse.rs` is `["ingest", "parse"]`, and `lib.rs` the crate itself.
fn module_of(file: &Path) -> Module {
    let mut module: Module = file
        .with_extension("")
        .iter()
        .map(|part| part.to_str().unwrap().to_owned())
        .collect();
    module.retain(|part| part != "lib");
    module
}

/// The file that defines what a path names; none for other crates.
fn resolve(sources: &BTreeMap<Module, Source>, module: &Module, path: &[String], depth: usize) -> Option<Module> {
    let mut at = module.clone();
    let mut rest = path;
    match rest.first()?.as_str() {
        "crate" => {
            at.clear();
            rest = &rest[1..];
        }
        "self" => rest = &rest[1..],
        "super" => {
            while rest.first().is_some_and(|part| part == "super") {
                at.pop()?;
                rest = &rest[1..];
            }
        }
        own => {
            at.push(own.to_owned());
            let is_own = sources.contains_key(&at);
            at.pop();
            if !is_own {
                return None;
            }
        }
    }
    while let Some(part) = rest.first() {
        at.push(part.clone());
        if !sources.contains_key(&at) {
            at.pop();
            break;
        }
        rest = &rest[1..];
    }
    // Names may be handed on a few times, and never in a circle.
    let handed_on = rest.first().and_then(|name| sources[&at].handed_on.get(name));
    match handed_on.filter(|_| depth < 8) {
        Some(from) => resolve(sources, &at, from, depth + 1).or(Some(at)),
        None => Some(at),
    }
}

impl Source {
    fn of(text: &str) -> Self {
        let mut source = Self {
            uses: Vec::new(),
            handed_on: BTreeMap::new(),
        };
        let without_tests = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let mut lines = without_tests
            .lines()
            .map(|line| line.split("//").next().unwrap_or_default());
        while let Some(line) = lines.next() {
            let Some((visibility, begun)) = split_use(line) else {
                source.uses.extend(paths(line));
                continue;
            };
            let mut statement = begun.to_owned();
            while !statement.contains(';') {
                statement.push_str(lines.next().expect("a use ends with a semicolon"));
            }
            let mut used = Vec::new();
            flatten(&[], statement.trim_end().trim_end_matches(';'), &mut used);
            if visibility.is_empty() {
                source.uses.append(&mut used);
            } else {
                let named = used.into_iter().filter_map(|path| Some((path.last()?.clone(), path)));
                source.handed_on.extend(named);
            }
        }
        source
    }
}

/// The visibility and the beginning of a `use`, where a line begins one.
fn split_use(line: &str) -> Option<(&str, &str)> {
    let (visibility, used) = line.trim_start().split_once("use ")?;
    let visibility = visibility.trim();
    let is_one =
        visibility.is_empty() || visibility == "pub" || (visibility.starts_with("pub(") && visibility.ends_with(')'));
    is_one.then_some((visibility, used))
}

/// `a::{b, c::d}` is a::b and a::c::d.
fn flatten(before: &[String], tree: &str, out: &mut Vec<Vec<String>>) {
    let (head, list) = match tree.split_once('{') {
        Some((head, list)) => (head, Some(list.rsplit_once('}').map_or(list, |(list, _)| list))),
        None => (tree, None),
    };
    let mut path = before.to_vec();
    let head = head.split(" as ").next().unwrap_or_default();
    path.extend(
        head.split("::")
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(str::to_owned),
    );
    let Some(list) = list else {
        if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
            path.pop();
        }
        return out.push(path);
    };
    let (mut depth, mut begin) = (0, 0);
    for (at, character) in list.char_indices().chain([(list.len(), ',')]) {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !list[begin..at].trim().is_empty() {
                    flatten(&path, list[begin..at].trim(), out);
                }
                begin = at + 1;
            }
            _ => {}
        }
    }
}

/// Paths in code: words that are joined by `::`.
fn paths(code: &str) -> Vec<Vec<String>> {
    let is_path = |character: char| character.is_alphanumeric() || character == '_' || character == ':';
    code.split(|character| !is_path(character))
        .filter(|word| word.contains("::"))
        .map(|word| word.split("::").map(str::to_owned).collect())
        .collect()
}
