//! The faults that strike, and how often.

use ebb_protocol::random::Random;
use parking_lot::Mutex;

use super::plan::pick;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A request failed and nothing was done.
    FailedBefore,
    /// A request failed although it was done.
    FailedAfter,
    /// A request took many times as long as others.
    Slow,
    /// A request was never answered.
    Hung,
    /// A put failed, and was done seconds later.
    DoneLate,
    /// A conditional put was refused as a conflict, and nothing was written.
    Conflict,
    /// A conditional put was made twice below, and only the second answer came: somebody else was first.
    OwnTwice,
    /// The end of an answer's bytes was missing.
    ShortBody,
    /// A bit of an answer was wrong.
    FlippedBit,
    /// A listing showed what had been there seconds ago.
    StaleList,
    /// A delete of several objects was done in part.
    DeletedInPart,
    /// The store refused everything for a while.
    Outage,
    /// The sender of a request went away; the request was done.
    OrphanDone,
    /// The sender of a request went away; the request was not done.
    OrphanLost,
    /// An agent was killed at a random instant.
    Crash,
    /// An agent was killed when it made a request.
    CrashAtRequest,
    /// An agent was killed when a request had been done, before it learnt of it.
    CrashAtAnswer,
    /// An agent was stopped and went on later.
    Pause,
    /// An agent was replaced while it was stopped.
    Zombie,
    /// An agent's clock jumped.
    ClockJump,
    /// An agent was shut down in order and started again.
    Restart,
    /// A client's request was lost.
    ClientRequestLost,
    /// A client's answer was lost.
    ClientAnswerLost,
}

/// How often what strikes, as probabilities per request.
#[derive(Clone, Debug, Default)]
pub struct Rates {
    pub(super) before: f64,
    pub(super) after: f64,
    pub(super) slow: f64,
    pub(super) hang: f64,
    pub(super) late: f64,
    pub(super) conflict: f64,
    pub(super) twice: f64,
    pub(super) short: f64,
    pub(super) flip: f64,
    pub(super) stale_list: f64,
    pub(super) client_loss: f64,
    /// Whether agents crash, are stopped, have wrong clocks; whether the store has outages.
    pub(super) crashes: bool,
    pub(super) pauses: bool,
    pub(super) jumps: bool,
    pub(super) outages: bool,
    /// Whether agents leave and join all the time.
    pub(super) restarts: bool,
}

impl Rates {
    /// Draws which faults strike in a run. Some runs have few kinds, so that they do not hide behind each other.
    pub(super) fn draw(random: &Random) -> Self {
        let on = pick(random, &[0.3, 0.6, 0.9]);
        let rate = |most: f64| if random.chance(on) { most * pick(random, &[0.1, 0.4, 1.0]) } else { 0.0 };
        Self {
            before: rate(0.10),
            after: rate(0.10),
            slow: rate(0.05),
            hang: rate(0.02),
            late: rate(0.05),
            conflict: rate(0.10),
            twice: rate(0.10),
            short: rate(0.05),
            flip: rate(0.03),
            stale_list: rate(0.5),
            client_loss: rate(0.05),
            crashes: random.chance(on),
            pauses: random.chance(on),
            jumps: random.chance(on),
            outages: random.chance(on),
            restarts: random.chance(on / 2.0),
        }
    }
}

/// The faults as they are at present.
#[derive(Debug)]
pub(super) struct Weather {
    rates: Mutex<Rates>,
}

impl Weather {
    pub(super) fn new(rates: Rates) -> Self {
        Self { rates: Mutex::new(rates) }
    }

    /// Whether something with the rate that `of` reads strikes now.
    pub(super) fn strikes(&self, random: &Random, of: impl Fn(&Rates) -> f64) -> bool {
        let rate = of(&self.rates.lock());
        rate > 0.0 && random.chance(rate)
    }

    pub(super) fn change(&self, how: impl FnOnce(&mut Rates)) {
        how(&mut self.rates.lock());
    }
}
