//! What the state refers to, for `fsck` and for people: every object with the byte ranges in use, and a summary.

use std::{collections::BTreeMap, fmt};

use ebb_protocol::ids::{ByteRange, LogPosition, TopicId};

use super::{ObjectFacts, State};
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
    /// The topic of an archive file, whose key names it; `None` of other objects.
    pub topic: Option<TopicId>,
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
    /// Bytes that coordinates refer to: batches in segments and entries, row groups in archive files.
    pub bytes_referenced: u64,
    /// Objects that coordinates refer to.
    pub objects_referenced: usize,
    /// Those of them that are archive files.
    pub archives_referenced: usize,
    /// Objects that wait for their deletion.
    pub objects_dead: usize,
}

impl State {
    /// Every object that coordinates refer to, with the byte ranges in use. A walk over the whole state.
    #[must_use]
    pub fn references(&self) -> References {
        let sized = |(object, facts): (_, ObjectFacts)| {
            (object, ObjectUse { bytes: facts.bytes, topic: facts.topic, ranges: Vec::new() })
        };
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
            archives_referenced: self.objects.archives(),
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
        let (referenced, archives) = (self.objects_referenced, self.archives_referenced);
        writeln!(f, "objects              {referenced} referenced, {} dead", self.objects_dead)?;
        write!(f, "archive files        {archives} of those referenced")
    }
}
