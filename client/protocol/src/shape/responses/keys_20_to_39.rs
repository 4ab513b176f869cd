//! The shapes of the responses, written by shape-gen from Kafka's definitions. Do not edit.

use super::super::{
    Field,
    Kind::{Array, Fixed, String, Struct},
    MAX, field,
};

pub(super) const DELETE_TOPICS: &[Field] = &[
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

pub(super) const DELETE_RECORDS: &[Field] = &[
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

pub(super) const INIT_PRODUCER_ID: &[Field] = &[
    field(0, MAX, Fixed(4)), // ThrottleTimeMs
    field(0, MAX, Fixed(2)), // ErrorCode
    field(0, MAX, Fixed(8)), // ProducerId
    field(0, MAX, Fixed(2)), // ProducerEpoch
    field(6, MAX, Fixed(8)), // OngoingTxnProducerId
    field(6, MAX, Fixed(2)), // OngoingTxnProducerEpoch
];

pub(super) const OFFSET_FOR_LEADER_EPOCH: &[Field] = &[
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

pub(super) const DESCRIBE_ACLS: &[Field] = &[
    field(0, MAX, Fixed(4)), // ThrottleTimeMs
    field(0, MAX, Fixed(2)), // ErrorCode
    field(0, MAX, String),   // ErrorMessage
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, Fixed(1)), // ResourceType
            field(0, MAX, String),   // ResourceName
            field(1, MAX, Fixed(1)), // PatternType
            field(
                0,
                MAX,
                Array(&Struct(&[
                    field(0, MAX, String),   // Principal
                    field(0, MAX, String),   // Host
                    field(0, MAX, Fixed(1)), // Operation
                    field(0, MAX, Fixed(1)), // PermissionType
                ])),
            ), // Acls
        ])),
    ), // Resources
];

pub(super) const CREATE_ACLS: &[Field] = &[
    field(0, MAX, Fixed(4)), // ThrottleTimeMs
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, Fixed(2)), // ErrorCode
            field(0, MAX, String),   // ErrorMessage
        ])),
    ), // Results
];

pub(super) const DELETE_ACLS: &[Field] = &[
    field(0, MAX, Fixed(4)), // ThrottleTimeMs
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, Fixed(2)), // ErrorCode
            field(0, MAX, String),   // ErrorMessage
            field(
                0,
                MAX,
                Array(&Struct(&[
                    field(0, MAX, Fixed(2)), // ErrorCode
                    field(0, MAX, String),   // ErrorMessage
                    field(0, MAX, Fixed(1)), // ResourceType
                    field(0, MAX, String),   // ResourceName
                    field(1, MAX, Fixed(1)), // PatternType
                    field(0, MAX, String),   // Principal
                    field(0, MAX, String),   // Host
                    field(0, MAX, Fixed(1)), // Operation
                    field(0, MAX, Fixed(1)), // PermissionType
                ])),
            ), // MatchingAcls
        ])),
    ), // FilterResults
];

pub(super) const DESCRIBE_CONFIGS: &[Field] = &[
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

pub(super) const ALTER_CONFIGS: &[Field] = &[
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

pub(super) const DESCRIBE_LOG_DIRS: &[Field] = &[
    field(0, MAX, Fixed(4)), // ThrottleTimeMs
    field(3, MAX, Fixed(2)), // ErrorCode
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, Fixed(2)), // ErrorCode
            field(0, MAX, String),   // LogDir
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
                            field(0, MAX, Fixed(8)), // PartitionSize
                            field(0, MAX, Fixed(8)), // OffsetLag
                            field(0, MAX, Fixed(1)), // IsFutureKey
                        ])),
                    ), // Partitions
                ])),
            ), // Topics
            field(4, MAX, Fixed(8)), // TotalBytes
            field(4, MAX, Fixed(8)), // UsableBytes
        ])),
    ), // Results
];

pub(super) const CREATE_PARTITIONS: &[Field] = &[
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
