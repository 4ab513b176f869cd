//! Reads runs: whole, verified batches with the offsets they have. Bad bytes never leave this file.
//! Knows nothing of fetch requests and their limits.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use ebb_metastore::state::BatchCoordinates;
use ebb_protocol::{
    batch::{BatchError, RecordBatch},
    ids::Offset,
};
use ebb_segment::store::StoreError;

use crate::broker::cache::{Blocks, Lane, Source};

/// Bytes that tell a batch's length.
const LENGTH_PREFIX_BYTES: usize = 17;

/// A verified batch and its place in the partition.
#[derive(Clone, Debug)]
pub(in crate::broker) struct PlacedBatch {
    /// Offset of its first record.
    pub(in crate::broker) base: Offset,
    /// Offset of its last record.
    pub(in crate::broker) last: Offset,
    /// The batch; its own base offset field is not filled in.
    pub(in crate::broker) batch: RecordBatch,
}

/// Reads and verifies the batches of one run: every checksum, and that the batches fill the run's bytes and offsets
/// exactly. What does not hold is read from the store once more, whatever the cache says.
///
/// # Errors
/// [`StoreError`]; [`StoreError::Damaged`] when the store itself holds bad bytes.
pub(in crate::broker) async fn read_run(
    blocks: &Blocks,
    run: &BatchCoordinates,
    lane: Lane,
) -> Result<Vec<PlacedBatch>, StoreError> {
    let first = load(blocks, run, Source { lane, again: false }).await.and_then(|bytes| place(run, bytes));
    let Err(StoreError::Damaged(object, what)) = first else { return first };
    blocks.counters().damage();
    tracing::warn!(object, what, "stored bytes are damaged; reading them from the store again");
    let second = load(blocks, run, Source { lane, again: true }).await.and_then(|bytes| place(run, bytes));
    if let Err(StoreError::Damaged(object, what)) = &second {
        tracing::error!(object, what, "records cannot be read: the store's bytes are damaged");
    }
    second
}

/// The run's bytes, as slices of the blocks that hold them.
async fn load(
    blocks: &Blocks,
    run: &BatchCoordinates,
    source: Source,
) -> Result<VecDeque<Bytes>, StoreError> {
    blocks.read(run.object, run.range, source).await.map(VecDeque::from)
}

/// Cuts a run into its batches and gives them their offsets.
fn place(run: &BatchCoordinates, mut bytes: VecDeque<Bytes>) -> Result<Vec<PlacedBatch>, StoreError> {
    let mut placed = Vec::new();
    let mut base = run.base;
    while let Some(batch) = next_batch(&mut bytes).map_err(|error| damaged(run, &error.to_string()))? {
        let last = base.plus(batch.last_offset_delta().into());
        if last > run.last {
            return Err(damaged(run, &format!("it holds records beyond offset {}", run.last)));
        }
        placed.push(PlacedBatch { base, last, batch });
        base = last.plus(1);
    }
    if base != run.last.plus(1) {
        return Err(damaged(run, &format!("the records from offset {base} to {} are not there", run.last)));
    }
    Ok(placed)
}

/// Takes the first batch off. Copies only a batch that lies in more than one block.
fn next_batch(bytes: &mut VecDeque<Bytes>) -> Result<Option<RecordBatch>, BatchError> {
    while bytes.front().is_some_and(Bytes::is_empty) {
        bytes.pop_front();
    }
    let Some(front) = bytes.front() else { return Ok(None) };
    let len = if front.len() < LENGTH_PREFIX_BYTES {
        RecordBatch::len_of_first(&gather(bytes, LENGTH_PREFIX_BYTES))?
    } else {
        RecordBatch::len_of_first(front)?
    };
    if front.len() < len {
        let mut whole = gather(bytes, len);
        let batch = RecordBatch::split_first(&mut whole)?;
        advance(bytes, len);
        return Ok(Some(batch));
    }
    bytes.front_mut().map(RecordBatch::split_first).transpose()
}

/// A copy of the first `len` bytes, or of all when there are fewer.
fn gather(bytes: &VecDeque<Bytes>, len: usize) -> Bytes {
    let there: usize = bytes.iter().map(Bytes::len).sum();
    let mut left = len.min(there);
    let mut whole = BytesMut::with_capacity(left);
    for part in bytes {
        let part = part.get(..left.min(part.len())).unwrap_or_default();
        whole.extend_from_slice(part);
        left -= part.len();
    }
    whole.freeze()
}

fn advance(bytes: &mut VecDeque<Bytes>, mut len: usize) {
    while let Some(front) = bytes.front_mut()
        && len > 0
    {
        let step = len.min(front.len());
        let _ = front.split_to(step);
        len -= step;
        if front.is_empty() {
            bytes.pop_front();
        }
    }
}

fn damaged(run: &BatchCoordinates, what: &str) -> StoreError {
    StoreError::Damaged(format!("{:?} at byte {}", run.object, run.range.start), what.to_owned())
}

#[cfg(test)]
mod tests {
    use ebb_metastore::command::ObjectRef;
    use ebb_protocol::ids::{LeaderEpoch, SegmentId, Timestamp};
    use ebb_segment::{format::Segment, key};
    use object_store::{ObjectStoreExt, PutPayload};

    use super::*;
    use crate::broker::{
        cache::{BlockCache, BlockKey},
        testing::{Bucket, segment},
    };

    /// Coordinates of the segment's only run, whose records begin at offset 100.
    fn coordinates(segment: &Segment) -> BatchCoordinates {
        let run = segment.runs.first().expect("one run");
        BatchCoordinates {
            object: ObjectRef::Segment(segment.id),
            range: run.range,
            base: Offset(100),
            last: Offset(99 + i64::from(run.batches)),
            max_timestamp: Timestamp(1_000),
        }
    }

    async fn read(blocks: &Blocks, run: &BatchCoordinates) -> Result<Vec<(i64, usize)>, StoreError> {
        let placed = read_run(blocks, run, Lane::Tail).await?;
        Ok(placed.iter().map(|placed| (placed.base.0, placed.batch.bytes().len())).collect())
    }

    #[tokio::test(start_paused = true)]
    async fn batches_are_found_wherever_blocks_end() {
        let bucket = Bucket::new();
        let (blocks, _) = bucket.blocks();
        // Sizes around a block's 1024 bytes, so that blocks end inside batches and inside their length fields.
        for (number, first) in (850_usize..1024).step_by(3).enumerate() {
            let sizes = [first, 1, 2500, 1, 1, 900];
            let segment = segment(SegmentId(number as u128), &sizes);
            bucket.put(&segment).await;
            let placed = read_run(&blocks, &coordinates(&segment), Lane::Tail).await.expect("a sound run");
            let bases: Vec<_> = placed.iter().map(|placed| placed.base.0).collect();
            assert_eq!(bases, [100, 101, 102, 103, 104, 105], "first batch of {first} bytes");
            for (placed, size) in placed.iter().zip(sizes) {
                assert_eq!(placed.batch, crate::broker::testing::batch(&[1_000], size));
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_damaged_cached_block_is_read_from_the_store_again() {
        let bucket = Bucket::new();
        let (blocks, cache) = bucket.blocks();
        let segment = segment(SegmentId(1), &[3000]);
        let bytes = bucket.put(&segment).await;
        let run = coordinates(&segment);
        read(&blocks, &run).await.expect("a sound run");
        let gets = bucket.gets();

        let mut bad = bytes.slice(1024..2048).to_vec();
        *bad.get_mut(500).expect("a block") ^= 1;
        let key = BlockKey { object: run.object, index: 1 };
        cache.insert(key, bad.into());
        assert_eq!(read(&blocks, &run).await.expect("read again").len(), 1);
        assert!(bucket.gets() > gets, "the store was asked");
        assert_eq!(blocks.counters().counts().damaged, 1);
        assert_eq!(cache.get(key).await, Some(bytes.slice(1024..2048)), "the good block took its place");
    }

    /// A run's batches as a consumer would get them: base offset and leader epoch are filled in on the way out.
    fn as_sent(placed: Vec<PlacedBatch>) -> Vec<Vec<u8>> {
        let sent = |placed: PlacedBatch| {
            let mut bytes = placed.batch.bytes().to_vec();
            RecordBatch::set_position(&mut bytes, placed.base, LeaderEpoch(3));
            bytes
        };
        placed.into_iter().map(sent).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_damaged_in_the_store_are_never_given_out() {
        let segment = segment(SegmentId(1), &[100, 1500, 100]);
        let run = coordinates(&segment);
        let sound_bucket = Bucket::new();
        let sound_bytes = sound_bucket.put(&segment).await;
        let sound = read_run(&sound_bucket.blocks().0, &run, Lane::Tail).await.expect("a sound run");
        let sound = as_sent(sound);
        let mut refused = 0;
        for at in (run.range.start..run.range.end()).step_by(3) {
            let bucket = Bucket::new();
            let mut bytes = sound_bytes.to_vec();
            *bytes.get_mut(usize::try_from(at).expect("small")).expect("inside") ^= 0x10;
            bucket.objects().put(&key::of(segment.id), PutPayload::from(bytes)).await.expect("a put");
            match read_run(&bucket.blocks().0, &run, Lane::Tail).await {
                Ok(placed) => assert_eq!(as_sent(placed), sound, "byte {at}"),
                Err(error) => {
                    assert!(matches!(error, StoreError::Damaged(..)), "byte {at}: {error}");
                    refused += 1;
                }
            }
        }
        // All but the bytes that are filled in: 12 of each batch's.
        assert!(refused > (run.range.len - 3 * 16) / 3, "{refused} of {} bytes", run.range.len);
    }

    #[tokio::test(start_paused = true)]
    async fn coordinates_that_do_not_fit_the_bytes_are_refused() {
        let bucket = Bucket::new();
        let (blocks, _) = bucket.blocks();
        let segment = segment(SegmentId(1), &[100, 100, 100]);
        bucket.put(&segment).await;
        let run = coordinates(&segment);
        let mut shorter = run;
        shorter.last = Offset(101);
        let mut longer = run;
        longer.last = Offset(103);
        let mut elsewhere = run;
        elsewhere.range.start += 1;
        let mut beyond = run;
        beyond.range.len += 900;
        for wrong in [shorter, longer, elsewhere, beyond] {
            let got = read(&blocks, &wrong).await;
            assert!(matches!(got, Err(StoreError::Damaged(..))), "{wrong:?}: {got:?}");
        }
        assert_eq!(blocks.counters().counts().damaged, 4);
    }
}
