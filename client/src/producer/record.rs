//! What goes into a producer and what comes out: records, their headers and their places in the log.

use std::str::FromStr;

use bytes::Bytes;
use ebb_protocol::{
    batch::Header,
    ids::{Offset, PartitionIndex, Timestamp},
};

/// A record to be sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// The partition, when the caller chooses it; else the key's hash chooses, or any partition for a null key.
    pub partition: Option<PartitionIndex>,
    /// The key.
    pub key: Option<Bytes>,
    /// The value; null marks the key as deleted in a compacted topic.
    pub value: Option<Bytes>,
    /// The headers.
    pub headers: Vec<Header>,
    /// The record's time; the client's clock when it is not given.
    pub timestamp: Option<Timestamp>,
}

impl Record {
    /// A record with a value.
    #[must_use]
    pub fn new(value: impl Into<Bytes>) -> Self {
        Self { value: Some(value.into()), ..Self::default() }
    }

    /// The record with this key.
    #[must_use]
    pub fn key(self, key: impl Into<Bytes>) -> Self {
        Self { key: Some(key.into()), ..self }
    }

    /// The record for this partition.
    #[must_use]
    pub fn partition(self, partition: PartitionIndex) -> Self {
        Self { partition: Some(partition), ..self }
    }

    /// The record at this time.
    #[must_use]
    pub fn timestamp(self, timestamp: Timestamp) -> Self {
        Self { timestamp: Some(timestamp), ..self }
    }

    /// The record with one more header.
    #[must_use]
    pub fn header(mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        self.headers.push(Header { key: key.into(), value: Some(value.into()) });
        self
    }
}

/// Where an acknowledged record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordMetadata {
    /// Its partition.
    pub partition: PartitionIndex,
    /// Its offset; None when nobody said ([`Acks::None`]).
    pub offset: Option<Offset>,
    /// Its time: its own, or the log's when the topic's timestamps are those of the append.
    pub timestamp: Timestamp,
}

/// When a record counts as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Acks {
    /// As soon as it has left this machine. It may be lost.
    None,
    /// As Kafka's acks=1. Ebbtide treats it as [`Acks::All`].
    Leader,
    /// When it is durable.
    #[default]
    All,
}

impl FromStr for Acks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "0" | "none" => Ok(Self::None),
            "1" | "leader" => Ok(Self::Leader),
            "-1" | "all" => Ok(Self::All),
            _ => Err(format!("acks {text:?} is unknown: use 0, 1 or all")),
        }
    }
}
