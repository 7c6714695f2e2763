//! A shadow and the plugin that decides are measured by the same table.

use serde_json::Value;

use super::{ROUTE, adopted, partition};
use crate::support::{
    routes_file::version,
    sidecar::{Builder, Sidecar, eventually},
};

fn shadow(sidecar: &Sidecar) -> Value {
    sidecar.admin("/plugins").json()["routes"][0]["shadow"].clone()
}

/// Sends one record of acme, and tells how it was compared.
fn compared(sidecar: &Sidecar) -> &'static str {
    let counts = |of: &Value| [of["same"].as_u64().unwrap(), of["different"].as_u64().unwrap()];
    let before = counts(&shadow(sidecar));
    partition(sidecar, "acme", "k");
    let mut found = before;
    eventually("it is compared", || {
        found = counts(&shadow(sidecar));
        found != before
    });
    match found[0] > before[0] {
        true => "same",
        false => "different",
    }
}

#[test]
fn a_shadow_is_not_called_different_for_a_way_to_say_the_same_nor_same_when_the_table_moves_the_tenant() {
    for (own, candidate) in [("tenant", "header"), ("header", "tenant")] {
        let config = |plugin: &str| match plugin {
            "tenant" => ROUTE.to_owned(),
            _ => "config = { name = \"tenant-id\" }".to_owned(),
        };
        let more = format!(
            "{}\nshadow = {{ plugin = \"{candidate}\", share = 1.0, {} }}",
            config(own),
            config(candidate)
        );
        let store = adopted();
        let routing = format!("[routing]\nstore = \"{}\"\n", store.url());
        let sidecar = Builder::embedded().route("*", own, &more).config(&routing).start();
        eventually("the table is there", || version(&sidecar) == 2);
        assert_eq!(compared(&sidecar), "same", "{own}: {}", shadow(&sidecar));
        let there = {
            let by_hash = store.routes("get t acme");
            let (_, partition) = by_hash.trim().rsplit_once(' ').unwrap();
            partition.parse::<u64>().unwrap()
        };
        store.routes(&format!("set t acme --slots {} --out-of-order", (there + 1) % 4));
        eventually("the table has moved acme", || version(&sidecar) == 3);
        assert_eq!(compared(&sidecar), "different", "{own}: {}", shadow(&sidecar));
        store.routes(&format!("set t acme --slots {there} --out-of-order"));
        eventually("the table has moved acme back", || version(&sidecar) == 4);
        assert_eq!(compared(&sidecar), "same", "{own}: {}", shadow(&sidecar));
    }
}
