//! Topic configuration: Kafka's keys with their types, defaults and meaning, in one table that handlers describe
//! and check values by, and the settings that mean something here, parsed. `apply` stores overrides unread, so that
//! agents with different tables stay in step; values are checked before they become commands.

use std::{collections::BTreeMap, fmt};

use ebb_protocol::values::{ValueFormat, ValueFraming, ValueSyntax};

pub use super::config_table::TOPIC_CONFIGS;

/// A key of a configuration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConfigKey {
    /// What it configures.
    pub owner: ConfigOwner,
    /// Kafka's name for it.
    pub name: &'static str,
    /// The broker's setting that Kafka takes the default from; empty when there is none.
    pub broker: &'static str,
    /// Which values it takes.
    pub kind: ConfigKind,
    /// The value of a topic or group that does not override it.
    pub default: &'static str,
    /// Whether it does anything here.
    pub effect: Effect,
    /// What it does in Kafka and here, for those who describe it.
    pub doc: &'static str,
}

/// What has a configuration of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigOwner {
    /// A topic.
    Topic,
    /// A group.
    Group,
}

impl fmt::Display for ConfigOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Topic => "topic",
            Self::Group => "group",
        })
    }
}

/// Whether a key does anything here. Every value is checked, stored and reported in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It does what it does in Kafka.
    Works,
    /// It will, and does not yet.
    Later,
    /// It has no meaning here and never will.
    Nothing,
}

/// Which values a key takes. Bounds are inclusive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ConfigKind {
    /// `true` or `false`.
    Boolean,
    /// A 32-bit integer.
    Int {
        /// The least value.
        min: i32,
        /// The greatest value.
        max: i32,
    },
    /// A 64-bit integer.
    Long {
        /// The least value.
        min: i64,
    },
    /// A fraction between 0 and 1.
    Ratio,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A comma-separated list of these words; every list when there are none.
    List(&'static [&'static str]),
    /// Any text of at most this many bytes.
    Text(usize),
}

/// Why a key or value was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// There is no such key.
    #[error("unknown {0} config {1:?}")]
    UnknownKey(ConfigOwner, String),
    /// The key does not take this value.
    #[error("invalid value {value:?} for {owner} config {key}: it must be {wanted}")]
    InvalidValue {
        /// What it configures.
        owner: ConfigOwner,
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
        /// What it should be.
        wanted: String,
    },
    /// Two values exclude each other.
    #[error("{} ({}) must be greater than {} ({})", greater.0, greater.1, less.0, less.1)]
    Contradiction {
        /// The key whose value must be the greater one, and its value.
        greater: (&'static str, i32),
        /// The other key, and its value.
        less: (&'static str, i32),
    },
}

impl ConfigKey {
    /// The key of this name in a table that is not empty.
    ///
    /// # Errors
    /// [`ConfigError::UnknownKey`]
    pub fn find(table: &'static [Self], name: &str) -> Result<&'static Self, ConfigError> {
        let owner = table.first().map_or(ConfigOwner::Topic, |key| key.owner);
        let unknown = || ConfigError::UnknownKey(owner, name.chars().take(128).collect());
        // The tables are short; they need not be sorted.
        table.iter().find(|key| key.name == name).ok_or_else(unknown)
    }

    /// Checks a value for the key.
    ///
    /// # Errors
    /// [`ConfigError::InvalidValue`]
    pub fn check(&'static self, value: &str) -> Result<(), ConfigError> {
        if self.kind.takes(value) {
            return Ok(());
        }
        let shown = value.chars().take(128).collect();
        let wanted = self.kind.wanted();
        Err(ConfigError::InvalidValue { owner: self.owner, key: self.name, value: shown, wanted })
    }
}

impl ConfigKind {
    fn takes(self, value: &str) -> bool {
        match self {
            Self::Boolean => value.parse::<bool>().is_ok(),
            Self::Int { min, max } => value.parse().is_ok_and(|number| (min..=max).contains(&number)),
            Self::Long { min } => value.parse::<i64>().is_ok_and(|number| number >= min),
            Self::Ratio => value.parse().is_ok_and(|number| (0.0..=1.0).contains(&number)),
            Self::Word(words) => words.contains(&value),
            Self::Text(bytes_max) => value.len() <= bytes_max,
            Self::List(words) => list(value).all(|word| words.is_empty() || words.contains(&word)),
        }
    }

    fn wanted(self) -> String {
        match self {
            Self::Boolean => "true or false".to_owned(),
            Self::Int { min, max: i32::MAX } => format!("an integer of at least {min}"),
            Self::Int { min, max } => format!("an integer from {min} to {max}"),
            Self::Long { min: i64::MIN } => "an integer".to_owned(),
            Self::Long { min } => format!("an integer of at least {min}"),
            Self::Ratio => "a number from 0 to 1".to_owned(),
            Self::Word(words) => format!("one of {}", words.join(", ")),
            Self::Text(bytes_max) => format!("a text of at most {bytes_max} bytes"),
            Self::List([]) => "a comma-separated list".to_owned(),
            Self::List(words) => format!("a comma-separated list of {}", words.join(", ")),
        }
    }
}

/// The words of a comma-separated list.
pub fn list(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|word| !word.is_empty())
}

/// A topic's settings as far as they mean something here: overrides parsed, defaults filled in. Where Kafka has -1
/// for "no limit", the field is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSettings {
    /// `retention.ms`: how long records are kept, in milliseconds.
    pub retention_ms: Option<i64>,
    /// `retention.bytes`: how many bytes a partition keeps.
    pub retention_bytes: Option<i64>,
    /// `cleanup.policy` has `delete`.
    pub delete: bool,
    /// `cleanup.policy` has `compact`: records need keys.
    pub compact: bool,
    /// `max.message.bytes`: the largest record batch, in bytes, header included.
    pub max_message_bytes: usize,
    /// `message.timestamp.type` is `LogAppendTime`.
    pub log_append_time: bool,
    /// `message.timestamp.before.max.ms`: how far a timestamp may lie behind the clock.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`: how far a timestamp may lie ahead of the clock.
    pub timestamp_after_max_ms: i64,
    /// `compression.type`: the codec that batches are brought to.
    pub compression: TopicCompression,
    /// `delete.retention.ms`: how long tombstones stay, in milliseconds.
    pub delete_retention_ms: i64,
    /// `min.compaction.lag.ms`
    pub min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`
    pub max_compaction_lag_ms: i64,
    /// `min.cleanable.dirty.ratio`, in millionths.
    pub min_cleanable_dirty_ppm: u32,
    /// `segment.ms`: how far the timestamps of archive files that are merged may lie apart, in milliseconds.
    pub segment_ms: i64,
    /// `segment.bytes`: up to which size archive files are merged, in bytes.
    pub segment_bytes: i32,
    /// `archive.compression.*`, `archive.page.bytes` and `archive.row.group.bytes`.
    pub archive_layout: ArchiveLayout,
    /// `archive.value.*`: how the values are written; none if archive files have no typed columns beside them.
    pub values: Option<ValueFormat>,
}

/// How a topic wants its archive files laid out. What it does not say is up to the compactor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArchiveLayout {
    /// How they are compressed.
    pub codec: Option<ArchiveCodec>,
    /// The level of zstd.
    pub zstd_level: Option<u8>,
    /// The size of a row group after compression, in bytes.
    pub row_group_bytes: Option<usize>,
    /// The size of a page of keys or values before compression, in bytes.
    pub page_bytes: Option<usize>,
}

/// How archive files are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveCodec {
    /// Not at all.
    None,
    /// lz4
    Lz4,
    /// zstd
    Zstd,
}

/// The codec that a topic's batches are brought to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicCompression {
    /// The codec that the producer chose: batches stay as they are.
    Producer,
    /// No compression.
    Uncompressed,
    /// gzip
    Gzip,
    /// snappy
    Snappy,
    /// lz4
    Lz4,
    /// zstd
    Zstd,
}

impl Default for TopicSettings {
    fn default() -> Self {
        Self::new(&BTreeMap::new())
    }
}

impl TopicSettings {
    /// The settings of a topic with these overrides. An override that does not hold counts as absent.
    #[must_use]
    pub fn new(overrides: &BTreeMap<String, String>) -> Self {
        let value = |name| effective(overrides, name);
        let long = |name| value(name).parse::<i64>().unwrap_or(0);
        let int = |name| value(name).parse::<i32>().unwrap_or(0);
        let limit = |name| Some(long(name)).filter(|limit| *limit >= 0);
        let policy = |word| list(value("cleanup.policy")).any(|policy| policy == word);
        Self {
            retention_ms: limit("retention.ms"),
            retention_bytes: limit("retention.bytes"),
            delete: policy("delete"),
            compact: policy("compact"),
            max_message_bytes: usize::try_from(int("max.message.bytes")).unwrap_or(0),
            log_append_time: value("message.timestamp.type") == "LogAppendTime",
            timestamp_before_max_ms: long("message.timestamp.before.max.ms"),
            timestamp_after_max_ms: long("message.timestamp.after.max.ms"),
            compression: match value("compression.type") {
                "uncompressed" => TopicCompression::Uncompressed,
                "gzip" => TopicCompression::Gzip,
                "snappy" => TopicCompression::Snappy,
                "lz4" => TopicCompression::Lz4,
                "zstd" => TopicCompression::Zstd,
                _ => TopicCompression::Producer,
            },
            delete_retention_ms: long("delete.retention.ms"),
            min_compaction_lag_ms: long("min.compaction.lag.ms"),
            max_compaction_lag_ms: long("max.compaction.lag.ms"),
            min_cleanable_dirty_ppm: millionths(value("min.cleanable.dirty.ratio")),
            segment_ms: long("segment.ms"),
            segment_bytes: int("segment.bytes"),
            archive_layout: archive_layout(overrides),
            values: values(overrides),
        }
    }
}

fn archive_layout(overrides: &BTreeMap<String, String>) -> ArchiveLayout {
    let own = |name| overrides.contains_key(name).then(|| effective(overrides, name));
    let bytes = |name| own(name).and_then(|value| value.parse().ok());
    ArchiveLayout {
        codec: own("archive.compression.type").map(|codec| match codec {
            "none" => ArchiveCodec::None,
            "lz4" => ArchiveCodec::Lz4,
            _ => ArchiveCodec::Zstd,
        }),
        zstd_level: own("archive.compression.zstd.level").and_then(|level| level.parse().ok()),
        row_group_bytes: bytes("archive.row.group.bytes"),
        page_bytes: bytes("archive.page.bytes"),
    }
}

fn values(overrides: &BTreeMap<String, String>) -> Option<ValueFormat> {
    let syntax = match effective(overrides, "archive.value.format") {
        "json" => ValueSyntax::Json,
        "avro" => ValueSyntax::Avro,
        "protobuf" => ValueSyntax::Protobuf,
        _ => return None,
    };
    let framing = match effective(overrides, "archive.value.framing") {
        "confluent" => ValueFraming::Confluent,
        _ => ValueFraming::None,
    };
    let schema = effective(overrides, "archive.value.schema").to_owned();
    let message = effective(overrides, "archive.value.message").to_owned();
    Some(ValueFormat { syntax, framing, schema, message })
}

/// A ratio from 0 to 1, in millionths.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the value is clamped")]
fn millionths(ratio: &str) -> u32 {
    (ratio.parse::<f64>().unwrap_or(0.0).clamp(0.0, 1.0) * 1e6) as u32
}

/// The override when there is one that holds, else the default.
fn effective<'a>(overrides: &'a BTreeMap<String, String>, name: &str) -> &'a str {
    let key = ConfigKey::find(TOPIC_CONFIGS, name).expect("settings are only made of keys in the table");
    match overrides.get(name) {
        Some(value) if key.kind.takes(value) => value,
        _ => key.default,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_holds_and_no_key_stands_twice() {
        for key in TOPIC_CONFIGS {
            assert_eq!(key.check(key.default), Ok(()), "{}", key.name);
            let same = TOPIC_CONFIGS.iter().filter(|other| other.name == key.name).count();
            assert_eq!(same, 1, "{}", key.name);
        }
    }

    #[test]
    fn values_are_checked_by_kind() {
        let check = |name: &str, value: &str, expect: bool| {
            let key = ConfigKey::find(TOPIC_CONFIGS, name).expect("the key is in the table");
            assert_eq!(key.check(value).is_ok(), expect, "{name}={value}");
        };
        check("retention.ms", "-1", true);
        check("retention.ms", "-2", false);
        check("retention.ms", "9223372036854775807", true);
        check("retention.ms", "9223372036854775808", false);
        check("retention.ms", "1h", false);
        check("max.message.bytes", "0", true);
        check("max.message.bytes", "2147483648", false);
        check("cleanup.policy", "compact,delete", true);
        check("cleanup.policy", " compact , delete ", true);
        check("cleanup.policy", "shred", false);
        check("compression.type", "zstd", true);
        check("compression.type", "brotli", false);
        check("preallocate", "true", true);
        check("preallocate", "yes", false);
        check("min.cleanable.dirty.ratio", "0.25", true);
        check("min.cleanable.dirty.ratio", "NaN", false);
        check("compression.zstd.level", "-131072", true);
        check("compression.zstd.level", "23", false);
        check("leader.replication.throttled.replicas", "0:1,1:2", true);
    }

    #[test]
    fn errors_name_the_key_and_what_it_takes() {
        let error =
            ConfigKey::find(TOPIC_CONFIGS, "retention.hours").expect_err("Kafka has no such topic config");
        assert_eq!(error.to_string(), "unknown topic config \"retention.hours\"");
        let key = ConfigKey::find(TOPIC_CONFIGS, "message.timestamp.type").expect("the key is in the table");
        let error = key.check("now").expect_err("it is no timestamp type");
        assert_eq!(
            error.to_string(),
            "invalid value \"now\" for topic config message.timestamp.type: \
             it must be one of CreateTime, LogAppendTime"
        );
    }

    #[test]
    fn settings_are_defaults_with_the_overrides_that_hold() {
        let defaults = TopicSettings::default();
        assert_eq!(defaults.retention_ms, Some(604_800_000));
        assert_eq!(defaults.retention_bytes, None);
        assert_eq!((defaults.delete, defaults.compact), (true, false));
        assert_eq!(defaults.max_message_bytes, 1_048_588);
        assert_eq!(defaults.compression, TopicCompression::Producer);
        let overrides = [
            ("retention.ms", "-1"),
            ("cleanup.policy", "compact"),
            ("compression.type", "lz4"),
            ("message.timestamp.type", "LogAppendTime"),
            ("max.message.bytes", "a lot"),
        ];
        let overrides = overrides.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let expect = TopicSettings {
            retention_ms: None,
            delete: false,
            compact: true,
            compression: TopicCompression::Lz4,
            log_append_time: true,
            ..defaults
        };
        assert_eq!(TopicSettings::new(&overrides), expect);
    }
}
