//! The bookkeeping of this agent's own entries between their writing and their applying. Pure: it says which entry
//! to append at which position and is told what came of it. Knows no log, no state and no time.
//!
//! # Why every entry takes effect once, and in order
//! An agent numbers its entries, and `apply` admits an entry only when its number is the agent's next. So for safety
//! it does not matter where copies of an entry stand, or how many: of all copies the first one in the log that
//! stands behind the agent's previous number takes effect, and all others are refused and change nothing. Call those
//! *ghosts*. What remains is to make sure that each entry gets its turn:
//!
//! - An attempt (an entry at a position) is never given up until it is known what stands at the position. So when an
//!   answer is lost, the same bytes are appended at the same position again, and nothing else is offered there; the
//!   positions that this agent attempts have no gaps, hence it leaves none in the log.
//! - Say entry X at position p was beaten by another agent's entry, while this agent's next entries Y and Z are on
//!   their way to p+1 and p+2. Y and Z may land, but their numbers do not follow, so they are ghosts. X, Y and Z are
//!   offered again behind them, at p+3, p+4 and p+5, with the same bytes, ids and numbers.
//! - Entries are answered by what the log says, not by what an attempt says: when the entry that waits longest, by
//!   its id, is applied, it is the agent's next number and so takes effect, whichever attempt put it there. An entry
//!   that is applied and is not the one that waits longest is a ghost.
//!
//! Two agents that race for positions make progress, because each position has a winner. So that the one with the
//! longer way to the store wins too, an entry that keeps losing is offered at the tail and at several positions behind
//! it at once: one of them takes effect, and the others are ghosts by the same argument.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use ebb_protocol::ids::{ByteRange, EntryId, LogPosition};

use super::{submission::Waiter, vigil::Moment};
use crate::{entry::Entry, log::EntryBytes};

/// Positions at which an entry that keeps losing is offered at once.
const SPREAD_MAX: u64 = 32;

/// No position is attempted that lies further than this from the last one applied.
const SPAN_MAX: u64 = 96;
const _: () = assert!(SPAN_MAX > 2 * SPREAD_MAX, "an entry that keeps losing must be offered again");

/// An entry that this agent wrote.
#[derive(Debug)]
pub(super) struct OwnEntry {
    pub(super) entry: Entry,
    pub(super) bytes: EntryBytes,
    /// Where the body lies in the entry's object.
    pub(super) body: ByteRange,
}

impl OwnEntry {
    pub(super) fn new(entry: Entry, body: Vec<Bytes>) -> Self {
        let len = body.iter().map(|piece| piece.len() as u64).sum();
        let head = entry.encode(len);
        let range = ByteRange { start: head.len() as u64, len };
        let bytes = EntryBytes { id: entry.id, head, body };
        Self { entry, bytes, body: range }
    }
}

/// An entry on its way to a position.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) own: Arc<OwnEntry>,
    /// When it was first tried.
    pub(super) since: Moment,
    /// How often it was tried and had no answer.
    pub(super) failures: u32,
}

/// The agent's entries that have been written and not applied, and the attempts to append them.
#[derive(Debug)]
pub(super) struct Flight {
    /// In the order of their numbers.
    waiting: VecDeque<Waiting>,
    /// Attempts of which it is not known what came of them.
    attempts: BTreeMap<LogPosition, Attempt>,
    /// Behind all positions attempted so far.
    next: LogPosition,
    window_max: usize,
    /// How many entries may wait at present: one after a lost race, more with every success.
    window: usize,
    /// Races lost, less those won: how hard the competition is.
    losses: u32,
}

#[derive(Debug)]
struct Waiting {
    own: Arc<OwnEntry>,
    waiters: Vec<Waiter>,
    /// Where it is being offered; `None` when it has yet to be.
    offer: Option<Offer>,
}

/// Neighbouring positions at which an entry is offered, any of which may take effect.
#[derive(Clone, Copy, Debug)]
struct Offer {
    first: LogPosition,
    count: u64,
    lost: u64,
}

impl Flight {
    pub(super) fn new(window_max: usize) -> Self {
        let window_max = window_max.max(1);
        Self {
            waiting: VecDeque::new(),
            attempts: BTreeMap::new(),
            next: LogPosition(0),
            window_max,
            window: window_max,
            losses: 0,
        }
    }

    /// Whether nothing waits to be applied.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < self.window
    }

    /// Takes in the agent's next entry.
    pub(super) fn push(&mut self, own: OwnEntry, waiters: Vec<Waiter>) {
        self.waiting.push_back(Waiting { own: Arc::new(own), waiters, offer: None });
    }

    /// Whether an entry that keeps losing waits to be offered again. The tail should be looked up before, because the
    /// winners have moved on meanwhile.
    pub(super) fn is_beaten(&self) -> bool {
        self.losses > 1 && self.waiting.front().is_some_and(|waiting| waiting.offer.is_none())
    }

    /// What to append where, now that everything below `applied` is applied.
    pub(super) fn offers(&mut self, applied: LogPosition, now: Moment) -> Vec<(LogPosition, Arc<OwnEntry>)> {
        self.next = self.next.max(applied);
        let end = LogPosition(applied.0 + SPAN_MAX - SPREAD_MAX);
        let mut offers = Vec::new();
        for (index, waiting) in self.waiting.iter_mut().enumerate() {
            if waiting.offer.is_some() {
                continue;
            }
            if self.next >= end {
                break;
            }
            let spread = if index == 0 { spread(self.losses) } else { 1 };
            waiting.offer = Some(Offer { first: self.next, count: spread, lost: 0 });
            for _ in 0..spread {
                self.attempts
                    .insert(self.next, Attempt { own: waiting.own.clone(), since: now, failures: 0 });
                offers.push((self.next, waiting.own.clone()));
                self.next = self.next.next();
            }
        }
        offers
    }

    /// The attempt at a position, if it is not known what came of it.
    pub(super) fn attempt(&self, position: LogPosition) -> Option<&Attempt> {
        self.attempts.get(&position)
    }

    /// The attempt at a position had no answer. Gives what to append there again, and how often that was so.
    pub(super) fn unanswered(&mut self, position: LogPosition) -> Option<(Arc<OwnEntry>, u32)> {
        let attempt = self.attempts.get_mut(&position)?;
        attempt.failures = attempt.failures.saturating_add(1);
        Some((attempt.own.clone(), attempt.failures))
    }

    /// The attempt at a position landed.
    pub(super) fn landed(&mut self, position: LogPosition) -> Option<Attempt> {
        self.attempts.remove(&position)
    }

    /// Something else stands at a position that was attempted. False when nothing is known of such an attempt.
    pub(super) fn lost(&mut self, position: LogPosition) -> bool {
        let Some(attempt) = self.attempts.remove(&position) else { return false };
        let id = attempt.own.entry.id;
        let Some(index) = self.waiting.iter().position(|waiting| waiting.own.entry.id == id) else {
            return true;
        };
        let Some(offer) = self.waiting.get_mut(index).and_then(|waiting| waiting.offer.as_mut()) else {
            return true;
        };
        if position < offer.first {
            // A ghost of an earlier offer.
            return true;
        }
        offer.lost += 1;
        if offer.lost == offer.count {
            self.losses += 1;
            self.window = 1;
            // Those behind it stand at lower positions than it will, so they are ghosts now.
            self.waiting.range_mut(index..).for_each(|waiting| waiting.offer = None);
        }
        true
    }

    /// The entry `id` was applied at `position`. If it took effect, gives those who wait for it.
    pub(super) fn applied(&mut self, position: LogPosition, id: EntryId) -> Option<Vec<Waiter>> {
        // What stands there may have been read before the attempt began, and be applied before it ends.
        if self.attempts.get(&position).is_some_and(|attempt| attempt.own.entry.id != id) {
            self.lost(position);
        }
        self.attempts.remove(&position);
        let first = self.waiting.pop_front_if(|waiting| waiting.own.entry.id == id)?;
        self.losses = self.losses.saturating_sub(1);
        self.window = (self.window * 2).min(self.window_max);
        Some(first.waiters)
    }

    /// The replica has jumped to `position`, where `number` is the agent's next. Gives those who wait for entries
    /// that have taken effect with unknown outcomes; the others will be offered again.
    pub(super) fn jump(&mut self, position: LogPosition, number: u64) -> Vec<Waiter> {
        self.attempts = self.attempts.split_off(&position);
        let mut passed = Vec::new();
        while let Some(first) = self.waiting.pop_front_if(|waiting| waiting.own.entry.number < number) {
            passed.extend(first.waiters);
        }
        self.waiting.iter_mut().for_each(|waiting| waiting.offer = None);
        passed
    }

    /// Gives up on everything, and gives all who wait.
    pub(super) fn abandon(&mut self) -> Vec<Waiter> {
        self.attempts.clear();
        self.waiting.drain(..).flat_map(|waiting| waiting.waiters).collect()
    }
}

/// At how many positions to offer an entry that has lost this many races.
fn spread(losses: u32) -> u64 {
    match losses {
        0 | 1 => 1,
        more => 1_u64.checked_shl(more - 1).unwrap_or(SPREAD_MAX).min(SPREAD_MAX),
    }
}

#[cfg(test)]
mod tests {
    use ebb_protocol::{
        clock::{SharedClock, SystemClock},
        ids::{AgentEpoch, AgentId, Timestamp},
    };

    use super::*;

    fn now() -> Moment {
        Moment::now(&(Arc::new(SystemClock) as SharedClock))
    }

    fn entry(number: u64) -> OwnEntry {
        let entry = Entry {
            id: EntryId(u128::from(number)),
            agent: AgentId(1),
            epoch: AgentEpoch(1),
            number,
            time: Timestamp(0),
            hash: None,
            commands: Vec::new(),
        };
        OwnEntry::new(entry, Vec::new())
    }

    fn flight(numbers: std::ops::Range<u64>) -> Flight {
        let mut flight = Flight::new(4);
        numbers.for_each(|number| flight.push(entry(number), Vec::new()));
        flight
    }

    /// The offers as (position, number).
    fn offers(flight: &mut Flight, applied: u64) -> Vec<(u64, u64)> {
        let offers = flight.offers(LogPosition(applied), now());
        offers.iter().map(|(position, own)| (position.0, own.entry.number)).collect()
    }

    fn apply(flight: &mut Flight, position: u64, number: u64) -> bool {
        flight.applied(LogPosition(position), EntryId(u128::from(number))).is_some()
    }

    #[test]
    fn entries_take_consecutive_positions_once() {
        let mut flight = flight(0..3);
        assert_eq!(offers(&mut flight, 7), [(7, 0), (8, 1), (9, 2)]);
        assert_eq!(offers(&mut flight, 7), []);
        assert!(apply(&mut flight, 7, 0));
        flight.push(entry(3), Vec::new());
        assert_eq!(offers(&mut flight, 8), [(10, 3)], "behind those that are on their way");
    }

    #[test]
    fn a_lost_race_sends_it_and_those_behind_it_to_later_positions() {
        let mut flight = flight(0..3);
        offers(&mut flight, 0);
        assert!(flight.landed(LogPosition(1)).is_some(), "entry 1 is a ghost now");
        assert!(flight.lost(LogPosition(0)));
        assert_eq!(offers(&mut flight, 0), [(3, 0), (4, 1), (5, 2)]);
        assert!(!apply(&mut flight, 0, 99), "the winner's entry");
        assert!(!apply(&mut flight, 1, 1), "a ghost answers nobody");
        assert!(!apply(&mut flight, 2, 2), "nor does the other");
        for number in 0..3 {
            assert!(apply(&mut flight, 3 + number, number), "entry {number} takes effect");
        }
        assert!(flight.is_empty());
    }

    #[test]
    fn a_place_whose_entry_is_applied_before_the_attempt_ends_is_lost() {
        let mut flight = flight(0..1);
        assert_eq!(offers(&mut flight, 0), [(0, 0)]);
        assert!(!apply(&mut flight, 0, 99), "somebody else's entry had been read from there already");
        assert!(flight.attempt(LogPosition(0)).is_none());
        assert_eq!(offers(&mut flight, 1), [(1, 0)], "so it is offered again");
    }

    #[test]
    fn a_ghost_that_loses_changes_nothing() {
        let mut flight = flight(0..3);
        offers(&mut flight, 0);
        flight.lost(LogPosition(0));
        offers(&mut flight, 0);
        assert!(flight.lost(LogPosition(1)), "entry 1's old place is taken");
        assert_eq!(offers(&mut flight, 0), [], "it has been offered anew already");
    }

    #[test]
    fn an_entry_in_the_middle_leaves_those_before_it_alone() {
        let mut flight = flight(0..3);
        offers(&mut flight, 0);
        flight.lost(LogPosition(1));
        assert_eq!(offers(&mut flight, 0), [(3, 1), (4, 2)]);
        assert!(apply(&mut flight, 0, 0));
    }

    #[test]
    fn one_that_keeps_losing_is_offered_at_more_places() {
        let mut flight = flight(0..1);
        let mut counts = Vec::new();
        let mut applied = 0;
        for _ in 0..8 {
            let offered = offers(&mut flight, applied);
            counts.push(offered.len());
            for (position, _) in offered {
                flight.lost(LogPosition(position));
                assert!(!apply(&mut flight, position, 99));
                applied = position + 1;
            }
        }
        assert_eq!(counts, [1, 1, 2, 4, 8, 16, 32, 32]);
        let last = offers(&mut flight, applied);
        assert!(apply(&mut flight, applied + 1, 0), "any of the {} takes effect", last.len());
        assert!(!apply(&mut flight, applied + 2, 0), "and only once");
    }

    #[test]
    fn it_is_not_offered_anew_while_one_of_its_places_is_open() {
        let mut flight = flight(0..1);
        for position in 0..2 {
            offers(&mut flight, position);
            flight.lost(LogPosition(position));
        }
        assert_eq!(offers(&mut flight, 2), [(2, 0), (3, 0)]);
        flight.lost(LogPosition(3));
        assert_eq!(offers(&mut flight, 2), []);
        assert!(apply(&mut flight, 2, 0));
    }

    #[test]
    fn a_lost_race_narrows_the_window_and_success_widens_it() {
        let mut flight = flight(0..1);
        offers(&mut flight, 0);
        flight.lost(LogPosition(0));
        assert!(!flight.has_room(), "one at a time now");
        offers(&mut flight, 1);
        apply(&mut flight, 1, 0);
        flight.push(entry(1), Vec::new());
        assert!(flight.has_room());
        flight.push(entry(2), Vec::new());
        assert!(!flight.has_room(), "two at a time now");
    }

    #[test]
    fn places_ahead_of_what_is_applied_are_bounded() {
        let mut flight = flight(0..4);
        for _ in 0..20 {
            for (position, number) in offers(&mut flight, 0) {
                if number == 0 {
                    flight.lost(LogPosition(position));
                }
            }
        }
        assert!(flight.next <= LogPosition(SPAN_MAX), "{:?}", flight.next);
    }

    #[test]
    fn a_jump_answers_what_has_passed_and_offers_the_rest() {
        let mut flight = flight(5..8);
        offers(&mut flight, 0);
        flight.jump(LogPosition(100), 6);
        assert_eq!(offers(&mut flight, 100), [(100, 6), (101, 7)]);
        assert!(flight.attempt(LogPosition(2)).is_none(), "positions below are known");
    }
}
