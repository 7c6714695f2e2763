//! The kinds of requests that are understood, and their versions.

/// A request that is understood. Its versions stand in [`Api::versions`].
#[expect(clippy::enum_variant_names, reason = "the names are Kafka's")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Api {
    Produce,
    Fetch,
    Metadata,
    FindCoordinator,
    SaslHandshake,
    ApiVersions,
    InitProducerId,
    SaslAuthenticate,
}

impl Api {
    pub(super) const ALL: [Self; 8] = [
        Self::Produce,
        Self::Fetch,
        Self::Metadata,
        Self::FindCoordinator,
        Self::SaslHandshake,
        Self::ApiVersions,
        Self::InitProducerId,
        Self::SaslAuthenticate,
    ];

    /// Kafka's number for it.
    pub(super) const fn key(self) -> i16 {
        match self {
            Self::Produce => 0,
            Self::Fetch => 1,
            Self::Metadata => 3,
            Self::FindCoordinator => 10,
            Self::SaslHandshake => 17,
            Self::ApiVersions => 18,
            Self::InitProducerId => 22,
            Self::SaslAuthenticate => 36,
        }
    }

    /// The first and the last version that is understood.
    pub(super) const fn versions(self) -> (i16, i16) {
        match self {
            // Below 3, records come in formats without headers. From 13 on, topics have ids instead of names.
            Self::Produce => (3, 12),
            // librdkafka takes a broker without this for one of 2016, and sends it the old formats.
            Self::Fetch => (4, 11),
            Self::Metadata => (0, 12),
            // Without this, librdkafka's consumers would wait for ever, and its producers would not compress with lz4.
            Self::FindCoordinator => (0, 2),
            // Version 0 goes on without the heads of requests.
            Self::SaslHandshake => (1, 1),
            Self::ApiVersions | Self::InitProducerId => (0, 4),
            Self::SaslAuthenticate => (0, 2),
        }
    }

    /// The versions that ApiVersions lists.
    pub(super) const fn listed(self) -> (i16, i16) {
        match (self, self.versions()) {
            // As Kafka itself does (KAFKA-18659): librdkafka compresses nothing for a broker that does not list version 0.
            (Self::Produce, (_, last)) => (0, last),
            (_, versions) => versions,
        }
    }

    /// The first version whose fields have the flexible form.
    pub(super) const fn flexible(self) -> i16 {
        match self {
            Self::Produce | Self::Metadata => 9,
            Self::Fetch => 12,
            Self::FindCoordinator => 3,
            Self::SaslHandshake => i16::MAX,
            Self::ApiVersions => 3,
            Self::InitProducerId | Self::SaslAuthenticate => 2,
        }
    }

    /// Its name in logs and metrics.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Produce => "produce",
            Self::Fetch => "fetch",
            Self::Metadata => "metadata",
            Self::FindCoordinator => "find_coordinator",
            Self::SaslHandshake => "sasl_handshake",
            Self::ApiVersions => "api_versions",
            Self::InitProducerId => "init_producer_id",
            Self::SaslAuthenticate => "sasl_authenticate",
        }
    }
}
