//! The CPU time of `apply` for one entry that commits 1,600 batches in 600 partitions, and for one that commits the
//! offsets of 2,000 members of groups; and of what stands around it.
//! Run with `cargo bench -p ebb-metastore`; prints the median and the 90th percentile of many entries.
#![allow(clippy::print_stdout, reason = "a benchmark reports to its user")]

use std::time::Duration;

use ebb_metastore::{
    command::{
        BatchFacts, BatchProducer, BodyPlace, ClassicGroup, Command, CommitFence, CommitOffsets,
        CommitSegment, CommittedOffset, CreateTopic, Endpoint, GroupChange, RegisterAgent, Run, UpdateGroup,
    },
    entry::Entry,
    outcome::Outcome,
    snapshot,
    state::State,
};
use ebb_protocol::ids::{
    AgentEpoch, AgentId, ByteRange, EntryId, MemberId, Offset, PartitionIndex, ProducerEpoch, ProducerId,
    SegmentId, Sequence, Timestamp, TopicId, TopicName,
};
use tokio::time::Instant;
use uuid::Uuid;

const TOPICS: u32 = 6;
const PARTITIONS: u32 = 600;
const BATCHES: u32 = 1_600;
const RECORDS: u32 = 50;
const BATCH_BYTES: u32 = 5_000;
const PRODUCERS: u32 = 100;
const ENTRIES: u64 = 1_000;
const GROUPS: u32 = 1_000;
const MEMBERS: u32 = 3;
const OFFSET_COMMITS: u32 = 2_000;
const OFFSETS: u32 = 10;
const NO_BODY: ByteRange = ByteRange { start: 0, len: 0 };

fn main() {
    let mut state = State::default();
    let set_up = [
        vec![Command::RegisterAgent(RegisterAgent {
            agent: AgentId(1),
            // One that listens nowhere coordinates no group.
            kafka: Some(Endpoint { host: "agent.example".to_owned(), port: 9092 }),
            quic: None,
            zone: String::new(),
            understands: 1,
            host: None,
        })],
        (0..TOPICS).map(create_topic).collect(),
        (0..PRODUCERS).map(|_| Command::InitProducer { current: None }).collect(),
    ];
    for (number, commands) in (0..).zip(set_up) {
        state.apply(state.position(), &entry(number, commands), NO_BODY);
    }
    let (mut decode, mut apply) = (Vec::new(), Vec::new());
    let mut head_bytes = 0;
    for round in 0..ENTRIES {
        let bytes = entry(3 + round, vec![commit(round)]).encode(0);
        head_bytes = bytes.len();
        let begin = Instant::now();
        let (entry, body) = Entry::decode(&bytes).expect("it was encoded");
        decode.push(begin.elapsed());
        let begin = Instant::now();
        let outcomes = state.apply(state.position(), &entry, body);
        apply.push(begin.elapsed());
        drop(outcomes);
    }
    let heads: i64 = state.heads().map(|(_, head)| head.high_watermark.0).sum();
    let expect = u64::from(BATCHES * RECORDS) * ENTRIES;
    assert_eq!(heads.cast_unsigned(), expect, "every batch must have been appended");

    println!("entry with {PARTITIONS} partitions and {BATCHES} batches: {head_bytes} bytes");
    report("decode", decode);
    report("apply", apply);
    let begin = Instant::now();
    let bytes = snapshot::encode(&state);
    let rows = state.summary().coordinates;
    println!("snapshot of {rows} coordinates: {} bytes in {:?}", bytes.len(), begin.elapsed());
    let begin = Instant::now();
    snapshot::decode(&bytes).expect("it was encoded");
    println!("its decoding: {:?}", begin.elapsed());
    commit_offsets(state);
}

/// Groups of three members, of which two in turn commit the offsets of their partitions in every entry.
fn commit_offsets(mut state: State) {
    let mut number = state.next_number(AgentId(1)).expect("the agent is live");
    let groups = (0..GROUPS).map(create_group).collect();
    state.apply(state.position(), &entry(number, groups), NO_BODY);
    let (mut decode, mut apply) = (Vec::new(), Vec::new());
    let mut head_bytes = 0;
    for round in 0..ENTRIES {
        number += 1;
        let commits = (0..OFFSET_COMMITS).map(|nth| offsets(round, nth)).collect();
        let bytes = entry(number, commits).encode(0);
        head_bytes = bytes.len();
        let begin = Instant::now();
        let (entry, body) = Entry::decode(&bytes).expect("it was encoded");
        decode.push(begin.elapsed());
        let begin = Instant::now();
        let outcomes = state.apply(state.position(), &entry, body);
        apply.push(begin.elapsed());
        assert!(
            outcomes.iter().all(|outcome| *outcome == Outcome::Done),
            "every commit must have been taken"
        );
    }
    println!("entry with {OFFSET_COMMITS} commits of {OFFSETS} offsets: {head_bytes} bytes");
    report("decode", decode);
    report("apply", apply);
}

fn create_group(group: u32) -> Command {
    let shared = GroupChange::Classic(ClassicGroup { generation: 1, ..ClassicGroup::default() });
    let members = (0..MEMBERS).map(|id| GroupChange::PutClassicMember(member(id), Box::default()));
    let changes = [shared].into_iter().chain(members).collect();
    Command::UpdateGroup(UpdateGroup { group: format!("group-{group}").as_str().into(), version: 0, changes })
}

fn member(id: u32) -> MemberId {
    format!("consumer-{id}-01234567-89ab-4cde-8123-456789abcdef").as_str().into()
}

fn offsets(round: u64, nth: u32) -> Command {
    let offset = CommittedOffset {
        offset: Offset(round.cast_signed() * 500),
        leader_epoch: 0,
        metadata: String::new(),
    };
    let member_id = nth / GROUPS;
    let first = (nth * OFFSETS) % (PARTITIONS / TOPICS);
    let partitions = (first..first + OFFSETS).map(|partition| PartitionIndex(partition.cast_signed()));
    Command::CommitOffsets(CommitOffsets {
        group: format!("group-{}", nth % GROUPS).as_str().into(),
        fence: CommitFence::Classic(member(member_id), 1),
        offsets: partitions.map(|partition| (topic(nth % TOPICS), partition, offset.clone())).collect(),
    })
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |percent: usize| times[times.len() * percent / 100];
    println!("{what:<8} p50 {:?}, p90 {:?}", at(50), at(90));
}

fn entry(number: u64, commands: Vec<Command>) -> Entry {
    let epoch = AgentEpoch(u64::from(number > 0));
    let id = EntryId(number.into());
    Entry { id, agent: AgentId(1), epoch, number, time: Timestamp(0), hash: None, commands }
}

fn topic(number: u32) -> TopicId {
    TopicId(Uuid::from_u64_pair(0x9e37_79b9_7f4a_7c15, number.into()))
}

fn create_topic(number: u32) -> Command {
    Command::CreateTopic(CreateTopic {
        topic: topic(number),
        name: TopicName::new(&format!("topic-{number}")).expect("the name is legal"),
        partitions: i32::try_from(PARTITIONS / TOPICS).expect("there are few"),
        config: Vec::new(),
    })
}

/// A segment of idempotent batches, spread evenly over the partitions; each partition has its own producer.
fn commit(round: u64) -> Command {
    let (mut runs, mut start) = (Vec::new(), 0);
    for at in 0..PARTITIONS {
        let batches: Vec<_> = (0..BATCHES)
            .filter(|batch| batch % PARTITIONS == at)
            .enumerate()
            .map(|(nth, _)| batch(at, round, nth))
            .collect();
        let range = ByteRange { start, len: u64::from(BATCH_BYTES) * batches.len() as u64 };
        let partition = PartitionIndex((at % (PARTITIONS / TOPICS)).cast_signed());
        runs.push(Run { topic: topic(at / (PARTITIONS / TOPICS)), partition, range, batches });
        start = range.end();
    }
    let segment = SegmentId((0x0190_0000_0000 + u128::from(round)) << 80 | 0x1234_5678_9abc_def0_1234);
    Command::CommitSegment(CommitSegment { segment, body: BodyPlace::Object { bytes: start }, runs })
}

fn batch(partition: u32, round: u64, nth: usize) -> BatchFacts {
    let per_round = u64::from((BATCHES - partition).div_ceil(PARTITIONS));
    let sequence = (round * per_round + nth as u64) * u64::from(RECORDS);
    BatchFacts {
        bytes: BATCH_BYTES,
        records: RECORDS,
        max_timestamp: Timestamp(1_700_000_000_000 + round.cast_signed()),
        producer: Some(BatchProducer {
            id: ProducerId(i64::from(partition % PRODUCERS)),
            epoch: ProducerEpoch(0),
            sequence: Sequence(i32::try_from(sequence).expect("it does not wrap")),
            transactional: false,
        }),
    }
}
