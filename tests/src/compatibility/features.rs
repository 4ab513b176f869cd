//! What Kafka has and Ebbtide has not, each with the reason and with what a client sees of it.

/// Rows: what Kafka has, what is here instead, what follows for clients.
pub(super) const FEATURES: &[[&str; 3]] = &[
    [
        "Replication factor, `min.insync.replicas`",
        "The object store replicates.",
        "Any factor is accepted and reported as 1.",
    ],
    [
        "Leaders, followers, in-sync replicas",
        "Any agent takes reads and writes of any partition.",
        "Metadata names a preferred agent as leader and only replica. NOT_LEADER_OR_FOLLOWER is never answered.",
    ],
    [
        "Leader election, unclean or not",
        "There is nobody to elect, and no replica is ever behind.",
        "ELECTION_NOT_NEEDED.",
    ],
    [
        "Partition reassignment, replica log directories",
        "A partition lies on no broker.",
        "INVALID_REPLICA_ASSIGNMENT; AlterReplicaLogDirs is not listed.",
    ],
    [
        "Log directories, `log.dirs`",
        "Agents keep no records on disk but for a cache.",
        "One directory, `bucket`.",
    ],
    [
        "Fetching from the nearest replica (KIP-392)",
        "Metadata already prefers the agents in the zone of the agent that is asked.",
        "A consumer's rack has no effect on fetches.",
    ],
    [
        "KRaft controllers, `__cluster_metadata`",
        "A commit log in the bucket that every agent may append to.",
        "DescribeQuorum tells of it; controller APIs (Vote, Fetch of the metadata log, BrokerRegistration and others) are not listed.",
    ],
    [
        "Internal topics: `__consumer_offsets`, `__transaction_state`",
        "Groups and their offsets are in the metastore.",
        "No topic is internal; offsets are read with OffsetFetch.",
    ],
    ["ZooKeeper", "Kafka itself gave it up in 4.0.", "Tools that ask for it cannot be used."],
    [
        "Inter-broker APIs (LeaderAndIsr, UpdateMetadata, AlterPartition, Envelope and others)",
        "Agents share the bucket. All that they ask each other is ApiVersions, to see who is alive.",
        "Not listed.",
    ],
    [
        "Message formats 0 and 1",
        "Record batches of magic 2 only, as in Kafka 4.",
        "UNSUPPORTED_FOR_MESSAGE_FORMAT.",
    ],
    [
        "Dynamic settings of brokers",
        "An agent's settings come from its command line, environment and file.",
        "They can be described, and altering them is refused by name.",
    ],
    [
        "`group.min.session.timeout.ms`, `group.max.session.timeout.ms`",
        "As Kafka's defaults are: 6 seconds to 30 minutes.",
        "INVALID_SESSION_TIMEOUT outside of these.",
    ],
    [
        "Quotas",
        "Limits of the agent push back on all clients alike.",
        "None is told; AlterClientQuotas is not listed.",
    ],
    ["Metrics of clients (KIP-714)", "None are collected.", "The subscription is empty."],
    [
        "Tiered storage (KIP-405)",
        "All records are in the object store from the start.",
        "`remote.*` and `local.*` are stored without effect.",
    ],
    [
        "Transactions",
        "Not yet.",
        "InitProducerId refuses a transactional id for good; the other transaction APIs are not listed. Read committed reads what is there.",
    ],
    ["Access control", "Not yet.", "SECURITY_DISABLED."],
    [
        "SASL, SCRAM, TLS over TCP",
        "Not yet; QUIC always has TLS.",
        "SaslHandshake and SaslAuthenticate are not listed.",
    ],
    [
        "Groups and offsets in `__consumer_offsets`",
        "They are in the commit log of the metastore.",
        "There is no such topic to read; `offsets.topic.*` does not exist.",
    ],
    [
        "When offsets expire: `offsets.retention.minutes`",
        "A week after the group lost its last member or had an offset committed from outside, all together; those of a group that never had members, each a week after its commit. A week of time in which agents write: an hour in which nobody writes anything does not count in full.",
        "The retention cannot be changed. Offsets of a topic to which a group with members no longer subscribes stay as long as the group has members.",
    ],
    [
        "Coordinators on the leader of a partition",
        "The coordinator of a group follows from its name and the live agents.",
        "COORDINATOR_LOAD_IN_PROGRESS is never answered: there is nothing to load.",
    ],
    [
        "Plug-ins of brokers: assignors, authorizers, policies, metrics reporters",
        "Agents take no foreign code. Assignors are `uniform` and `range`.",
        "Another assignor is refused with UNSUPPORTED_ASSIGNOR; figures are at `/metrics`.",
    ],
    [
        "MirrorMaker, Kafka Connect, schema registries",
        "They are clients, and use classic groups and topics of their own.",
        "Nothing.",
    ],
    ["Delegation tokens", "There are no users yet who could have them.", "Not listed."],
    [
        "The active segment, which is neither deleted nor compacted",
        "Retention deletes from segments and archive files alike. Compaction goes by topic, once a compactor has archived the records; more keys than a table of 128 MiB holds (`--compaction-table-bytes`) take several passes.",
        "Without a compactor nothing is compacted. A tombstone stays for up to twice `delete.retention.ms`.",
    ],
    ["Share groups (KIP-932)", "Not yet.", "Not listed."],
    [
        "Streams groups (KIP-1071)",
        "Not yet; an application of Kafka Streams uses a classic group.",
        "Not listed.",
    ],
];
