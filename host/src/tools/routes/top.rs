//! `pointsman routes top`: who loads what, as bars.

use std::{io::Write, thread, time::Duration};

use anyhow::{Context as _, bail};
use hyper::Method;
use serde_json::Value;

use crate::{
    base::text::{for_terminal, shorten},
    tools::{
        admin_client::{self, Admin},
        cli::routes::Top,
    },
};

/// How long the sidecar may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);
const ROUND: Duration = Duration::from_secs(1);
/// The columns of a full bar.
const BAR: usize = 24;
/// Bytes of a tenant's name that are shown.
const NAME_BYTES: usize = 24;
/// The partitions of one topic that are shown: those that get most.
const MOST_PARTITIONS: usize = 24;
/// What makes a terminal show the next picture over the one before, without flicker.
const HOME: &str = "\u{1b}[H";
const CLEAR_LINE: &str = "\u{1b}[K\n";
const CLEAR_BELOW: &str = "\u{1b}[J";

/// Asks the sidecar. On a terminal again and again, until the process is ended; else once.
pub(super) fn run(options: &Top, admin: &Admin, is_terminal: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    if options.json {
        writeln!(out, "{}", ask(options, admin)?)?;
        return Ok(());
    }
    if options.once || !is_terminal {
        out.write_all(picture(&ask(options, admin)?).as_bytes())?;
        return Ok(());
    }
    let mut last = String::new();
    loop {
        // What was seen last stays on the terminal while the sidecar does not answer.
        let trouble = match ask(options, admin) {
            Ok(routing) => {
                last = picture(&routing);
                String::new()
            }
            Err(error) if last.is_empty() => return Err(error),
            Err(error) => format!("{error:#}\n"),
        };
        let shown = format!("{last}{trouble}").replace('\n', CLEAR_LINE);
        write!(out, "{HOME}{shown}{CLEAR_BELOW}")?;
        out.flush()?;
        thread::sleep(ROUND);
    }
}

/// What is below `routing` in the answer.
fn ask(options: &Top, admin: &Admin) -> anyhow::Result<Value> {
    let path = format!("/routes?tenants={}", options.tenants);
    let (status, body) = admin_client::ask(admin, Method::GET, &path, TIMEOUT)?;
    let mut answer: Value = serde_json::from_str(&body)
        .with_context(|| format!("the sidecar answered {status} with something else than JSON"))?;
    if !status.is_success() {
        let detail = answer["detail"].as_str().unwrap_or_default();
        bail!("the sidecar answered {status}: {}", for_terminal(detail));
    }
    let routing = answer["routing"].take();
    if routing.is_null() {
        bail!("the sidecar has no [routing] in its configuration, so it counts no tenants");
    }
    Ok(routing)
}

/// All that is shown, each line with its end.
fn picture(routing: &Value) -> String {
    let load = &routing["load"];
    let mut lines = vec![head(routing)];
    if let Some(problem) = routing["problem"].as_str() {
        lines.push(format!("problem: {}", for_terminal(problem)));
    }
    for topic in array(&load["topics"]) {
        lines.push(String::new());
        lines.extend(of_topic(topic));
    }
    let tenants = array(&load["tenants"]);
    let largest = tenants
        .iter()
        .map(|tenant| number(tenant, "bytes_per_s"))
        .fold(0.0, f64::max);
    lines.push(String::new());
    lines.push(format!(
        "{:NAME_BYTES$}  {:BAR$}  {:>6}  {:>10}  {:>12}  GOES TO",
        "TENANT", "", "SHARE", "A SECOND", "RECORDS/S"
    ));
    for tenant in tenants {
        lines.push(of_tenant(tenant, largest));
    }
    if tenants.is_empty() {
        lines.push("no tenant has sent anything yet".to_owned());
    }
    lines.push(String::new());
    lines.join("\n")
}

fn head(routing: &Value) -> String {
    let load = &routing["load"];
    let state = match routing["store_up"].as_bool() {
        Some(true) => "up",
        _ => "AWAY",
    };
    let held = array(&routing["held"]).len();
    format!(
        "routing table version {}, {} rows, store {} {state}, {held} held, {} tenants counted",
        routing["version"],
        routing["rows"],
        for_terminal(text(routing, "store")),
        load["tenants_counted"],
    )
}

fn of_topic(topic: &Value) -> Vec<String> {
    let mut lines = vec![format!(
        "topic {}: its tenants send {}/s, {} records/s",
        for_terminal(text(topic, "topic")),
        short(number(topic, "bytes_per_s"), "B"),
        short(number(topic, "records_per_s"), ""),
    )];
    let mut partitions: Vec<&Value> = array(&topic["partitions"]).iter().collect();
    let all = partitions.len();
    let bytes = |partition: &&Value| number(partition, "bytes_per_s");
    partitions.sort_by(|a, b| bytes(b).total_cmp(&bytes(a)));
    partitions.truncate(MOST_PARTITIONS);
    let largest = partitions.first().map_or(0.0, bytes);
    partitions.sort_by_key(|partition| partition["partition"].as_u64());
    for partition in &partitions {
        lines.push(format!(
            "{:>NAME_BYTES$}  {}  {:>6}  {:>10}  {:>12}  queued {}",
            partition["partition"].to_string(),
            bar(number(partition, "bytes_per_s"), largest),
            "",
            short(number(partition, "bytes_per_s"), "B"),
            short(number(partition, "records_per_s"), ""),
            short(number(partition, "queued_bytes"), "B"),
        ));
    }
    if all > partitions.len() {
        lines.push(format!("and {} partitions that get less", all - partitions.len()));
    }
    lines
}

fn of_tenant(tenant: &Value, largest: f64) -> String {
    let name = shorten(text(tenant, "tenant"), NAME_BYTES);
    let partitions: Vec<String> = array(&tenant["partitions"]).iter().map(Value::to_string).collect();
    let status = tenant["status"].as_str().unwrap_or("no row");
    format!(
        "{:NAME_BYTES$}  {}  {:>5.1}%  {:>10}  {:>12}  {} {} ({status})",
        for_terminal(&name),
        bar(number(tenant, "bytes_per_s"), largest),
        100.0 * number(tenant, "share"),
        short(number(tenant, "bytes_per_s"), "B"),
        short(number(tenant, "records_per_s"), ""),
        for_terminal(text(tenant, "topic")),
        partitions.join(","),
    )
}

/// A bar whose length says which part of the largest this is; what is more than nothing has some length.
fn bar(value: f64, largest: f64) -> String {
    const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    let part = match largest > 0.0 {
        true => (value / largest).clamp(0.0, 1.0),
        false => 0.0,
    };
    let least = usize::from(value > 0.0);
    let eighths = ((part * 8.0 * BAR as f64).round() as usize).max(least);
    let mut bar = "█".repeat(eighths / 8);
    if eighths % 8 > 0 {
        bar.push(EIGHTHS[eighths % 8]);
    }
    let columns = bar.chars().count();
    bar.extend(std::iter::repeat_n(' ', BAR.saturating_sub(columns)));
    bar
}

/// Such as 12.3 kB.
fn short(value: f64, unit: &str) -> String {
    let (value, size) = [(1e9, "G"), (1e6, "M"), (1e3, "k")]
        .iter()
        .find(|(size, _)| value >= *size)
        .map_or((value, ""), |(size, name)| (value / size, *name));
    let digits = match value {
        value if value >= 100.0 || (size.is_empty() && value.fract() == 0.0) => format!("{value:.0}"),
        value => format!("{value:.1}"),
    };
    match (size, unit) {
        ("", "") => digits,
        _ => format!("{digits} {size}{unit}"),
    }
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn number(value: &Value, name: &str) -> f64 {
    value[name].as_f64().unwrap_or_default()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn partitions_and_tenants_are_drawn_as_bars_and_a_name_cannot_write_to_the_terminal() {
        let partition = |number: u32, bytes: u32| json!({"partition": number, "bytes_per_s": bytes, "records_per_s": 10, "queued_bytes": 0});
        let tenant = |name: &str, bytes: u32, share: f64| json!({"topic": "orders", "tenant": name, "bytes_per_s": bytes, "records_per_s": 12_345, "share": share, "status": null, "partitions": [0]});
        let shown = picture(&json!({
            "store": "file:routes.json", "store_up": true, "problem": null, "version": 7, "rows": 3, "held": [],
            "load": {
                "tenants_counted": 2,
                "topics": [{"topic": "orders", "bytes_per_s": 3_000_000, "records_per_s": 100,
                    "partitions": [partition(0, 2_000_000), partition(1, 1_000_000), partition(2, 1), partition(3, 0)]}],
                "tenants": [tenant("acme", 2_000_000, 0.6667), tenant("evil\u{1b}[2J", 1_000_000, 0.3333)],
            },
        }));
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
        let expected = [
            "routing table version 7, 3 rows, store file:routes.json up, 0 held, 2 tenants counted",
            "topic orders: its tenants send 3.0 MB/s, 100 records/s",
            "                       0  ████████████████████████              2.0 MB            10  queued 0 B",
            "                       1  ████████████                          1.0 MB            10  queued 0 B",
            "                       2  ▏                                        1 B            10  queued 0 B",
            "                       3                                           0 B            10  queued 0 B",
            "acme                      ████████████████████████   66.7%      2.0 MB        12.3 k  orders 0 (no row)",
        ];
        for line in expected {
            assert!(shown.lines().any(|shown| shown == line), "{line:?} in\n{shown}");
        }
    }

    #[test]
    fn a_number_is_shown_with_the_unit_that_it_needs() {
        let shown = [0.0, 0.5, 7.0, 99.94, 1_000.0, 123_456.0, 2_500_000.0, 3e9].map(|value| short(value, ""));
        assert_eq!(shown, ["0", "0.5", "7", "99.9", "1.0 k", "123 k", "2.5 M", "3.0 G"]);
        assert_eq!([short(7.0, "B"), short(1_234.0, "B")], ["7 B", "1.2 kB"]);
    }
}
