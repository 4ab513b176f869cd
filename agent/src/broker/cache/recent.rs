//! Values by their keys in memory, bounded by what they cost: the least recently used goes first. Deterministic: every
//! answer follows from the calls made. Knows nothing of what is kept.

use std::collections::BTreeMap;

/// Values that were used lately.
#[derive(Debug)]
pub(in crate::broker) struct Recent<K, V> {
    cost_max: usize,
    values: BTreeMap<K, Kept<V>>,
    /// The keys by their last use, counted in calls.
    uses: BTreeMap<u64, K>,
    calls: u64,
    cost: usize,
}

#[derive(Debug)]
struct Kept<V> {
    value: V,
    cost: usize,
    used: u64,
}

impl<K: Copy + Ord, V: Clone> Recent<K, V> {
    /// Keeps values that together cost at most so much.
    pub(in crate::broker) fn new(cost_max: usize) -> Self {
        Self { cost_max, values: BTreeMap::new(), uses: BTreeMap::new(), calls: 0, cost: 0 }
    }

    /// The value, when it is here.
    pub(in crate::broker) fn get(&mut self, key: K) -> Option<V> {
        let Kept { value, cost, .. } = self.remove(key)?;
        self.put(key, value.clone(), cost);
        Some(value)
    }

    /// Whether the value is here; no use of it.
    pub(in crate::broker) fn holds(&self, key: K) -> bool {
        self.values.contains_key(&key)
    }

    /// Keeps a value in place of what was there.
    pub(in crate::broker) fn insert(&mut self, key: K, value: V, cost: usize) {
        self.remove(key);
        self.put(key, value, cost);
        while self.cost > self.cost_max {
            let Some(oldest) = self.uses.values().next().copied() else { break };
            self.remove(oldest);
        }
    }

    /// Forgets a value.
    pub(in crate::broker) fn forget(&mut self, key: K) {
        self.remove(key);
    }

    fn put(&mut self, key: K, value: V, cost: usize) {
        self.calls += 1;
        self.cost += cost;
        self.uses.insert(self.calls, key);
        self.values.insert(key, Kept { value, cost, used: self.calls });
    }

    fn remove(&mut self, key: K) -> Option<Kept<V>> {
        let kept = self.values.remove(&key)?;
        self.uses.remove(&kept.used);
        self.cost -= kept.cost;
        Some(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut kept = Recent::new(30);
        for key in 0..3 {
            kept.insert(key, key, 10);
        }
        assert_eq!(kept.get(0), Some(0));
        kept.insert(3, 3, 10);
        assert_eq!(kept.get(1), None, "1 was used longest ago");
        assert_eq!([0, 2, 3].map(|key| kept.get(key)), [Some(0), Some(2), Some(3)]);
    }

    #[test]
    fn the_cost_stays_within_the_limit() {
        let mut kept = Recent::new(30);
        kept.insert(0, 'a', 31);
        assert_eq!(kept.get(0), None);
        kept.insert(1, 'b', 20);
        kept.insert(1, 'c', 20);
        assert_eq!((kept.get(1), kept.cost), (Some('c'), 20));
        kept.forget(1);
        assert_eq!((kept.get(1), kept.cost), (None, 0));
    }
}
