//! `pointsman plugin bench`: what a plugin costs, and how it spreads records over partitions.

mod records;

use std::{
    fmt::Write as _,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{bail, ensure};
use pointsman_routing::Table;
use serde_json::json;

use self::records::made_up;
pub(super) use self::records::read;
use super::{
    Failed, ask,
    by_table::{self, ByTable},
    configure, load_with, parse_config,
    said::Said,
    style::Style,
};
use crate::{
    base::record::Record,
    plugin::{CallError, Lease, Placement},
    topic::Partitions,
};

/// The topic of records that name none, by default.
pub const TOPIC: &str = "bench";
/// How many rounds of calls are timed: the median is reported.
const ROUNDS: usize = 15;
/// The bar of the largest share, characters.
const BAR: usize = 50;
/// The most bars. With more partitions, each bar is for a group of them.
const ROWS: usize = 32;

/// What to measure with.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    /// Records as the ingest API takes them, one a line.
    pub records: Option<&'a Path>,
    /// Partitions of the topic.
    pub partitions: u32,
    /// The topic of records that name none.
    pub topic: &'a str,
    /// The file of a routing table.
    pub routes: Option<&'a Path>,
    /// The route's config as JSON.
    pub config: Option<&'a str>,
    /// How long to measure.
    pub duration: Duration,
}

/// What was measured.
#[derive(Debug)]
pub struct Measured {
    /// How many calls were made.
    pub calls: u64,
    /// Nanoseconds of a call: in the median round, and in the fastest one.
    pub ns: (f64, f64),
    /// The instance's memory before and after all calls.
    pub memory_bytes: (usize, usize),
    /// How many records each partition got.
    pub by_partition: Vec<u64>,
    /// Records for which the host would choose the partition.
    pub any: u64,
    /// Records that the plugin refused.
    pub rejected: u64,
    /// Records for which the plugin chose a partition that does not exist.
    pub out_of_range: u64,
    /// The last lines that the plugin logged.
    said: Said,
}

/// Measures. A call that traps, or runs over its time, is an error.
pub fn bench(file: &Path, options: &Options<'_>) -> anyhow::Result<Measured> {
    ensure!(options.partitions > 0, "--partitions 0: expected at least 1");
    let config = parse_config(options.config)?;
    let records = match options.records {
        Some(file) => read(file, options.topic)?,
        None => made_up(options.topic),
    };
    let tenants = by_table::read(options.routes)?;
    let table = tenants.table();
    let (code, limits) = load_with(file, &tenants)?;
    let (pool, mut said) = configure(&code, limits, &config)?;
    let mut lease = pool.lease_blocking()?;
    let partitions = Arc::new(Partitions::of(options.partitions as usize));
    let before = lease.footprint().total();
    let mut measured = spread(&mut lease, &records, &partitions, table.as_deref())?;
    said.and(std::mem::take(&mut measured.said));
    let (timed, more) = Said::during(|| time(&mut lease, &records, &partitions, options.duration));
    said.and(more);
    match timed {
        Ok((calls, ns)) => {
            measured.calls = calls;
            measured.ns = ns;
        }
        Err((number, error)) => {
            let call = format!("record {number} of {}, asked about once more", records.len());
            bail!(Failed::new(error, call, said).on(&records[number - 1], partitions.count()))
        }
    }
    measured.said = said;
    measured.memory_bytes = (before, lease.footprint().total());
    Ok(measured)
}

fn spread(
    lease: &mut Lease,
    records: &[Record],
    partitions: &Arc<Partitions>,
    table: Option<&Table>,
) -> anyhow::Result<Measured> {
    let count = partitions.count();
    let mut measured = Measured {
        calls: 0,
        ns: (0.0, 0.0),
        memory_bytes: (0, 0),
        by_partition: vec![0; count as usize],
        any: 0,
        rejected: 0,
        out_of_range: 0,
        said: Said::default(),
    };
    for (number, record) in (1..).zip(records) {
        let (answer, said) = ask(lease, record, None, partitions);
        let decision = match answer {
            Ok(decision) => decision,
            Err(error) => {
                let call = format!("record {number} of {}", records.len());
                bail!(Failed::new(error, call, said).on(record, count))
            }
        };
        measured.said.and(said);
        let by_table = ByTable {
            table,
            topic: &record.topic,
            partitions: count,
        };
        measured.count(by_table.placement(&decision), number);
    }
    Ok(measured)
}

/// Nanoseconds of a call: in the median round, and in the fastest one.
type Ns = (f64, f64);

/// How many calls were made, and how long each took; or the number, counted from 1, of the record whose call failed.
fn time(
    lease: &mut Lease,
    records: &[Record],
    partitions: &Arc<Partitions>,
    duration: Duration,
) -> Result<(u64, Ns), (usize, CallError)> {
    let mut calls = 0;
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let mut in_round = 0_u64;
        while begun.elapsed() < duration / ROUNDS as u32 {
            let place = calls as usize % records.len();
            for (index, record) in records.iter().enumerate().cycle().skip(place).take(64) {
                if let (_, Err(error)) = lease.partition(record.clone(), partitions) {
                    return Err((index + 1, error));
                }
            }
            in_round += 64;
            calls += 64;
        }
        rounds.push(begun.elapsed().as_nanos() as f64 / in_round as f64);
    }
    rounds.sort_by(f64::total_cmp);
    Ok((calls, (rounds[ROUNDS / 2], rounds[0])))
}

impl Measured {
    /// Counts where the record with this number goes.
    fn count(&mut self, placement: Placement<'_>, number: usize) {
        let partition = match placement {
            Placement::Partition(partition) | Placement::OutOfRange(partition) => partition,
            // The host spreads them evenly.
            Placement::AnyOf(among) => among[number % among.len()],
            Placement::Anywhere => return self.any += 1,
            Placement::Rejected(_) => return self.rejected += 1,
        };
        match self.by_partition.get_mut(partition as usize) {
            Some(records) => *records += 1,
            None => self.out_of_range += 1,
        }
    }

    /// For scripts.
    pub fn json(&self) -> serde_json::Value {
        json!({
            "calls": self.calls,
            "ns_per_call": self.ns.0,
            "ns_per_call_fastest_round": self.ns.1,
            "memory_bytes_before": self.memory_bytes.0,
            "memory_bytes_after": self.memory_bytes.1,
            "records_by_partition": self.by_partition,
            "any": self.any,
            "rejected": self.rejected,
            "out_of_range": self.out_of_range,
            "log": self.said.json(),
        })
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = self.render(Style::of_stdout());
        if cfg!(debug_assertions) {
            text.push_str("(this pointsman is a debug build: a release build calls plugins several times faster)\n");
        }
        text
    }

    fn render(&self, style: Style) -> String {
        let (before, after) = self.memory_bytes;
        let growth = match after.saturating_sub(before) {
            0 => "and no more after all calls".to_owned(),
            more => format!(
                "and {} KiB more after all calls: does it keep what it should not?",
                more >> 10
            ),
        };
        let mut text = format!(
            "{:.0} ns a call (median of {ROUNDS} rounds, {} calls; fastest round {:.0} ns)\n\
             {} KiB of memory, {growth}\n\n",
            self.ns.0,
            self.calls,
            self.ns.1,
            before >> 10,
        );
        self.bars(style, &mut text);
        for (count, what) in [
            (self.any, "may go anywhere"),
            (self.rejected, "are refused"),
            (self.out_of_range, "are put on a partition that does not exist"),
        ] {
            if count > 0 {
                let _ = writeln!(text, "{count} of {} records {what}", self.records());
            }
        }
        text.push_str(&self.said.text(style));
        text
    }

    fn records(&self) -> u64 {
        self.by_partition.iter().sum::<u64>() + self.any + self.rejected + self.out_of_range
    }

    fn bars(&self, style: Style, text: &mut String) {
        let group = self.by_partition.len().div_ceil(ROWS);
        let rows: Vec<u64> = self
            .by_partition
            .chunks(group)
            .map(|chunk| chunk.iter().sum())
            .collect();
        let (longest, all) = (rows.iter().copied().max().unwrap_or_default(), self.records());
        let _ = writeln!(text, "{}", style.faint("partition   records"));
        for (index, &count) in rows.iter().enumerate() {
            let first = index * group;
            let last = (first + group).min(self.by_partition.len()) - 1;
            let label = if group == 1 {
                first.to_string()
            } else {
                format!("{first}-{last}")
            };
            let bar = bar(count, longest);
            let share = count as f64 * 100.0 / all.max(1) as f64;
            let _ = writeln!(text, "{label:>9} {count:>9}  {share:>5.1} %  {}", style.good(&bar));
        }
        let placed: u64 = rows.iter().sum();
        if placed > 0 {
            let most = self.by_partition.iter().max().copied().unwrap_or_default();
            let mean = placed as f64 / self.by_partition.len() as f64;
            let _ = writeln!(
                text,
                "the fullest partition has {:.2} times the mean",
                most as f64 / mean
            );
        }
    }
}

/// A bar, drawn in eighths of a character.
fn bar(count: u64, longest: u64) -> String {
    let eighths = (count as f64 / longest.max(1) as f64 * (BAR * 8) as f64).round() as usize;
    let rest = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'][eighths % 8];
    let mut bar = "█".repeat(eighths / 8);
    if rest != ' ' {
        bar.push(rest);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bars_show_every_partition_and_what_went_nowhere() {
        let measured = Measured {
            calls: 640,
            ns: (512.4, 500.0),
            memory_bytes: (1 << 20, 3 << 20),
            by_partition: vec![10, 0, 5],
            any: 1,
            rejected: 2,
            out_of_range: 0,
            said: Said::default(),
        };
        let text = measured.render(Style::PLAIN);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("512 ns a call"), "{text}");
        assert!(lines[1].contains("2048 KiB more"), "{text}");
        assert_eq!(lines[4], format!("        0        10   55.6 %  {}", "█".repeat(50)));
        assert_eq!(lines[5], "        1         0    0.0 %  ");
        assert_eq!(lines[6], format!("        2         5   27.8 %  {}", "█".repeat(25)));
        assert!(
            text.contains("2.00 times the mean") && text.contains("2 of 18 records are refused"),
            "{text}"
        );
    }

    #[test]
    fn many_partitions_are_drawn_in_groups_and_none_is_left_out() {
        let measured = Measured {
            calls: 1,
            ns: (1.0, 1.0),
            memory_bytes: (0, 0),
            by_partition: vec![1; 100],
            any: 0,
            rejected: 0,
            out_of_range: 0,
            said: Said::default(),
        };
        let text = measured.render(Style::PLAIN);
        assert!(text.contains("0-3") && text.contains("96-99"), "{text}");
    }
}
