//! What a sidecar tells of who sends how much.

use std::process::Command;

use serde_json::{Value, json};

use super::{adopted, record, sidecar};
use crate::support::sidecar::{BINARY, Sidecar, eventually, to_its_end};

fn check_top(sidecar: &Sidecar) {
    let mut top = Command::new(BINARY);
    let output = to_its_end(top.args(["routes", "top", "--admin", &sidecar.admin.to_string()]));
    let shown = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(
        output.status.success() && shown.contains("32 tenants counted"),
        "{output:?}"
    );
    let hottest = shown.lines().find(|line| line.contains('%')).unwrap_or_default();
    assert!(
        hottest.starts_with("large ") && hottest.ends_with("t 3 (shared)"),
        "{shown}"
    );
}

#[test]
fn what_tenants_and_partitions_get_is_counted_and_the_names_that_are_shown_are_few() {
    let store = adopted();
    store.routes("set t large --slots 3 --out-of-order --partitions 4");
    let sidecar = sidecar(&store, "metrics_tenants = 2\n");
    let mut http = sidecar.tcp();
    let batch = |tenant: &str, records: usize| {
        let records: Vec<String> = (0..records).map(|number| record(tenant, &number.to_string())).collect();
        format!("{{\"records\":[{}]}}", records.join(","))
    };
    for (tenant, records) in [("large", 400), ("middle", 100)] {
        assert_eq!(http.json("/v1/topics/t/records", &batch(tenant, records)).status, 200);
    }
    for number in 0..30 {
        assert_eq!(
            http.json("/v1/topics/t/records", &batch(&format!("small-{number}"), 2))
                .status,
            200
        );
    }
    let load = || sidecar.admin("/routes?tenants=3").json()["routing"]["load"].clone();
    eventually("all are counted", || load()["tenants_counted"] == 32);
    let load = load();
    let tenants = load["tenants"].as_array().unwrap();
    assert_eq!(tenants.len(), 3);
    assert_eq!(
        (&tenants[0]["tenant"], &tenants[0]["status"], &tenants[0]["partitions"]),
        (&json!("large"), &json!("shared"), &json!([3]))
    );
    assert_eq!(
        (&tenants[1]["tenant"], &tenants[1]["status"]),
        (&json!("middle"), &Value::Null)
    );
    let share = tenants[0]["share"].as_f64().unwrap();
    assert!((0.5..0.9).contains(&share), "{share}");
    let partitions = load["topics"][0]["partitions"].as_array().unwrap();
    let bytes: f64 = partitions
        .iter()
        .map(|load| load["bytes_per_s"].as_f64().unwrap())
        .sum();
    let of_tenants = load["topics"][0]["bytes_per_s"].as_f64().unwrap();
    assert!(
        (0.9..1.1).contains(&(bytes / of_tenants)),
        "both count the same bytes: {load}"
    );
    let busiest = partitions
        .iter()
        .max_by(|a, b| f64::total_cmp(&a["bytes_per_s"].as_f64().unwrap(), &b["bytes_per_s"].as_f64().unwrap()));
    assert_eq!(
        (partitions.len(), &busiest.unwrap()["partition"]),
        (4, &json!(3)),
        "{load}"
    );

    let metrics = sidecar.admin("/metrics").text();
    let sum = |name: &str| -> f64 {
        let lines = metrics.lines().filter(|line| line.starts_with(name));
        lines
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    };
    let series = |name: &str| metrics.lines().filter(|line| line.starts_with(name)).count();
    assert_eq!(sum("pointsman_tenant_records_total{"), 560.0, "{metrics}");
    assert_eq!(sum("pointsman_partition_records_total{"), 560.0, "{metrics}");
    // Two that send most, two that did before, and all others.
    assert!(series("pointsman_tenant_records_total{") <= 5, "{metrics}");
    assert!(metrics.contains("tenant=\"other\""), "{metrics}");

    check_top(&sidecar);
    assert_eq!(sidecar.admin("/routes?tenants=1001").json()["code"], "bad_query");
    assert_eq!(sidecar.admin("/routes?tenant=1").status, 400);
}

#[test]
fn the_load_generator_sends_tenants_that_every_format_has_as_the_plugin_reads_them() {
    let store = adopted();
    let sidecar = sidecar(&store, "");
    for format in ["json", "ndjson", "octet", "packed", "stream"] {
        let mut load = Command::new(BINARY);
        load.args([
            "load",
            "--topic",
            "t",
            "--tenants",
            "50",
            "--seconds",
            "0.3",
            "--warm-up",
            "0",
            "--json",
        ]);
        load.args(["--batch", "10", "--format", format, "--unix"])
            .arg(&sidecar.unix);
        let output = to_its_end(&mut load);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        assert_eq!(report["others"], json!({}), "{format}: {report}");
        assert!(report["records"].as_u64().unwrap() > 0, "{format}: {report}");
    }
    let load = || sidecar.admin("/routes?tenants=100").json()["routing"]["load"].clone();
    eventually("all are counted", || load()["tenants_counted"] == 50);
}
