//! Sidecars with a real Kafka, in turns: what the table costs in records a second and in CPU.

use std::{fs, path::Path, sync::atomic::Ordering};

use serde_json::json;

use crate::{
    PARTITIONS, TENANTS, TOPIC, number, report,
    support::{
        kafka::{Kafka, LONG_LIVED},
        load::{self, Over, figure},
        sidecar::{Builder, Sidecar},
    },
    table_of,
};

const TURNS: usize = 5;
const SECONDS: f64 = 3.0;
/// Ways of sending, of which the first is the one that the goals are about.
const WAYS: [(&str, &[&str]); 3] = [
    ("packed, 32 x 500", &["--format", "packed", "--connections", "32"]),
    (
        "packed, 32 x 500, objects",
        &["--format", "packed", "--connections", "32", "--values", "objects"],
    ),
    (
        "JSON, 64 x 1, objects",
        &["--connections", "64", "--batch", "1", "--values", "objects"],
    ),
];

struct Contender {
    name: &'static str,
    sidecar: Sidecar,
    /// How many tenants send.
    tenants: usize,
}

/// Records a second, CPU seconds a million records, p99 in ms.
type Given = [f64; 3];

pub(crate) fn measure() {
    LONG_LIVED.store(true, Ordering::Relaxed);
    let kafka = Kafka::start(1).expect("Kafka");
    let small = [("retention.bytes", "67108864"), ("segment.bytes", "33554432")];
    kafka.create_topic(TOPIC, PARTITIONS, &small).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let sidecar = |plugin: &str, config: &str, rows: Option<usize>| {
        let routing = rows.map(|rows| {
            let file = folder.path().join(format!("{rows}.json"));
            write(&file, rows);
            format!("[routing]\nstore = \"file:{}\"\n", file.display())
        });
        Builder::kafka(&kafka.bootstrap())
            .route("*", plugin, &format!("config = {config}"))
            .config(&routing.unwrap_or_default())
            .start()
    };
    let by_tenant = "{ tenant = \"header:tenant-id\" }";
    let contenders = [
        Contender {
            name: "plugin header",
            sidecar: sidecar("header", "{ name = \"tenant-id\" }", None),
            tenants: TENANTS,
        },
        Contender {
            name: "plugin tenant, no table",
            sidecar: sidecar("tenant", by_tenant, None),
            tenants: TENANTS,
        },
        Contender {
            name: "plugin tenant, 100 rows",
            sidecar: sidecar("tenant", by_tenant, Some(100)),
            tenants: 100,
        },
        Contender {
            name: "plugin tenant, 100,000 rows",
            sidecar: sidecar("tenant", by_tenant, Some(TENANTS)),
            tenants: TENANTS,
        },
    ];
    for (way, arguments) in WAYS {
        compare(way, arguments, &contenders);
    }
}

fn write(file: &Path, rows: usize) {
    fs::write(file, table_of(rows).document().write()).unwrap();
}

fn compare(way: &str, arguments: &[&str], contenders: &[Contender]) {
    let turns = number("POINTSMAN_BENCH_TURNS").map_or(TURNS, |turns| turns as usize);
    let seconds = number("POINTSMAN_BENCH_SECONDS").unwrap_or(SECONDS).to_string();
    let mut given: Vec<Vec<Given>> = vec![Vec::new(); contenders.len()];
    for turn in 1..=turns {
        for (contender, given) in contenders.iter().zip(&mut given) {
            eprint!("\r{way}, turn {turn} of {turns}: {:<40}", contender.name);
            let tenants = contender.tenants.to_string();
            let all = [&["--seconds", &seconds, "--tenants", &tenants], arguments].concat();
            let told = load::load(&contender.sidecar, Over::Unix, TOPIC, &all);
            assert_eq!(told["others"], json!({}), "{}: {told}", contender.name);
            given.push([
                figure(&told, "/records_per_second"),
                figure(&told, "/cpu_seconds_per_million"),
                figure(&told, "/latency_ms/p99"),
            ]);
        }
    }
    eprintln!();
    for (contender, turns) in contenders.iter().zip(&given) {
        let of = |index: usize| median(turns.iter().map(|given| given[index]));
        report(&format!("{way}: {}", contender.name), of(0), "records/s", None);
        report("    its CPU", of(1), "s a million records", None);
        report("    its p99", of(2), "ms", None);
    }
    let ratio = |index: usize| {
        let pairs = given[3].iter().zip(&given[0]);
        median(pairs.map(|(tenant, header)| tenant[index] / header[index]))
    };
    report(
        &format!("{way}: 100,000 rows / header, records"),
        ratio(0),
        "times",
        Some("0.9 or more"),
    );
    report(
        &format!("{way}: 100,000 rows / header, CPU"),
        ratio(1),
        "times",
        Some("1.1 or less"),
    );
    let many = given[3].iter().zip(&given[2]);
    let cpu = median(many.map(|(many, few)| many[1] / few[1]));
    report(
        &format!("{way}: 100,000 / 100 tenants, CPU"),
        cpu,
        "times",
        Some("1.5 or less"),
    );
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
