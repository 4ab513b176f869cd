//! Plans a fetch: which runs to read for which partition, within the byte limits. Looks at the metastore's state
//! only; does no I/O and knows nothing of blocks.

use ebb_metastore::{
    command::ObjectRef,
    state::{BatchCoordinates, PartitionHead, State},
};

use crate::broker::{FetchError, Read};

/// Runs that one fetch reads from one partition at most.
const RUNS_MAX: usize = 1024;

/// Bytes of runs behind those that a fetch reads that are looked up with them. They tell whether the reader is close
/// to the tail; when it is not, they are read ahead.
pub(super) const LOOK_AHEAD_BYTES: u64 = 4 << 20;

/// About how large the batches are that are made of an archive file. One that was kept whole may be larger.
const ARCHIVE_BATCH_BYTES: u64 = 2 << 20;

/// Batches that are made of an archive file are taken to be so many times as large as they are in it, for what others
/// have room for. A fetch gives no more than it may, but reads in vain where this is too little.
const ARCHIVE_RATIO: u64 = 4;

/// Of segments, a partition with much gets at least this many bytes before others get theirs.
const SHARE_BYTES_MIN: u64 = 64 << 10;

/// What a fetch will do, partition by partition in the order asked for.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// About how many bytes will be read in all.
    pub(super) bytes: u64,
}

/// What a fetch will do for one partition.
#[derive(Debug)]
pub(super) enum Step {
    /// There is nothing to read as far as this replica knows, or no room for it.
    Nothing(PartitionHead),
    /// It cannot be read, and never will be.
    Refused(FetchError),
    /// It cannot be read as far as this replica knows.
    Unknown(FetchError),
    /// Runs will be read.
    Read(RunsToRead),
}

/// Runs to read from one partition.
#[derive(Clone, Debug)]
pub(super) struct RunsToRead {
    pub(super) read: Read,
    pub(super) head: PartitionHead,
    /// The runs, in offset order; the first one holds the offset asked for, or the next that exists.
    pub(super) runs: Vec<BatchCoordinates>,
    /// The runs behind them.
    pub(super) ahead: Vec<BatchCoordinates>,
    /// No more bytes than this ...
    pub(super) bytes_max: u64,
    /// ... except for one batch, when this is set.
    pub(super) at_least_one: bool,
    /// About how many bytes there are to read.
    pub(super) bytes: u64,
}

impl Plan {
    /// Plans as much as fits into `bytes_max`. The first partition that has something gives at least one batch.
    ///
    /// A segment holds a little of each of many partitions. Who reads many that are far behind reads each segment once
    /// if they go on together, and again for each partition if they go one by one; so they share what there is room
    /// for, and what some leave over goes to the first of the others.
    pub(super) fn new(state: &State, reads: &[Read], bytes_max: u64) -> Self {
        let share = share(state, reads, bytes_max);
        let mut plan = Self { steps: Vec::with_capacity(reads.len()), bytes: 0 };
        let (mut first, mut charged) = (true, 0);
        for read in reads {
            let room = bytes_max.saturating_sub(charged);
            let step = step(state, read, Room { bytes: room, of_segments: room.min(share) }, first);
            if let Step::Read(runs) = &step {
                plan.bytes += runs.bytes;
                charged += runs.charge();
                first = false;
            }
            plan.steps.push(step);
        }
        for (read, planned) in reads.iter().zip(&mut plan.steps) {
            let Step::Read(runs) = planned else { continue };
            let room = bytes_max.saturating_sub(charged);
            if room == 0 || runs.bytes < share || runs.runs.first().is_none_or(is_archived) {
                continue;
            }
            let bytes = runs.bytes + room;
            let (before, charged_before) = (runs.bytes, runs.charge());
            *planned = step(state, read, Room { bytes, of_segments: bytes }, runs.at_least_one);
            if let Step::Read(runs) = planned {
                plan.bytes = plan.bytes - before + runs.bytes;
                charged = charged - charged_before + runs.charge();
            }
        }
        plan
    }

    /// Whether a partition cannot be read, so that there is no reason to wait for more of the others.
    pub(super) fn has_refused(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Refused(_)))
    }

    /// Whether a partition cannot be read as far as this replica knows.
    pub(super) fn has_unknown(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Unknown(_)))
    }

    /// The most bytes that reading may give.
    pub(super) fn bytes_at_most(&self) -> u64 {
        self.steps.iter().map(|step| if let Step::Read(runs) = step { runs.bytes_at_most() } else { 0 }).sum()
    }
}

impl RunsToRead {
    /// What is taken from the room of an answer for it.
    fn charge(&self) -> u64 {
        let has_archived = self.runs.iter().any(is_archived);
        let ratio = if has_archived { ARCHIVE_RATIO } else { 1 };
        self.bytes.saturating_mul(ratio).min(self.bytes_at_most()).max(self.bytes)
    }

    /// The most bytes that reading may give.
    pub(super) fn bytes_at_most(&self) -> u64 {
        let first = self.runs.first().map_or(0, batches_at_most);
        let all = self.runs.iter().map(bytes_at_most).fold(0, u64::saturating_add);
        all.min(if self.at_least_one { self.bytes_max.max(first) } else { self.bytes_max })
    }

    /// Whether the reader is so close to the tail that this reading, or the next, brings it there. An archive file may
    /// hold far more than that.
    pub(super) fn is_tail(&self) -> bool {
        let last = self.ahead.last().or(self.runs.last());
        let close = self.bytes_max.saturating_add(LOOK_AHEAD_BYTES);
        last.is_none_or(|run| {
            run.last.plus(1) >= self.head.high_watermark
                && (!is_archived(run) || bytes_from(run, &self.read) <= close)
        })
    }
}

/// Whether a run lies in an archive file: then its records are known only when it is read.
pub(super) fn is_archived(run: &BatchCoordinates) -> bool {
    matches!(run.object, ObjectRef::Archive(_))
}

/// The most bytes that the batches of a run may have. What columns in an archive file come to is not known before.
fn bytes_at_most(run: &BatchCoordinates) -> u64 {
    if is_archived(run) { u64::MAX } else { run.range.len }
}

/// The most bytes that the first batch of a run may have.
fn batches_at_most(run: &BatchCoordinates) -> u64 {
    if is_archived(run) { ARCHIVE_BATCH_BYTES } else { run.range.len }
}

/// How many bytes a partition may give.
#[derive(Clone, Copy)]
struct Room {
    bytes: u64,
    /// When they come from segments.
    of_segments: u64,
}

/// What each partition that has something may give before the others have had theirs.
fn share(state: &State, reads: &[Read], bytes_max: u64) -> u64 {
    let has_some = |read: &&Read| {
        let head = state.head(read.topic, read.partition);
        head.is_some_and(|head| (head.log_start..head.high_watermark).contains(&read.from))
    };
    let partitions = reads.iter().filter(has_some).count().max(1) as u64;
    (bytes_max / partitions).max(SHARE_BYTES_MIN)
}

fn step(state: &State, read: &Read, room: Room, first: bool) -> Step {
    let Some(head) = state.head(read.topic, read.partition) else {
        return Step::Unknown(FetchError::UnknownPartition);
    };
    if read.from < head.log_start {
        return Step::Refused(FetchError::OffsetOutOfRange(head));
    }
    if read.from > head.high_watermark {
        return Step::Unknown(FetchError::OffsetOutOfRange(head));
    }
    let bytes_max = room.bytes.min(read.bytes_max);
    if read.from == head.high_watermark || (bytes_max == 0 && !first) {
        return Step::Nothing(head);
    }
    let look = bytes_max.saturating_add(LOOK_AHEAD_BYTES);
    let mut runs = state.find(read.topic, read.partition, read.from, look, RUNS_MAX);
    let bytes_max = match runs.first() {
        Some(run) if !is_archived(run) => bytes_max.min(room.of_segments),
        _ => bytes_max,
    };
    let mut bytes = 0;
    let mut taken = 0;
    for run in &runs {
        if taken > 0 && bytes >= bytes_max {
            break;
        }
        bytes += bytes_from(run, read);
        taken += 1;
    }
    if taken == 0 {
        return Step::Nothing(head);
    }
    let ahead = runs.split_off(taken);
    let bytes = bytes.min(bytes_max.max(1));
    Step::Read(RunsToRead { read: *read, head, runs, ahead, bytes_max, at_least_one: first, bytes })
}

/// About how many of a run's bytes lie at or behind the offset asked for, as if all its records were of one size.
fn bytes_from(run: &BatchCoordinates, read: &Read) -> u64 {
    let records = u128::try_from(run.last.0 - run.base.0 + 1).unwrap_or(1).max(1);
    let wanted = u128::try_from(run.last.0 - read.from.0 + 1).unwrap_or(1).clamp(1, records);
    u64::try_from(u128::from(run.range.len) * wanted / records).unwrap_or(run.range.len)
}
