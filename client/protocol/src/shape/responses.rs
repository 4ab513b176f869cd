//! The shapes of the responses, written by shape-gen from Kafka's definitions. Do not edit.

use super::{
    Field,
    Kind::{Array, Bytes, Fixed, String, Struct},
    MAX, field, tagged,
};
use crate::api::ApiKey;

/// The shape of an API's response.
pub(super) fn shape(api: ApiKey) -> &'static [Field] {
    match api {
        ApiKey::Produce => PRODUCE,
        ApiKey::Fetch => FETCH,
        ApiKey::ListOffsets => LIST_OFFSETS,
        ApiKey::Metadata => METADATA,
        ApiKey::ApiVersions => API_VERSIONS,
        ApiKey::CreateTopics => CREATE_TOPICS,
        ApiKey::DeleteTopics => DELETE_TOPICS,
        ApiKey::DeleteRecords => DELETE_RECORDS,
        ApiKey::InitProducerId => INIT_PRODUCER_ID,
        ApiKey::OffsetForLeaderEpoch => OFFSET_FOR_LEADER_EPOCH,
        ApiKey::DescribeConfigs => DESCRIBE_CONFIGS,
        ApiKey::AlterConfigs => ALTER_CONFIGS,
        ApiKey::CreatePartitions => CREATE_PARTITIONS,
        ApiKey::IncrementalAlterConfigs => INCREMENTAL_ALTER_CONFIGS,
        ApiKey::DescribeCluster => DESCRIBE_CLUSTER,
    }
}

const PRODUCE: &[Field] = &[
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, 12, String),      // Name
            field(13, MAX, Fixed(16)), // TopicId
            field(
                0,
                MAX,
                Array(&Struct(&[
                    field(0, MAX, Fixed(4)), // Index
                    field(0, MAX, Fixed(2)), // ErrorCode
                    field(0, MAX, Fixed(8)), // BaseOffset
                    field(2, MAX, Fixed(8)), // LogAppendTimeMs
                    field(5, MAX, Fixed(8)), // LogStartOffset
                    field(
                        8,
                        MAX,
                        Array(&Struct(&[
                            field(8, MAX, Fixed(4)), // BatchIndex
                            field(8, MAX, String),   // BatchIndexErrorMessage
                        ])),
                    ), // RecordErrors
                    field(8, MAX, String),   // ErrorMessage
                    tagged(
                        0,
                        10,
                        MAX,
                        Struct(&[
                            field(10, MAX, Fixed(4)), // LeaderId
                            field(10, MAX, Fixed(4)), // LeaderEpoch
                        ]),
                    ), // CurrentLeader
                ])),
            ), // PartitionResponses
        ])),
    ), // Responses
    field(1, MAX, Fixed(4)), // ThrottleTimeMs
    tagged(
        0,
        10,
        MAX,
        Array(&Struct(&[
            field(10, MAX, Fixed(4)), // NodeId
            field(10, MAX, String),   // Host
            field(10, MAX, Fixed(4)), // Port
            field(10, MAX, String),   // Rack
        ])),
    ), // NodeEndpoints
];

const FETCH: &[Field] = &[
    field(1, MAX, Fixed(4)), // ThrottleTimeMs
    field(7, MAX, Fixed(2)), // ErrorCode
    field(7, MAX, Fixed(4)), // SessionId
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, 12, String),      // Topic
            field(13, MAX, Fixed(16)), // TopicId
            field(
                0,
                MAX,
                Array(&Struct(&[
                    field(0, MAX, Fixed(4)), // PartitionIndex
                    field(0, MAX, Fixed(2)), // ErrorCode
                    field(0, MAX, Fixed(8)), // HighWatermark
                    field(4, MAX, Fixed(8)), // LastStableOffset
                    field(5, MAX, Fixed(8)), // LogStartOffset
                    tagged(
                        0,
                        12,
                        MAX,
                        Struct(&[
                            field(12, MAX, Fixed(4)), // Epoch
                            field(12, MAX, Fixed(8)), // EndOffset
                        ]),
                    ), // DivergingEpoch
                    tagged(
                        1,
                        12,
                        MAX,
                        Struct(&[
                            field(12, MAX, Fixed(4)), // LeaderId
                            field(12, MAX, Fixed(4)), // LeaderEpoch
                        ]),
                    ), // CurrentLeader
                    tagged(
                        2,
                        12,
                        MAX,
                        Struct(&[
                            field(0, MAX, Fixed(8)), // EndOffset
                            field(0, MAX, Fixed(4)), // Epoch
                        ]),
                    ), // SnapshotId
                    field(
                        4,
                        MAX,
                        Array(&Struct(&[
                            field(4, MAX, Fixed(8)), // ProducerId
                            field(4, MAX, Fixed(8)), // FirstOffset
                        ])),
                    ), // AbortedTransactions
                    field(11, MAX, Fixed(4)), // PreferredReadReplica
                    field(0, MAX, Bytes),    // Records
                ])),
            ), // Partitions
        ])),
    ), // Responses
    tagged(
        0,
        16,
        MAX,
        Array(&Struct(&[
            field(16, MAX, Fixed(4)), // NodeId
            field(16, MAX, String),   // Host
            field(16, MAX, Fixed(4)), // Port
            field(16, MAX, String),   // Rack
        ])),
    ), // NodeEndpoints
];

const LIST_OFFSETS: &[Field] = &[
    field(2, MAX, Fixed(4)), // ThrottleTimeMs
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, String), // Name
            field(
                0,
                MAX,
                Array(&Struct(&[
                    field(0, MAX, Fixed(4)), // PartitionIndex
                    field(0, MAX, Fixed(2)), // ErrorCode
                    field(1, MAX, Fixed(8)), // Timestamp
                    field(1, MAX, Fixed(8)), // Offset
                    field(4, MAX, Fixed(4)), // LeaderEpoch
                ])),
            ), // Partitions
        ])),
    ), // Topics
];

const METADATA: &[Field] = &[
    field(3, MAX, Fixed(4)), // ThrottleTimeMs
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, Fixed(4)), // NodeId
            field(0, MAX, String),   // Host
            field(0, MAX, Fixed(4)), // Port
            field(1, MAX, String),   // Rack
        ])),
    ), // Brokers
    field(2, MAX, String),   // ClusterId
    field(1, MAX, Fixed(4)), // ControllerId
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, Fixed(2)),   // ErrorCode
            field(0, MAX, String),     // Name
            field(10, MAX, Fixed(16)), // TopicId
            field(1, MAX, Fixed(1)),   // IsInternal
            field(
                0,
                MAX,
                Array(&Struct(&[
                    field(0, MAX, Fixed(2)),         // ErrorCode
                    field(0, MAX, Fixed(4)),         // PartitionIndex
                    field(0, MAX, Fixed(4)),         // LeaderId
                    field(7, MAX, Fixed(4)),         // LeaderEpoch
                    field(0, MAX, Array(&Fixed(4))), // ReplicaNodes
                    field(0, MAX, Array(&Fixed(4))), // IsrNodes
                    field(5, MAX, Array(&Fixed(4))), // OfflineReplicas
                ])),
            ), // Partitions
            field(8, MAX, Fixed(4)),   // TopicAuthorizedOperations
        ])),
    ), // Topics
    field(8, 10, Fixed(4)),  // ClusterAuthorizedOperations
    field(13, MAX, Fixed(2)), // ErrorCode
];

const API_VERSIONS: &[Field] = &[
    field(0, MAX, Fixed(2)), // ErrorCode
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, Fixed(2)), // ApiKey
            field(0, MAX, Fixed(2)), // MinVersion
            field(0, MAX, Fixed(2)), // MaxVersion
        ])),
    ), // ApiKeys
    field(1, MAX, Fixed(4)), // ThrottleTimeMs
    tagged(
        0,
        3,
        MAX,
        Array(&Struct(&[
            field(3, MAX, String),   // Name
            field(3, MAX, Fixed(2)), // MinVersion
            field(3, MAX, Fixed(2)), // MaxVersion
        ])),
    ), // SupportedFeatures
    tagged(1, 3, MAX, Fixed(8)), // FinalizedFeaturesEpoch
    tagged(
        2,
        3,
        MAX,
        Array(&Struct(&[
            field(3, MAX, String),   // Name
            field(3, MAX, Fixed(2)), // MaxVersionLevel
            field(3, MAX, Fixed(2)), // MinVersionLevel
        ])),
    ), // FinalizedFeatures
    tagged(3, 3, MAX, Fixed(1)), // ZkMigrationReady
];

const CREATE_TOPICS: &[Field] = &[
    field(2, MAX, Fixed(4)), // ThrottleTimeMs
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, String),       // Name
            field(7, MAX, Fixed(16)),    // TopicId
            field(0, MAX, Fixed(2)),     // ErrorCode
            field(1, MAX, String),       // ErrorMessage
            tagged(0, 5, MAX, Fixed(2)), // TopicConfigErrorCode
            field(5, MAX, Fixed(4)),     // NumPartitions
            field(5, MAX, Fixed(2)),     // ReplicationFactor
            field(
                5,
                MAX,
                Array(&Struct(&[
                    field(5, MAX, String),   // Name
                    field(5, MAX, String),   // Value
                    field(5, MAX, Fixed(1)), // ReadOnly
                    field(5, MAX, Fixed(1)), // ConfigSource
                    field(5, MAX, Fixed(1)), // IsSensitive
                ])),
            ), // Configs
        ])),
    ), // Topics
];

const DELETE_TOPICS: &[Field] = &[
    field(1, MAX, Fixed(4)), // ThrottleTimeMs
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, String),    // Name
            field(6, MAX, Fixed(16)), // TopicId
            field(0, MAX, Fixed(2)),  // ErrorCode
            field(5, MAX, String),    // ErrorMessage
        ])),
    ), // Responses
];

const DELETE_RECORDS: &[Field] = &[
    field(0, MAX, Fixed(4)), // ThrottleTimeMs
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, String), // Name
            field(
                0,
                MAX,
                Array(&Struct(&[
                    field(0, MAX, Fixed(4)), // PartitionIndex
                    field(0, MAX, Fixed(8)), // LowWatermark
                    field(0, MAX, Fixed(2)), // ErrorCode
                ])),
            ), // Partitions
        ])),
    ), // Topics
];

const INIT_PRODUCER_ID: &[Field] = &[
    field(0, MAX, Fixed(4)), // ThrottleTimeMs
    field(0, MAX, Fixed(2)), // ErrorCode
    field(0, MAX, Fixed(8)), // ProducerId
    field(0, MAX, Fixed(2)), // ProducerEpoch
    field(6, MAX, Fixed(8)), // OngoingTxnProducerId
    field(6, MAX, Fixed(2)), // OngoingTxnProducerEpoch
];

const OFFSET_FOR_LEADER_EPOCH: &[Field] = &[
    field(2, MAX, Fixed(4)), // ThrottleTimeMs
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, String), // Topic
            field(
                0,
                MAX,
                Array(&Struct(&[
                    field(0, MAX, Fixed(2)), // ErrorCode
                    field(0, MAX, Fixed(4)), // Partition
                    field(1, MAX, Fixed(4)), // LeaderEpoch
                    field(0, MAX, Fixed(8)), // EndOffset
                ])),
            ), // Partitions
        ])),
    ), // Topics
];

const DESCRIBE_CONFIGS: &[Field] = &[
    field(0, MAX, Fixed(4)), // ThrottleTimeMs
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, Fixed(2)), // ErrorCode
            field(0, MAX, String),   // ErrorMessage
            field(0, MAX, Fixed(1)), // ResourceType
            field(0, MAX, String),   // ResourceName
            field(
                0,
                MAX,
                Array(&Struct(&[
                    field(0, MAX, String),   // Name
                    field(0, MAX, String),   // Value
                    field(0, MAX, Fixed(1)), // ReadOnly
                    field(1, MAX, Fixed(1)), // ConfigSource
                    field(0, MAX, Fixed(1)), // IsSensitive
                    field(
                        1,
                        MAX,
                        Array(&Struct(&[
                            field(1, MAX, String),   // Name
                            field(1, MAX, String),   // Value
                            field(1, MAX, Fixed(1)), // Source
                        ])),
                    ), // Synonyms
                    field(3, MAX, Fixed(1)), // ConfigType
                    field(3, MAX, String),   // Documentation
                ])),
            ), // Configs
        ])),
    ), // Results
];

const ALTER_CONFIGS: &[Field] = &[
    field(0, MAX, Fixed(4)), // ThrottleTimeMs
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, Fixed(2)), // ErrorCode
            field(0, MAX, String),   // ErrorMessage
            field(0, MAX, Fixed(1)), // ResourceType
            field(0, MAX, String),   // ResourceName
        ])),
    ), // Responses
];

const CREATE_PARTITIONS: &[Field] = &[
    field(0, MAX, Fixed(4)), // ThrottleTimeMs
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, String),   // Name
            field(0, MAX, Fixed(2)), // ErrorCode
            field(0, MAX, String),   // ErrorMessage
        ])),
    ), // Results
];

const INCREMENTAL_ALTER_CONFIGS: &[Field] = &[
    field(0, MAX, Fixed(4)), // ThrottleTimeMs
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, Fixed(2)), // ErrorCode
            field(0, MAX, String),   // ErrorMessage
            field(0, MAX, Fixed(1)), // ResourceType
            field(0, MAX, String),   // ResourceName
        ])),
    ), // Responses
];

const DESCRIBE_CLUSTER: &[Field] = &[
    field(0, MAX, Fixed(4)), // ThrottleTimeMs
    field(0, MAX, Fixed(2)), // ErrorCode
    field(0, MAX, String),   // ErrorMessage
    field(1, MAX, Fixed(1)), // EndpointType
    field(0, MAX, String),   // ClusterId
    field(0, MAX, Fixed(4)), // ControllerId
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, Fixed(4)), // BrokerId
            field(0, MAX, String),   // Host
            field(0, MAX, Fixed(4)), // Port
            field(0, MAX, String),   // Rack
            field(2, MAX, Fixed(1)), // IsFenced
        ])),
    ), // Brokers
    field(0, MAX, Fixed(4)), // ClusterAuthorizedOperations
];
