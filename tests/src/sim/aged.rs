//! A topic whose records are deleted by their age or by what they take: a producer, a reader, and how far its log may
//! begin. What lies above is judged with the history, as of any topic. Owns its random numbers, so that runs without
//! such a topic stay as they are.

use std::sync::Arc;

use ebb_metastore::state::State;
use ebb_protocol::ids::{Offset, PartitionIndex, Timestamp, TopicId};
use tokio::{join, time::sleep};

use super::{
    admin,
    cluster::Cluster,
    network::Client,
    plan::{Kept, millis},
    probes::Probe,
    producers::{self, Closing, NOW},
    readers::Reader,
};

/// The topic's name.
const NAME: &str = "arrivals";

/// Its only partition.
const PARTITION: PartitionIndex = PartitionIndex(0);

/// A day, in milliseconds: longer than a run, and than clocks are off.
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// No record takes more than this in a segment or an archive file, with all that belongs to it, in bytes.
const RECORD_BYTES_MAX: u32 = 10_000;

/// What was sent.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) topic: TopicId,
    kept: Kept,
    /// The first batch that was acknowledged and is not old.
    fresh: Option<Offset>,
}

/// Creates the topic, writes to it and reads it until told to end.
pub(super) async fn live(
    writer: Arc<Client>,
    reader: Arc<Client>,
    kept: Kept,
    closing: Arc<Closing>,
) -> Sent {
    let (age, bytes) = match kept {
        Kept::Day => (DAY_MS, -1),
        Kept::Bytes(bytes) => (-1, i64::from(bytes)),
    };
    let config = [("retention.ms", &*age.to_string()), ("retention.bytes", &*bytes.to_string())];
    let topic = admin::create_with(&writer, NAME, &config).await;
    let reader = Reader::new(reader, topic, 1, false);
    let (fresh, ()) = join!(write(&writer, topic, &closing), reader.run(closing.clone()));
    Sent { topic, kept, fresh }
}

/// Writes records that are old at first, and then as old as not. Gives where the first lies that is not.
async fn write(client: &Client, topic: TopicId, closing: &Closing) -> Option<Offset> {
    let random = &client.random;
    let process = client.cluster.world.process();
    let (mut fresh, mut left) = (None, random.below(40));
    while !closing.is_set() {
        let is_old = left > 0 || random.chance(0.5);
        left = left.saturating_sub(1);
        let at = if is_old { Timestamp(NOW.0 - 2 * DAY_MS) } else { NOW };
        let acknowledged = producers::send(client, process, topic, &[PARTITION], at).await;
        if !is_old {
            fresh = fresh.or(acknowledged.first().copied());
        }
        if acknowledged.is_empty() {
            client.leave();
        }
        sleep(millis(random, 0, 1_000)).await;
    }
    fresh
}

/// The log may begin no later than what is kept.
pub(super) fn judge(cluster: &Cluster, sent: &Sent) {
    let world = &cluster.world;
    let Some(head) = cluster.witness.read(|state: &State| state.head(sent.topic, PARTITION)) else {
        return world.violation("a topic with retention is gone".to_owned());
    };
    if head.log_start > Offset(0) {
        world.probe(Probe::RetentionDeleted);
    }
    let (start, end) = (head.log_start.0, head.high_watermark.0);
    let latest = match sent.kept {
        Kept::Day => sent.fresh.map_or(end, |fresh| fresh.0),
        Kept::Bytes(bytes) => (end - i64::from(bytes / RECORD_BYTES_MAX)).max(0),
    };
    if start > latest {
        let kept = sent.kept;
        world.violation(format!(
            "of a topic that keeps {kept:?}, offsets from {latest} to {start} are deleted"
        ));
    }
}
