//! Why bytes are no sound record batch, and what Kafka calls it.

use crate::error::ResponseError;

/// Why bytes are no record batch, or none that a producer may send.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Shorter than its header or than the length it states.
    #[error("record batch is truncated: {have} bytes of {need}")]
    Truncated {
        /// Bytes that are there.
        have: usize,
        /// Bytes that are needed.
        need: usize,
    },
    /// The stated length is too short for a batch's header.
    #[error("record batch states an impossible length of {0} bytes")]
    Length(i32),
    /// Bytes follow where one batch was to be alone.
    #[error("{0} bytes follow the record batch; send one batch per partition")]
    NotAlone(usize),
    /// The message format is one of those before Kafka 0.11.
    #[error("message format {0} is not supported; use a client that writes format 2")]
    OldMagic(i8),
    /// The message format is not known.
    #[error("record batch has unknown magic {0}")]
    UnknownMagic(i8),
    /// The bytes are not those that the producer summed up.
    #[error("record batch is corrupt: its checksum is {stated:08x} and its bytes give {computed:08x}")]
    Checksum {
        /// The checksum in the header.
        stated: u32,
        /// The checksum of the bytes.
        computed: u32,
    },
    /// The codec's number is not one of Kafka's.
    #[error("compression codec {0} is not known; use none, gzip, snappy, lz4 or zstd")]
    UnknownCompression(u8),
    /// Record count and last offset delta cannot go together, or cannot come from a producer.
    #[error("record batch states {count} records and a last offset delta of {last_offset_delta}")]
    Count {
        /// The record count in the header.
        count: i32,
        /// The last offset delta in the header.
        last_offset_delta: i32,
    },
    /// A control batch, which only brokers write.
    #[error("a producer may not send control batches")]
    Control,
    /// Producer id, epoch and base sequence do not go together.
    #[error(
        "record batch has producer id {producer_id}, epoch {epoch} and base sequence {sequence}, which do not go \
         together"
    )]
    Producer {
        /// The producer id in the header.
        producer_id: i64,
        /// The producer epoch in the header.
        epoch: i16,
        /// The base sequence in the header.
        sequence: i32,
    },
}

impl BatchError {
    /// The error code that a producer gets for such a batch.
    #[must_use]
    pub fn response_error(&self) -> ResponseError {
        match self {
            Self::Truncated { .. } | Self::Length(_) | Self::UnknownMagic(_) | Self::Checksum { .. } => {
                ResponseError::CorruptMessage
            }
            Self::NotAlone(_) | Self::Count { .. } | Self::Control | Self::Producer { .. } => {
                ResponseError::InvalidRecord
            }
            Self::OldMagic(_) => ResponseError::UnsupportedForMessageFormat,
            Self::UnknownCompression(_) => ResponseError::UnsupportedCompressionType,
        }
    }
}
