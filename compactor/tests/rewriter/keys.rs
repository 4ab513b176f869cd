//! Key compaction against a model: what stays, what goes, when tombstones go, and what happens when passes are cut off or
//! meet each other.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use bytes::Bytes;
use ebb_compactor::{
    Member,
    retention::RetentionConfig,
    rewriter::{KeyBacklog, KeyCompactionConfig, KeyCompactor, KeysDone, RewriterConfig},
};
use ebb_metastore::{command::Command, state::State};
use ebb_protocol::{
    batch::{BatchBuilder, BatchHeader, Compression, DECOMPRESSED_BYTES_MAX, Header, RecordBatch},
    ids::{Offset, PartitionIndex, Timestamp, TopicId},
    random::Random,
};
use ebb_segment::key::archive_key;
use object_store::ObjectStoreExt;
use tokio::time::{sleep, timeout};

use crate::support::{SECOND, World, configure, submit};

pub(crate) const FIRST: PartitionIndex = PartitionIndex(0);
const DELETE_RETENTION_MS: i64 = 60_000;
/// The seeds of random runs.
const SEEDS: Range<u64> = 100..124;

/// A record's key and value.
type Pair = (Option<Bytes>, Option<Bytes>);

pub(crate) fn batch(world: &World, records: &[(Option<&str>, Option<&str>)]) -> RecordBatch {
    batch_with(world, records, &[], Compression::None)
}

fn batch_with(
    world: &World,
    records: &[(Option<&str>, Option<&str>)],
    headers: &[Header],
    compression: Compression,
) -> RecordBatch {
    let mut builder = BatchBuilder::default();
    for (key, value) in records {
        let (key, value) = (key.map(str::as_bytes), value.map(str::as_bytes));
        builder.append(world.now(), key, value, headers).expect("a small record");
    }
    builder.finish(compression, None).expect("there is a record")
}

fn records(batches: &[RecordBatch]) -> BTreeMap<Offset, Pair> {
    let all = batches.iter().flat_map(|batch| batch.decode(DECOMPRESSED_BYTES_MAX).expect("it is sound"));
    let all = all.map(|record| record.expect("it is sound"));
    all.map(|record| (record.offset, (record.key, record.value))).collect()
}

/// A topic that is compacted.
pub(crate) struct Compacted {
    pub(crate) world: World,
    pub(crate) member: Member,
    pub(crate) topic: TopicId,
}

impl Compacted {
    pub(crate) async fn new(seed: u64) -> Self {
        let world = World::new(seed);
        let member = world.member().await;
        let topic = world.create_topic(&member, 1).await;
        configure(&member, topic, "cleanup.policy", "compact").await;
        configure(&member, topic, "min.cleanable.dirty.ratio", "0").await;
        configure(&member, topic, "delete.retention.ms", &DELETE_RETENTION_MS.to_string()).await;
        Self { world, member, topic }
    }

    pub(crate) fn compactor(&self) -> KeyCompactor {
        self.world.key_compactor(&self.member, KeyCompactionConfig::default())
    }

    pub(crate) async fn send(&self, records: &[(Option<&str>, Option<&str>)]) {
        self.world.commit_batch(&self.member, self.topic, batch(&self.world, records)).await;
    }

    pub(crate) async fn archive(&self) {
        self.world.rewriter(&self.member).pass(true).await.expect("nothing is disturbed");
    }

    /// What was sent to the first partition.
    pub(crate) fn sent(&self) -> BTreeMap<Offset, Pair> {
        self.world.sent.lock().get(&(self.topic, FIRST)).map(|sent| records(sent)).unwrap_or_default()
    }

    /// What is in archive files of it.
    pub(crate) async fn archived(&self) -> BTreeMap<Offset, Pair> {
        let found = self.world.archived(&self.member, self.topic).await;
        found.get(&(self.topic, FIRST)).map(|found| records(found)).unwrap_or_default()
    }

    /// Offsets and values of what is in archive files.
    pub(crate) async fn values(&self) -> Vec<(i64, Option<String>)> {
        let text = |value: Bytes| String::from_utf8(value.to_vec()).expect("tests send text");
        self.archived().await.into_iter().map(|(at, (_, value))| (at.0, value.map(text))).collect()
    }

    pub(crate) fn files(&self) -> usize {
        let count = |state: &State| state.table(self.topic).map_or(0, |table| table.files().count());
        self.member.metastore().read(count)
    }
}

pub(crate) fn values(expect: &[(i64, &str)]) -> Vec<(i64, Option<String>)> {
    expect.iter().map(|(at, value)| (*at, Some((*value).to_owned()))).collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_dirty_is_known_and_compacted_early() {
    let compacted = Compacted::new(30).await;
    let Compacted { world, member, topic } = &compacted;
    configure(member, *topic, "min.cleanable.dirty.ratio", "1").await;
    let backlog = |topic: TopicId| {
        let now = world.now();
        member.metastore().read(|state| KeyBacklog::of(state, topic, now))
    };
    compacted.send(&[(Some("a"), Some("1")), (Some("b"), Some("1"))]).await;
    assert_eq!(backlog(*topic), Some(KeyBacklog::default()), "nothing is archived");
    compacted.archive().await;
    let before = backlog(*topic).expect("it is compacted");
    assert!(before.dirty_records == 2 && before.dirty_bytes > 0 && before.clean_bytes == 0, "{before:?}");
    let mut compactor = compacted.compactor();
    assert_eq!(compactor.pass().await.expect("nothing is disturbed"), KeysDone::Nothing, "never enough");
    assert_eq!(compactor.pass_early().await.expect("nothing is disturbed"), KeysDone::Topic);
    let after = backlog(*topic).expect("it is compacted");
    assert_eq!(after, KeyBacklog { clean_bytes: before.dirty_bytes, ..KeyBacklog::default() });
    compacted.send(&[(Some("a"), Some("2"))]).await;
    compacted.archive().await;
    assert_eq!(backlog(*topic).map(|backlog| backlog.dirty_records), Some(1));
    assert_eq!(compactor.pass_early().await.expect("nothing is disturbed"), KeysDone::Topic);
    assert_eq!(compacted.values().await, values(&[(1, "1"), (2, "2")]));
    assert_eq!(compactor.pass_early().await.expect("nothing is disturbed"), KeysDone::Nothing);
    configure(member, *topic, "cleanup.policy", "delete").await;
    assert_eq!(backlog(*topic), None, "it is not compacted any more");
}

#[tokio::test(start_paused = true)]
async fn passes_come_to_the_end_however_small_the_table() {
    let compacted = Compacted::new(31).await;
    let names: Vec<String> = (0..40).map(|number| format!("key {number}")).collect();
    // Twice the same keys, each file with ten of them, each of which twice.
    for round in ["first", "second"] {
        for some in names.chunks(10) {
            let twice = some.iter().flat_map(|name| [name, name]);
            let records: Vec<_> = twice.map(|name| (Some(name.as_str()), Some(round))).collect();
            compacted.send(&records).await;
            compacted.archive().await;
            sleep(SECOND).await;
        }
    }
    // Seven keys at a time. A file that was written anew is younger than those behind it, and some of it is dirty.
    let config = KeyCompactionConfig { table_bytes: 7 * 48, ..KeyCompactionConfig::default() };
    let mut compactor = compacted.world.key_compactor(&compacted.member, config);
    let mut passes = 0;
    while compactor.pass().await.expect("nothing is disturbed") == KeysDone::Topic {
        passes += 1;
        sleep(SECOND).await;
    }
    let clean = |state: &State| state.compaction(compacted.topic).map(|known| known.clean(FIRST));
    assert_eq!(compacted.member.metastore().read(clean), Some(Offset(160)), "after {passes} passes");
    let left = compacted.values().await;
    assert_eq!(left.len(), names.len());
    let is_latest = |(at, value): &(i64, Option<String>)| *at >= 80 && value.as_deref() == Some("second");
    assert!(left.iter().all(is_latest), "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn the_latest_record_of_a_key_stays_and_what_is_in_segments_is_not_touched() {
    let topic = Compacted::new(40).await;
    topic.send(&[(Some("a"), Some("1")), (Some("b"), Some("2")), (None, Some("3"))]).await;
    topic.archive().await;
    topic.send(&[(Some("a"), Some("4")), (Some("c"), Some("5"))]).await;
    topic.archive().await;
    topic.send(&[(Some("c"), Some("6"))]).await;
    let mut compactor = topic.compactor();
    assert_eq!(compactor.pass().await.expect("nothing is disturbed"), KeysDone::Topic);
    assert_eq!(topic.values().await, values(&[(1, "2"), (3, "4"), (4, "5")]));
    assert_eq!(topic.files(), 1, "small files are merged");
    assert_eq!(compactor.pass().await.expect("nothing is disturbed"), KeysDone::Nothing);
    let position = topic.member.metastore().read(State::position);
    assert_eq!(compactor.pass().await.expect("nothing is disturbed"), KeysDone::Nothing);
    assert_eq!(topic.member.metastore().read(State::position), position, "who finds nothing appends nothing");
    topic.archive().await;
    assert_eq!(compactor.pass().await.expect("nothing is disturbed"), KeysDone::Topic);
    assert_eq!(topic.values().await, values(&[(1, "2"), (3, "4"), (5, "6")]));
    let counts = compactor.counters().counts();
    assert_eq!((counts.passes, counts.records_dropped, counts.passes_failed), (2, 3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_tombstone_stays_until_readers_have_seen_it_and_the_last_record_for_ever() {
    let topic = Compacted::new(41).await;
    topic.send(&[(Some("a"), Some("1")), (Some("a"), None), (Some("b"), Some("2"))]).await;
    topic.archive().await;
    let mut compactor = topic.compactor();
    let offsets =
        async |topic: &Compacted| topic.archived().await.into_keys().map(|at| at.0).collect::<Vec<_>>();
    compactor.pass().await.expect("nothing is disturbed");
    assert_eq!(offsets(&topic).await, [1, 2]);
    for (wait, expect) in [(30, vec![1, 2, 3]), (29, vec![1, 2, 3, 4]), (2, vec![2, 3, 4, 5])] {
        sleep(SECOND * wait).await;
        let key = format!("c{wait}");
        topic.send(&[(Some(&key), Some("x"))]).await;
        topic.archive().await;
        compactor.pass().await.expect("nothing is disturbed");
        assert_eq!(offsets(&topic).await, expect, "after {wait} s more");
    }
    // A tombstone at the end of the log is what readers come to.
    topic.send(&[(Some("z"), None)]).await;
    topic.archive().await;
    for _ in 0..3 {
        compactor.pass().await.expect("nothing is disturbed");
        sleep(SECOND * 1_000).await;
    }
    assert_eq!(offsets(&topic).await, [2, 3, 4, 5, 6]);
}

#[tokio::test(start_paused = true)]
async fn it_waits_for_its_lag_and_for_enough_dirt() {
    let topic = Compacted::new(42).await;
    configure(&topic.member, topic.topic, "min.compaction.lag.ms", "60000").await;
    topic.send(&[(Some("a"), Some("1")), (Some("a"), Some("2"))]).await;
    topic.archive().await;
    let mut compactor = topic.compactor();
    assert_eq!(compactor.pass().await.expect("nothing is disturbed"), KeysDone::Nothing, "too young");
    sleep(SECOND * 61).await;
    assert_eq!(compactor.pass().await.expect("nothing is disturbed"), KeysDone::Topic);
    assert_eq!(topic.values().await, values(&[(1, "2")]));
    configure(&topic.member, topic.topic, "min.compaction.lag.ms", "0").await;
    configure(&topic.member, topic.topic, "min.cleanable.dirty.ratio", "1").await;
    topic.send(&[(Some("a"), Some("3"))]).await;
    topic.archive().await;
    assert_eq!(
        compactor.pass().await.expect("nothing is disturbed"),
        KeysDone::Nothing,
        "too little is dirty"
    );
    configure(&topic.member, topic.topic, "max.compaction.lag.ms", "5000").await;
    assert_eq!(compactor.pass().await.expect("nothing is disturbed"), KeysDone::Nothing, "it is young");
    sleep(SECOND * 6).await;
    assert_eq!(compactor.pass().await.expect("nothing is disturbed"), KeysDone::Topic);
    assert_eq!(topic.values().await, values(&[(2, "3")]));
}

#[tokio::test(start_paused = true)]
async fn batches_that_are_kept_whole_lose_records_too() {
    let topic = Compacted::new(43).await;
    let header = [Header { key: Bytes::from_static(&[0xff]), value: None }];
    let raw = [(Some("a"), Some("1")), (Some("b"), Some("2"))];
    let raw = batch_with(&topic.world, &raw, &header, Compression::Zstd);
    topic.world.commit_batch(&topic.member, topic.topic, raw).await;
    topic.archive().await;
    topic.send(&[(Some("a"), None), (Some("c"), Some("3"))]).await;
    topic.archive().await;
    topic.compactor().pass().await.expect("nothing is disturbed");
    let all: Vec<_> = topic.archived().await.into_keys().map(|at| at.0).collect();
    assert_eq!(all, [1, 2, 3]);
    let found = topic.world.archived(&topic.member, topic.topic).await;
    let kept = &found[&(topic.topic, FIRST)][0];
    assert_eq!((kept.compression(), kept.record_count()), (Compression::Zstd, 1));
}

#[tokio::test(start_paused = true)]
async fn what_is_too_young_does_not_make_what_is_clean_dirty() {
    let topic = Compacted::new(46).await;
    configure(&topic.member, topic.topic, "delete.retention.ms", "86400000").await;
    configure(&topic.member, topic.topic, "min.compaction.lag.ms", "60000").await;
    let other = PartitionIndex(1);
    let send = async |records: &[(Option<&str>, Option<&str>)]| {
        let batch = batch(&topic.world, records);
        topic.world.commit_batch_to(&topic.member, topic.topic, other, batch).await;
    };
    let pair = [(Some("a"), Some("1")), (Some("a"), Some("2"))];
    topic.send(&pair).await;
    send(&pair).await;
    topic.archive().await;
    let mut compactor = topic.compactor();
    sleep(SECOND * 61).await;
    assert_eq!(compactor.pass().await.expect("nothing is disturbed"), KeysDone::Topic);
    // The next file is old enough in one partition, and too young in the other.
    topic.send(&pair).await;
    sleep(SECOND * 30).await;
    send(&pair).await;
    topic.archive().await;
    sleep(SECOND * 31).await;
    assert_eq!(compactor.pass().await.expect("nothing is disturbed"), KeysDone::Topic);
    assert_eq!(topic.values().await, values(&[(3, "2")]));
    assert_eq!(compactor.pass().await.expect("nothing is disturbed"), KeysDone::Nothing);
    sleep(SECOND * 30).await;
    assert_eq!(compactor.pass().await.expect("nothing is disturbed"), KeysDone::Topic);
    let found = topic.world.archived(&topic.member, topic.topic).await;
    assert_eq!(records(&found[&(topic.topic, other)]).len(), 1);
    assert_eq!(topic.files(), 1);
}

#[tokio::test(start_paused = true)]
async fn records_of_a_topic_with_both_policies_go_when_they_are_too_old() {
    const RETENTION_MS: i64 = 100_000;
    let topic = Compacted::new(47).await;
    configure(&topic.member, topic.topic, "cleanup.policy", "compact,delete").await;
    configure(&topic.member, topic.topic, "retention.ms", &RETENTION_MS.to_string()).await;
    let retention = topic.world.retention(&topic.member, RetentionConfig::default());
    let mut compactor = topic.compactor();
    let mut sent_at = Vec::new();
    for number in 0..100 {
        sent_at.push(topic.world.now());
        topic.send(&[(Some(&format!("k{number}")), Some("1"))]).await;
        topic.archive().await;
        compactor.pass().await.expect("nothing is disturbed");
        retention.pass().await.expect("nothing is disturbed");
        let head = topic.member.metastore().read(|state| state.head(topic.topic, FIRST)).expect("it exists");
        let first = sent_at[usize::try_from(head.log_start.0).expect("no offset is negative")];
        let age = topic.world.now().0 - first.0;
        assert!(age <= RETENTION_MS * 12 / 10, "after {number} records the first is {age} ms old");
        sleep(SECOND * 3).await;
    }
    let rows = topic
        .member
        .metastore()
        .read(|state| state.find(topic.topic, FIRST, Offset(0), u64::MAX, usize::MAX).len());
    assert!((5..30).contains(&rows), "{rows} rows for a hundred seconds");
    assert_eq!(topic.files(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_keys_of_markers_supersede_nothing() {
    const IS_CONTROL: i16 = 1 << 5;
    let topic = Compacted::new(48).await;
    topic.send(&[(Some("a"), Some("1")), (Some("b"), Some("2"))]).await;
    topic.archive().await;
    let batch = batch(&topic.world, &[(Some("a"), Some("marker"))]);
    let mut builder = BatchBuilder::default();
    builder.append(topic.world.now(), Some(b"a"), Some(b"marker"), &[]).expect("a small record");
    let header = BatchHeader { attributes: IS_CONTROL, ..batch.header() };
    let marker = builder.finish_as(header).expect("there is a record");
    topic.world.commit_batch(&topic.member, topic.topic, marker).await;
    topic.send(&[(Some("b"), Some("3"))]).await;
    topic.archive().await;
    assert_eq!(topic.compactor().pass().await.expect("nothing is disturbed"), KeysDone::Topic);
    assert_eq!(topic.values().await, values(&[(0, "1"), (2, "marker"), (3, "3")]));
}

#[tokio::test(start_paused = true)]
async fn a_pass_goes_on_when_the_first_records_are_deleted_meanwhile() {
    let topic = Compacted::new(49).await;
    for number in 0..8 {
        let value = number.to_string();
        topic.send(&[(Some("a"), Some(&value)), (Some(&value), Some(&value))]).await;
        topic.archive().await;
    }
    let rewriter = RewriterConfig { requests_per_second_max: 0.5, ..RewriterConfig::default() };
    let config = KeyCompactionConfig { rewriter, ..KeyCompactionConfig::default() };
    let mut compactor = topic.world.key_compactor(&topic.member, config);
    let delete = async |before: i64| {
        let before = Some(Offset(before));
        let command = Command::DeleteRecords { topic: topic.topic, partition: FIRST, before };
        submit(&topic.member, command, Vec::new()).await;
    };
    let deletions = async {
        // While the keys are read, and while files are written.
        sleep(SECOND * 10).await;
        delete(2).await;
        sleep(SECOND * 40).await;
        delete(5).await;
    };
    let (done, ()) = tokio::join!(compactor.pass(), deletions);
    assert_eq!(done.expect("nothing is disturbed"), KeysDone::Topic);
    let clean = |state: &State| state.compaction(topic.topic).map(|known| known.clean(FIRST));
    assert_eq!(topic.member.metastore().read(clean), Some(Offset(16)));
    let left: Vec<_> = topic.archived().await.into_keys().map(|at| at.0).filter(|at| *at >= 5).collect();
    assert_eq!(left, [5, 7, 9, 11, 13, 14, 15]);
}

#[tokio::test(start_paused = true)]
async fn a_pass_that_fails_gives_its_claim_back() {
    let topic = Compacted::new(50).await;
    topic.send(&[(Some("a"), Some("1")), (Some("a"), Some("2"))]).await;
    topic.archive().await;
    let file =
        topic.member.metastore().read(|state| state.table(topic.topic)?.files().next().map(|(id, _)| id));
    let key = archive_key(topic.topic, file.expect("there is one"));
    topic.world.bucket.delete(&key).await.expect("it is there");
    let mut compactor = topic.compactor();
    compactor.pass().await.expect_err("the file is gone");
    assert_eq!(topic.member.metastore().read(|state| state.claims().count()), 0);
    assert_eq!(compactor.pass().await.expect("it waits"), KeysDone::Nothing);
}

#[tokio::test(start_paused = true)]
async fn compactors_do_not_take_over_from_each_other_however_long_a_pass_takes() {
    let topic = Compacted::new(45).await;
    configure(&topic.member, topic.topic, "delete.retention.ms", "86400000").await;
    for number in 0..8 {
        topic.send(&[(Some("a"), Some(&number.to_string()))]).await;
        topic.archive().await;
    }
    let config = KeyCompactionConfig {
        // Two seconds a request: the keys alone take half a minute.
        rewriter: RewriterConfig {
            claim_timeout: SECOND * 10,
            requests_per_second_max: 0.5,
            ..RewriterConfig::default()
        },
        check_interval: SECOND,
        ..KeyCompactionConfig::default()
    };
    let other = topic.world.member().await;
    let compactors = [&topic.member, &other].map(|member| topic.world.key_compactor(member, config.clone()));
    let counters = compactors.each_ref().map(KeyCompactor::counters);
    let [one, two] = compactors.map(KeyCompactor::run);
    let ended = timeout(SECOND * 300, async { tokio::join!(one, two) }).await;
    assert!(ended.is_err(), "they go on for ever");
    let counts = counters.map(|counters| counters.counts());
    assert_eq!(counts.iter().map(|counts| counts.passes).sum::<u64>(), 1, "{counts:?}");
    assert_eq!(topic.values().await, values(&[(7, "7")]));
}

/// What readers have seen, to judge what goes.
#[derive(Default)]
struct Model {
    /// When a record was there last.
    seen: BTreeMap<Offset, Timestamp>,
    /// The archive's records, before.
    before: BTreeMap<Offset, Pair>,
}

impl Model {
    /// Compares what there is with what was sent.
    fn check(&mut self, topic: &Compacted, there: BTreeMap<Offset, Pair>, what: &str) {
        let (sent, now) = (topic.sent(), topic.world.now());
        let (log_start, end, clean) = topic.member.metastore().read(|state| {
            let head = state.head(topic.topic, FIRST).expect("it exists");
            let clean = state.compaction(topic.topic).map_or(Offset(0), |found| found.clean(FIRST));
            (head.log_start, head.high_watermark, clean)
        });
        assert!(there.iter().all(|(at, pair)| sent.get(at) == Some(pair)), "{what}: no record is made up");
        let mut latest: BTreeMap<&Bytes, Offset> = BTreeMap::new();
        for (at, (key, _)) in &sent {
            latest.extend(key.as_ref().map(|key| (key, *at)));
        }
        let archived_to = self.before.keys().chain(there.keys()).max().copied().unwrap_or(Offset(-1));
        for (key, at) in &latest {
            let (_, value) = &sent[at];
            let is_there = there.contains_key(at) || *at < log_start || *at > archived_to;
            if value.is_some() || at.plus(1) == end {
                assert!(is_there, "{what}: the latest record of {key:?}, at {at}, is gone");
            }
            let older: Vec<_> = sent.range(..*at).filter(|(_, (k, _))| k.as_ref() == Some(*key)).collect();
            if !is_there {
                let hidden = older.iter().find(|(at, _)| **at >= log_start && there.contains_key(at));
                assert_eq!(hidden, None, "{what}: what the tombstone at {at} hid is back");
                if self.before.contains_key(at) {
                    let last = older.iter().filter_map(|(at, _)| self.seen.get(at)).max();
                    let waited = last.map_or(i64::MAX, |last| now.0 - last.0);
                    assert!(waited >= DELETE_RETENTION_MS, "{what}: the tombstone at {at} went too early");
                }
            }
        }
        for (at, (key, _)) in there.range(log_start.min(clean)..clean) {
            let key = key.as_ref();
            let later = sent.range(at.plus(1)..clean).any(|(_, (k, _))| k.as_ref() == key && key.is_some());
            assert!(!later, "{what}: {at} is below {clean}, and not the latest of its key there");
        }
        self.seen.extend(there.keys().map(|at| (*at, now)));
        self.before = there;
    }
}

/// Deletes up to a quarter of the records, from the front.
async fn delete_some(topic: &Compacted, random: &Random) {
    let head = topic.member.metastore().read(|state| state.head(topic.topic, FIRST)).expect("it exists");
    let span = u64::try_from(head.high_watermark.0 - head.log_start.0).expect("it does not go back");
    let before = Some(head.log_start.plus(i64::try_from(random.below(span / 4 + 1)).expect("small")));
    let delete = Command::DeleteRecords { topic: topic.topic, partition: FIRST, before };
    submit(&topic.member, delete, Vec::new()).await;
}

/// One run of random steps.
async fn run(seed: u64) -> u64 {
    let topic = Compacted::new(seed).await;
    let random = topic.world.random.fork();
    let other = topic.world.member().await;
    let pick = |of: [u64; 3]| of[usize::try_from(random.below(3)).expect("small")];
    let config = KeyCompactionConfig {
        rewriter: RewriterConfig { claim_timeout: SECOND / 100, ..RewriterConfig::default() },
        table_bytes: pick([48 * 3, 48 * 8, 1 << 20]),
        file_bytes: pick([1, 4_000, 1 << 20]),
        ..KeyCompactionConfig::default()
    };
    let mut compactors =
        [&topic.member, &other].map(|member| topic.world.key_compactor(member, config.clone()));
    let mut model = Model::default();
    let header = [Header { key: Bytes::from_static(&[0xff]), value: None }];
    for step in 0..60 {
        let what = format!("seed {seed}, step {step}");
        match random.below(10) {
            0..4 => {
                let texts: Vec<_> = (0..=random.below(5))
                    .map(|_| (format!("k{}", random.below(8)), random.next_u64().to_string()))
                    .collect();
                let pairs: Vec<_> = texts
                    .iter()
                    .map(|(key, value)| {
                        (Some(key.as_str()), Some(value.as_str()).filter(|_| random.chance(0.7)))
                    })
                    .collect();
                let headers = if random.chance(0.2) { &header[..] } else { &[] };
                let sent = batch_with(&topic.world, &pairs, headers, Compression::None);
                topic.world.commit_batch(&topic.member, topic.topic, sent).await;
            }
            4..6 => topic.archive().await,
            6 => sleep(SECOND * u32::try_from(random.below(50)).expect("small")).await,
            7 => delete_some(&topic, &random).await,
            // Two at once, both of which may be killed anywhere.
            _ => {
                let after =
                    [(); 2].map(|()| SECOND * u32::try_from(random.below(300)).expect("small") / 1_000);
                let [one, two] = &mut compactors;
                let meanwhile = async {
                    if random.chance(0.3) {
                        sleep(SECOND * u32::try_from(random.below(100)).expect("small") / 1_000).await;
                        delete_some(&topic, &random).await;
                    }
                };
                let (one, two, ()) =
                    tokio::join!(timeout(after[0], one.pass()), timeout(after[1], two.pass()), meanwhile);
                let failed = [one, two].into_iter().filter_map(Result::ok).find_map(Result::err);
                assert!(failed.is_none(), "{what}: {failed:?}");
                sleep(SECOND / 10).await;
            }
        }
        topic.member.metastore().tail_check().await.expect("the bucket is sound");
        other.metastore().tail_check().await.expect("the bucket is sound");
        model.check(&topic, topic.archived().await, &what);
    }
    compactors.iter().map(|compactor| compactor.counters().counts().tombstones_dropped).sum()
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_the_latest_stays_and_nothing_comes_back() {
    let mut tombstones = 0;
    for seed in SEEDS {
        tombstones += run(seed).await;
    }
    assert!(tombstones > 0, "some run gets as far as dropping tombstones");
}

#[tokio::test(start_paused = true)]
async fn more_keys_than_the_table_holds_take_several_passes() {
    let topic = Compacted::new(44).await;
    for round in 0..3 {
        for key in 0..10 {
            let (key, value) = (format!("k{key}"), format!("{round}"));
            topic.send(&[(Some(&key), Some(&value))]).await;
        }
        topic.archive().await;
    }
    let config = KeyCompactionConfig { table_bytes: 48 * 4, file_bytes: 1, ..KeyCompactionConfig::default() };
    let mut compactor = topic.world.key_compactor(&topic.member, config);
    let mut passes = 0;
    while compactor.pass().await.expect("nothing is disturbed") == KeysDone::Topic {
        passes += 1;
    }
    assert!(passes > 4, "{passes}");
    let left: BTreeSet<_> = topic.archived().await.into_keys().map(|at| at.0).collect();
    assert_eq!(left, (20..30).collect());
    assert_eq!(topic.files(), 1, "files of which nothing is left are gone");
}

#[cfg(feature = "planted-bugs")]
#[tokio::test(start_paused = true)]
async fn planted_bugs_of_key_compaction_are_found() {
    use ebb_protocol::planted::{Bug, plant};
    use tokio::task::LocalSet;

    for bug in [Bug::LatestRecordDropped, Bug::TombstoneTooSoon] {
        plant(Some(bug));
        let mut found = false;
        for seed in SEEDS {
            let local = LocalSet::new();
            found |= local.run_until(async { tokio::task::spawn_local(run(seed)).await.is_err() }).await;
            if found {
                break;
            }
        }
        plant(None);
        assert!(found, "{bug:?}");
    }
}
