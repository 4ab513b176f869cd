//! One partition: its ends, its batch coordinates, and what it remembers of producers.

use std::collections::BTreeMap;

use ebb_protocol::ids::{LeaderEpoch, Offset, ProducerId};
use serde::{Deserialize, Serialize};

use super::{coordinates::Coordinates, producers::ProducerInPartition};

/// The ends of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionHead {
    /// Offset of the first record that can be read.
    pub log_start: Offset,
    /// Offset after the last record.
    pub high_watermark: Offset,
    /// Offset below which every transaction has ended.
    pub last_stable: Offset,
    /// Leader epoch that clients see.
    pub epoch: LeaderEpoch,
}

/// A partition. `log_start <= high_watermark`, and every coordinate lies below the high watermark.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Partition {
    pub(crate) log_start: Offset,
    pub(crate) high_watermark: Offset,
    pub(crate) epoch: LeaderEpoch,
    pub(crate) coordinates: Coordinates,
    pub(crate) producers: BTreeMap<ProducerId, Box<ProducerInPartition>>,
}

impl Partition {
    pub(crate) fn head(&self) -> PartitionHead {
        PartitionHead {
            log_start: self.log_start,
            high_watermark: self.high_watermark,
            // There are no transactions yet, so none is open.
            last_stable: self.high_watermark,
            epoch: self.epoch,
        }
    }
}
