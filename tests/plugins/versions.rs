//! Plugins that were built for an older version of the interface.

use crate::support::{components, plugin_folder::PluginFolder};

#[test]
fn a_plugin_for_the_interface_as_it_was_before_still_decides_record_by_record_and_in_batches() {
    let folder = PluginFolder::new();
    folder.put("old", &components::of_1_0_0());
    let sidecar = folder.sidecar().route("*", "old", "").start();
    let timestamps: Vec<u64> = (0..40).map(|number| 1 + number % 3).collect();
    let records: Vec<String> = timestamps
        .iter()
        .map(|timestamp| format!(r#"{{"key":"k","timestamp":{timestamp}}}"#))
        .collect();
    let partitions = |records: &[String]| {
        let body = format!(r#"{{"records":[{}]}}"#, records.join(","));
        sidecar.tcp().json("/v1/topics/t/records", &body).partitions()
    };
    assert_eq!(partitions(&records), timestamps);
    for (record, timestamp) in records.iter().zip(timestamps).take(4) {
        assert_eq!(partitions(std::slice::from_ref(record)), [timestamp]);
    }
    let failures = sidecar.metric("pointsman_plugin_batch_failures_total{plugin=\"old\"}");
    assert_eq!(failures, 0.0, "the records were decided one by one");
}
