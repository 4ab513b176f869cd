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
