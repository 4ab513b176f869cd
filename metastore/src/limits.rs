//! The limits of the metastore, in one place. Those that `apply` enforces are part of the state machine: agents
//! that disagree on them diverge, so they only change together with the entry version.

/// Partitions that one topic may have.
pub const PARTITIONS_PER_TOPIC_MAX: i32 = 10_000;

/// Partitions that all topics may have together.
pub const PARTITIONS_MAX: usize = 1_000_000;

/// Topics that the cluster may have.
pub const TOPICS_MAX: usize = 100_000;

/// Overrides that one topic's configuration may have.
pub const CONFIGS_PER_TOPIC_MAX: usize = 256;

/// Bytes of one key or value of a topic's configuration.
pub const CONFIG_BYTES_MAX: usize = 32 * 1024;

/// Batches in one segment. A segment of 8 MiB, full of the smallest batches that exist, stays below it.
pub const BATCHES_PER_SEGMENT_MAX: usize = 1 << 18;

/// Bytes that one row of coordinates spans, unless a single batch is larger.
pub const COORDINATES_BYTES_MAX: u64 = 1 << 20;

/// Agents that may be live. One more puts out the one that has been silent for longest.
pub const AGENTS_MAX: usize = 1_024;

/// Sealed agents that are remembered, so that a late copy of their registration does not bring them back.
pub const SEALED_AGENTS_MAX: usize = 4_096;

/// How far one entry may move the state's clock, in milliseconds: an hour. A clock that leaps farther, because it was
/// set wrong or because nobody wrote anything for so long, counts for this much, so that nothing expires by a leap.
pub const CLOCK_STEP_MAX_MS: i64 = 60 * 60 * 1_000;

/// Bytes of an agent's host name and of its zone.
pub const AGENT_TEXT_BYTES_MAX: usize = 255;

/// Batches that are kept of a producer in a partition, to answer duplicates with their offset (as Kafka).
pub const BATCHES_KEPT_PER_PRODUCER: usize = 5;

/// A producer that has been idle for this long is forgotten, in milliseconds: seven days.
pub const PRODUCER_IDLE_MS: i64 = 7 * 24 * 60 * 60 * 1_000;

/// Pairs of producer and partition that are remembered. One more forgets the one that has been idle for longest.
pub const PRODUCER_PARTITIONS_MAX: usize = 1_000_000;

/// Producer ids whose epoch is remembered. One more forgets the one that was renewed longest ago.
pub const PRODUCER_IDS_MAX: usize = 1_000_000;

/// Idle producers, and offsets of idle groups, that one entry looks at, so that no entry takes long.
pub const EXPIRIES_PER_ENTRY_MAX: usize = 1_000;

/// Groups that the cluster may have.
pub const GROUPS_MAX: usize = 100_000;

/// Bytes of a group's id.
pub const GROUP_ID_BYTES_MAX: usize = 1_024;

/// Members that one group may have.
pub const MEMBERS_PER_GROUP_MAX: usize = 10_000;

/// Bytes of one member of a group, encoded: its names, subscription, opaque metadata and assignment.
pub const MEMBER_BYTES_MAX: usize = 1 << 20;

/// Committed offsets that one group may have.
pub const OFFSETS_PER_GROUP_MAX: usize = 100_000;

/// Bytes of the metadata of a committed offset (Kafka's `offset.metadata.max.bytes`).
pub const OFFSET_METADATA_BYTES_MAX: usize = 4_096;

/// What a committed offset counts in the limits on bytes, besides its metadata: about what it takes in memory.
pub const OFFSET_BYTES: usize = 64;

/// Bytes of one group: its members, encoded, and its offsets.
pub const GROUP_BYTES_MAX: usize = 16 << 20;

/// Bytes of one group's offsets. The rest is for its members, which no commit can crowd out.
pub const OFFSETS_BYTES_PER_GROUP_MAX: usize = GROUP_BYTES_MAX / 16 * 7;

/// Bytes of all groups together. Beyond it what is there can be replaced, but must not grow.
pub const GROUPS_BYTES_MAX: usize = 1 << 30;

/// Offsets of a group without members are kept for this long, in milliseconds: seven days (Kafka's
/// `offsets.retention.minutes`).
pub const OFFSETS_RETENTION_MS: i64 = 7 * 24 * 60 * 60 * 1_000;

/// Groups are looked at for expired offsets at multiples of this, in milliseconds: ten minutes (Kafka's
/// `offsets.retention.check.interval.ms`). A group with neither members nor offsets is kept for as long.
pub const OFFSETS_CHECK_MS: i64 = 10 * 60 * 1_000;

/// Groups that may have a configuration of their own, whether or not they exist.
pub const GROUP_CONFIGS_MAX: usize = 10_000;

/// Keys that one group's configuration may have.
pub const CONFIGS_PER_GROUP_MAX: usize = 32;

/// Bytes of one key or value of a group's configuration.
pub const GROUP_CONFIG_BYTES_MAX: usize = 256;

/// Spans that one archive file may have: every partition of a topic, with some that deletions have torn.
pub const SPANS_PER_ARCHIVE_MAX: usize = 1 << 16;

/// Snapshots that are kept of a topic's table. One more forgets the oldest.
pub const SNAPSHOTS_PER_TOPIC_MAX: usize = 1_000;

/// Claims to work on the archive that may be held at once.
pub const CLAIMS_MAX: usize = 256;

/// How far back a state can compare its history with that of another replica, in entries.
pub const HISTORY_ENTRIES: usize = 1_024;

// A batch of one record has 61 bytes of header and at least 7 of record.
const _: () = assert!(BATCHES_PER_SEGMENT_MAX * 61 > 8 << 20, "a full segment must be committable");
const _: () =
    assert!(PARTITIONS_PER_TOPIC_MAX as usize <= PARTITIONS_MAX, "one topic must fit into a cluster");
const _: () = assert!(
    PARTITIONS_PER_TOPIC_MAX as usize <= SPANS_PER_ARCHIVE_MAX,
    "one file must be able to hold every partition of a topic"
);
const _: () = assert!(
    OFFSETS_PER_GROUP_MAX * OFFSET_BYTES <= OFFSETS_BYTES_PER_GROUP_MAX,
    "as many offsets as a group may have must fit its bytes"
);
const _: () = assert!(
    CLOCK_STEP_MAX_MS * 24 <= OFFSETS_RETENTION_MS && CLOCK_STEP_MAX_MS * 24 <= PRODUCER_IDLE_MS,
    "a few leaps of a clock must not let anything expire"
);
const _: () = assert!(MEMBER_BYTES_MAX < GROUP_BYTES_MAX && GROUP_BYTES_MAX < GROUPS_BYTES_MAX);
