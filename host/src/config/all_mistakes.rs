//! Finds all mistakes of a configuration at once.
//!
//! The TOML reader stops at the first value that it cannot take. So that value is taken out, which leaves its default,
//! and the file is read again, until it can be read. The rules are checked on the rest. A mistake about a key that was
//! taken out is omitted, since it is not about what the file says.

use std::{collections::HashSet, path::Path};

use serde::Deserialize as _;
use toml::{
    Spanned,
    de::{DeTable, DeValue, Deserializer},
};

use super::{Config, ConfigError, Overrides, Source, check, env, findings::Findings};

/// The most values that are taken out of one file. More mistakes than that are shown after the first ones are
/// corrected.
const MOST: usize = 200;
/// Stands in for a route's missing keys.
const ROUTE: &str = "topics = [\"*\"]";

/// All mistakes in the order of the file; those without a line come last.
pub(super) fn of(file: Option<&Path>, environment: Vec<env::Variable>, overrides: &Overrides) -> Vec<ConfigError> {
    let source = match Source::read(file) {
        Ok(source) => source,
        Err(error) => return vec![error],
    };
    let (root, unreadable) = DeTable::parse_recoverable(source.text());
    if !unreadable.is_empty() {
        let mistakes = unreadable.iter().map(|error| source.toml_error(error)).collect();
        return in_order(mistakes);
    }
    let mut reading = Reading {
        source: &source,
        root,
        mistakes: Vec::new(),
        taken_out: HashSet::new(),
    };
    let Some((table, config)) = reading.read() else {
        return in_order(reading.mistakes);
    };
    let Reading {
        mut mistakes,
        taken_out,
        ..
    } = reading;
    let mut config = env::overlay_all(table, config, environment, &mut mistakes);
    overrides.lay_over(&mut config);
    let mut found = Findings::new(&source);
    check::look_over(config, &mut found);
    let is_in_file = |mistake: &ConfigError| {
        let key = mistake.key.as_deref().unwrap_or_default();
        !key.match_indices('.')
            .map(|(end, _)| &key[..end])
            .chain([key])
            .any(|start| taken_out.contains(start))
    };
    mistakes.extend(found.mistakes.into_iter().filter(is_in_file));
    in_order(mistakes)
}

fn in_order(mut mistakes: Vec<ConfigError>) -> Vec<ConfigError> {
    mistakes.sort_by_key(|mistake| mistake.line.unwrap_or(usize::MAX));
    let mut said = HashSet::new();
    mistakes.retain(|mistake| said.insert(mistake.to_string()));
    mistakes
}

/// A file that is read until nothing is wrong.
struct Reading<'s> {
    source: &'s Source,
    /// The rest of the file.
    root: Spanned<DeTable<'s>>,
    mistakes: Vec<ConfigError>,
    /// The keys that were taken out, with the tables above them.
    taken_out: HashSet<String>,
}

impl Reading<'_> {
    /// None if the rest cannot be read either.
    fn read(&mut self) -> Option<(toml::Table, Config)> {
        for _ in 0..MOST {
            let error = match Config::deserialize(Deserializer::from(self.root.clone())) {
                Ok(config) => {
                    let table = toml::Table::deserialize(Deserializer::from(self.root.clone())).ok()?;
                    return Some((table, config));
                }
                Err(error) => error,
            };
            let mut path = Vec::new();
            let is_found = error
                .span()
                .is_some_and(|span| find(self.root.get_ref(), span.start, &mut path));
            if !self.follows_from_another(&error, &path) {
                let mut mistake = self.source.toml_error(&error);
                if is_found {
                    // This key has the route's number, which the reader does not tell.
                    mistake.key = Some(shown(&path));
                }
                self.mistakes.push(mistake);
            }
            if !is_found {
                return None;
            }
            self.take_out(path);
        }
        None
    }

    /// Whether the error is about a field that is missing only because it was taken out.
    fn follows_from_another(&self, error: &toml::de::Error, path: &[Step]) -> bool {
        let missing = error.message().strip_prefix("missing field `");
        missing.and_then(|rest| rest.strip_suffix('`')).is_some_and(|field| {
            let field = format!("{}.{field}", shown(path));
            self.taken_out.contains(&field)
        })
    }

    fn take_out(&mut self, mut path: Vec<Step>) {
        let root = self.root.get_mut();
        if let [Step::Key(table), Step::Index(index)] = path.as_slice()
            && table == "route"
        {
            complete_route(root, *index);
            return;
        }
        if let [Step::Key(kafka), Step::Key(properties)] = path.as_slice()
            && (kafka.as_str(), properties.as_str()) == ("kafka", "properties")
            && let Some(DeValue::Table(properties)) = value(root, &path)
            && let Some(name) = without_first_list(properties)
        {
            self.taken_out.insert(format!("kafka.properties.{name}"));
            return;
        }
        while matches!(path.last(), Some(Step::Index(_))) {
            path.pop();
        }
        self.taken_out.insert(shown(&path));
        if let Some(Step::Key(key)) = path.pop()
            && let Some(above) = table(root, &path)
        {
            above.remove(key.as_str());
        }
    }
}

/// One step on the path to a value.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

/// The path as messages show it.
fn shown(path: &[Step]) -> String {
    let steps: Vec<String> = path
        .iter()
        .map(|step| match step {
            Step::Key(key) => key.clone(),
            Step::Index(index) => index.to_string(),
        })
        .collect();
    steps.join(".")
}

/// Finds the innermost key or value that covers this byte of the file.
fn find(table: &DeTable<'_>, offset: usize, path: &mut Vec<Step>) -> bool {
    for (key, value) in table.iter() {
        path.push(Step::Key(key.get_ref().to_string()));
        if key.span().contains(&offset) || find_in(value, offset, path) {
            return true;
        }
        path.pop();
    }
    false
}

/// The span of a `[table]` is its header only, so its keys and values are searched first.
fn find_in(value: &Spanned<DeValue<'_>>, offset: usize, path: &mut Vec<Step>) -> bool {
    let is_inside = match value.get_ref() {
        DeValue::Table(inner) => find(inner, offset, path),
        DeValue::Array(items) => items.iter().enumerate().any(|(index, item)| {
            path.push(Step::Index(index));
            let is_inside = find_in(item, offset, path);
            if !is_inside {
                path.pop();
            }
            is_inside
        }),
        _ => false,
    };
    is_inside || value.span().contains(&offset)
}

/// The value at the end of the path.
fn value<'t, 's>(root: &'t mut DeTable<'s>, path: &[Step]) -> Option<&'t mut DeValue<'s>> {
    let (first, rest) = path.split_first()?;
    let Step::Key(key) = first else { return None };
    let mut value = root.get_mut(key.as_str())?.get_mut();
    for step in rest {
        value = match (step, value) {
            (Step::Key(key), DeValue::Table(table)) => table.get_mut(key.as_str())?.get_mut(),
            (Step::Index(index), DeValue::Array(items)) => items.get_mut(*index)?.get_mut(),
            _ => return None,
        };
    }
    Some(value)
}

fn table<'t, 's>(root: &'t mut DeTable<'s>, path: &[Step]) -> Option<&'t mut DeTable<'s>> {
    if path.is_empty() {
        return Some(root);
    }
    match value(root, path)? {
        DeValue::Table(table) => Some(table),
        _ => None,
    }
}

/// Gives a route its missing topics. Its other keys stay, and so do the numbers of the routes after it.
fn complete_route(root: &mut DeTable<'_>, index: usize) {
    let Ok(complete) = DeTable::parse(ROUTE) else { return };
    let path = [Step::Key("route".to_owned()), Step::Index(index)];
    match value(root, &path) {
        Some(DeValue::Table(route)) => route.extend(complete.into_inner()),
        Some(other) => *other = DeValue::Table(complete.into_inner()),
        None => {}
    }
}

/// Takes out the first Kafka property that is not a text, number or boolean, and returns its name.
fn without_first_list(properties: &mut DeTable<'_>) -> Option<String> {
    let names: Vec<String> = properties.keys().map(|key| key.get_ref().to_string()).collect();
    for name in names {
        match properties.get_mut(name.as_str()).map(Spanned::get_mut) {
            Some(DeValue::Array(_) | DeValue::Datetime(_)) => {
                properties.remove(name.as_str());
                return Some(name);
            }
            Some(DeValue::Table(inner)) => {
                if let Some(below) = without_first_list(inner) {
                    return Some(format!("{name}.{below}"));
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The messages about this file, one on each line, without the folder.
    fn said(text: &str) -> Vec<String> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("pointsman.toml");
        std::fs::write(&file, text).expect("written");
        let mistakes = Config::mistakes(Some(&file), [], &Overrides::default());
        let start = format!("{}/", folder.path().display());
        mistakes
            .iter()
            .map(|mistake| mistake.to_string().replace(&start, ""))
            .collect()
    }

    fn assert_said(text: &str, expected: &[&str]) {
        let said = said(text);
        assert_eq!(said.len(), expected.len(), "{text}\n{said:#?}");
        for (said, expected) in said.iter().zip(expected) {
            assert!(said.starts_with(expected), "{said}\nis not\n{expected}");
        }
    }

    const KAFKA: &str = "[kafka]\nbootstrap_servers = \"x:1\"\n";

    #[test]
    fn five_different_mistakes_are_not_found_one_a_day() {
        assert_said(
            "[limits]\nmax_records = \"many\"\nmax_recrods = 1\n[kafka]\nbootstrap_servers = \"x:1\"\n\
             [kafka.properties]\n\"linger.ms\" = \"long\"\nacks = \"1\"\n[log]\nlevel = \"loud\"\n\
             [[route]]\ntopics = [\"[\"]\nsha256 = \"x\"\n[limit]\nx = 1\n",
            &[
                "pointsman.toml:2: limits.max_records: invalid type: string \"many\", expected usize",
                "pointsman.toml:3: limits.max_recrods: unknown field `max_recrods`, expected one of",
                "pointsman.toml:7: kafka.properties.linger.ms: `linger.ms` is \"long\"; expected",
                "pointsman.toml:8: kafka.properties.acks: `acks` must be all",
                "pointsman.toml:10: log.level: \"loud\" is not a log level",
                "pointsman.toml:12: route.0.topics: \"[\" is no glob",
                "pointsman.toml:13: route.0.sha256: there is no plugin to pin",
                "pointsman.toml:14: limit: unknown field `limit`",
            ],
        );
    }

    #[test]
    fn a_mistake_is_not_told_twice_because_its_value_was_left_away() {
        assert_said(
            "[kafka]\nbootstrap_servers = 3",
            &["pointsman.toml:2: kafka.bootstrap_servers: invalid type"],
        );
        assert_said("kafka = 3", &["pointsman.toml:1: kafka: invalid type"]);
        let route = format!("{KAFKA}[[route]]\ntopics = \"orders\"\nplugin = \"a b\"");
        assert_said(
            &route,
            &[
                "pointsman.toml:4: route.0.topics: invalid type",
                "pointsman.toml:5: route.0.plugin: \"a b\" is no",
            ],
        );
        let shadow = format!("{KAFKA}[[route]]\ntopics = [\"a\"]\nshadow = {{ plugin = 1, share = 2, x = 1 }}");
        assert_said(
            &shadow,
            &[
                "pointsman.toml:5: route.0.shadow.plugin: invalid type",
                "pointsman.toml:5: route.0.shadow.x: unknown field `x`",
            ],
        );
    }

    #[test]
    fn a_route_that_cannot_be_read_does_not_move_the_others() {
        let text = format!("{KAFKA}[[route]]\nplugin = 1\n[[route]]\nplugin = \"p\"\n[[route]]\ntopics = []");
        assert_said(
            &text,
            &[
                "pointsman.toml:3: route.0: missing field `topics`",
                "pointsman.toml:4: route.0.plugin: invalid type",
                "pointsman.toml:5: route.1: missing field `topics`",
                "pointsman.toml:8: route.2.topics: expected at least one",
            ],
        );
    }

    #[test]
    fn each_property_that_is_no_value_is_said() {
        let text = format!("{KAFKA}[kafka.properties]\nacks = [1]\nlinger.ms = [2]\nretries = \"x\"");
        let said = said(&text);
        assert!(said.len() == 3, "{said:#?}");
        assert!(said.iter().any(|said| said.contains("\"acks\": expected")), "{said:#?}");
        assert!(
            said.iter().any(|said| said.contains("\"linger.ms\": expected")),
            "{said:#?}"
        );
        assert!(said.iter().any(|said| said.contains("retries")), "{said:#?}");
    }

    #[test]
    fn a_file_that_is_no_toml_says_where() {
        assert_said("[listen\nhttp = 1\n", &["pointsman.toml:1: "]);
        assert_said("", &["pointsman.toml: kafka.bootstrap_servers: missing"]);
    }
}
