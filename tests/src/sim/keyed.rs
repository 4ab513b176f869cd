//! A topic that is compacted by key: a producer of few keys and many tombstones, and what must be there of it at rest.
//! Judges for itself: the history's checker knows only logs without gaps. Owns its random numbers, so that runs
//! without such a topic stay as they are.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use ebb_agent::broker::{Append, Appended, Broker, ProduceError, Read};
use ebb_protocol::{
    batch::{BatchBuilder, Compression, RecordBatch},
    ids::{Offset, PartitionIndex, Timestamp, TopicId},
};
use futures::future::BoxFuture;
use tokio::time::{sleep, timeout};

use super::{
    admin,
    cluster::Cluster,
    network::{Client, Lost},
    plan::{millis, pick},
    probes::Probe,
    producers::Closing,
};

/// The topic's name.
const NAME: &str = "seats";

/// Its only partition.
const PARTITION: PartitionIndex = PartitionIndex(0);

/// Different keys of its records.
const KEYS: u64 = 5;

/// What a read asks for, in bytes.
const BYTES_MAX: u64 = 1 << 20;

/// More than any batch here decompresses to.
const DECOMPRESSED_BYTES_MAX: usize = 1 << 20;

/// Reading the topic at rest may take this long.
const READ_MAX: Duration = Duration::from_secs(300);

/// What a record says: its key, and its number; a tombstone has none.
type Said = (u8, Option<u64>);

/// What was sent to the topic.
#[derive(Debug)]
pub(super) struct Sent {
    /// Acknowledged records by their offsets.
    acknowledged: BTreeMap<i64, Said>,
    /// Records that may be there or not.
    open: BTreeSet<Said>,
    /// `delete.retention.ms` is over within a run.
    tombstones_go: bool,
}

/// Creates the topic and writes to it until told to end. Gives the topic and what it sent.
pub(super) async fn write(client: Arc<Client>, closing: Arc<Closing>) -> (TopicId, Sent) {
    let random = client.random.clone();
    let retention = pick(&random, &["0", "5000", "86400000"]);
    let config = [
        ("cleanup.policy", "compact"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("delete.retention.ms", retention),
    ];
    let topic = admin::create_with(&client, NAME, &config).await;
    let mut sent =
        Sent { acknowledged: BTreeMap::new(), open: BTreeSet::new(), tombstones_go: retention != "86400000" };
    let mut number = 0;
    while !closing.is_set() {
        let records: Vec<Said> = (0..=random.below(4))
            .map(|_| {
                number += 1;
                let key = u8::try_from(random.below(KEYS)).unwrap_or(0);
                (key, (!random.chance(0.2)).then_some(number))
            })
            .collect();
        let append = Append { topic, partition: PARTITION, batch: batch(&client, &records) };
        let (_, answer) = client.append(vec![append]).await;
        match answer.map(|mut answers| answers.pop()) {
            Ok(Some(Ok(Appended { base, .. }))) => {
                sent.acknowledged.extend((base.0..).zip(records));
            }
            Ok(Some(Err(ProduceError::Storage(_) | ProduceError::Closed | ProduceError::Refused(_))))
            | Err(Lost { sent: false }) => client.leave(),
            _ => sent.open.extend(records),
        }
        sleep(millis(&random, 0, 800)).await;
    }
    (topic, sent)
}

fn batch(client: &Client, records: &[Said]) -> RecordBatch {
    let mut builder = BatchBuilder::default();
    for (key, number) in records {
        let value = number.map(u64::to_be_bytes);
        let value = value.as_ref().map(<[u8; 8]>::as_slice);
        builder.append(Timestamp(1_760_000_000_000), Some(&[*key]), value, &[]).expect("small records fit");
    }
    let compression = pick(&client.random, &[Compression::None, Compression::Lz4]);
    builder.finish(compression, None).expect("small records can be compressed")
}

/// Reads the topic through every agent, and judges what is there.
pub(super) async fn judge(
    cluster: &Arc<Cluster>,
    client: impl Fn() -> Arc<Client>,
    topic: TopicId,
    sent: &Sent,
) {
    let world = &cluster.world;
    for slot in 0..world.plan.agents {
        // What is clean before the read is clean in it.
        let clean = cluster.witness.read(|state| state.compaction(topic).map(|at| at.clean(PARTITION).0));
        if clean.is_some_and(|clean| clean > 0) {
            world.probe(Probe::KeysCompacted);
        }
        let client = client();
        client.talk_to(slot);
        let Ok(found) = timeout(READ_MAX, read(&client, topic)).await else {
            world.violation(format!("slot {slot} cannot read the compacted topic to its end"));
            continue;
        };
        // Passes go on meanwhile, and may compact what was not read yet.
        let clean =
            cluster.witness.read(|state| state.compaction(topic).map_or(0, |at| at.clean(PARTITION).0));
        for wrong in sent.wrong(&found, clean) {
            world.violation(format!("compacted topic at slot {slot}: {wrong}"));
        }
    }
}

/// Everything in the topic from its beginning, in the order in which it came.
async fn read(client: &Client, topic: TopicId) -> Vec<(i64, Option<Said>)> {
    let (mut found, mut next) = (Vec::new(), 0);
    loop {
        let want = [Read { topic, partition: PARTITION, from: Offset(next), bytes_max: BYTES_MAX }];
        let ask = move |broker: Arc<Broker>| -> BoxFuture<'static, _> {
            Box::pin(async move { broker.fetch(&want, 1, BYTES_MAX, Duration::ZERO).await.pop() })
        };
        if let Ok(Some(Ok(read))) = client.call(ask).await {
            if read.records.is_empty() && read.head.high_watermark.0 <= next {
                return found;
            }
            for batch in RecordBatch::batches(read.records) {
                let Ok(batch) = batch else {
                    found.push((next, None));
                    return found;
                };
                let records = batch.decode(DECOMPRESSED_BYTES_MAX).into_iter().flatten();
                let records = records.map(|record| match record {
                    Ok(record) => (record.offset.0, said(record.key.as_deref(), record.value.as_deref())),
                    Err(_) => (batch.base_offset().0, None),
                });
                found.extend(records.filter(|(offset, _)| *offset >= next));
                next = next.max(batch.last_offset().0 + 1);
            }
        }
        sleep(Duration::from_millis(1)).await;
    }
}

/// What a record says; `None` when its bytes are not such as were sent.
fn said(key: Option<&[u8]>, value: Option<&[u8]>) -> Option<Said> {
    let [key] = key? else { return None };
    let number = value.map(|value| value.try_into().map(u64::from_be_bytes)).transpose().ok()?;
    Some((*key, number))
}

impl Sent {
    /// Every promise that what was found breaks: records come in order, and stand where they were acknowledged; nothing
    /// is there that was not sent; above what is clean all is there, and below it the latest of each key.
    fn wrong(&self, found: &[(i64, Option<Said>)], clean: i64) -> Vec<String> {
        let mut wrong = Vec::new();
        let (mut latest, mut there) = (BTreeMap::new(), BTreeSet::new());
        for pair in found.windows(2) {
            if let [(before, _), (after, _)] = pair
                && after <= before
            {
                wrong.push(format!("offset {after} comes after {before}"));
            }
        }
        for (offset, record) in found {
            let known = self.acknowledged.get(offset);
            let is_sent = record.is_some_and(|record| match known {
                Some(sent) => *sent == record,
                None => self.open.contains(&record),
            });
            if !is_sent {
                wrong.push(format!("{record:?} at {offset}, where {known:?} was acknowledged"));
            }
            there.insert(*offset);
            latest.extend(record.map(|(key, _)| (key, *offset)));
        }
        let mut last = BTreeMap::new();
        last.extend(self.acknowledged.iter().map(|(offset, (key, number))| (*key, (*offset, *number))));
        for (offset, record) in self.acknowledged.range(clean..) {
            if !there.contains(offset) {
                wrong.push(format!("{record:?} at {offset} is lost above {clean}"));
            }
        }
        for (key, (offset, number)) in last {
            // A later tombstone may have come and gone.
            let may_go = self.tombstones_go && (number.is_none() || self.open.contains(&(key, None)));
            if !may_go && latest.get(&key).is_none_or(|latest| *latest < offset) {
                wrong.push(format!("{number:?} at {offset}, the latest of key {key}, is lost"));
            }
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(tombstones_go: bool) -> Sent {
        let acknowledged = [(0, (1, Some(1))), (1, (1, Some(2))), (2, (2, None)), (4, (3, Some(4)))];
        let open = BTreeSet::from([(1, Some(3))]);
        Sent { acknowledged: acknowledged.into(), open, tombstones_go }
    }

    #[test]
    fn compacted_records_are_judged() {
        let full = [(1, Some((1, Some(2)))), (2, Some((2, None))), (4, Some((3, Some(4))))];
        assert_eq!(sent(false).wrong(&full, 4), [""; 0]);
        // An open record may be the latest; it is nowhere else.
        let later = [(2, Some((2, None))), (3, Some((1, Some(3)))), (4, Some((3, Some(4))))];
        assert_eq!(sent(false).wrong(&later, 4), [""; 0]);
        // A tombstone may go when its time is over, and only then.
        let gone = [(1, Some((1, Some(2)))), (4, Some((3, Some(4))))];
        assert_eq!(sent(true).wrong(&gone, 4), [""; 0]);
        assert_eq!(sent(false).wrong(&gone, 4).len(), 1);
    }

    #[test]
    fn lost_moved_and_foreign_records_are_found() {
        let full = [(1, Some((1, Some(2)))), (2, Some((2, None))), (4, Some((3, Some(4))))];
        assert_eq!(sent(false).wrong(&full, 0).len(), 1, "the first is above what is clean");
        assert_eq!(sent(false).wrong(full.get(1..).unwrap_or_default(), 4).len(), 1, "a latest one is lost");
        let moved = [(0, Some((1, Some(2)))), (1, Some((1, Some(2)))), (2, Some((2, None))), (4, None)];
        assert_eq!(sent(false).wrong(&moved, 4).len(), 3, "one at another's place, one damaged and so lost");
        let back = [(2, Some((2, None))), (1, Some((1, Some(2)))), (4, Some((3, Some(4))))];
        assert_eq!(sent(false).wrong(&back, 4).len(), 1, "out of order");
    }
}
