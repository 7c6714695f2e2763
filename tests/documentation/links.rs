//! Checks the links between pages and to files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use super::pages::{Page, markdown_files};
use crate::support::sidecar::root;

/// The links that lead nowhere, each with its page and line.
pub(crate) fn dead() -> Vec<String> {
    let pages = markdown_files();
    let anchors: BTreeMap<&str, BTreeSet<String>> =
        pages.iter().map(|page| (page.name.as_str(), anchors(page))).collect();
    let mut dead = Vec::new();
    for page in &pages {
        for target in targets(page) {
            if let Some(why) = trouble(page, &target, &anchors) {
                dead.push(format!("{}: {target}: {why}", page.name));
            }
        }
    }
    dead
}

/// What the links of a page lead to, those to other machines aside.
pub(crate) fn targets(page: &Page) -> Vec<String> {
    let prose: Vec<&str> = page.prose().into_iter().map(|(_, line)| line).collect();
    let prose = without_code(&prose.join("\n"));
    let inline = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let by_name = prose
        .lines()
        .filter_map(|line| line.strip_prefix('[')?.split_once("]: "));
    inline
        .chain(by_name.map(|(_, target)| target))
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
        .map(str::to_owned)
        .collect()
}

fn trouble(page: &Page, target: &str, anchors: &BTreeMap<&str, BTreeSet<String>>) -> Option<String> {
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let name = if path.is_empty() {
        page.name.clone()
    } else {
        let folder = Path::new(&page.name).parent().expect("a page is a file");
        match normal(&folder.join(path)) {
            Some(path) => path,
            None => return Some("it leaves the project".to_owned()),
        }
    };
    if !root().join(&name).exists() {
        return Some(format!("there is no {name}"));
    }
    if anchor.is_empty() || anchors.get(name.as_str()).is_some_and(|all| all.contains(anchor)) {
        return None;
    }
    Some(format!("{name} has no heading #{anchor}"))
}

/// The path without `.` and `..`; none where it leaves the project.
fn normal(path: &Path) -> Option<String> {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if normal.pop() => {}
            Component::Normal(name) => normal.push(name),
            _ => return None,
        }
    }
    normal.to_str().map(str::to_owned)
}

/// The anchors of a page's headings, as forges and mdBook make them.
fn anchors(page: &Page) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for (_, line) in page.prose() {
        let heading = line.trim_start_matches('#');
        if heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let slug: String = heading
            .trim()
            .to_lowercase()
            .chars()
            .filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'))
            .map(|letter| if letter == ' ' { '-' } else { letter })
            .collect();
        let mut anchor = slug.clone();
        for number in 1.. {
            if anchors.insert(anchor.clone()) {
                break;
            }
            anchor = format!("{slug}-{number}");
        }
    }
    anchors
}

/// The text without code in backticks, where a bracket is not a link.
fn without_code(text: &str) -> String {
    text.split('`').step_by(2).collect()
}
