//! The table of topic configuration keys: Kafka's names, types and defaults (`TopicConfig`, Kafka 4.1), and what
//! each does here. The key types and the checks are in `config`.

use super::config::{
    ConfigKey,
    ConfigKind::{self, Boolean, Int, List, Long, Ratio, Word},
};

/// Every key that a topic's configuration may have, sorted by name.
pub const TOPIC_CONFIGS: &[ConfigKey] = &[
    key(
        "cleanup.policy",
        List(&["compact", "delete"]),
        "delete",
        "What becomes of old records: deleted, or compacted to the latest one of each key.",
    ),
    key(
        "compression.gzip.level",
        Int { min: -1, max: 9 },
        "-1",
        "The level at which batches are brought to gzip.",
    ),
    key("compression.lz4.level", Int { min: 1, max: 17 }, "9", "Stored, no effect."),
    key(
        "compression.type",
        Word(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]),
        "producer",
        "The codec that batches are brought to; producer keeps them as they came.",
    ),
    key(
        "compression.zstd.level",
        Int { min: -131_072, max: 22 },
        "3",
        "The level at which batches are brought to zstd.",
    ),
    key("delete.retention.ms", Long { min: 0 }, "86400000", "How long tombstones stay in a compacted topic."),
    key("file.delete.delay.ms", Long { min: 0 }, "60000", "Stored, no effect."),
    key(
        "flush.messages",
        Long { min: 1 },
        "9223372036854775807",
        "Stored, no effect: every acknowledged record is durable.",
    ),
    key(
        "flush.ms",
        Long { min: 0 },
        "9223372036854775807",
        "Stored, no effect: every acknowledged record is durable.",
    ),
    key("follower.replication.throttled.replicas", List(&[]), "", "Stored, no effect."),
    key("index.interval.bytes", Int { min: 0, max: i32::MAX }, "4096", "Stored, no effect."),
    key("leader.replication.throttled.replicas", List(&[]), "", "Stored, no effect."),
    key("local.retention.bytes", Long { min: -2 }, "-2", "Stored, no effect."),
    key("local.retention.ms", Long { min: -2 }, "-2", "Stored, no effect."),
    key(
        "max.compaction.lag.ms",
        Long { min: 1 },
        "9223372036854775807",
        "The longest time for which a record may stay uncompacted.",
    ),
    key(
        "max.message.bytes",
        Int { min: 0, max: i32::MAX },
        "1048588",
        "The largest record batch, in bytes, header included.",
    ),
    key(
        "message.timestamp.after.max.ms",
        Long { min: 0 },
        "3600000",
        "How far a record's timestamp may lie ahead of the clock.",
    ),
    key(
        "message.timestamp.before.max.ms",
        Long { min: 0 },
        "9223372036854775807",
        "How far a record's timestamp may lie behind the clock.",
    ),
    key(
        "message.timestamp.type",
        Word(&["CreateTime", "LogAppendTime"]),
        "CreateTime",
        "Whether timestamps are the producer's or the time of the append.",
    ),
    key("min.cleanable.dirty.ratio", Ratio, "0.5", "Stored, no effect."),
    key(
        "min.compaction.lag.ms",
        Long { min: 0 },
        "0",
        "The shortest time for which a record stays uncompacted.",
    ),
    key(
        "min.insync.replicas",
        Int { min: 1, max: i32::MAX },
        "1",
        "Stored, no effect: the object store replicates.",
    ),
    key("preallocate", Boolean, "false", "Stored, no effect."),
    key("remote.log.copy.disable", Boolean, "false", "Stored, no effect."),
    key("remote.log.delete.on.disable", Boolean, "false", "Stored, no effect."),
    key("remote.storage.enable", Boolean, "false", "Stored, no effect: all records are in the object store."),
    key("retention.bytes", Long { min: -1 }, "-1", "How many bytes a partition keeps; -1 for all."),
    key("retention.ms", Long { min: -1 }, "604800000", "How long records are kept; -1 for ever."),
    key("segment.bytes", Int { min: 14, max: i32::MAX }, "1073741824", "The largest archive file, in bytes."),
    key("segment.index.bytes", Int { min: 4, max: i32::MAX }, "10485760", "Stored, no effect."),
    key("segment.jitter.ms", Long { min: 0 }, "0", "Stored, no effect."),
    key("segment.ms", Long { min: 1 }, "604800000", "The longest window of an archive file."),
    key("unclean.leader.election.enable", Boolean, "false", "Stored, no effect: no replica is ever behind."),
];

const fn key(name: &'static str, kind: ConfigKind, default: &'static str, doc: &'static str) -> ConfigKey {
    ConfigKey { name, kind, default, doc }
}
