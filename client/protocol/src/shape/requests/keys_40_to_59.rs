//! The shapes of the requests, written by shape-gen from Kafka's definitions. Do not edit.

use super::super::{
    Field,
    Kind::{Array, Fixed, String, Struct},
    MAX, field,
};

pub(super) const DELETE_GROUPS: &[Field] = &[
    field(0, MAX, Array(&String)), // GroupsNames
];

pub(super) const ELECT_LEADERS: &[Field] = &[
    field(1, MAX, Fixed(1)), // ElectionType
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, String),           // Topic
            field(0, MAX, Array(&Fixed(4))), // Partitions
        ])),
    ), // TopicPartitions
    field(0, MAX, Fixed(4)), // TimeoutMs
];

pub(super) const INCREMENTAL_ALTER_CONFIGS: &[Field] = &[
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

pub(super) const ALTER_PARTITION_REASSIGNMENTS: &[Field] = &[
    field(0, MAX, Fixed(4)), // TimeoutMs
    field(1, MAX, Fixed(1)), // AllowReplicationFactorChange
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, String), // Name
            field(
                0,
                MAX,
                Array(&Struct(&[
                    field(0, MAX, Fixed(4)),         // PartitionIndex
                    field(0, MAX, Array(&Fixed(4))), // Replicas
                ])),
            ), // Partitions
        ])),
    ), // Topics
];

pub(super) const LIST_PARTITION_REASSIGNMENTS: &[Field] = &[
    field(0, MAX, Fixed(4)), // TimeoutMs
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, String),           // Name
            field(0, MAX, Array(&Fixed(4))), // PartitionIndexes
        ])),
    ), // Topics
];

pub(super) const OFFSET_DELETE: &[Field] = &[
    field(0, MAX, String), // GroupId
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
                ])),
            ), // Partitions
        ])),
    ), // Topics
];

pub(super) const DESCRIBE_CLIENT_QUOTAS: &[Field] = &[
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, String),   // EntityType
            field(0, MAX, Fixed(1)), // MatchType
            field(0, MAX, String),   // Match
        ])),
    ), // Components
    field(0, MAX, Fixed(1)), // Strict
];

pub(super) const DESCRIBE_USER_SCRAM_CREDENTIALS: &[Field] = &[
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, String), // Name
        ])),
    ), // Users
];

pub(super) const DESCRIBE_QUORUM: &[Field] = &[
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, String), // TopicName
            field(
                0,
                MAX,
                Array(&Struct(&[
                    field(0, MAX, Fixed(4)), // PartitionIndex
                ])),
            ), // Partitions
        ])),
    ), // Topics
];

pub(super) const UPDATE_FEATURES: &[Field] = &[
    field(0, MAX, Fixed(4)), // timeoutMs
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, String),   // Feature
            field(0, MAX, Fixed(2)), // MaxVersionLevel
            field(0, 0, Fixed(1)),   // AllowDowngrade
            field(1, MAX, Fixed(1)), // UpgradeType
        ])),
    ), // FeatureUpdates
    field(1, MAX, Fixed(1)), // ValidateOnly
];
