//! Which files of a topic are merged. Pure: looks at what it is given and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use ebb_metastore::state::{ArchiveFile, State, config::TopicSettings};
use ebb_protocol::ids::{ArchiveId, Offset, PartitionIndex, Timestamp, TopicId};

use crate::rewriter::verify::PIECE_BYTES;

/// Files that become one come to at least this many times the largest of them. So a record is written again about as
/// often as its first file has to grow by this factor to come to the target: four times from 128 KiB to 512 MiB.
const GROWTH_MIN: u64 = 8;
/// Files that one new file is made of.
const FILES_PER_MERGE_MAX: usize = 256;
/// What the files that are read at once hold in memory, in bytes, as far as it can be told before.
const HELD_BYTES_MAX: u64 = 128 << 20;
/// A footer takes about this many times its size in memory.
const FOOTER_RATIO: u64 = 2;
/// Records stay for about this part of their retention longer than they have to, because others of their file are younger.
const LATE_PART: i64 = 10;

/// How far the files of a topic may be merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    /// The size of a new file, in bytes.
    bytes_max: u64,
    /// The largest timestamps of its spans lie in the same period of so many milliseconds; `None` when nothing goes by
    /// time. Of what was merged already only these are known: a mere distance would grow from merge to merge.
    period_ms: Option<i64>,
}

impl Reach {
    /// By a topic's settings: a span goes from the log as a whole, so it must not hold back too much. `None` when the
    /// topic is compacted by key.
    pub(super) fn new(settings: &TopicSettings, bytes_max: u64) -> Option<Self> {
        if settings.compact {
            return None;
        }
        let segment_bytes = u64::try_from(settings.segment_bytes).unwrap_or(0);
        let kept_bytes = settings.retention_bytes.map(|kept| u64::try_from(kept / LATE_PART).unwrap_or(0));
        let bytes_max = bytes_max.min(segment_bytes).min(kept_bytes.unwrap_or(u64::MAX));
        let period = |kept: i64| (kept / LATE_PART).min(settings.segment_ms).max(1);
        Some(Self { bytes_max, period_ms: settings.retention_ms.map(period) })
    }
}

/// Files of a topic that become one.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) topic: TopicId,
    pub(super) files: BTreeMap<ArchiveId, ArchiveFile>,
}

impl Plan {
    /// The most files of a topic that can become one; `None` when there are too few.
    pub(super) fn new(state: &State, topic: TopicId, reach: Reach) -> Option<Self> {
        let is_small = |(_, file): &(ArchiveId, &ArchiveFile)| file.bytes <= reach.bytes_max / GROWTH_MIN;
        let small: Vec<_> = state.table(topic)?.files().filter(is_small).collect();
        let files = in_log_order(&small);
        let runs = (0..files.len()).filter_map(|start| run(files.get(start..)?, reach));
        // Of equals the first, which is the oldest.
        let longest = runs.rev().max_by_key(|run| run.len())?;
        Some(Self { topic, files: longest.iter().map(|(id, file)| (*id, (*file).clone())).collect() })
    }
}

/// Sorts files so that offsets rise in each partition. What merges never make, files that lie in each other, does not
/// matter: they come in the order of their ids.
fn in_log_order<'a>(files: &[(ArchiveId, &'a ArchiveFile)]) -> Vec<(ArchiveId, &'a ArchiveFile)> {
    let place = |(index, (_, file)): (usize, &(ArchiveId, &'a ArchiveFile))| {
        file.spans.iter().map(move |span| (span.partition, span.first, index)).collect::<Vec<_>>()
    };
    let mut places: Vec<_> = files.iter().enumerate().flat_map(place).collect();
    places.sort_unstable();
    // Which files follow a file directly in some partition, and for how many a file waits.
    let mut followers = vec![Vec::new(); files.len()];
    let mut waits = vec![0_usize; files.len()];
    for pair in places.windows(2) {
        let [(partition, _, before), (other, _, after)] = pair else { continue };
        if partition == other && before != after {
            followers[*before].push(*after);
            waits[*after] += 1;
        }
    }
    let mut left: BTreeSet<usize> = (0..files.len()).collect();
    let mut ready: BTreeSet<usize> = left.iter().copied().filter(|index| waits[*index] == 0).collect();
    let mut order = Vec::with_capacity(files.len());
    while let Some(index) = ready.pop_first().or_else(|| left.first().copied()) {
        left.remove(&index);
        order.push(files[index]);
        for after in &followers[index] {
            waits[*after] -= 1;
            if waits[*after] == 0 && left.contains(after) {
                ready.insert(*after);
            }
        }
    }
    order
}

/// As many of the first files as can become one, if they can.
fn run<'f, 'a>(
    files: &'f [(ArchiveId, &'a ArchiveFile)],
    reach: Reach,
) -> Option<&'f [(ArchiveId, &'a ArchiveFile)]> {
    let mut grown = Grown::default();
    let mut longest = 0;
    for (count, (_, file)) in (1..=FILES_PER_MERGE_MAX).zip(files) {
        if !grown.take(file, reach) {
            break;
        }
        if grown.bytes >= GROWTH_MIN * grown.largest {
            longest = count;
        }
    }
    files.get(..longest).filter(|run| run.len() > 1)
}

/// What some files come to.
#[derive(Default)]
struct Grown {
    bytes: u64,
    largest: u64,
    held_bytes: u64,
    /// Up to which offset they reach in each partition.
    ends: BTreeMap<PartitionIndex, Offset>,
    /// The smallest and the largest of the largest timestamps of their spans.
    times: Option<(Timestamp, Timestamp)>,
}

impl Grown {
    /// Takes up one more file, if it goes on where the others end and all of them stay within reach.
    fn take(&mut self, file: &ArchiveFile, reach: Reach) -> bool {
        for span in &file.spans {
            let end = self.ends.insert(span.partition, span.next);
            if end.is_some_and(|end| end != span.first) {
                return false;
            }
            let at = span.max_timestamp;
            self.times = Some(self.times.map_or((at, at), |(min, max)| (min.min(at), max.max(at))));
        }
        self.bytes += file.bytes;
        self.largest = self.largest.max(file.bytes);
        self.held_bytes += file.bytes.min(PIECE_BYTES) + FOOTER_RATIO * u64::from(file.tail_bytes);
        let is_near = |period: i64| {
            // Without a timestamp the time of the commit counts, and that would be a new one.
            self.times.is_none_or(|(min, max)| min.0 >= 0 && min.0 / period == max.0 / period)
        };
        self.bytes <= reach.bytes_max
            && self.held_bytes <= HELD_BYTES_MAX
            && reach.period_ms.is_none_or(is_near)
    }
}

#[cfg(test)]
mod tests {
    use ebb_metastore::state::FileSpan;

    use super::*;

    const REACH: Reach = Reach { bytes_max: 1_000, period_ms: Some(500) };

    /// A file of so many bytes with these spans: partition, first offset, the one behind the last, largest timestamp.
    fn file(bytes: u64, spans: &[(i32, i64, i64, i64)]) -> ArchiveFile {
        let span = |(partition, first, next, at): &(i32, i64, i64, i64)| FileSpan {
            partition: PartitionIndex(*partition),
            first: Offset(*first),
            next: Offset(*next),
            rows: 1,
            min_timestamp: Timestamp(*at),
            max_timestamp: Timestamp(*at),
        };
        let (spans, rows) = (spans.iter().map(span).collect(), spans.len() as u64);
        ArchiveFile { bytes, tail_bytes: 0, tail_checksum: 0, rows, spans, added: 1, removed: None }
    }

    /// Files of one partition with ten offsets each, of these sizes.
    fn row(sizes: &[u64]) -> Vec<ArchiveFile> {
        sizes.iter().zip(0..).map(|(bytes, at)| file(*bytes, &[(0, 10 * at, 10 * at + 10, 0)])).collect()
    }

    fn named(files: &[ArchiveFile]) -> Vec<(ArchiveId, &ArchiveFile)> {
        files.iter().zip(1..).map(|(file, id)| (ArchiveId(id), file)).collect()
    }

    /// How many of the first files become one.
    fn count(files: &[ArchiveFile]) -> usize {
        run(&named(files), REACH).map_or(0, <[_]>::len)
    }

    #[test]
    fn files_become_one_that_is_several_times_as_large() {
        assert_eq!(count(&row(&[10; 7])), 0);
        assert_eq!(count(&row(&[10; 8])), 8);
        assert_eq!(count(&row(&[10; 100])), 100);
        assert_eq!(count(&row(&[10; 101])), 100, "the target is reached");
        assert_eq!(count(&row(&[125, 125, 125, 125, 125, 125, 125])), 0);
        assert_eq!(count(&row(&[&[80][..], &[10; 55]].concat())), 0, "the first is large already");
        assert_eq!(count(&row(&[&[80][..], &[10; 56]].concat())), 57);
        assert_eq!(count(&row(&[&[10; 8][..], &[900]].concat())), 8);
    }

    #[test]
    fn they_follow_each_other_in_every_partition() {
        let mut files = row(&[10; 12]);
        files[9] = file(10, &[(1, 0, 10, 0)]);
        assert_eq!(
            count(&files),
            10,
            "another partition takes nothing from the first, the next file has a gap"
        );
        files[10] = file(10, &[(0, 90, 100, 0), (1, 10, 20, 0)]);
        files[11] = file(10, &[(0, 100, 110, 0), (1, 21, 22, 0)]);
        assert_eq!(count(&files), 11, "offset 20 of the second partition lies elsewhere");
    }

    #[test]
    fn their_times_lie_near_each_other() {
        let at = |times: &[i64]| -> Vec<_> {
            times.iter().zip(0..).map(|(time, at)| file(10, &[(0, at, at + 1, *time)])).collect()
        };
        let times: Vec<i64> = (0..20).map(|at| 50 * at).collect();
        assert_eq!(count(&at(&times)), 10);
        // What was merged from times up to 499 is as old as these, and the next merge takes no younger ones along.
        assert_eq!(count(&at(&times[9..])), 0, "it stays at one file of its period");
        assert_eq!(count(&at(&times[10..])), 10);
        assert_eq!(count(&at(&[-1; 20])), 0, "their age is that of the file");
        let forever = Reach { period_ms: None, ..REACH };
        assert_eq!(run(&named(&at(&[-1; 20])), forever).map(<[_]>::len), Some(20));
    }

    #[test]
    fn the_order_is_that_of_the_offsets() {
        let files = [
            file(1, &[(0, 20, 30, 0), (1, 5, 9, 0)]),
            file(1, &[(0, 10, 20, 0)]),
            file(1, &[(1, 0, 5, 0), (2, 0, 1, 0)]),
            file(1, &[(0, 0, 10, 0), (2, 1, 2, 0)]),
        ];
        let order = |files: &[ArchiveFile]| -> Vec<_> {
            in_log_order(&named(files)).iter().map(|(id, _)| id.0).collect()
        };
        assert_eq!(order(&files), [3, 4, 2, 1]);
        let knot = [
            file(1, &[(0, 10, 20, 0), (1, 0, 10, 0)]),
            file(1, &[(0, 0, 10, 0), (1, 10, 20, 0)]),
            file(1, &[(0, 20, 30, 0)]),
        ];
        assert_eq!(order(&knot), [1, 2, 3], "what lies in each other comes as well");
    }
}
