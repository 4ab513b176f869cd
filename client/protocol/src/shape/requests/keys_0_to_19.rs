//! The shapes of the requests, written by shape-gen from Kafka's definitions. Do not edit.

use super::super::{
    Field,
    Kind::{Array, Bytes, Fixed, String, Struct},
    MAX, field, tagged,
};

pub(super) const PRODUCE: &[Field] = &[
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

pub(super) const FETCH: &[Field] = &[
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

pub(super) const LIST_OFFSETS: &[Field] = &[
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

pub(super) const METADATA: &[Field] = &[
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

pub(super) const OFFSET_COMMIT: &[Field] = &[
    field(0, MAX, String),   // GroupId
    field(1, MAX, Fixed(4)), // GenerationIdOrMemberEpoch
    field(1, MAX, String),   // MemberId
    field(7, MAX, String),   // GroupInstanceId
    field(2, 4, Fixed(8)),   // RetentionTimeMs
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, 9, String),       // Name
            field(10, MAX, Fixed(16)), // TopicId
            field(
                0,
                MAX,
                Array(&Struct(&[
                    field(0, MAX, Fixed(4)), // PartitionIndex
                    field(0, MAX, Fixed(8)), // CommittedOffset
                    field(6, MAX, Fixed(4)), // CommittedLeaderEpoch
                    field(0, MAX, String),   // CommittedMetadata
                ])),
            ), // Partitions
        ])),
    ), // Topics
];

pub(super) const OFFSET_FETCH: &[Field] = &[
    field(0, 7, String), // GroupId
    field(
        0,
        7,
        Array(&Struct(&[
            field(0, 7, String),           // Name
            field(0, 7, Array(&Fixed(4))), // PartitionIndexes
        ])),
    ), // Topics
    field(
        8,
        MAX,
        Array(&Struct(&[
            field(8, MAX, String),   // GroupId
            field(9, MAX, String),   // MemberId
            field(9, MAX, Fixed(4)), // MemberEpoch
            field(
                8,
                MAX,
                Array(&Struct(&[
                    field(8, 9, String),             // Name
                    field(10, MAX, Fixed(16)),       // TopicId
                    field(8, MAX, Array(&Fixed(4))), // PartitionIndexes
                ])),
            ), // Topics
        ])),
    ), // Groups
    field(7, MAX, Fixed(1)), // RequireStable
];

pub(super) const FIND_COORDINATOR: &[Field] = &[
    field(0, 3, String),           // Key
    field(1, MAX, Fixed(1)),       // KeyType
    field(4, MAX, Array(&String)), // CoordinatorKeys
];

pub(super) const JOIN_GROUP: &[Field] = &[
    field(0, MAX, String),   // GroupId
    field(0, MAX, Fixed(4)), // SessionTimeoutMs
    field(1, MAX, Fixed(4)), // RebalanceTimeoutMs
    field(0, MAX, String),   // MemberId
    field(5, MAX, String),   // GroupInstanceId
    field(0, MAX, String),   // ProtocolType
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, String), // Name
            field(0, MAX, Bytes),  // Metadata
        ])),
    ), // Protocols
    field(8, MAX, String),   // Reason
];

pub(super) const HEARTBEAT: &[Field] = &[
    field(0, MAX, String),   // GroupId
    field(0, MAX, Fixed(4)), // GenerationId
    field(0, MAX, String),   // MemberId
    field(3, MAX, String),   // GroupInstanceId
];

pub(super) const LEAVE_GROUP: &[Field] = &[
    field(0, MAX, String), // GroupId
    field(0, 2, String),   // MemberId
    field(
        3,
        MAX,
        Array(&Struct(&[
            field(3, MAX, String), // MemberId
            field(3, MAX, String), // GroupInstanceId
            field(5, MAX, String), // Reason
        ])),
    ), // Members
];

pub(super) const SYNC_GROUP: &[Field] = &[
    field(0, MAX, String),   // GroupId
    field(0, MAX, Fixed(4)), // GenerationId
    field(0, MAX, String),   // MemberId
    field(3, MAX, String),   // GroupInstanceId
    field(5, MAX, String),   // ProtocolType
    field(5, MAX, String),   // ProtocolName
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, String), // MemberId
            field(0, MAX, Bytes),  // Assignment
        ])),
    ), // Assignments
];

pub(super) const DESCRIBE_GROUPS: &[Field] = &[
    field(0, MAX, Array(&String)), // Groups
    field(3, MAX, Fixed(1)),       // IncludeAuthorizedOperations
];

pub(super) const LIST_GROUPS: &[Field] = &[
    field(4, MAX, Array(&String)), // StatesFilter
    field(5, MAX, Array(&String)), // TypesFilter
];

pub(super) const API_VERSIONS: &[Field] = &[
    field(3, MAX, String), // ClientSoftwareName
    field(3, MAX, String), // ClientSoftwareVersion
];

pub(super) const CREATE_TOPICS: &[Field] = &[
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
