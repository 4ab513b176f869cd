//! Ids, positions, clock and randomness from the outside.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use ebb_protocol::{
    clock::Clock,
    ids::{IdSource, Offset, SegmentId, Sequence, TOPIC_NAME_BYTES_MAX, Timestamp, TopicName},
    random::Random,
};

/// A clock that stands where the test puts it.
#[derive(Default)]
struct SetClock(AtomicI64);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

#[test]
fn ids_increase_even_when_the_clock_stands_still_or_goes_back() {
    let clock = Arc::new(SetClock::default());
    let ids = IdSource::new(clock.clone(), Random::from_seed(1));
    let mut minted = Vec::new();
    for now in [5_000, 5_000, 6_000, 1_000, 1_000, -1, 7_000] {
        clock.0.store(now, Ordering::Relaxed);
        minted.push(ids.segment());
    }
    assert!(minted.is_sorted_by(|a, b| a < b), "{minted:?}");
    assert_eq!(minted[0].minted_at(), Timestamp(5_000));
    assert_eq!(minted[6].minted_at(), Timestamp(7_000));
    let other = IdSource::new(clock, Random::from_seed(2));
    assert_ne!(other.segment(), minted[6], "sources differ by their randomness");
}

#[test]
fn a_clock_that_is_behind_does_not_mint_below_the_floor() {
    let clock = Arc::new(SetClock::default());
    let ids = IdSource::new(clock.clone(), Random::from_seed(1));
    let check = |now, floor, expect| {
        clock.0.store(now, Ordering::Relaxed);
        assert_eq!(ids.segment_since(Timestamp(floor)).minted_at(), Timestamp(expect), "{now}, {floor}");
    };
    check(1_000, 5_000, 5_000);
    check(2_000, 5_000, 5_000);
    check(6_000, 5_000, 6_000);
    check(1_000, 0, 6_000);
}

#[test]
fn ids_are_written_and_read_back() {
    let ids = IdSource::new(Arc::new(SetClock::default()), Random::from_seed(1));
    let id = ids.segment();
    assert_eq!(id.to_string().len(), 26);
    assert_eq!(id.to_string().parse(), Ok(id));
    assert!("not an id".parse::<SegmentId>().is_err());
    assert_eq!(ids.topic().0.get_version_num(), 4);
}

#[test]
fn topic_names_follow_kafkas_rule() {
    let longest = "x".repeat(TOPIC_NAME_BYTES_MAX);
    for legal in ["a", "...", "flights", "A-Z_0.9", longest.as_str()] {
        assert_eq!(TopicName::new(legal).map(String::from), Ok(legal.to_owned()));
    }
    let too_long = "x".repeat(TOPIC_NAME_BYTES_MAX + 1);
    for illegal in ["", ".", "..", "a b", "a/b", "../x", "nul\0", "ü", too_long.as_str()] {
        let error = TopicName::new(illegal).expect_err("an illegal name");
        assert!(error.to_string().len() < 250, "{error}");
    }
}

#[test]
fn sequences_wrap_and_offsets_saturate() {
    assert_eq!(Sequence(5).plus(3), Sequence(8));
    assert_eq!(Sequence(i32::MAX).plus(1), Sequence(0));
    assert_eq!(Sequence(i32::MAX - 1).plus(5), Sequence(3));
    assert_eq!(Offset(i64::MAX).plus(1), Offset(i64::MAX));
}

#[test]
fn a_seed_repeats_its_numbers() {
    let draw = |random: &Random| {
        let fork = random.fork();
        (random.next_u64(), random.next_u128(), random.below(10), random.chance(0.5), fork.next_u64())
    };
    let (one, same, other) = (Random::from_seed(7), Random::from_seed(7), Random::from_seed(8));
    for _ in 0..10 {
        assert_eq!(draw(&one), draw(&same));
    }
    assert_ne!(draw(&one), draw(&other));
    assert_eq!(one.below(0), 0);
    assert!(one.chance(1.5) && !one.chance(-0.5), "probabilities are clamped");
    assert!((0..100).all(|_| one.below(3) < 3));
}
