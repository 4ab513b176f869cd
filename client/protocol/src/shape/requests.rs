//! The shapes of the requests, written by shape-gen from Kafka's definitions. Do not edit.

use super::{
    Field,
    Kind::{Array, Bytes, Fixed, String, Struct},
    MAX, field, tagged,
};
use crate::api::ApiKey;

/// The shape of an API's request.
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
    field(3, MAX, String),   // TransactionalId
    field(0, MAX, Fixed(2)), // Acks
    field(0, MAX, Fixed(4)), // TimeoutMs
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
                    field(0, MAX, Bytes),    // Records
                ])),
            ), // PartitionData
        ])),
    ), // TopicData
];

const FETCH: &[Field] = &[
    tagged(0, 12, MAX, String), // ClusterId
    field(0, 14, Fixed(4)),     // ReplicaId
    tagged(
        1,
        15,
        MAX,
        Struct(&[
            field(15, MAX, Fixed(4)), // ReplicaId
            field(15, MAX, Fixed(8)), // ReplicaEpoch
        ]),
    ), // ReplicaState
    field(0, MAX, Fixed(4)),    // MaxWaitMs
    field(0, MAX, Fixed(4)),    // MinBytes
    field(3, MAX, Fixed(4)),    // MaxBytes
    field(4, MAX, Fixed(1)),    // IsolationLevel
    field(7, MAX, Fixed(4)),    // SessionId
    field(7, MAX, Fixed(4)),    // SessionEpoch
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
                    field(0, MAX, Fixed(4)),       // Partition
                    field(9, MAX, Fixed(4)),       // CurrentLeaderEpoch
                    field(0, MAX, Fixed(8)),       // FetchOffset
                    field(12, MAX, Fixed(4)),      // LastFetchedEpoch
                    field(5, MAX, Fixed(8)),       // LogStartOffset
                    field(0, MAX, Fixed(4)),       // PartitionMaxBytes
                    tagged(0, 17, MAX, Fixed(16)), // ReplicaDirectoryId
                    tagged(1, 18, MAX, Fixed(8)),  // HighWatermark
                ])),
            ), // Partitions
        ])),
    ), // Topics
    field(
        7,
        MAX,
        Array(&Struct(&[
            field(7, 12, String),            // Topic
            field(13, MAX, Fixed(16)),       // TopicId
            field(7, MAX, Array(&Fixed(4))), // Partitions
        ])),
    ), // ForgottenTopicsData
    field(11, MAX, String),     // RackId
];

const LIST_OFFSETS: &[Field] = &[
    field(0, MAX, Fixed(4)), // ReplicaId
    field(2, MAX, Fixed(1)), // IsolationLevel
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
                    field(4, MAX, Fixed(4)), // CurrentLeaderEpoch
                    field(0, MAX, Fixed(8)), // Timestamp
                ])),
            ), // Partitions
        ])),
    ), // Topics
    field(10, MAX, Fixed(4)), // TimeoutMs
];

const METADATA: &[Field] = &[
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(10, MAX, Fixed(16)), // TopicId
            field(0, MAX, String),     // Name
        ])),
    ), // Topics
    field(4, MAX, Fixed(1)), // AllowAutoTopicCreation
    field(8, 10, Fixed(1)),  // IncludeClusterAuthorizedOperations
    field(8, MAX, Fixed(1)), // IncludeTopicAuthorizedOperations
];

const API_VERSIONS: &[Field] = &[
    field(3, MAX, String), // ClientSoftwareName
    field(3, MAX, String), // ClientSoftwareVersion
];

const CREATE_TOPICS: &[Field] = &[
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, String),   // Name
            field(0, MAX, Fixed(4)), // NumPartitions
            field(0, MAX, Fixed(2)), // ReplicationFactor
            field(
                0,
                MAX,
                Array(&Struct(&[
                    field(0, MAX, Fixed(4)),         // PartitionIndex
                    field(0, MAX, Array(&Fixed(4))), // BrokerIds
                ])),
            ), // Assignments
            field(
                0,
                MAX,
                Array(&Struct(&[
                    field(0, MAX, String), // Name
                    field(0, MAX, String), // Value
                ])),
            ), // Configs
        ])),
    ), // Topics
    field(0, MAX, Fixed(4)), // timeoutMs
    field(1, MAX, Fixed(1)), // validateOnly
];

const DELETE_TOPICS: &[Field] = &[
    field(
        6,
        MAX,
        Array(&Struct(&[
            field(6, MAX, String),    // Name
            field(6, MAX, Fixed(16)), // TopicId
        ])),
    ), // Topics
    field(0, 5, Array(&String)), // TopicNames
    field(0, MAX, Fixed(4)),     // TimeoutMs
];

const DELETE_RECORDS: &[Field] = &[
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
                    field(0, MAX, Fixed(8)), // Offset
                ])),
            ), // Partitions
        ])),
    ), // Topics
    field(0, MAX, Fixed(4)), // TimeoutMs
];

const INIT_PRODUCER_ID: &[Field] = &[
    field(0, MAX, String),   // TransactionalId
    field(0, MAX, Fixed(4)), // TransactionTimeoutMs
    field(3, MAX, Fixed(8)), // ProducerId
    field(3, MAX, Fixed(2)), // ProducerEpoch
    field(6, MAX, Fixed(1)), // Enable2Pc
    field(6, MAX, Fixed(1)), // KeepPreparedTxn
];

const OFFSET_FOR_LEADER_EPOCH: &[Field] = &[
    field(3, MAX, Fixed(4)), // ReplicaId
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, String), // Topic
            field(
                0,
                MAX,
                Array(&Struct(&[
                    field(0, MAX, Fixed(4)), // Partition
                    field(2, MAX, Fixed(4)), // CurrentLeaderEpoch
                    field(0, MAX, Fixed(4)), // LeaderEpoch
                ])),
            ), // Partitions
        ])),
    ), // Topics
];

const DESCRIBE_CONFIGS: &[Field] = &[
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, Fixed(1)),       // ResourceType
            field(0, MAX, String),         // ResourceName
            field(0, MAX, Array(&String)), // ConfigurationKeys
        ])),
    ), // Resources
    field(1, MAX, Fixed(1)), // IncludeSynonyms
    field(3, MAX, Fixed(1)), // IncludeDocumentation
];

const ALTER_CONFIGS: &[Field] = &[
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, Fixed(1)), // ResourceType
            field(0, MAX, String),   // ResourceName
            field(
                0,
                MAX,
                Array(&Struct(&[
                    field(0, MAX, String), // Name
                    field(0, MAX, String), // Value
                ])),
            ), // Configs
        ])),
    ), // Resources
    field(0, MAX, Fixed(1)), // ValidateOnly
];

const CREATE_PARTITIONS: &[Field] = &[
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, String),   // Name
            field(0, MAX, Fixed(4)), // Count
            field(
                0,
                MAX,
                Array(&Struct(&[
                    field(0, MAX, Array(&Fixed(4))), // BrokerIds
                ])),
            ), // Assignments
        ])),
    ), // Topics
    field(0, MAX, Fixed(4)), // TimeoutMs
    field(0, MAX, Fixed(1)), // ValidateOnly
];

const INCREMENTAL_ALTER_CONFIGS: &[Field] = &[
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, Fixed(1)), // ResourceType
            field(0, MAX, String),   // ResourceName
            field(
                0,
                MAX,
                Array(&Struct(&[
                    field(0, MAX, String),   // Name
                    field(0, MAX, Fixed(1)), // ConfigOperation
                    field(0, MAX, String),   // Value
                ])),
            ), // Configs
        ])),
    ), // Resources
    field(0, MAX, Fixed(1)), // ValidateOnly
];

const DESCRIBE_CLUSTER: &[Field] = &[
    field(0, MAX, Fixed(1)), // IncludeClusterAuthorizedOperations
    field(1, MAX, Fixed(1)), // EndpointType
    field(2, MAX, Fixed(1)), // IncludeFencedBrokers
];
