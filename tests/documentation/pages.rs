//! Pages of Markdown: their blocks, and their prose without them.

use std::fs;

use crate::support::{files::files_below, sidecar::root};

/// A file of Markdown.
pub(crate) struct Page {
    /// Its path from the project's top.
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) blocks: Vec<Block>,
}

/// The text between two fences.
pub(crate) struct Block {
    /// The line of its first fence, from 1.
    pub(crate) line: usize,
    /// The info string of the fence.
    pub(crate) info: String,
    /// The text, without the fences' indentation.
    pub(crate) text: String,
    /// The file that a `<!-- file: … -->` above the block names.
    pub(crate) file: Option<String>,
    /// Whether nothing but empty lines is between it and the block before.
    pub(crate) follows: bool,
}

impl Page {
    pub(crate) fn read(name: &str) -> Self {
        let text = fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let blocks = blocks(name, &text);
        let name = name.to_owned();
        Self { name, text, blocks }
    }

    /// The lines outside of blocks, each with its number from 1.
    pub(crate) fn prose(&self) -> Vec<(usize, &str)> {
        let mut inside = false;
        let numbered = (1..).zip(self.text.lines());
        numbered
            .filter(|(_, line)| {
                let fence = is_fence(line);
                let prose = !inside && !fence;
                inside ^= fence;
                prose
            })
            .collect()
    }
}

fn is_fence(line: &str) -> bool {
    line.trim_start().starts_with("```")
}

fn blocks(name: &str, text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut file = None;
    let mut follows = false;
    let mut lines = (1..).zip(text.lines());
    while let Some((number, line)) = lines.next() {
        let Some(info) = line.trim_start().strip_prefix("```") else {
            if let Some(path) = line.trim().strip_prefix("<!-- file: ") {
                file = path.strip_suffix(" -->").map(str::to_owned);
            }
            follows &= line.trim().is_empty();
            continue;
        };
        let indentation = line.len() - line.trim_start().len();
        let mut inner = String::new();
        loop {
            let (_, line) = lines
                .next()
                .unwrap_or_else(|| panic!("{name}:{number}: no second fence"));
            if is_fence(line) {
                break;
            }
            inner.push_str(line.get(indentation..).unwrap_or_default());
            inner.push('\n');
        }
        blocks.push(Block {
            line: number,
            info: info.to_owned(),
            text: inner,
            file: file.take(),
            follows,
        });
        follows = true;
    }
    blocks
}

/// Every page of the project.
pub(crate) fn markdown_files() -> Vec<Page> {
    let pages = files_below(root(), ".md");
    let names = pages.iter().map(|page| page.strip_prefix(root()).expect("it is below"));
    names
        .map(|name| Page::read(name.to_str().expect("a path in UTF-8")))
        .collect()
}
