//! Who needs each API, and how its answers differ from Kafka's. The handlers' own comments say the same at more length.

use ebb_protocol::api::ApiKey;

/// What is said of an API beside its versions.
pub(super) struct Note {
    api: ApiKey,
    /// Which clients send it.
    pub(super) needed_by: &'static str,
    /// How it differs from Kafka.
    pub(super) differs: &'static str,
}

/// The note on an API.
pub(super) fn find(api: ApiKey) -> Option<&'static Note> {
    NOTES.iter().find(|note| note.api == api)
}

const PRODUCERS: &str = "Every producer.";
const CONSUMERS: &str = "Every consumer.";
const ALL: &str = "Every client.";
const IDEMPOTENT: &str = "Idempotent producers, which is the default of the JVM client and franz-go.";
const ADMINS: &str = "Admin clients and tools.";
const OLD_ADMINS: &str = "Older admin clients and tools.";
const CONSOLES: &str = "Tools and consoles.";
const GROUP_MEMBERS: &str = "Consumers with a group, of either protocol.";
const CLASSIC_MEMBERS: &str =
    "Members of the classic protocol: most consumers, Kafka Connect, schema registries.";
const NEW_MEMBERS: &str =
    "Members of KIP-848: librdkafka from 2.12 on, the JVM client from 4.0 on, the Rust SDK.";
const SAME: &str = "As in Kafka.";
const DESCRIBED: &str = "Authorized operations are not told. A group that is named twice is answered once, and what \
     would make the answer longer than 64 MiB is refused with INVALID_REQUEST.";

/// One note for each API that is served.
const NOTES: &[Note] = &[
    note(
        ApiKey::Produce,
        PRODUCERS,
        "Versions 0 to 2 are listed because librdkafka takes them as the sign of compression support; their \
         message formats are refused with UNSUPPORTED_FOR_MESSAGE_FORMAT. `acks=1` waits as `acks=all` does. \
         Transactional batches are refused with INVALID_TXN_STATE.",
    ),
    note(
        ApiKey::Fetch,
        CONSUMERS,
        "Every answer is whole: sessions (KIP-227) are answered with session id 0, which turns them off. A rack \
         chooses no replica, since any agent serves any partition. There are no aborted transactions.",
    ),
    note(
        ApiKey::ListOffsets,
        CONSUMERS,
        "The earliest local offset is the earliest; nothing is tiered, so there is no latest tiered offset.",
    ),
    note(
        ApiKey::Metadata,
        ALL,
        "A partition's leader is a preferred agent, at once its only replica; the controller is the agent that \
         answers. Brokers have the addresses of the transport that the client came by. Authorized operations are \
         not told.",
    ),
    note(
        ApiKey::OffsetCommit,
        GROUP_MEMBERS,
        "A commit is durable when it is answered, and may wait up to 100 ms for others. A retention time (up \
         to version 4) has no effect. Version 10, by which topics are named by their ids, is not served, so clients \
         send version 9.",
    ),
    note(
        ApiKey::OffsetFetch,
        GROUP_MEMBERS,
        "The answer holds every commit that was acknowledged before the request, whichever agent took it. No \
         offset is ever pending, so `require_stable` has no effect. A group that is named twice is answered once, \
         and what would make the answer longer than 64 MiB is refused with INVALID_REQUEST. Version 10, by which \
         topics are named by their ids, is not served, so clients send version 9.",
    ),
    note(
        ApiKey::FindCoordinator,
        GROUP_MEMBERS,
        "Which agent coordinates a group follows from the live agents. Coordinators of transactions are \
         refused with TRANSACTIONAL_ID_AUTHORIZATION_FAILED, others with INVALID_REQUEST.",
    ),
    note(
        ApiKey::JoinGroup,
        CLASSIC_MEMBERS,
        "The first rebalance of an empty group waits 500 ms for further members, in Kafka 3 s. A group has at most \
         1,000 members; one more is refused with GROUP_MAX_SIZE_REACHED.",
    ),
    note(ApiKey::Heartbeat, CLASSIC_MEMBERS, SAME),
    note(ApiKey::LeaveGroup, CLASSIC_MEMBERS, SAME),
    note(ApiKey::SyncGroup, CLASSIC_MEMBERS, SAME),
    note(ApiKey::DescribeGroups, CONSOLES, DESCRIBED),
    note(ApiKey::ListGroups, CONSOLES, SAME),
    note(
        ApiKey::ApiVersions,
        ALL,
        "Features have one level each: `group.version` 1, which is KIP-848, and `metadata.version` 27, which is Kafka 4.1.",
    ),
    note(
        ApiKey::CreateTopics,
        ADMINS,
        "A replication factor or assignment is checked for its shape and has no effect; the factor is reported as 1.",
    ),
    note(ApiKey::DeleteTopics, ADMINS, SAME),
    note(ApiKey::DeleteRecords, "Kafka Streams and tools.", SAME),
    note(
        ApiKey::InitProducerId,
        IDEMPOTENT,
        "A transactional id is refused with TRANSACTIONAL_ID_AUTHORIZATION_FAILED, which clients take as final.",
    ),
    note(
        ApiKey::OffsetForLeaderEpoch,
        "Consumers, after a leader changed.",
        "No log is ever truncated, so the first epoch ends at the high watermark.",
    ),
    note(ApiKey::DescribeAcls, CONSOLES, "SECURITY_DISABLED, as of a Kafka broker without an authorizer."),
    note(ApiKey::CreateAcls, CONSOLES, "SECURITY_DISABLED, as of a Kafka broker without an authorizer."),
    note(ApiKey::DeleteAcls, CONSOLES, "SECURITY_DISABLED, as of a Kafka broker without an authorizer."),
    note(ApiKey::DescribeConfigs, ADMINS, "See the configurations below."),
    note(ApiKey::AlterConfigs, OLD_ADMINS, "Topics and groups only; see the configurations below."),
    note(
        ApiKey::DescribeLogDirs,
        CONSOLES,
        "An agent tells of one directory, `bucket`, with the partitions that prefer it. Total and usable bytes are \
         not known.",
    ),
    note(ApiKey::CreatePartitions, ADMINS, "An assignment is checked for its shape and has no effect."),
    note(ApiKey::DeleteGroups, ADMINS, "A group that is named twice is answered once."),
    note(ApiKey::ElectLeaders, CONSOLES, "ELECTION_NOT_NEEDED for every partition that exists."),
    note(ApiKey::IncrementalAlterConfigs, ADMINS, "Topics and groups only; see the configurations below."),
    note(
        ApiKey::AlterPartitionReassignments,
        CONSOLES,
        "The present assignment is accepted, every other one refused with INVALID_REPLICA_ASSIGNMENT; a \
         cancellation with NO_REASSIGNMENT_IN_PROGRESS.",
    ),
    note(ApiKey::ListPartitionReassignments, CONSOLES, "There is never one."),
    note(
        ApiKey::OffsetDelete,
        ADMINS,
        "While a group that is not one of consumers has members, each partition is refused with \
         GROUP_SUBSCRIBED_TO_TOPIC, in Kafka the whole request with NON_EMPTY_GROUP.",
    ),
    note(ApiKey::DescribeClientQuotas, CONSOLES, "There are no quotas, so none is told."),
    note(
        ApiKey::DescribeUserScramCredentials,
        "`kafka-configs.sh --entity-type users`.",
        "There are no users: RESOURCE_NOT_FOUND for each that is named.",
    ),
    note(
        ApiKey::DescribeQuorum,
        CONSOLES,
        "Tells of the commit log: its position, and the live agents as voters. The leader is the agent that answers. \
         Times and lags are not known.",
    ),
    note(
        ApiKey::UpdateFeatures,
        "`kafka-features.sh`.",
        "A feature has one level; any other is refused with INVALID_UPDATE_VERSION.",
    ),
    note(
        ApiKey::DescribeCluster,
        ADMINS,
        "There are no controllers to ask apart from brokers, and no fenced brokers.",
    ),
    note(ApiKey::DescribeProducers, CONSOLES, "No transaction is ever open."),
    note(
        ApiKey::ConsumerGroupHeartbeat,
        NEW_MEMBERS,
        "A group has at most 1,000 members and about 87,000 partitions; a member that would make it more is refused \
         with GROUP_MAX_SIZE_REACHED. It has at most 16 different regular expressions, each of limited size; others \
         are refused with INVALID_REGULAR_EXPRESSION. Requests that come while an update of the group is being \
         written make one update together. After a change of assignments members are told to come again after 500 ms, \
         for one interval.",
    ),
    note(ApiKey::ConsumerGroupDescribe, CONSOLES, DESCRIBED),
    note(
        ApiKey::GetTelemetrySubscriptions,
        "librdkafka and the JVM client, by themselves (KIP-714).",
        "Subscribes to no metrics.",
    ),
    note(
        ApiKey::PushTelemetry,
        "librdkafka and the JVM client, by themselves (KIP-714).",
        "What comes is checked, counted and dropped. A client that pushes too early is not slowed down.",
    ),
    note(
        ApiKey::ListConfigResources,
        CONSOLES,
        "Topics, brokers, and the groups that have something set; loggers of brokers are not listed.",
    ),
    note(
        ApiKey::DescribeTopicPartitions,
        "The JVM admin client, to describe topics.",
        "As Metadata. No eligible leader replicas are told.",
    ),
];

const fn note(api: ApiKey, needed_by: &'static str, differs: &'static str) -> Note {
    Note { api, needed_by, differs }
}
