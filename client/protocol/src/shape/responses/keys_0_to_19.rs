//! The shapes of the responses, written by shape-gen from Kafka's definitions. Do not edit.

use super::super::{
    Field,
    Kind::{Array, Bytes, Fixed, String, Struct},
    MAX, field, tagged,
};

pub(super) const PRODUCE: &[Field] = &[
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

pub(super) const FETCH: &[Field] = &[
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

pub(super) const LIST_OFFSETS: &[Field] = &[
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

pub(super) const METADATA: &[Field] = &[
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

pub(super) const OFFSET_COMMIT: &[Field] = &[
    field(3, MAX, Fixed(4)), // ThrottleTimeMs
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
                    field(0, MAX, Fixed(2)), // ErrorCode
                ])),
            ), // Partitions
        ])),
    ), // Topics
];

pub(super) const OFFSET_FETCH: &[Field] = &[
    field(3, MAX, Fixed(4)), // ThrottleTimeMs
    field(
        0,
        7,
        Array(&Struct(&[
            field(0, 7, String), // Name
            field(
                0,
                7,
                Array(&Struct(&[
                    field(0, 7, Fixed(4)), // PartitionIndex
                    field(0, 7, Fixed(8)), // CommittedOffset
                    field(5, 7, Fixed(4)), // CommittedLeaderEpoch
                    field(0, 7, String),   // Metadata
                    field(0, 7, Fixed(2)), // ErrorCode
                ])),
            ), // Partitions
        ])),
    ), // Topics
    field(2, 7, Fixed(2)),   // ErrorCode
    field(
        8,
        MAX,
        Array(&Struct(&[
            field(8, MAX, String), // GroupId
            field(
                8,
                MAX,
                Array(&Struct(&[
                    field(8, 9, String),       // Name
                    field(10, MAX, Fixed(16)), // TopicId
                    field(
                        8,
                        MAX,
                        Array(&Struct(&[
                            field(8, MAX, Fixed(4)), // PartitionIndex
                            field(8, MAX, Fixed(8)), // CommittedOffset
                            field(8, MAX, Fixed(4)), // CommittedLeaderEpoch
                            field(8, MAX, String),   // Metadata
                            field(8, MAX, Fixed(2)), // ErrorCode
                        ])),
                    ), // Partitions
                ])),
            ), // Topics
            field(8, MAX, Fixed(2)), // ErrorCode
        ])),
    ), // Groups
];

pub(super) const FIND_COORDINATOR: &[Field] = &[
    field(1, MAX, Fixed(4)), // ThrottleTimeMs
    field(0, 3, Fixed(2)),   // ErrorCode
    field(1, 3, String),     // ErrorMessage
    field(0, 3, Fixed(4)),   // NodeId
    field(0, 3, String),     // Host
    field(0, 3, Fixed(4)),   // Port
    field(
        4,
        MAX,
        Array(&Struct(&[
            field(4, MAX, String),   // Key
            field(4, MAX, Fixed(4)), // NodeId
            field(4, MAX, String),   // Host
            field(4, MAX, Fixed(4)), // Port
            field(4, MAX, Fixed(2)), // ErrorCode
            field(4, MAX, String),   // ErrorMessage
        ])),
    ), // Coordinators
];

pub(super) const JOIN_GROUP: &[Field] = &[
    field(2, MAX, Fixed(4)), // ThrottleTimeMs
    field(0, MAX, Fixed(2)), // ErrorCode
    field(0, MAX, Fixed(4)), // GenerationId
    field(7, MAX, String),   // ProtocolType
    field(0, MAX, String),   // ProtocolName
    field(0, MAX, String),   // Leader
    field(9, MAX, Fixed(1)), // SkipAssignment
    field(0, MAX, String),   // MemberId
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, String), // MemberId
            field(5, MAX, String), // GroupInstanceId
            field(0, MAX, Bytes),  // Metadata
        ])),
    ), // Members
];

pub(super) const HEARTBEAT: &[Field] = &[
    field(1, MAX, Fixed(4)), // ThrottleTimeMs
    field(0, MAX, Fixed(2)), // ErrorCode
];

pub(super) const LEAVE_GROUP: &[Field] = &[
    field(1, MAX, Fixed(4)), // ThrottleTimeMs
    field(0, MAX, Fixed(2)), // ErrorCode
    field(
        3,
        MAX,
        Array(&Struct(&[
            field(3, MAX, String),   // MemberId
            field(3, MAX, String),   // GroupInstanceId
            field(3, MAX, Fixed(2)), // ErrorCode
        ])),
    ), // Members
];

pub(super) const SYNC_GROUP: &[Field] = &[
    field(1, MAX, Fixed(4)), // ThrottleTimeMs
    field(0, MAX, Fixed(2)), // ErrorCode
    field(5, MAX, String),   // ProtocolType
    field(5, MAX, String),   // ProtocolName
    field(0, MAX, Bytes),    // Assignment
];

pub(super) const DESCRIBE_GROUPS: &[Field] = &[
    field(1, MAX, Fixed(4)), // ThrottleTimeMs
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, Fixed(2)), // ErrorCode
            field(6, MAX, String),   // ErrorMessage
            field(0, MAX, String),   // GroupId
            field(0, MAX, String),   // GroupState
            field(0, MAX, String),   // ProtocolType
            field(0, MAX, String),   // ProtocolData
            field(
                0,
                MAX,
                Array(&Struct(&[
                    field(0, MAX, String), // MemberId
                    field(4, MAX, String), // GroupInstanceId
                    field(0, MAX, String), // ClientId
                    field(0, MAX, String), // ClientHost
                    field(0, MAX, Bytes),  // MemberMetadata
                    field(0, MAX, Bytes),  // MemberAssignment
                ])),
            ), // Members
            field(3, MAX, Fixed(4)), // AuthorizedOperations
        ])),
    ), // Groups
];

pub(super) const LIST_GROUPS: &[Field] = &[
    field(1, MAX, Fixed(4)), // ThrottleTimeMs
    field(0, MAX, Fixed(2)), // ErrorCode
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, String), // GroupId
            field(0, MAX, String), // ProtocolType
            field(4, MAX, String), // GroupState
            field(5, MAX, String), // GroupType
        ])),
    ), // Groups
];

pub(super) const API_VERSIONS: &[Field] = &[
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

pub(super) const CREATE_TOPICS: &[Field] = &[
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
