//! The shapes of the requests, written by shape-gen from Kafka's definitions. Do not edit.

use super::super::{
    Field,
    Kind::{Array, Bytes, Fixed, Optional, String, Struct},
    MAX, field,
};

pub(super) const DESCRIBE_CLUSTER: &[Field] = &[
    field(0, MAX, Fixed(1)), // IncludeClusterAuthorizedOperations
    field(1, MAX, Fixed(1)), // EndpointType
    field(2, MAX, Fixed(1)), // IncludeFencedBrokers
];

pub(super) const DESCRIBE_PRODUCERS: &[Field] = &[
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, String),           // Name
            field(0, MAX, Array(&Fixed(4))), // PartitionIndexes
        ])),
    ), // Topics
];

pub(super) const CONSUMER_GROUP_HEARTBEAT: &[Field] = &[
    field(0, MAX, String),         // GroupId
    field(0, MAX, String),         // MemberId
    field(0, MAX, Fixed(4)),       // MemberEpoch
    field(0, MAX, String),         // InstanceId
    field(0, MAX, String),         // RackId
    field(0, MAX, Fixed(4)),       // RebalanceTimeoutMs
    field(0, MAX, Array(&String)), // SubscribedTopicNames
    field(1, MAX, String),         // SubscribedTopicRegex
    field(0, MAX, String),         // ServerAssignor
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, Fixed(16)),        // TopicId
            field(0, MAX, Array(&Fixed(4))), // Partitions
        ])),
    ), // TopicPartitions
];

pub(super) const CONSUMER_GROUP_DESCRIBE: &[Field] = &[
    field(0, MAX, Array(&String)), // GroupIds
    field(0, MAX, Fixed(1)),       // IncludeAuthorizedOperations
];

pub(super) const GET_TELEMETRY_SUBSCRIPTIONS: &[Field] = &[
    field(0, MAX, Fixed(16)), // ClientInstanceId
];

pub(super) const PUSH_TELEMETRY: &[Field] = &[
    field(0, MAX, Fixed(16)), // ClientInstanceId
    field(0, MAX, Fixed(4)),  // SubscriptionId
    field(0, MAX, Fixed(1)),  // Terminating
    field(0, MAX, Fixed(1)),  // CompressionType
    field(0, MAX, Bytes),     // Metrics
];

pub(super) const LIST_CONFIG_RESOURCES: &[Field] = &[
    field(1, MAX, Array(&Fixed(1))), // ResourceTypes
];

pub(super) const DESCRIBE_TOPIC_PARTITIONS: &[Field] = &[
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, String), // Name
        ])),
    ), // Topics
    field(0, MAX, Fixed(4)), // ResponsePartitionLimit
    field(
        0,
        MAX,
        Optional(&[
            field(0, MAX, String),   // TopicName
            field(0, MAX, Fixed(4)), // PartitionIndex
        ]),
    ), // Cursor
];
