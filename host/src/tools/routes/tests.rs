use std::collections::VecDeque;

use clap::Parser as _;
use pointsman_stores::file::FileStore;

use super::*;
use crate::tools::cli::{Cli, Command, Other};

/// A table in a file, and a terminal.
struct Bench {
    folder: tempfile::TempDir,
    /// What the brokers say.
    partitions: u32,
}

impl Bench {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            partitions: 3,
        }
    }

    fn url(&self) -> String {
        format!("file:{}/routes.json", self.folder.path().display())
    }

    /// Runs a command. The error is what a person reads.
    fn run(&self, line: &str) -> Result<(bool, String), String> {
        let mut words: VecDeque<String> = line.split(' ').map(str::to_owned).collect();
        words.push_front("routes".to_owned());
        words.push_front("pointsman".to_owned());
        words.push_back(format!("--store={}", self.url()));
        let cli = Cli::try_parse_from(words).map_err(|error| error.to_string())?;
        let Command::Other(Other::Routes(asked)) = cli.command else {
            return Err("another command".to_owned());
        };
        let mut out = Vec::new();
        let around = Surroundings {
            environment: Vec::new(),
            out: &mut out,
            partitions: &|_, _| Ok(self.partitions),
            is_terminal: false,
            admin: &|_| unreachable!("no sidecar is asked"),
        };
        let done = run(&asked, around).map_err(|error| format!("{error:#}"))?;
        Ok((done, String::from_utf8(out).expect("text")))
    }

    fn said(&self, line: &str) -> String {
        match self.run(line) {
            Ok((true, said)) => said,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn refused(&self, line: &str) -> String {
        self.run(line).expect_err(line)
    }
}

fn adopted() -> Bench {
    let bench = Bench::new();
    bench.said("init");
    bench.said("adopt orders --partitions 3");
    bench
}

#[test]
fn a_newcomer_makes_a_table_and_gives_a_tenant_a_partition_of_its_own() {
    let bench = Bench::new();
    assert!(bench.refused("list").contains("no routing table yet"));
    assert!(bench.said("init").contains("without rows, version 1"));
    assert!(bench.refused("init").contains("a routing table already"));
    assert!(bench.refused("adopt orders").contains("Give --partitions"));
    let told = bench.said("adopt orders --partitions 3");
    assert!(
        told.contains("stay where the key hash of their names put them, on 3 partitions in 4098 slots"),
        "{told}"
    );
    assert!(
        bench
            .refused("adopt orders --partitions 3")
            .contains("has rows already")
    );
    let there = murmur_of("acme", 3);
    assert!(
        bench
            .said("get orders acme")
            .contains(&format!("sends it to partition {there}"))
    );
    bench.said(&format!("set orders acme --slots {there}"));
    let list = bench.said("list");
    assert!(
        list.contains("TENANT") && list.contains("acme") && list.contains("version 3, epoch 1, 2 rows"),
        "{list}"
    );
    let json: Vec<serde_json::Value> = bench
        .said("list --json")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!((json.len(), &json[1]["tenant"]), (2, &serde_json::json!("acme")));
    let told = bench.said("unset orders acme");
    assert!(
        told.starts_with("- tenant \"acme\" of topic \"orders\": shared"),
        "{told}"
    );
}

fn murmur_of(tenant: &str, partitions: u32) -> u32 {
    pointsman_routing::murmur2::partition_for_key(tenant.as_bytes(), partitions)
}

#[test]
fn a_change_that_would_lose_order_is_refused_and_says_whose() {
    let bench = adopted();
    let there = murmur_of("acme", 3);
    let told = bench.refused("set orders acme --slots 7 --status dedicated");
    assert!(
        told.contains("nothing was changed") && told.contains(&format!("from partition {there} to 7")),
        "{told}"
    );
    assert!(told.contains("--out-of-order"), "{told}");
    assert_eq!(bench.said("list --json").lines().count(), 1);
    let told = bench.said("set orders acme --slots 7 --status dedicated --out-of-order");
    assert!(
        told.contains("out of order: tenant \"acme\"") && told.contains("+ tenant \"acme\""),
        "{told}"
    );
    // What moves nothing needs no leave.
    bench.said("set orders acme --pin");
    assert!(
        bench
            .said("get orders acme")
            .contains("dedicated, ordering tenant, partition 7, pinned")
    );
    assert!(
        bench
            .refused("set orders other --slots 7 --out-of-order")
            .contains("is dedicated")
    );
    assert!(
        bench
            .refused("set billing acme --slots 0 --out-of-order")
            .contains("no row for tenant \"*\"")
    );
    assert!(bench.refused("set orders acme --slots x").contains("invalid value"));
    let told = bench.said("set orders big --slots 0,1,2 --out-of-order");
    assert!(
        told.contains("sharded, ordering key, 3 slots on partitions 0-2"),
        "{told}"
    );
    let told = bench.said("get orders big --shard-key k");
    assert!(
        told.contains(&format!("goes to partition {}", murmur_of("k", 3))),
        "{told}"
    );
}

#[test]
fn who_was_too_late_is_told_what_came_first() {
    let bench = adopted();
    let settings = Settings {
        poll: POLL,
        hashing: Hashing::with_seed(1),
    };
    let mut store = FileStore::new(bench.folder.path().join("routes.json"), settings);
    let before = store.load().expect("load");
    bench.said("set orders first --slots 0 --out-of-order");
    let mut out = Vec::new();
    let mut around = Surroundings {
        environment: Vec::new(),
        out: &mut out,
        partitions: &|_, _| Ok(3),
        is_terminal: false,
        admin: &|_| unreachable!("no sidecar is asked"),
    };
    let considered = Considered {
        changes: vec![Change::Put(Row {
            tenant: "late".to_owned(),
            slots: vec![1],
            ..before.row("orders", "*").expect("the tail")
        })],
        moves: Vec::new(),
        out_of_order: false,
    };
    assert!(!around.apply(&mut store, &before, considered).expect("no error"));
    let told = String::from_utf8(out).expect("text");
    assert!(told.contains("it has epoch 1 and version 3 now"), "{told}");
    assert!(
        told.contains("+ tenant \"first\"") && !told.contains("\"late\""),
        "{told}"
    );
}

#[test]
fn what_was_exported_can_be_imported_elsewhere() {
    let bench = adopted();
    bench.said("set orders acme --slots 7 --status dedicated --out-of-order");
    let exported = bench.folder.path().join("exported.json");
    fs::write(&exported, bench.said("export")).expect("written");
    let other = Bench::new();
    let import = format!("import {}", exported.display());
    let told = other.refused(&import);
    assert!(told.contains("whose present partition is not known"), "{told}");
    other.said(&format!("{import} --out-of-order"));
    let rows = |bench: &Bench| {
        let rows = bench.said("list --json").replace(char::is_numeric, "");
        rows.lines().count()
    };
    assert_eq!(rows(&bench), rows(&other));
    assert!(other.said(&import).contains("has these rows already"));
    fs::write(&exported, "{}").expect("written");
    let told = other.refused(&import);
    assert!(
        told.contains("cannot be read as a routing table") && told.contains("exported.json"),
        "{told}"
    );
}
