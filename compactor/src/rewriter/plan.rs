//! Plans windows: which objects are rewritten together. Pure: looks at what it is given and nothing else.

use std::{collections::BTreeSet, ops::Range, time::Duration};

use ebb_metastore::{command::ObjectRef, state::UnarchivedObject};
use ebb_protocol::ids::{LogPosition, Timestamp};

/// Objects that were committed one after the other and are rewritten together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// The position of the log at which the first was committed.
    pub(super) from: LogPosition,
    /// The position behind that of the last.
    pub(super) to: LogPosition,
    /// The objects.
    pub(super) objects: BTreeSet<ObjectRef>,
    /// Their bytes.
    pub(super) bytes: u64,
    /// When the first was committed.
    pub(super) since: Timestamp,
    /// Whether more would make it too large: it will not change any more.
    pub(super) is_full: bool,
}

impl Window {
    /// How long it has to wait until it is rewritten.
    pub(super) fn wait(&self, now: Timestamp, age_max: Duration) -> Duration {
        if self.is_full {
            return Duration::ZERO;
        }
        let age = Duration::from_millis(u64::try_from(now.0.saturating_sub(self.since.0)).unwrap_or(0));
        age_max.saturating_sub(age)
    }
}

/// Which positions of the log are not as free as others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Obstacles {
    /// Somebody else works there, or it has to wait: what lies there is left out, and no window reaches over it.
    pub(super) taken: Vec<Range<LogPosition>>,
    /// Somebody was at work there and has fallen silent: a window lies inside or outside, so that it takes over one
    /// claim at most.
    pub(super) abandoned: Vec<Range<LogPosition>>,
}

/// Cuts objects, which come in commit order, into windows of about `bytes_max` bytes.
pub(super) fn windows(
    objects: impl Iterator<Item = UnarchivedObject>,
    obstacles: &Obstacles,
    bytes_max: u64,
) -> Vec<Window> {
    let Obstacles { taken, abandoned } = obstacles;
    let mut windows: Vec<Window> = Vec::new();
    let mut open = false;
    for object in objects {
        let position = object.committed;
        // A range without objects cuts as well: what was in it may come back when its claim goes.
        if taken.iter().any(|range| reaches_over(windows.last(), range, position))
            || abandoned.iter().any(|range| enters_or_leaves(windows.last(), range, position))
        {
            open = false;
        }
        if taken.iter().any(|range| range.contains(&position)) {
            continue;
        }
        let fits = |window: &Window| {
            // What one entry committed stays together.
            position < window.to || window.bytes + object.bytes <= bytes_max
        };
        match windows.last_mut().filter(|_| open) {
            Some(window) if fits(window) => {
                window.to = LogPosition(position.0 + 1);
                window.bytes += object.bytes;
                window.objects.insert(object.object);
            }
            full => {
                if let Some(window) = full {
                    window.is_full = true;
                }
                open = true;
                windows.push(Window {
                    from: position,
                    to: LogPosition(position.0 + 1),
                    objects: BTreeSet::from([object.object]),
                    bytes: object.bytes,
                    since: object.at,
                    is_full: false,
                });
            }
        }
    }
    windows.iter_mut().for_each(|window| window.is_full |= window.bytes >= bytes_max);
    windows
}

/// Whether a window that took up a position would reach into a range.
fn reaches_over(window: Option<&Window>, range: &Range<LogPosition>, position: LogPosition) -> bool {
    window.is_some_and(|window| range.end > window.from && range.start <= position)
}

/// Whether a window that took up a position would lie inside a range in part.
fn enters_or_leaves(window: Option<&Window>, range: &Range<LogPosition>, position: LogPosition) -> bool {
    window.is_some_and(|window| range.contains(&window.from) != range.contains(&position))
}

#[cfg(test)]
mod tests {
    use ebb_protocol::ids::SegmentId;

    use super::*;

    /// Objects of ten bytes, committed at these positions, one a second.
    fn objects(positions: &[u64]) -> impl Iterator<Item = UnarchivedObject> {
        positions.iter().zip(0..).map(|(position, number)| UnarchivedObject {
            object: ObjectRef::Segment(SegmentId(number)),
            bytes: 10,
            committed: LogPosition(*position),
            at: Timestamp(1_000 * i64::try_from(number).expect("few objects")),
        })
    }

    /// Each window's first position, the one behind its last, its objects, and whether it is full.
    fn plan(positions: &[u64], taken: &[(u64, u64)], bytes_max: u64) -> Vec<(u64, u64, usize, bool)> {
        plan_around(positions, &Obstacles { taken: ranges(taken), ..Obstacles::default() }, bytes_max)
    }

    fn ranges(ranges: &[(u64, u64)]) -> Vec<Range<LogPosition>> {
        ranges.iter().map(|(from, to)| LogPosition(*from)..LogPosition(*to)).collect()
    }

    fn plan_around(positions: &[u64], obstacles: &Obstacles, bytes_max: u64) -> Vec<(u64, u64, usize, bool)> {
        let windows = windows(objects(positions), obstacles, bytes_max);
        windows
            .iter()
            .map(|window| (window.from.0, window.to.0, window.objects.len(), window.is_full))
            .collect()
    }

    #[test]
    fn windows_are_cut_by_size() {
        assert_eq!(plan(&[], &[], 25), []);
        assert_eq!(plan(&[3], &[], 25), [(3, 4, 1, false)]);
        assert_eq!(plan(&[3, 5, 6, 9], &[], 25), [(3, 6, 2, true), (6, 10, 2, false)]);
        assert_eq!(plan(&[3, 5, 6, 9], &[], 20), [(3, 6, 2, true), (6, 10, 2, true)]);
        assert_eq!(plan(&[3, 5], &[], 1), [(3, 4, 1, true), (5, 6, 1, true)], "an object may be larger");
    }

    #[test]
    fn what_one_entry_committed_stays_together() {
        assert_eq!(plan(&[3, 3, 3, 4], &[], 15), [(3, 4, 3, true), (4, 5, 1, false)]);
    }

    #[test]
    fn windows_leave_out_what_is_taken_and_do_not_reach_over_it() {
        assert_eq!(plan(&[1, 2, 3, 4], &[(2, 3)], 100), [(1, 2, 1, false), (3, 5, 2, false)]);
        assert_eq!(plan(&[1, 2], &[(0, 9)], 100), []);
        assert_eq!(
            plan(&[1, 5], &[(2, 4)], 100),
            [(1, 2, 1, false), (5, 6, 1, false)],
            "nothing is in it now"
        );
    }

    #[test]
    fn windows_lie_inside_or_outside_of_what_was_abandoned() {
        let around = |abandoned: &[(u64, u64)]| {
            let obstacles = Obstacles { abandoned: ranges(abandoned), ..Obstacles::default() };
            plan_around(&[1, 2, 3, 4, 5], &obstacles, 100)
        };
        assert_eq!(around(&[(2, 4)]), [(1, 2, 1, false), (2, 4, 2, false), (4, 6, 2, false)]);
        assert_eq!(around(&[(1, 3), (3, 6)]), [(1, 3, 2, false), (3, 6, 3, false)]);
        assert_eq!(around(&[(0, 9)]), [(1, 6, 5, false)]);
    }

    #[test]
    fn a_window_that_is_not_full_waits_for_its_age() {
        let windows = windows(objects(&[1, 2, 3]), &Obstacles::default(), 25);
        let wait = |index: usize, now| windows[index].wait(Timestamp(now), Duration::from_secs(60)).as_secs();
        assert_eq!(wait(0, 0), 0);
        assert_eq!(wait(1, 2_000), 60);
        assert_eq!(wait(1, 42_000), 20);
        assert_eq!(wait(1, 99_000), 0);
        assert_eq!(wait(1, -5), 60, "a clock that is behind");
    }
}
