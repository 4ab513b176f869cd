//! The shapes of the responses, written by shape-gen from Kafka's definitions. Do not edit.

use super::super::{
    Field,
    Kind::{Array, Fixed, String, Struct},
    MAX, field,
};

pub(super) const DELETE_GROUPS: &[Field] = &[
    field(0, MAX, Fixed(4)), // ThrottleTimeMs
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, String),   // GroupId
            field(0, MAX, Fixed(2)), // ErrorCode
        ])),
    ), // Results
];

pub(super) const ELECT_LEADERS: &[Field] = &[
    field(0, MAX, Fixed(4)), // ThrottleTimeMs
    field(1, MAX, Fixed(2)), // ErrorCode
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, String), // Topic
            field(
                0,
                MAX,
                Array(&Struct(&[
                    field(0, MAX, Fixed(4)), // PartitionId
                    field(0, MAX, Fixed(2)), // ErrorCode
                    field(0, MAX, String),   // ErrorMessage
                ])),
            ), // PartitionResult
        ])),
    ), // ReplicaElectionResults
];

pub(super) const INCREMENTAL_ALTER_CONFIGS: &[Field] = &[
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

pub(super) const ALTER_PARTITION_REASSIGNMENTS: &[Field] = &[
    field(0, MAX, Fixed(4)), // ThrottleTimeMs
    field(1, MAX, Fixed(1)), // AllowReplicationFactorChange
    field(0, MAX, Fixed(2)), // ErrorCode
    field(0, MAX, String),   // ErrorMessage
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
                    field(0, MAX, String),   // ErrorMessage
                ])),
            ), // Partitions
        ])),
    ), // Responses
];

pub(super) const LIST_PARTITION_REASSIGNMENTS: &[Field] = &[
    field(0, MAX, Fixed(4)), // ThrottleTimeMs
    field(0, MAX, Fixed(2)), // ErrorCode
    field(0, MAX, String),   // ErrorMessage
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
                    field(0, MAX, Array(&Fixed(4))), // AddingReplicas
                    field(0, MAX, Array(&Fixed(4))), // RemovingReplicas
                ])),
            ), // Partitions
        ])),
    ), // Topics
];

pub(super) const OFFSET_DELETE: &[Field] = &[
    field(0, MAX, Fixed(2)), // ErrorCode
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
                    field(0, MAX, Fixed(2)), // ErrorCode
                ])),
            ), // Partitions
        ])),
    ), // Topics
];

pub(super) const DESCRIBE_CLIENT_QUOTAS: &[Field] = &[
    field(0, MAX, Fixed(4)), // ThrottleTimeMs
    field(0, MAX, Fixed(2)), // ErrorCode
    field(0, MAX, String),   // ErrorMessage
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(
                0,
                MAX,
                Array(&Struct(&[
                    field(0, MAX, String), // EntityType
                    field(0, MAX, String), // EntityName
                ])),
            ), // Entity
            field(
                0,
                MAX,
                Array(&Struct(&[
                    field(0, MAX, String),   // Key
                    field(0, MAX, Fixed(8)), // Value
                ])),
            ), // Values
        ])),
    ), // Entries
];

pub(super) const DESCRIBE_USER_SCRAM_CREDENTIALS: &[Field] = &[
    field(0, MAX, Fixed(4)), // ThrottleTimeMs
    field(0, MAX, Fixed(2)), // ErrorCode
    field(0, MAX, String),   // ErrorMessage
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, String),   // User
            field(0, MAX, Fixed(2)), // ErrorCode
            field(0, MAX, String),   // ErrorMessage
            field(
                0,
                MAX,
                Array(&Struct(&[
                    field(0, MAX, Fixed(1)), // Mechanism
                    field(0, MAX, Fixed(4)), // Iterations
                ])),
            ), // CredentialInfos
        ])),
    ), // Results
];

pub(super) const DESCRIBE_QUORUM: &[Field] = &[
    field(0, MAX, Fixed(2)), // ErrorCode
    field(2, MAX, String),   // ErrorMessage
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
                    field(0, MAX, Fixed(2)), // ErrorCode
                    field(2, MAX, String),   // ErrorMessage
                    field(0, MAX, Fixed(4)), // LeaderId
                    field(0, MAX, Fixed(4)), // LeaderEpoch
                    field(0, MAX, Fixed(8)), // HighWatermark
                    field(
                        0,
                        MAX,
                        Array(&Struct(&[
                            field(0, MAX, Fixed(4)),  // ReplicaId
                            field(2, MAX, Fixed(16)), // ReplicaDirectoryId
                            field(0, MAX, Fixed(8)),  // LogEndOffset
                            field(1, MAX, Fixed(8)),  // LastFetchTimestamp
                            field(1, MAX, Fixed(8)),  // LastCaughtUpTimestamp
                        ])),
                    ), // CurrentVoters
                    field(
                        0,
                        MAX,
                        Array(&Struct(&[
                            field(0, MAX, Fixed(4)),  // ReplicaId
                            field(2, MAX, Fixed(16)), // ReplicaDirectoryId
                            field(0, MAX, Fixed(8)),  // LogEndOffset
                            field(1, MAX, Fixed(8)),  // LastFetchTimestamp
                            field(1, MAX, Fixed(8)),  // LastCaughtUpTimestamp
                        ])),
                    ), // Observers
                ])),
            ), // Partitions
        ])),
    ), // Topics
    field(
        2,
        MAX,
        Array(&Struct(&[
            field(2, MAX, Fixed(4)), // NodeId
            field(
                2,
                MAX,
                Array(&Struct(&[
                    field(2, MAX, String),   // Name
                    field(2, MAX, String),   // Host
                    field(2, MAX, Fixed(2)), // Port
                ])),
            ), // Listeners
        ])),
    ), // Nodes
];

pub(super) const UPDATE_FEATURES: &[Field] = &[
    field(0, MAX, Fixed(4)), // ThrottleTimeMs
    field(0, MAX, Fixed(2)), // ErrorCode
    field(0, MAX, String),   // ErrorMessage
    field(
        0,
        1,
        Array(&Struct(&[
            field(0, MAX, String),   // Feature
            field(0, MAX, Fixed(2)), // ErrorCode
            field(0, MAX, String),   // ErrorMessage
        ])),
    ), // Results
];
