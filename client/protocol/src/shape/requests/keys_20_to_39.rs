//! The shapes of the requests, written by shape-gen from Kafka's definitions. Do not edit.

use super::super::{
    Field,
    Kind::{Array, Fixed, String, Struct},
    MAX, field,
};

pub(super) const DELETE_TOPICS: &[Field] = &[
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

pub(super) const DELETE_RECORDS: &[Field] = &[
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

pub(super) const INIT_PRODUCER_ID: &[Field] = &[
    field(0, MAX, String),   // TransactionalId
    field(0, MAX, Fixed(4)), // TransactionTimeoutMs
    field(3, MAX, Fixed(8)), // ProducerId
    field(3, MAX, Fixed(2)), // ProducerEpoch
    field(6, MAX, Fixed(1)), // Enable2Pc
    field(6, MAX, Fixed(1)), // KeepPreparedTxn
];

pub(super) const OFFSET_FOR_LEADER_EPOCH: &[Field] = &[
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

pub(super) const DESCRIBE_ACLS: &[Field] = &[
    field(0, MAX, Fixed(1)), // ResourceTypeFilter
    field(0, MAX, String),   // ResourceNameFilter
    field(1, MAX, Fixed(1)), // PatternTypeFilter
    field(0, MAX, String),   // PrincipalFilter
    field(0, MAX, String),   // HostFilter
    field(0, MAX, Fixed(1)), // Operation
    field(0, MAX, Fixed(1)), // PermissionType
];

pub(super) const CREATE_ACLS: &[Field] = &[
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, Fixed(1)), // ResourceType
            field(0, MAX, String),   // ResourceName
            field(1, MAX, Fixed(1)), // ResourcePatternType
            field(0, MAX, String),   // Principal
            field(0, MAX, String),   // Host
            field(0, MAX, Fixed(1)), // Operation
            field(0, MAX, Fixed(1)), // PermissionType
        ])),
    ), // Creations
];

pub(super) const DELETE_ACLS: &[Field] = &[
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, Fixed(1)), // ResourceTypeFilter
            field(0, MAX, String),   // ResourceNameFilter
            field(1, MAX, Fixed(1)), // PatternTypeFilter
            field(0, MAX, String),   // PrincipalFilter
            field(0, MAX, String),   // HostFilter
            field(0, MAX, Fixed(1)), // Operation
            field(0, MAX, Fixed(1)), // PermissionType
        ])),
    ), // Filters
];

pub(super) const DESCRIBE_CONFIGS: &[Field] = &[
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

pub(super) const ALTER_CONFIGS: &[Field] = &[
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

pub(super) const DESCRIBE_LOG_DIRS: &[Field] = &[
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, String),           // Topic
            field(0, MAX, Array(&Fixed(4))), // Partitions
        ])),
    ), // Topics
];

pub(super) const CREATE_PARTITIONS: &[Field] = &[
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
