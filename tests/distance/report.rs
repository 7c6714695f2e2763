//! The table and the JSON lines.

use std::{fs, io::Write as _};

use serde_json::json;

use crate::{
    choice::{Layout, Row},
    given::{Given, spread},
};

/// Those that others are compared with, if they take part.
const COMPARED: [&str; 2] = ["lib5", "java"];

pub(crate) struct Report {
    lines: fs::File,
}

impl Report {
    pub(crate) fn new(lines: fs::File) -> Self {
        Self { lines }
    }

    pub(crate) fn head(&self, layout: &Layout, round_trip_ms: f64) {
        let Layout { partitions, nodes, .. } = layout;
        println!("\n{partitions} partitions, brokers: {nodes}, round trip {round_trip_ms} ms");
        println!(
            "{:<16} {:<12} {:>10} {:>19} {:>8} {:>8} {:>9} {:>8} {:>8}",
            "", "", "records/s", "from to", "p50 ms", "p99 ms", "CPU s/M", "of lib5", "of java"
        );
    }

    /// `turns`: what each contender gave, for each turn.
    pub(crate) fn row(&mut self, layout: &Layout, round_trip_ms: f64, row: Row, names: &[&str], turns: &[Vec<Given>]) {
        for (number, &name) in names.iter().enumerate() {
            let figure = |of: fn(&Given) -> f64| spread(turns.iter().map(|turn| of(&turn[number])));
            let [least, median, most] = figure(|given| given.records_per_second);
            let [_, p50, _] = figure(|given| given.p50_ms.unwrap_or_default());
            let [_, p99, _] = figure(|given| given.p99_ms.unwrap_or_default());
            let cpu = cpu_seconds_per_million(turns, number);
            let ratios = COMPARED.map(|other| {
                let other = names.iter().position(|&name| name == other)?;
                let ratio = |turn: &Vec<Given>| turn[number].records_per_second / turn[other].records_per_second;
                Some(spread(turns.iter().map(ratio))[1])
            });
            let [of_lib5, of_java] = ratios.map(|ratio| ratio.map_or(String::new(), |ratio| format!("{ratio:.2}")));
            println!(
                "{:<16} {name:<12} {median:>10.0} {:>19} {p50:>8.2} {p99:>8.2} {cpu:>9.2} {of_lib5:>8} {of_java:>8}",
                if number == 0 { row.name } else { "" },
                format!("{least:.0} {most:.0}"),
            );
            let line = json!({
                "layout": layout.name,
                "round_trip_ms": round_trip_ms,
                "row": row.name,
                "name": name,
                "turns": turns.len(),
                "records_per_second": {
                    "least": least, "median": median, "most": most, "of_lib5": ratios[0], "of_java": ratios[1],
                },
                "cpu_seconds_per_million_records": cpu,
                "p50_ms": p50,
                "p99_ms": p99,
            });
            writeln!(self.lines, "{line}").unwrap();
        }
    }
}

/// Of all turns together: Linux counts in steps of 10 ms, which is much where a turn has few records.
fn cpu_seconds_per_million(turns: &[Vec<Given>], number: usize) -> f64 {
    let given = turns.iter().map(|turn| &turn[number]);
    let records: f64 = given.clone().map(|given| given.records_per_second).sum();
    let seconds: f64 = given
        .map(|given| given.cpu_seconds_per_million * given.records_per_second)
        .sum();
    seconds / records
}
