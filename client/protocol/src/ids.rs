//! A newtype for every id and position. Values are parsed once, at the edge, and carry their meaning from
//! there on. Knows nothing of where the values are stored or sent.

use std::{fmt, sync::Arc};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{clock::SharedClock, random::Random};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    };
}

number! {
    /// The position of a record in its partition, counted from 0.
    Offset(i64)
}
number! {
    /// The index of a partition in its topic, counted from 0.
    PartitionIndex(i32)
}
number! {
    /// Milliseconds since the Unix epoch; -1 means none, as in Kafka.
    Timestamp(i64)
}
number! {
    /// A producer's id, given out by InitProducerId (KIP-98).
    ProducerId(i64)
}
number! {
    /// The epoch of a producer id; a newer one fences the older (KIP-98, KIP-360).
    ProducerEpoch(i16)
}
number! {
    /// The sequence number of a producer's record in a partition; wraps at 2^31 (KIP-98).
    Sequence(i32)
}
number! {
    /// The leader epoch that clients see for a partition (KIP-101, KIP-320).
    LeaderEpoch(i32)
}
number! {
    /// An agent's number as Kafka clients see it in Metadata: their "broker id" or "node id".
    BrokerId(i32)
}
number! {
    /// The position of an entry in the commit log, counted from 0.
    LogPosition(u64)
}
number! {
    /// The epoch that the metastore gave an agent when it registered.
    AgentEpoch(u64)
}

impl Offset {
    /// The offset `records` places further on.
    #[must_use]
    pub fn plus(self, records: i64) -> Self {
        Self(self.0.saturating_add(records))
    }
}

impl LogPosition {
    /// The position after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Sequence {
    /// The sequence number `records` places further on, wrapping from 2^31 - 1 to 0.
    #[must_use]
    pub fn plus(self, records: i32) -> Self {
        let sum = i64::from(self.0) + i64::from(records);
        Self(i32::try_from(sum % (1 << 31)).unwrap_or(0))
    }
}

/// The id of a topic: unique for ever, also across deleting and creating the same name (KIP-516).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TopicId(pub Uuid);

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicId({})", self.0)
    }
}

/// One partition of one topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TopicPartition {
    /// The topic.
    pub topic: TopicId,
    /// The partition's index in it.
    pub partition: PartitionIndex,
}

/// The longest topic name that Kafka allows, in bytes.
pub const TOPIC_NAME_BYTES_MAX: usize = 249;

/// A topic's name: 1 to 249 of `a-z A-Z 0-9 . _ -`, and neither `.` nor `..` (Kafka's `Topic.validate`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TopicName(Arc<str>);

/// Why a string is no topic name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "topic name {name:?} is invalid: use 1 to {TOPIC_NAME_BYTES_MAX} of a-z A-Z 0-9 . _ - and neither \".\" nor \"..\""
)]
pub struct InvalidTopicName {
    name: String,
}

impl TopicName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`InvalidTopicName`] when the name breaks Kafka's rule.
    pub fn new(name: &str) -> Result<Self, InvalidTopicName> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let long_enough = (1..=TOPIC_NAME_BYTES_MAX).contains(&name.len());
        if long_enough && name != "." && name != ".." && name.bytes().all(legal) {
            return Ok(Self(name.into()));
        }
        let shown: String = name.chars().take(64).collect();
        Err(InvalidTopicName { name: shown })
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for TopicName {
    type Error = InvalidTopicName;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::new(&name)
    }
}

impl From<TopicName> for String {
    fn from(name: TopicName) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id! {
    /// The name of a consumer group: any text. An empty one is a group like others, for simple consumers only.
    GroupId
}
text_id! {
    /// The id of a member of a group. The classic protocol's coordinator makes it; with KIP-848 the member does.
    MemberId
}

macro_rules! ulid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u128);

        impl $name {
            /// When the id was minted, by its minter's clock.
            #[must_use]
            pub fn minted_at(self) -> Timestamp {
                Timestamp(i64::try_from(self.0 >> 80).unwrap_or(i64::MAX))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                ulid::Ulid(self.0).fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), ulid::Ulid(self.0))
            }
        }

        impl std::str::FromStr for $name {
            type Err = ulid::DecodeError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                ulid::Ulid::from_string(text).map(|id| Self(id.0))
            }
        }
    };
}

ulid_id! {
    /// The id of a segment object: a ULID, so ids sort by the time at which they were minted.
    SegmentId
}
ulid_id! {
    /// The id of an archive file: a ULID, so ids sort by the time at which they were minted.
    ArchiveId
}
ulid_id! {
    /// The id of one run of an agent process (its incarnation). A restarted agent has a new one.
    AgentId
}
ulid_id! {
    /// The id of one entry of the commit log. It tells whose entry stands at a position after an ambiguous append.
    EntryId
}
ulid_id! {
    /// The id of a cluster: one bucket (and prefix) is one cluster.
    ClusterId
}

/// The host that an agent runs on: agents that tell the same one reach each other at loopback addresses. It is nothing
/// but equal or different.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HostId(pub u128);

/// Mints ids that are unique and, within one source, strictly increasing even when the clock goes back.
#[derive(Clone)]
pub struct IdSource {
    clock: SharedClock,
    random: Random,
    last: Arc<Mutex<u128>>,
}

impl fmt::Debug for IdSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdSource").finish_non_exhaustive()
    }
}

impl IdSource {
    /// A source that takes time and randomness from the given parts.
    #[must_use]
    pub fn new(clock: SharedClock, random: Random) -> Self {
        Self { clock, random, last: Arc::new(Mutex::new(0)) }
    }

    /// Mints a segment id. Ids of one source increase in the order in which they are minted.
    #[must_use]
    pub fn segment(&self) -> SegmentId {
        SegmentId(self.ulid())
    }

    /// Mints a segment id that counts as minted at `floor` or later, also when the clock is behind it.
    #[must_use]
    pub fn segment_since(&self, floor: Timestamp) -> SegmentId {
        SegmentId(self.ulid_since(floor))
    }

    /// Mints the id of an archive file, as [`Self::segment_since`] does.
    #[must_use]
    pub fn archive_since(&self, floor: Timestamp) -> ArchiveId {
        ArchiveId(self.ulid_since(floor))
    }

    /// Mints the id of an agent's run.
    #[must_use]
    pub fn agent(&self) -> AgentId {
        AgentId(self.ulid())
    }

    /// Mints an entry id.
    #[must_use]
    pub fn entry(&self) -> EntryId {
        EntryId(self.ulid())
    }

    /// Mints a cluster id.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        ClusterId(self.ulid())
    }

    /// Mints a topic id: a random version 4 UUID, never Kafka's reserved ids.
    #[must_use]
    pub fn topic(&self) -> TopicId {
        TopicId(self.client_instance())
    }

    /// Mints the id of a client's telemetry (KIP-714): a random version 4 UUID, never Kafka's reserved ids.
    #[must_use]
    pub fn client_instance(&self) -> uuid::Uuid {
        uuid::Builder::from_random_bytes(self.random.next_u128().to_be_bytes()).into_uuid()
    }

    fn ulid(&self) -> u128 {
        self.ulid_since(Timestamp(0))
    }

    fn ulid_since(&self, floor: Timestamp) -> u128 {
        let now = self.clock.now().max(floor);
        let millis = u128::try_from(now.0).unwrap_or(0) & ((1 << 48) - 1);
        let fresh = (millis << 80) | (self.random.next_u128() >> 48);
        let mut last = self.last.lock();
        // A clock that stands still or goes back must not make ids go back.
        *last = if fresh > *last { fresh } else { *last + 1 };
        *last
    }
}

/// A range of bytes in an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ByteRange {
    /// The first byte.
    pub start: u64,
    /// How many bytes.
    pub len: u64,
}

impl ByteRange {
    /// The first byte after the range.
    #[must_use]
    pub fn end(self) -> u64 {
        self.start.saturating_add(self.len)
    }
}
