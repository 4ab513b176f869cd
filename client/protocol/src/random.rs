//! Randomness as a value that is handed down: a process seeds it once, a simulation seeds it with its seed.

use std::sync::Arc;

use parking_lot::Mutex;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A shared source of random numbers. Clones draw from the same stream; [`Random::fork`] makes an independent one.
#[derive(Clone, Debug)]
pub struct Random {
    rng: Arc<Mutex<ChaCha8Rng>>,
}

impl Random {
    /// A source that repeats exactly for the same seed.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        Self { rng: Arc::new(Mutex::new(ChaCha8Rng::seed_from_u64(seed))) }
    }

    /// A source seeded by the operating system. Only a process's `main` should call this.
    #[must_use]
    pub fn from_os() -> Self {
        Self { rng: Arc::new(Mutex::new(rand::make_rng())) }
    }

    /// An independent source whose seed is drawn from this one.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self::from_seed(self.next_u64())
    }

    /// A uniformly distributed integer.
    #[must_use]
    pub fn next_u64(&self) -> u64 {
        self.rng.lock().next_u64()
    }

    /// A uniformly distributed 128-bit integer, for ids.
    #[must_use]
    pub fn next_u128(&self) -> u128 {
        (u128::from(self.next_u64()) << 64) | u128::from(self.next_u64())
    }

    /// An integer in `0..end`; 0 when `end` is 0.
    #[must_use]
    pub fn below(&self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.rng.lock().random_range(0..end) }
    }

    /// True with probability `p`, which is clamped to `0.0..=1.0`.
    #[must_use]
    pub fn chance(&self, p: f64) -> bool {
        self.rng.lock().random_bool(p.clamp(0.0, 1.0))
    }
}
