//! The shapes of the responses, written by shape-gen from Kafka's definitions. Do not edit.

use super::super::{
    Field,
    Kind::{Array, Fixed, Optional, String, Struct},
    MAX, field,
};

pub(super) const DESCRIBE_CLUSTER: &[Field] = &[
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

pub(super) const DESCRIBE_PRODUCERS: &[Field] = &[
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
                    field(0, MAX, String),   // ErrorMessage
                    field(
                        0,
                        MAX,
                        Array(&Struct(&[
                            field(0, MAX, Fixed(8)), // ProducerId
                            field(0, MAX, Fixed(4)), // ProducerEpoch
                            field(0, MAX, Fixed(4)), // LastSequence
                            field(0, MAX, Fixed(8)), // LastTimestamp
                            field(0, MAX, Fixed(4)), // CoordinatorEpoch
                            field(0, MAX, Fixed(8)), // CurrentTxnStartOffset
                        ])),
                    ), // ActiveProducers
                ])),
            ), // Partitions
        ])),
    ), // Topics
];

pub(super) const CONSUMER_GROUP_HEARTBEAT: &[Field] = &[
    field(0, MAX, Fixed(4)), // ThrottleTimeMs
    field(0, MAX, Fixed(2)), // ErrorCode
    field(0, MAX, String),   // ErrorMessage
    field(0, MAX, String),   // MemberId
    field(0, MAX, Fixed(4)), // MemberEpoch
    field(0, MAX, Fixed(4)), // HeartbeatIntervalMs
    field(
        0,
        MAX,
        Optional(&[
            field(
                0,
                MAX,
                Array(&Struct(&[
                    field(0, MAX, Fixed(16)),        // TopicId
                    field(0, MAX, Array(&Fixed(4))), // Partitions
                ])),
            ), // TopicPartitions
        ]),
    ), // Assignment
];

pub(super) const CONSUMER_GROUP_DESCRIBE: &[Field] = &[
    field(0, MAX, Fixed(4)), // ThrottleTimeMs
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, Fixed(2)), // ErrorCode
            field(0, MAX, String),   // ErrorMessage
            field(0, MAX, String),   // GroupId
            field(0, MAX, String),   // GroupState
            field(0, MAX, Fixed(4)), // GroupEpoch
            field(0, MAX, Fixed(4)), // AssignmentEpoch
            field(0, MAX, String),   // AssignorName
            field(
                0,
                MAX,
                Array(&Struct(&[
                    field(0, MAX, String),         // MemberId
                    field(0, MAX, String),         // InstanceId
                    field(0, MAX, String),         // RackId
                    field(0, MAX, Fixed(4)),       // MemberEpoch
                    field(0, MAX, String),         // ClientId
                    field(0, MAX, String),         // ClientHost
                    field(0, MAX, Array(&String)), // SubscribedTopicNames
                    field(0, MAX, String),         // SubscribedTopicRegex
                    field(
                        0,
                        MAX,
                        Struct(&[
                            field(
                                0,
                                MAX,
                                Array(&Struct(&[
                                    field(0, MAX, Fixed(16)),        // TopicId
                                    field(0, MAX, String),           // TopicName
                                    field(0, MAX, Array(&Fixed(4))), // Partitions
                                ])),
                            ), // TopicPartitions
                        ]),
                    ), // Assignment
                    field(
                        0,
                        MAX,
                        Struct(&[
                            field(
                                0,
                                MAX,
                                Array(&Struct(&[
                                    field(0, MAX, Fixed(16)),        // TopicId
                                    field(0, MAX, String),           // TopicName
                                    field(0, MAX, Array(&Fixed(4))), // Partitions
                                ])),
                            ), // TopicPartitions
                        ]),
                    ), // TargetAssignment
                    field(1, MAX, Fixed(1)),       // MemberType
                ])),
            ), // Members
            field(0, MAX, Fixed(4)), // AuthorizedOperations
        ])),
    ), // Groups
];

pub(super) const GET_TELEMETRY_SUBSCRIPTIONS: &[Field] = &[
    field(0, MAX, Fixed(4)),         // ThrottleTimeMs
    field(0, MAX, Fixed(2)),         // ErrorCode
    field(0, MAX, Fixed(16)),        // ClientInstanceId
    field(0, MAX, Fixed(4)),         // SubscriptionId
    field(0, MAX, Array(&Fixed(1))), // AcceptedCompressionTypes
    field(0, MAX, Fixed(4)),         // PushIntervalMs
    field(0, MAX, Fixed(4)),         // TelemetryMaxBytes
    field(0, MAX, Fixed(1)),         // DeltaTemporality
    field(0, MAX, Array(&String)),   // RequestedMetrics
];

pub(super) const PUSH_TELEMETRY: &[Field] = &[
    field(0, MAX, Fixed(4)), // ThrottleTimeMs
    field(0, MAX, Fixed(2)), // ErrorCode
];

pub(super) const LIST_CONFIG_RESOURCES: &[Field] = &[
    field(0, MAX, Fixed(4)), // ThrottleTimeMs
    field(0, MAX, Fixed(2)), // ErrorCode
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, String),   // ResourceName
            field(1, MAX, Fixed(1)), // ResourceType
        ])),
    ), // ConfigResources
];

pub(super) const DESCRIBE_TOPIC_PARTITIONS: &[Field] = &[
    field(0, MAX, Fixed(4)), // ThrottleTimeMs
    field(
        0,
        MAX,
        Array(&Struct(&[
            field(0, MAX, Fixed(2)),  // ErrorCode
            field(0, MAX, String),    // Name
            field(0, MAX, Fixed(16)), // TopicId
            field(0, MAX, Fixed(1)),  // IsInternal
            field(
                0,
                MAX,
                Array(&Struct(&[
                    field(0, MAX, Fixed(2)),         // ErrorCode
                    field(0, MAX, Fixed(4)),         // PartitionIndex
                    field(0, MAX, Fixed(4)),         // LeaderId
                    field(0, MAX, Fixed(4)),         // LeaderEpoch
                    field(0, MAX, Array(&Fixed(4))), // ReplicaNodes
                    field(0, MAX, Array(&Fixed(4))), // IsrNodes
                    field(0, MAX, Array(&Fixed(4))), // EligibleLeaderReplicas
                    field(0, MAX, Array(&Fixed(4))), // LastKnownElr
                    field(0, MAX, Array(&Fixed(4))), // OfflineReplicas
                ])),
            ), // Partitions
            field(0, MAX, Fixed(4)),  // TopicAuthorizedOperations
        ])),
    ), // Topics
    field(
        0,
        MAX,
        Optional(&[
            field(0, MAX, String),   // TopicName
            field(0, MAX, Fixed(4)), // PartitionIndex
        ]),
    ), // NextCursor
];
