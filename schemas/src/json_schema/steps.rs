//! How much work a schema asks for, found before a value comes.
//!
//! A `$ref` costs no bytes: thirty definitions, each of which refers twice to the next, apply the last one a billion times. The validator
//! remembers results only where a schema refers to itself. So the ways through a schema are counted, and too many are refused.

use std::collections::HashMap;

use serde_json::Value;

use super::references::{References, id_of};
use crate::BadSchema;

/// The most subschemas, those of references included.
const MOST_SUBSCHEMAS: usize = 200_000;

/// The most times that subschemas may be applied on the way from a value to one of its parts.
const MOST_STEPS: usize = 1_000_000;

/// The longest chain of schemas that are applied to one place of a value.
const MOST_HERE: usize = 256;

/// Keywords whose schemas are applied to the same place of a value.
const HERE: [&str; 11] = [
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "dependentSchemas",
    "dependencies",
    "extends",
    "disallow",
];

/// Keywords whose schemas may all be applied to the same part of a place.
const BELOW: [&str; 8] = [
    "patternProperties",
    "additionalProperties",
    "unevaluatedProperties",
    "propertyNames",
    "items",
    "additionalItems",
    "unevaluatedItems",
    "contains",
];

/// Keywords with schemas of which one, at most, is applied to a part.
const ONE_OF_THEM: [&str; 2] = ["properties", "prefixItems"];

/// Keywords with values that are schemas by name; in other keywords, an object is a schema.
const BY_NAME: [&str; 6] = [
    "properties",
    "patternProperties",
    "dependentSchemas",
    "dependencies",
    "definitions",
    "$defs",
];

/// What a schema costs.
#[derive(Debug, Default)]
pub(super) struct Steps {
    /// The most subschemas that are applied on the way from a value to one of its parts, if no schema refers to itself.
    pub(super) most: usize,
    /// The longest chain of schemas that are applied to one place.
    pub(super) here_deep: usize,
    /// Whether a schema refers to itself by more than one way, so that finding all mistakes takes exponential time.
    pub(super) branches: bool,
    /// Whether there are alternatives, of which all mistakes are collected.
    pub(super) collects: bool,
    /// How many patterns there are.
    pub(super) patterns: usize,
}

#[derive(Debug, Default)]
struct Node {
    here: Vec<usize>,
    below: Vec<usize>,
    one: Vec<usize>,
}

impl Node {
    fn edges(&self) -> impl Iterator<Item = usize> {
        self.here.iter().chain(&self.below).chain(&self.one).copied()
    }
}

impl Steps {
    pub(super) fn of(schema: &Value, references: &References) -> Result<Self, BadSchema> {
        let mut graph = Graph::new(schema, references);
        graph.build()?;
        let mut steps = graph.steps;
        let (here_most, here_deep) = weigh_here(&graph.nodes)?;
        let parts = strong_parts(&graph.nodes);
        let mut part_of = vec![0; graph.nodes.len()];
        for (index, part) in parts.iter().enumerate() {
            part.iter().for_each(|&node| part_of[node] = index);
        }
        // The parts that others need come first.
        let mut most = vec![0usize; graph.nodes.len()];
        for (index, part) in parts.iter().enumerate() {
            let mut whole = 0usize;
            for &at in part {
                let node = &graph.nodes[at];
                let all = node.here.iter().chain(&node.below);
                let (mut sum, mut inside) = (1usize, 0);
                for &next in all {
                    sum = sum.saturating_add(most[next]);
                    inside += usize::from(part_of[next] == index);
                }
                let one = node.one.iter().map(|&next| most[next]).max().unwrap_or(0);
                inside += usize::from(node.one.iter().any(|&next| part_of[next] == index));
                steps.branches |= inside > 1;
                whole = whole.saturating_add(sum).saturating_add(one);
            }
            part.iter().for_each(|&node| most[node] = whole);
        }
        steps.most = most.first().copied().unwrap_or(0);
        steps.here_deep = here_deep;
        if steps.most.max(here_most) > MOST_STEPS {
            return Err(BadSchema::new(format!(
                "checking one value could take more than {MOST_STEPS} steps: schemas refer to others again and again; use fewer $ref to \
                 the same schema within allOf, anyOf and oneOf"
            )));
        }
        if here_deep > MOST_HERE {
            return Err(BadSchema::new(format!(
                "{here_deep} schemas refer to each other in a chain; at most {MOST_HERE} may"
            )));
        }
        Ok(steps)
    }
}

/// The subschemas, and which ones are applied by which.
struct Graph<'s> {
    nodes: Vec<Node>,
    of_schema: HashMap<*const Value, usize>,
    /// Still to be read: the schema, the document and the resource that it lies in.
    to_do: Vec<(&'s Value, &'s Value, &'s Value)>,
    root: &'s Value,
    references: &'s References,
    /// Where embedded `$id` and anchors are.
    named: HashMap<&'s str, Vec<(&'s Value, &'s Value)>>,
    steps: Steps,
}

impl<'s> Graph<'s> {
    fn new(root: &'s Value, references: &'s References) -> Self {
        let mut named = HashMap::new();
        for document in std::iter::once(root).chain(&references.schemas) {
            collect_names(document, document, &mut named);
        }
        Self {
            nodes: Vec::new(),
            of_schema: HashMap::new(),
            to_do: Vec::new(),
            root,
            references,
            named,
            steps: Steps::default(),
        }
    }

    fn build(&mut self) -> Result<(), BadSchema> {
        self.node(self.root, self.root, self.root);
        let mut at = 0;
        while let Some(&(schema, document, resource)) = self.to_do.get(at) {
            if self.to_do.len() > MOST_SUBSCHEMAS {
                return Err(BadSchema::new(format!(
                    "the schema and its references have more than {MOST_SUBSCHEMAS} subschemas"
                )));
            }
            let node = self.read(schema, document, resource);
            self.nodes[at] = node;
            at += 1;
        }
        Ok(())
    }

    /// The number of a schema, which is new or not.
    fn node(&mut self, schema: &'s Value, document: &'s Value, resource: &'s Value) -> usize {
        let next = self.nodes.len();
        let number = *self.of_schema.entry(std::ptr::from_ref(schema)).or_insert(next);
        if number == next {
            let resource = if id_of(schema).is_some() { schema } else { resource };
            self.nodes.push(Node::default());
            self.to_do.push((schema, document, resource));
        }
        number
    }

    fn read(&mut self, schema: &'s Value, document: &'s Value, resource: &'s Value) -> Node {
        let mut node = Node::default();
        let Value::Object(keywords) = schema else {
            return node;
        };
        for (keyword, value) in keywords {
            let keyword = keyword.as_str();
            self.steps.collects |= matches!(keyword, "anyOf" | "oneOf");
            match (keyword, value) {
                ("pattern", _) => self.steps.patterns += 1,
                ("patternProperties", Value::Object(patterns)) => self.steps.patterns += patterns.len(),
                ("$ref" | "$dynamicRef" | "$recursiveRef", Value::String(to)) => {
                    for (target, document) in self.targets(to, document, resource) {
                        let number = self.node(target, document, document);
                        node.here.push(number);
                    }
                }
                _ => {}
            }
            let edges = match keyword {
                _ if HERE.contains(&keyword) => &mut node.here,
                // A list of `items` is what later drafts call `prefixItems`.
                _ if ONE_OF_THEM.contains(&keyword) || (keyword == "items" && value.is_array()) => &mut node.one,
                _ if BELOW.contains(&keyword) => &mut node.below,
                _ => continue,
            };
            let schemas: Vec<&Value> = match value {
                Value::Array(schemas) => schemas.iter().collect(),
                Value::Object(schemas) if BY_NAME.contains(&keyword) => schemas.values().collect(),
                _ => vec![value],
            };
            for schema in schemas.into_iter().filter(|schema| schema.is_object()) {
                let number = self.node(schema, document, resource);
                edges.push(number);
            }
        }
        node
    }

    /// What a `$ref` may stand for. Where that is not sure, it is more than one.
    fn targets(&self, to: &str, document: &'s Value, resource: &'s Value) -> Vec<(&'s Value, &'s Value)> {
        let (address, fragment) = to.split_once('#').unwrap_or((to, ""));
        let fragment = percent_decoded(fragment);
        let mut bases = Vec::new();
        if address.is_empty() {
            bases.extend([(resource, document), (document, document)]);
        } else {
            bases.extend(
                self.references
                    .find(address)
                    .map(|index| &self.references.schemas[index])
                    .map(|at| (at, at)),
            );
            bases.extend(self.named.get(last_name(address)).into_iter().flatten().copied());
        }
        if fragment.is_empty() || fragment.starts_with('/') {
            bases.dedup_by_key(|(base, _)| std::ptr::from_ref(*base));
            let found = |&(base, document): &(&'s Value, &'s Value)| Some((base.pointer(&fragment)?, document));
            return match address.is_empty() {
                true => bases.iter().find_map(found).into_iter().collect(),
                false => bases.iter().filter_map(found).collect(),
            };
        }
        self.named.get(fragment.as_str()).cloned().unwrap_or_default()
    }
}

/// Remembers each `$id`, by its last part, and each anchor. JSON nests at most 128 deep.
fn collect_names<'s>(value: &'s Value, document: &'s Value, named: &mut HashMap<&'s str, Vec<(&'s Value, &'s Value)>>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect_names(item, document, named)),
        Value::Object(entries) => {
            for (keyword, entry) in entries {
                if let ("$id" | "id" | "$anchor" | "$dynamicAnchor", Value::String(name)) = (keyword.as_str(), entry) {
                    named.entry(last_name(name)).or_default().push((value, document));
                }
                collect_names(entry, document, named);
            }
        }
        _ => {}
    }
}

/// The part after the last slash, without an empty fragment; of an old draft's `#anchor`, the anchor.
fn last_name(address: &str) -> &str {
    let address = address.trim_end_matches('#').trim_start_matches('#');
    address.rsplit('/').next().unwrap_or(address)
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let decoded = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match decoded.filter(|_| byte == b'%') {
            Some(decoded) => {
                bytes.push(decoded);
                rest = &after[2..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The most schemas that are applied to one place because of one schema, and the longest chain of them. A schema that is applied to a place
/// because it is applied to that place has no meaning.
fn weigh_here(nodes: &[Node]) -> Result<(usize, usize), BadSchema> {
    let mut users = vec![0usize; nodes.len()];
    nodes
        .iter()
        .flat_map(|node| &node.here)
        .for_each(|&used| users[used] += 1);
    let mut order: Vec<usize> = (0..nodes.len()).filter(|&node| users[node] == 0).collect();
    let mut at = 0;
    while let Some(&node) = order.get(at) {
        for &used in &nodes[node].here {
            users[used] -= 1;
            if users[used] == 0 {
                order.push(used);
            }
        }
        at += 1;
    }
    if order.len() < nodes.len() {
        return Err(BadSchema::new(
            "a schema refers to itself without going into a part of the value, such as {\"$ref\": \"#\"} at the top; a value could \
             never be checked",
        ));
    }
    let mut weight = vec![(1usize, 1usize); nodes.len()];
    for &node in order.iter().rev() {
        let (mut most, mut deep) = (1usize, 0);
        for &used in &nodes[node].here {
            most = most.saturating_add(weight[used].0);
            deep = weight[used].1.max(deep);
        }
        weight[node] = (most, deep + 1);
    }
    let most = weight.iter().map(|weight| weight.0).max().unwrap_or(0);
    let deep = weight.iter().map(|weight| weight.1).max().unwrap_or(0);
    Ok((most, deep))
}

/// The nodes in parts within which each leads to each (Kosaraju's algorithm, without recursion); a part comes after all that it leads to.
fn strong_parts(nodes: &[Node]) -> Vec<Vec<usize>> {
    let backward = {
        let mut backward = vec![Vec::new(); nodes.len()];
        for (from, node) in nodes.iter().enumerate() {
            node.edges().for_each(|to: usize| backward[to].push(from));
        }
        backward
    };
    let forward: Vec<Vec<usize>> = nodes.iter().map(|node| node.edges().collect()).collect();
    // Backward first: what is left last there leads to nothing that is left.
    let mut seen = vec![false; nodes.len()];
    let mut order = Vec::with_capacity(nodes.len());
    for start in 0..nodes.len() {
        walk(&backward, start, &mut seen, &mut order);
    }
    let mut seen = vec![false; nodes.len()];
    let mut parts = Vec::new();
    for &start in order.iter().rev() {
        let mut part = Vec::new();
        walk(&forward, start, &mut seen, &mut part);
        if !part.is_empty() {
            parts.push(part);
        }
    }
    parts
}

/// Goes to all that was not seen yet, and lists it as it is left.
fn walk(edges: &[Vec<usize>], start: usize, seen: &mut [bool], left: &mut Vec<usize>) {
    if std::mem::replace(&mut seen[start], true) {
        return;
    }
    let mut path = vec![(start, 0)];
    while let Some((node, edge)) = path.last_mut() {
        match edges[*node].get(*edge) {
            Some(&next) => {
                *edge += 1;
                if !std::mem::replace(&mut seen[next], true) {
                    path.push((next, 0));
                }
            }
            None => {
                left.push(*node);
                path.pop();
            }
        }
    }
}
