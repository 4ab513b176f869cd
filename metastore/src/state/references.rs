//! What the state refers to, for `fsck` and for people: every object with the byte ranges in use, and a summary.

use std::{collections::BTreeMap, fmt};

use ebb_protocol::ids::{ByteRange, LogPosition};

use super::State;
use crate::command::ObjectRef;

/// Objects that the state refers to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// Every referenced object.
    pub objects: BTreeMap<ObjectRef, ObjectUse>,
}

/// How an object is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectUse {
    /// Its size in bytes as it was committed; of an entry, that of its body.
    pub bytes: u64,
    /// The byte ranges in use, sorted, counted from the object's first byte.
    pub ranges: Vec<ByteRange>,
}

/// The state in a few numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The position of the next entry.
    pub position: LogPosition,
    /// Live agents.
    pub agents: usize,
    /// Topics.
    pub topics: usize,
    /// Partitions of all topics.
    pub partitions: usize,
    /// Offsets between log start and high watermark, over all partitions.
    pub records: i64,
    /// Rows of batch coordinates.
    pub coordinates: usize,
    /// Bytes that coordinates refer to.
    pub bytes_referenced: u64,
    /// Objects that coordinates refer to.
    pub objects_referenced: usize,
    /// Objects that wait for their deletion.
    pub objects_dead: usize,
}

impl State {
    /// Every object that coordinates refer to, with the byte ranges in use. A walk over the whole state.
    #[must_use]
    pub fn references(&self) -> References {
        let sized = |(object, bytes)| (object, ObjectUse { bytes, ranges: Vec::new() });
        let mut objects: BTreeMap<_, _> = self.objects.referenced().map(sized).collect();
        for row in self.topics.partitions().flat_map(|(_, partition)| partition.coordinates.iter()) {
            objects.entry(row.object).or_default().ranges.push(row.range);
        }
        for used in objects.values_mut() {
            used.ranges.sort_unstable();
        }
        References { objects }
    }

    /// The state in a few numbers. A walk over the whole state.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let mut summary = Summary {
            position: self.position(),
            agents: self.agents().count(),
            topics: self.topics.len(),
            partitions: self.topics.partition_count(),
            objects_referenced: self.objects.referenced().count(),
            objects_dead: self.objects.dead().count(),
            ..Summary::default()
        };
        for (_, partition) in self.topics.partitions() {
            summary.records += partition.high_watermark.0 - partition.log_start.0;
            for row in partition.coordinates.iter() {
                summary.coordinates += 1;
                summary.bytes_referenced += row.range.len;
            }
        }
        summary
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "commit log position  {}", self.position)?;
        writeln!(f, "live agents          {}", self.agents)?;
        writeln!(f, "topics               {} with {} partitions", self.topics, self.partitions)?;
        writeln!(f, "records              {}", self.records)?;
        writeln!(f, "batch coordinates    {} over {} bytes", self.coordinates, self.bytes_referenced)?;
        write!(f, "objects              {} referenced, {} dead", self.objects_referenced, self.objects_dead)
    }
}
