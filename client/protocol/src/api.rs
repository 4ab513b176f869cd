//! The API table: every Kafka API that is served, with its versions. Dispatch, ApiVersions, header versions and the
//! rule of what may be asked before authentication all follow from it. An API is added by adding a variant and a row.
//! Knows nothing of messages and handlers.

use std::fmt;

/// The Kafka APIs that are served. The number is the API's key on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i16)]
#[expect(missing_docs, reason = "the names are Kafka's own")]
pub enum ApiKey {
    Produce = 0,
    Fetch = 1,
    ListOffsets = 2,
    Metadata = 3,
    OffsetCommit = 8,
    OffsetFetch = 9,
    FindCoordinator = 10,
    JoinGroup = 11,
    Heartbeat = 12,
    LeaveGroup = 13,
    SyncGroup = 14,
    DescribeGroups = 15,
    ListGroups = 16,
    ApiVersions = 18,
    CreateTopics = 19,
    DeleteTopics = 20,
    DeleteRecords = 21,
    InitProducerId = 22,
    OffsetForLeaderEpoch = 23,
    DescribeAcls = 29,
    CreateAcls = 30,
    DeleteAcls = 31,
    DescribeConfigs = 32,
    AlterConfigs = 33,
    DescribeLogDirs = 35,
    CreatePartitions = 37,
    DeleteGroups = 42,
    ElectLeaders = 43,
    IncrementalAlterConfigs = 44,
    AlterPartitionReassignments = 45,
    ListPartitionReassignments = 46,
    OffsetDelete = 47,
    DescribeClientQuotas = 48,
    DescribeUserScramCredentials = 50,
    DescribeQuorum = 55,
    UpdateFeatures = 57,
    DescribeCluster = 60,
    DescribeProducers = 61,
    ConsumerGroupHeartbeat = 68,
    ConsumerGroupDescribe = 69,
    GetTelemetrySubscriptions = 71,
    PushTelemetry = 72,
    ListConfigResources = 74,
    DescribeTopicPartitions = 75,
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Api {
    /// Which API.
    pub key: ApiKey,
    /// The lowest version that ApiVersions lists.
    pub min: i16,
    /// The highest version.
    pub max: i16,
    /// The first flexible version (KIP-482): compact lengths, tagged fields, and a tagged header.
    pub flexible: i16,
    /// Whether a peer may ask it before it has proved who it is.
    pub before_authentication: bool,
}

const fn row(key: ApiKey, min: i16, max: i16, flexible: i16) -> Api {
    Api { key, min, max, flexible, before_authentication: false }
}

/// The table, sorted by key.
///
/// Produce is listed from version 0 because librdkafka takes the low versions as the sign that a broker knows
/// compression. Messages of those versions hold message formats below 2, which are refused batch by batch.
pub const APIS: &[Api] = &[
    row(ApiKey::Produce, 0, 13, 9),
    row(ApiKey::Fetch, 4, 18, 12),
    row(ApiKey::ListOffsets, 1, 10, 6),
    row(ApiKey::Metadata, 0, 13, 9),
    row(ApiKey::OffsetCommit, 2, 9, 8),
    row(ApiKey::OffsetFetch, 1, 9, 6),
    row(ApiKey::FindCoordinator, 0, 6, 3),
    row(ApiKey::JoinGroup, 0, 9, 6),
    row(ApiKey::Heartbeat, 0, 4, 4),
    row(ApiKey::LeaveGroup, 0, 5, 4),
    row(ApiKey::SyncGroup, 0, 5, 4),
    row(ApiKey::DescribeGroups, 0, 6, 5),
    row(ApiKey::ListGroups, 0, 5, 3),
    Api { before_authentication: true, ..row(ApiKey::ApiVersions, 0, 4, 3) },
    row(ApiKey::CreateTopics, 2, 7, 5),
    row(ApiKey::DeleteTopics, 1, 6, 4),
    row(ApiKey::DeleteRecords, 0, 2, 2),
    row(ApiKey::InitProducerId, 0, 5, 2),
    row(ApiKey::OffsetForLeaderEpoch, 2, 4, 4),
    row(ApiKey::DescribeAcls, 1, 3, 2),
    row(ApiKey::CreateAcls, 1, 3, 2),
    row(ApiKey::DeleteAcls, 1, 3, 2),
    row(ApiKey::DescribeConfigs, 1, 4, 4),
    row(ApiKey::AlterConfigs, 0, 2, 2),
    row(ApiKey::DescribeLogDirs, 1, 4, 2),
    row(ApiKey::CreatePartitions, 0, 3, 2),
    row(ApiKey::DeleteGroups, 0, 2, 2),
    row(ApiKey::ElectLeaders, 0, 2, 2),
    row(ApiKey::IncrementalAlterConfigs, 0, 1, 1),
    row(ApiKey::AlterPartitionReassignments, 0, 1, 0),
    row(ApiKey::ListPartitionReassignments, 0, 0, 0),
    row(ApiKey::OffsetDelete, 0, 0, 1),
    row(ApiKey::DescribeClientQuotas, 0, 1, 1),
    row(ApiKey::DescribeUserScramCredentials, 0, 0, 0),
    row(ApiKey::DescribeQuorum, 0, 2, 0),
    row(ApiKey::UpdateFeatures, 0, 2, 0),
    row(ApiKey::DescribeCluster, 0, 2, 0),
    row(ApiKey::DescribeProducers, 0, 0, 0),
    row(ApiKey::ConsumerGroupHeartbeat, 0, 1, 0),
    row(ApiKey::ConsumerGroupDescribe, 0, 1, 0),
    row(ApiKey::GetTelemetrySubscriptions, 0, 0, 0),
    row(ApiKey::PushTelemetry, 0, 0, 0),
    row(ApiKey::ListConfigResources, 0, 1, 0),
    row(ApiKey::DescribeTopicPartitions, 0, 0, 0),
];

impl ApiKey {
    /// The key on the wire.
    #[must_use]
    pub fn code(self) -> i16 {
        self as i16
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Api {
    /// The row of a key from the wire, when it is served.
    #[must_use]
    pub fn find(code: i16) -> Option<&'static Self> {
        let index = APIS.binary_search_by_key(&code, |api| api.key.code()).ok()?;
        APIS.get(index)
    }

    /// Whether a version is listed.
    #[must_use]
    pub fn supports(&self, version: i16) -> bool {
        (self.min..=self.max).contains(&version)
    }

    /// The highest version that this table and a peer's range have in common: what a client should use.
    #[must_use]
    pub fn highest_common(&self, peer_min: i16, peer_max: i16) -> Option<i16> {
        let highest = self.max.min(peer_max);
        (highest >= self.min.max(peer_min)).then_some(highest)
    }

    /// Whether a version is flexible (KIP-482).
    #[must_use]
    pub fn is_flexible(&self, version: i16) -> bool {
        version >= self.flexible
    }

    /// Whether the response header of a version ends with tagged fields. ApiVersions never has them, so that a client
    /// can read the answer whatever version the broker answered in (KIP-511).
    #[must_use]
    pub fn has_tagged_response_header(&self, version: i16) -> bool {
        self.is_flexible(version) && self.key != ApiKey::ApiVersions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_and_found_by_key() {
        assert!(APIS.is_sorted_by(|a, b| a.key < b.key));
        for api in APIS {
            assert!(api.min <= api.max, "{}", api.key);
            assert_eq!(Api::find(api.key.code()), Some(api));
        }
        assert_eq!(Api::find(-1), None);
        assert_eq!(Api::find(7), None, "ControlledShutdown is no client's business");
    }

    #[test]
    fn header_versions_agree_with_kafkas_definitions() {
        for api in APIS {
            let theirs =
                kafka_protocol::messages::ApiKey::try_from(api.key.code()).expect("every row is Kafka's");
            assert_eq!(format!("{theirs:?}"), api.key.to_string());
            for version in api.min..=api.max {
                let request = if api.is_flexible(version) { 2 } else { 1 };
                let response = i16::from(api.has_tagged_response_header(version));
                assert_eq!(theirs.request_header_version(version), request, "{} {version}", api.key);
                assert_eq!(theirs.response_header_version(version), response, "{} {version}", api.key);
            }
        }
    }

    #[test]
    fn only_api_versions_is_open_before_authentication() {
        let open: Vec<_> = APIS.iter().filter(|api| api.before_authentication).map(|api| api.key).collect();
        assert_eq!(open, [ApiKey::ApiVersions]);
    }

    #[test]
    fn the_highest_common_version_lies_in_both_ranges() {
        let fetch = Api::find(1).expect("Fetch is served");
        assert_eq!(fetch.highest_common(0, 30), Some(18));
        assert_eq!(fetch.highest_common(0, 11), Some(11));
        assert_eq!(fetch.highest_common(0, 3), None);
        assert_eq!(fetch.highest_common(19, 20), None);
    }
}
