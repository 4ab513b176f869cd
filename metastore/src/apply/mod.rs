//! `apply`: the only code that changes the state and assigns offsets. Pure: no I/O, no clock, no randomness.

use ebb_protocol::ids::{ByteRange, LogPosition};

use crate::{entry::Entry, outcome::Outcome, state::State};

impl State {
    /// Applies the entry that stands at `position`, which must be the state's own, and answers each of its commands.
    /// `body` is where a segment body lies in the entry's object, as [`Entry::decode`] tells it; empty without one.
    pub fn apply(&mut self, position: LogPosition, entry: &Entry, body: ByteRange) -> Vec<Outcome> {
        todo!("{position} {entry:?} {body:?}")
    }
}
