//! The store under faults: what is tried again, what is told at once, and what is counted.

use std::{sync::Arc, time::Duration};

use crate::support::{Fault, FaultyStore};
use bytes::Bytes;
use ebb_protocol::{
    ids::{ByteRange, ClusterId, SegmentId},
    random::Random,
};
use ebb_segment::{
    counted::CountedStore,
    format::{self, Segment},
    key,
    store::{SegmentStore, StoreConfig, StoreError},
};
use object_store::{ObjectStoreExt, path::Path};
use tokio::time::Instant;

const CONFIG: StoreConfig = StoreConfig {
    attempt_deadline: Duration::from_secs(1),
    deadline: Duration::from_secs(10),
    backoff_min: Duration::from_millis(50),
    backoff_max: Duration::from_secs(1),
};

fn store(faults: &[Fault]) -> (SegmentStore, Arc<CountedStore>) {
    let counted = Arc::new(CountedStore::new(FaultyStore::new(faults)));
    (SegmentStore::new(counted.clone(), Random::from_seed(1), CONFIG), counted)
}

fn segment() -> Segment {
    format::build(ClusterId(1), SegmentId(2), &[]).0
}

#[tokio::test(start_paused = true)]
async fn a_put_is_tried_again_until_it_succeeds() {
    let (store, counted) = store(&[Fault::SlowDown, Fault::Hang, Fault::LoseAnswer]);
    let segment = segment();
    store.put(&segment).await.expect("the fourth attempt succeeds");
    let counts = counted.counters().counts();
    assert_eq!((counts.puts, counts.put_bytes), (4, 4 * segment.bytes));
    // An attempt that was given up never answers, so it is no failure of the store's.
    assert_eq!((counts.failures, store.retries()), (2, 3));
    let stored = counted.get(&key::of(segment.id)).await.expect("the object");
    assert_eq!(stored.bytes().await.expect("its bytes"), segment.pieces.concat());
}

#[tokio::test(start_paused = true)]
async fn a_put_fails_at_its_deadline() {
    let (store, _) = store(&[Fault::SlowDown; 1_000]);
    let started = Instant::now();
    let error = store.put(&segment()).await.expect_err("no attempt succeeds");
    assert!(matches!(&error, StoreError::Unavailable(why) if why.contains("503")), "{error}");
    assert_eq!(started.elapsed(), CONFIG.deadline);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_store_is_named() {
    let (store, _) = store(&[Fault::Hang; 100]);
    let error = store.put(&segment()).await.expect_err("no attempt succeeds");
    assert_eq!(error, StoreError::Unavailable("no answer within 1s".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_at_once() {
    let (store, counted) = store(&[Fault::Deny]);
    let error = store.put(&segment()).await.expect_err("denied");
    assert!(matches!(error, StoreError::Denied(_)), "{error}");
    assert_eq!(counted.counters().counts().puts, 1);
}

#[tokio::test(start_paused = true)]
async fn ranges_are_whole_or_an_error() {
    let (store, counted) = store(&[]);
    let key = Path::from("object");
    counted.put(&key, Bytes::from_static(b"0123456789").into()).await.expect("a put");
    let range = |start, len| ByteRange { start, len };
    assert_eq!(store.get(&key, range(2, 3)).await.expect("inside"), "234");
    assert_eq!(store.get(&key, range(5, 0)).await.expect("empty"), "");
    assert_eq!(store.get_up_to(&key, range(8, 100)).await.expect("up to the end"), "89");
    let beyond = store.get(&key, range(8, 100)).await.expect_err("beyond the end");
    assert_eq!(beyond, StoreError::Damaged("object".to_owned(), "it ends before byte 108".to_owned()));
    let missing = store.get(&Path::from("other"), range(0, 1)).await.expect_err("missing");
    assert_eq!(missing, StoreError::Missing("other".to_owned()));
    let counts = counted.counters().counts();
    assert_eq!((counts.gets, counts.get_bytes, counts.requests()), (4, 3 + 2 + 2, 5));
}

#[tokio::test(start_paused = true)]
async fn an_answer_cut_short_is_asked_for_again() {
    let key = Path::from("object");
    let faulty = FaultyStore::new(&[]);
    faulty.put(&key, Bytes::from_static(b"0123456789").into()).await.expect("a put");
    faulty.plan(&[Fault::CutShort, Fault::Hang, Fault::SlowDown]);
    let store = SegmentStore::new(faulty, Random::from_seed(1), CONFIG);
    assert_eq!(store.get(&key, ByteRange { start: 2, len: 5 }).await.expect("the fourth answer"), "23456");
    assert_eq!(store.retries(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_object_in_parts_is_there_when_it_is_complete_and_not_before() {
    let (store, counted) = store(&[]);
    let (whole, given_up) = (Path::from("whole"), Path::from("given-up"));
    let parts: Vec<Bytes> = (0..3).map(|part| Bytes::from(vec![part; 100])).collect();
    let mut put = store.put_in_parts(&whole).await.expect("the store works");
    let mut other = store.put_in_parts(&given_up).await.expect("the store works");
    for part in &parts {
        put.put(part.clone()).await.expect("the store works");
        other.put(part.clone()).await.expect("the store works");
    }
    assert!(counted.get(&whole).await.is_err(), "nobody sees a part");
    put.complete().await.expect("the store works");
    other.give_up().await;
    let stored = counted.get(&whole).await.expect("it is complete").bytes().await.expect("it is sound");
    assert_eq!(stored, parts.concat());
    assert!(counted.get(&given_up).await.is_err());
}
