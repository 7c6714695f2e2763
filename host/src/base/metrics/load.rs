//! Metrics of what tenants send and of what partitions get. Who counts decides which tenants and partitions have a series,
//! and how many.

use prometheus::{IntCounterVec, IntGaugeVec, Result};

use super::registrar::Registrar;

/// See the [module](self).
#[derive(Debug)]
pub struct LoadMetrics {
    tenant_records: IntCounterVec,
    tenant_bytes: IntCounterVec,
    partition_records: IntCounterVec,
    queue_bytes: IntGaugeVec,
}

impl LoadMetrics {
    pub(super) fn new(registrar: &Registrar) -> Result<Self> {
        let by_tenant = &["topic", "tenant"];
        let by_partition = &["topic", "partition"];
        Ok(Self {
            tenant_records: registrar.counters(
                "pointsman_tenant_records_total",
                "Records of the tenants that send most, and of all others together",
                by_tenant,
            )?,
            tenant_bytes: registrar.counters(
                "pointsman_tenant_bytes_total",
                "Their bytes, as message.max.bytes counts them",
                by_tenant,
            )?,
            partition_records: registrar.counters(
                "pointsman_partition_records_total",
                "Records by partition, for topics in the routing table",
                by_partition,
            )?,
            queue_bytes: registrar.gauges(
                "pointsman_partition_queue_bytes",
                "Bytes of records that were handed over and have no outcome yet, by partition",
                by_partition,
            )?,
        })
    }

    /// Counts records of a tenant.
    pub fn tenant(&self, topic: &str, tenant: &str, records: u64, bytes: u64) {
        let labels = &[topic, tenant];
        self.tenant_records.with_label_values(labels).inc_by(records);
        self.tenant_bytes.with_label_values(labels).inc_by(bytes);
    }

    /// Removes the series of a tenant.
    pub fn tenant_gone(&self, topic: &str, tenant: &str) {
        // An error only means that the label was not there.
        let _ = self.tenant_records.remove_label_values(&[topic, tenant]);
        let _ = self.tenant_bytes.remove_label_values(&[topic, tenant]);
    }

    /// Counts records of a partition, and sets what it has queued.
    pub fn partition(&self, topic: &str, partition: u32, records: u64, queued: usize) {
        let labels = &[topic, &*partition.to_string()];
        self.partition_records.with_label_values(labels).inc_by(records);
        self.queue_bytes
            .with_label_values(labels)
            .set(queued.cast_signed() as i64);
    }

    /// Removes the series of a partition.
    pub fn partition_gone(&self, topic: &str, partition: u32) {
        let labels = &[topic, &*partition.to_string()];
        let _ = self.partition_records.remove_label_values(labels);
        let _ = self.queue_bytes.remove_label_values(labels);
    }
}
