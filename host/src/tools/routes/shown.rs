//! Rows and changes, for people and for scripts.

use std::{collections::BTreeMap, io, io::Write};

use pointsman_routing::{Change, Row, TAIL, Table, Target, murmur2, rules};
use serde_json::json;

use crate::{base::text::for_terminal, tools::cli::routes::Get};

/// So many partitions of a row are listed; of more, their number is told.
const LISTED: usize = 8;
/// Columns of a name; longer ones push the rest of their line aside.
const NAME_COLUMNS: usize = 40;

/// All rows, one a line.
pub(super) fn list(table: &Table, topic: Option<&str>, json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut rows = table.document().rows;
    rows.retain(|row| topic.is_none_or(|topic| topic == row.topic));
    if json {
        for row in rows {
            writeln!(out, "{}", row.write())?;
        }
        return Ok(());
    }
    let columns = |of: &dyn Fn(&Row) -> usize, name: &str| {
        let widest = rows.iter().map(of).max().unwrap_or_default();
        widest.clamp(name.len(), NAME_COLUMNS)
    };
    let topic = columns(&|row| row.topic.len(), "TOPIC");
    let tenant = columns(&|row| row.tenant.chars().count(), "TENANT");
    writeln!(
        out,
        "{:topic$}  {:tenant$}  {:9}  {:8}  {:>5}  {:>7}  PARTITIONS",
        "TOPIC", "TENANT", "STATUS", "ORDERING", "SLOTS", "VERSION"
    )?;
    for row in &rows {
        let name = for_terminal(&row.tenant);
        write!(
            out,
            "{:topic$}  {name:tenant$}  {:9}  {:8}  {:>5}  {:>7}  {}",
            row.topic,
            row.status.name(),
            row.ordering.name(),
            row.slots.len(),
            row.version,
            partitions(&row.slots),
        )?;
        if row.pinned {
            write!(out, ", pinned")?;
        }
        if let Some(moving) = &row.moving {
            write!(out, ", moves to {}", partitions(&moving.to))?;
        }
        writeln!(out)?;
    }
    writeln!(
        out,
        "version {}, epoch {}, {} rows",
        table.version(),
        table.epoch(),
        table.len()
    )?;
    Ok(())
}

/// Where a tenant goes. False if nothing of its topic is in the table.
pub(super) fn get(table: &Table, options: &Get, out: &mut dyn Write) -> anyhow::Result<bool> {
    let Get { topic, tenant, .. } = options;
    let Some(rows) = table.topic(topic) else {
        writeln!(
            out,
            "topic \"{topic}\" has no rows: its tenants go by the key hash of their names"
        )?;
        return Ok(false);
    };
    let own = table.row(topic, tenant);
    let found = rows.find(tenant, table.hashing().of(tenant));
    let shard = options.shard_key.as_ref().map(|key| murmur2::positive(key.as_bytes()));
    let resolved = found.resolve(tenant, shard);
    let partition = match resolved.target {
        Target::Partition(partition) if shard.is_some() || own.as_ref().is_none_or(|row| row.slots.len() == 1) => {
            Some(partition)
        }
        _ => None,
    };
    if options.json {
        let row: Option<serde_json::Value> = own.as_ref().map(|row| serde_json::from_str(&row.write())).transpose()?;
        let told = json!({
            "topic": topic,
            "tenant": tenant,
            "row": row,
            "status": found.status().name(),
            "version": found.version(),
            "partitions": found.partitions(tenant),
            "partition": partition,
            "held": resolved.held,
        });
        writeln!(out, "{told}")?;
        return Ok(true);
    }
    let name = rules::quoted(tenant);
    match &own {
        _ if tenant == TAIL => writeln!(
            out,
            "{}",
            row_in_words(&table.row(topic, TAIL).into_iter().next(), TAIL)
        )?,
        Some(row) => writeln!(out, "{}", row_in_words(&Some(row.clone()), tenant))?,
        None => writeln!(
            out,
            "tenant {name} has no row of its own: the row of tenant \"*\" sends it to partition {}",
            partitions(&found.partitions(tenant))
        )?,
    }
    if let (Some(partition), Some(key)) = (partition, &options.shard_key) {
        writeln!(
            out,
            "a record with the shard key {:?} goes to partition {partition}",
            key
        )?;
    }
    Ok(true)
}

/// What is different in another table: a line for each row.
pub(super) fn changes(before: &Table, after: &Table, json: bool, out: &mut dyn Write) -> io::Result<()> {
    let mut changes = before.changes_to(after);
    changes.sort_by(|a, b| (a.topic(), a.tenant()).cmp(&(b.topic(), b.tenant())));
    for change in &changes {
        let old = before.row(change.topic(), change.tenant());
        let new = change.row().cloned();
        if json {
            let told = json!({
                "version": after.version(),
                "topic": change.topic(),
                "tenant": change.tenant(),
                "before": old,
                "after": new,
            });
            writeln!(out, "{told}")?;
            continue;
        }
        let name = rules::name_of(change.topic(), change.tenant());
        let tenant = change.tenant();
        match change {
            Change::Remove { .. } => writeln!(out, "- {name}: {}", row_in_words(&old, tenant))?,
            Change::Put(_) if old.is_none() => writeln!(out, "+ {name}: {}", row_in_words(&new, tenant))?,
            Change::Put(_) => writeln!(
                out,
                "  {name}: {} -> {}",
                row_in_words(&old, tenant),
                row_in_words(&new, tenant)
            )?,
        }
    }
    if !json {
        writeln!(out, "version {}, epoch {}", after.version(), after.epoch())?;
    }
    Ok(())
}

fn row_in_words(row: &Option<Row>, tenant: &str) -> String {
    let Some(row) = row else { return "no row".to_owned() };
    let mut words = format!("{}, ordering {}, ", row.status.name(), row.ordering.name());
    match row.slots.len() {
        1 => words += &format!("partition {}", row.slots[0]),
        slots if tenant == TAIL => words += &format!("{slots} slots on partitions {}", partitions(&row.slots)),
        slots => words += &format!("{slots} slots on partitions {}", partitions(&row.slots)),
    }
    if row.pinned {
        words += ", pinned";
    }
    if let Some(moving) = &row.moving {
        words += &format!(", moves to {}", partitions(&moving.to));
    }
    words
}

/// The different partitions, ranges together: `0-11`, `4`, `5, 7`.
pub(crate) fn partitions(slots: &[u32]) -> String {
    let counts: BTreeMap<u32, usize> = slots.iter().fold(BTreeMap::new(), |mut counts, partition| {
        *counts.entry(*partition).or_default() += 1;
        counts
    });
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for partition in counts.into_keys() {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == partition => *last = partition,
            _ => ranges.push((partition, partition)),
        }
    }
    let told = ranges.iter().take(LISTED).map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    let told = told.collect::<Vec<_>>().join(", ");
    match ranges.len().checked_sub(LISTED) {
        None | Some(0) => told,
        Some(more) => format!("{told} and {more} more ranges"),
    }
}
