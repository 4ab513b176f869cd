//! Merging of small files: what becomes one, what stays as it is, and what happens when mergers are cut off, meet each
//! other, the rewriter and deletions.

use std::{collections::BTreeMap, ops::Range};

use ebb_compactor::{
    Member,
    retention::RetentionConfig,
    rewriter::{MergeConfig, MergeDone, Merger, RewriterConfig},
};
use ebb_metastore::{
    command::{Command, ObjectRef},
    state::State,
};
use ebb_protocol::{
    batch::{BatchBuilder, Compression, RecordBatch},
    ids::{Offset, PartitionIndex, TopicId},
};
use ebb_segment::key;
use object_store::ObjectStoreExt;
use tokio::time::{sleep, timeout};

use crate::{
    flipping::FlippingStore,
    support::{PARTITIONS, SECOND, World, configure, submit},
};

/// The seeds of random runs.
const SEEDS: Range<u64> = 200..216;

/// A topic with records in many files.
struct Quiet {
    world: World,
    member: Member,
    topic: TopicId,
}

impl Quiet {
    async fn new(seed: u64) -> Self {
        let world = World::new(seed);
        let member = world.member().await;
        let topic = world.create_topic(&member, 1).await;
        Self { world, member, topic }
    }

    /// Files of a few records each.
    async fn archive(&self, files: usize) {
        for _ in 0..files {
            self.world.commit(&self.member, &[(self.topic, 0), (self.topic, 1)]).await;
            self.world.rewriter(&self.member).pass(true).await.expect("nothing is disturbed");
        }
    }

    fn merger(&self) -> Merger {
        self.world.merger(&self.member, MergeConfig::default())
    }

    async fn pass(&self) -> MergeDone {
        self.merger().pass().await.expect("nothing is disturbed")
    }

    fn files(&self) -> usize {
        self.member.metastore().read(|state| state.table(self.topic).map_or(0, |table| table.files().count()))
    }

    fn log_start(&self, partition: PartitionIndex) -> Offset {
        self.member.metastore().read(|state| state.head(self.topic, partition)).expect("it exists").log_start
    }
}

#[tokio::test(start_paused = true)]
async fn many_small_files_become_one_with_the_same_records() {
    let quiet = Quiet::new(60).await;
    quiet.archive(20).await;
    let mut merger = quiet.merger();
    assert_eq!(merger.pass().await.expect("nothing is disturbed"), MergeDone::Files);
    assert_eq!(quiet.files(), 1);
    assert!(quiet.world.all_archived(&quiet.member, quiet.topic).await);
    let (added, removed, rows) = quiet
        .member
        .metastore()
        .read(|state| {
            let last = state.table(quiet.topic)?.current()?;
            let rows = state.find(quiet.topic, PartitionIndex(1), Offset(0), u64::MAX, usize::MAX).len();
            Some((last.added.len(), last.removed.len(), rows))
        })
        .expect("there is a table");
    assert_eq!((added, removed, rows), (1, 20, 1), "one snapshot, and one row a partition");
    let position = quiet.member.metastore().read(State::position);
    assert_eq!(merger.pass().await.expect("nothing is disturbed"), MergeDone::Nothing);
    assert_eq!(quiet.member.metastore().read(State::position), position, "who finds nothing appends nothing");
    let counts = merger.counters().counts();
    assert_eq!((counts.files, counts.files_replaced, counts.files_refused, counts.failed), (1, 20, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn bits_that_flip_on_the_way_are_read_once_more() {
    let quiet = Quiet::new(70).await;
    quiet.archive(20).await;
    let store = FlippingStore::new(quiet.world.bucket.clone());
    let mut merger = quiet.world.merger_on(&quiet.member, store.clone(), MergeConfig::default());
    assert_eq!(merger.pass().await.expect("nothing is damaged in the store"), MergeDone::Files);
    assert!(store.flipped() >= 20, "of each file at least one answer was wrong");
    assert!(quiet.world.all_archived(&quiet.member, quiet.topic).await);
}

#[tokio::test(start_paused = true)]
async fn a_few_files_and_those_near_the_target_stay_as_they_are() {
    let quiet = Quiet::new(61).await;
    quiet.archive(7).await;
    assert_eq!(quiet.pass().await, MergeDone::Nothing, "it would not be worth it");
    quiet.archive(5).await;
    let bytes = |state: &State| {
        let table = state.table(quiet.topic).expect("it has files");
        table.files().map(|(_, file)| file.bytes).max().expect("it has files")
    };
    let largest = quiet.member.metastore().read(bytes);
    for file_bytes in [0, largest, 7 * largest] {
        let config = MergeConfig { file_bytes, ..MergeConfig::default() };
        let mut merger = quiet.world.merger(&quiet.member, config);
        assert_eq!(merger.pass().await.expect("nothing is disturbed"), MergeDone::Nothing, "{file_bytes}");
    }
    let config = MergeConfig { file_bytes: 9 * largest, ..MergeConfig::default() };
    let mut merger = quiet.world.merger(&quiet.member, config);
    assert_eq!(merger.pass().await.expect("nothing is disturbed"), MergeDone::Files);
    assert!(quiet.world.all_archived(&quiet.member, quiet.topic).await);
    assert!((2..=5).contains(&quiet.files()), "{}", quiet.files());
}

#[tokio::test(start_paused = true)]
async fn a_topic_says_what_is_merged() {
    let quiet = Quiet::new(62).await;
    for _ in 0..12 {
        quiet.archive(1).await;
        sleep(SECOND * 60).await;
    }
    let mut merger = quiet.merger();
    for (key, value, other) in [
        ("cleanup.policy", "compact", "delete"),
        ("cleanup.policy", "compact,delete", "delete"),
        ("segment.ms", "60000", "604800000"),
        ("retention.ms", "3600000", "604800000"),
        ("retention.bytes", "100000", "-1"),
    ] {
        configure(&quiet.member, quiet.topic, key, value).await;
        assert_eq!(merger.pass().await.expect("nothing is disturbed"), MergeDone::Nothing, "{key}={value}");
        configure(&quiet.member, quiet.topic, key, other).await;
    }
    assert_eq!(merger.pass().await.expect("nothing is disturbed"), MergeDone::Files);
    assert_eq!(quiet.files(), 1);
}

#[tokio::test(start_paused = true)]
async fn records_are_deleted_from_a_merged_file_by_their_age() {
    let quiet = Quiet::new(63).await;
    configure(&quiet.member, quiet.topic, "retention.ms", "3600000").await;
    quiet.archive(10).await;
    assert_eq!(quiet.pass().await, MergeDone::Files);
    sleep(SECOND * 1_800).await;
    quiet.archive(10).await;
    assert_eq!(quiet.pass().await, MergeDone::Files);
    assert_eq!(quiet.files(), 2, "half an hour lies between them");
    let half = quiet.world.sent.lock()[&(quiet.topic, PartitionIndex(0))][10].base_offset();
    sleep(SECOND * 1_801).await;
    let retention = quiet.world.retention(&quiet.member, RetentionConfig::default());
    assert_eq!(retention.pass().await, Ok(2), "both partitions begin later");
    assert_eq!((quiet.log_start(PartitionIndex(0)), quiet.files()), (half, 1));
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_damaged_is_not_merged_and_other_topics_are() {
    let quiet = Quiet::new(64).await;
    let other = quiet.world.create_topic(&quiet.member, 2).await;
    for _ in 0..10 {
        quiet.world.commit(&quiet.member, &[(other, 0)]).await;
        quiet.archive(1).await;
    }
    let files = |topic| {
        quiet.member.metastore().read(|state| {
            let files = state.table(topic).expect("it has files").files();
            files.map(|(id, _)| id).collect::<Vec<_>>()
        })
    };
    let key = key::archive_key(quiet.topic, files(quiet.topic)[3]);
    let mut bytes =
        quiet.world.bucket.get(&key).await.expect("it is there").bytes().await.expect("sound").to_vec();
    bytes[100] ^= 4;
    quiet.world.bucket.put(&key, bytes.into()).await.expect("a put in memory");
    let mut merger = quiet.merger();
    let first = merger.pass().await;
    let second = merger.pass().await;
    let failed = [&first, &second].into_iter().filter(|done| done.is_err()).count();
    assert_eq!((failed, merger.counters().counts().failed), (1, 1), "{first:?} {second:?}");
    assert_eq!((files(quiet.topic).len(), files(other).len()), (10, 1));
    assert_eq!(merger.pass().await.expect("it waits"), MergeDone::Nothing);
    let claims = quiet.member.metastore().read(|state| state.claims().count());
    assert_eq!(claims, 0, "nobody waits for what is not done");
}

#[tokio::test(start_paused = true)]
async fn a_large_file_goes_into_the_store_in_parts() {
    let quiet = Quiet::new(65).await;
    for _ in 0..12 {
        let noise: Vec<u8> = (0..200_000).flat_map(|_| quiet.world.random.next_u64().to_be_bytes()).collect();
        let mut builder = BatchBuilder::default();
        builder.append(quiet.world.now(), None, Some(&noise), &[]).expect("it fits");
        let batch = builder.finish(Compression::None, None).expect("there is a record");
        quiet.world.commit_batch(&quiet.member, quiet.topic, batch).await;
        quiet.archive(1).await;
    }
    let before = quiet.files();
    assert_eq!(quiet.pass().await, MergeDone::Files);
    assert_eq!((before, quiet.files()), (12, 1));
    let bytes = |state: &State| state.table(quiet.topic)?.files().map(|(_, file)| file.bytes).max();
    let bytes = quiet.member.metastore().read(bytes).expect("there is a file");
    assert!(bytes > 18 << 20, "{bytes} bytes are more than a part");
    assert!(quiet.world.all_archived(&quiet.member, quiet.topic).await);
}

/// What there is of each partition, compared with what was sent to it.
async fn check(quiet: &Quiet, what: &str) {
    let archived = quiet.world.archived(&quiet.member, quiet.topic).await;
    let sent = quiet.world.sent.lock();
    for partition in (0..PARTITIONS).map(PartitionIndex) {
        let at = (quiet.topic, partition);
        let sent = sent.get(&at).map_or(&[][..], Vec::as_slice);
        let mut found: BTreeMap<Offset, &RecordBatch> = BTreeMap::new();
        for batch in archived.get(&at).into_iter().flatten() {
            assert!(sent.contains(batch), "{what}: {at:?} has {batch:?}, which nobody sent");
            let before = found.insert(batch.base_offset(), batch);
            assert_eq!(before, None, "{what}: {at:?} has the same twice");
        }
        let (log_start, rows) = quiet.member.metastore().read(|state| {
            let rows = state.find(quiet.topic, partition, Offset(0), u64::MAX, usize::MAX);
            (state.head(quiet.topic, partition).expect("it exists").log_start, rows)
        });
        for batch in sent.iter().filter(|batch| batch.last_offset() >= log_start) {
            let offset = batch.base_offset();
            let mut rows = rows.iter().filter(|row| (row.base..=row.last).contains(&offset));
            let row = rows.next().unwrap_or_else(|| panic!("{what}: {at:?} has lost {offset}"));
            let is_archived = matches!(row.object, ObjectRef::Archive(_));
            assert_eq!(found.contains_key(&offset), is_archived, "{what}: {at:?}, offset {offset}");
        }
    }
}

/// One run of random steps. Gives how many files were published and replaced by mergers.
async fn run(seed: u64) -> (u64, u64) {
    let quiet = Quiet::new(seed).await;
    let random = quiet.world.random.fork();
    let other = quiet.world.member().await;
    let below = |bound: u64| u32::try_from(random.below(bound)).expect("small");
    let config = MergeConfig {
        rewriter: RewriterConfig { claim_timeout: SECOND / 100, ..RewriterConfig::default() },
        file_bytes: [60_000, 200_000, 1 << 20][below(3) as usize],
        ..MergeConfig::default()
    };
    let mut mergers = [&quiet.member, &other].map(|member| quiet.world.merger(member, config.clone()));
    for step in 0..80 {
        let what = format!("seed {seed}, step {step}");
        match random.below(12) {
            0..7 => {
                for _ in 0..=random.below(2) {
                    let at = [(quiet.topic, 0), (quiet.topic, 1)];
                    let at = [&at[..], &at[..1], &at[1..]][below(3) as usize];
                    if random.chance(0.5) {
                        quiet.world.commit(&quiet.member, at).await;
                    } else {
                        quiet.world.commit_inline(&quiet.member, at).await;
                    }
                }
                quiet.world.rewriter(&quiet.member).pass(true).await.expect("nothing is disturbed");
                continue;
            }
            7 => sleep(SECOND * below(50)).await,
            8 => {
                let partition = PartitionIndex(i32::try_from(below(2)).expect("small"));
                let head = quiet.member.metastore().read(|state| state.head(quiet.topic, partition));
                let head = head.expect("it exists");
                let span =
                    u64::try_from(head.high_watermark.0 - head.log_start.0).expect("it does not go back");
                let before = Some(head.log_start.plus(below(span / 4 + 1).into()));
                let delete = Command::DeleteRecords { topic: quiet.topic, partition, before };
                // While both are at work.
                let [one, two] = &mut mergers;
                let (one, two, _) =
                    tokio::join!(one.pass(), two.pass(), submit(&quiet.member, delete, Vec::new()));
                assert!(one.is_ok() && two.is_ok(), "{what}: {one:?} {two:?}");
            }
            // Two at once, both of which may be killed anywhere, and a rewriter beside them.
            _ => {
                quiet.world.commit(&quiet.member, &[(quiet.topic, 0)]).await;
                let after = [(); 2].map(|()| SECOND * below(600) / 1_000);
                let [one, two] = &mut mergers;
                let mut rewriter = quiet.world.rewriter(&quiet.member);
                let (one, two, _) = tokio::join!(
                    timeout(after[0], one.pass()),
                    timeout(after[1], two.pass()),
                    rewriter.pass(true)
                );
                let failed = [one, two].into_iter().filter_map(Result::ok).find_map(Result::err);
                assert!(failed.is_none(), "{what}: {failed:?}");
                sleep(SECOND / 10).await;
            }
        }
        quiet.member.metastore().tail_check().await.expect("the bucket is sound");
        other.metastore().tail_check().await.expect("the bucket is sound");
        check(&quiet, &what).await;
    }
    let delete = Command::DeleteTopic { topic: quiet.topic };
    let [one, two] = &mut mergers;
    let (one, two, _) = tokio::join!(one.pass(), two.pass(), submit(&quiet.member, delete, Vec::new()));
    assert!(one.is_ok() && two.is_ok(), "seed {seed}, a deletion of the topic: {one:?} {two:?}");
    let counts = mergers.map(|merger| merger.counters().counts());
    (counts.iter().map(|counts| counts.files).sum(), counts.iter().map(|counts| counts.files_replaced).sum())
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_nothing_is_lost_or_doubled() {
    let (mut files, mut replaced) = (0, 0);
    for seed in SEEDS {
        let counts = run(seed).await;
        (files, replaced) = (files + counts.0, replaced + counts.1);
    }
    assert!(files > 0 && replaced > 3 * files, "{replaced} files became {files}");
}
