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
use futures::{StreamExt, TryStreamExt, stream};

use crate::broker::cache::{Blocks, Lane};

/// Blocks of one run that are asked for at once.
const BLOCKS_AT_ONCE: usize = 4;

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
    let first = load(blocks, run, lane, false).await.and_then(|bytes| place(run, bytes));
    let Err(StoreError::Damaged(object, what)) = first else { return first };
    blocks.counters().damage();
    tracing::warn!(object, what, "stored bytes are damaged; reading them from the store again");
    let second = load(blocks, run, lane, true).await.and_then(|bytes| place(run, bytes));
    if let Err(StoreError::Damaged(object, what)) = &second {
        tracing::error!(object, what, "records cannot be read: the store's bytes are damaged");
    }
    second
}

/// The run's bytes, as slices of the blocks that hold them.
async fn load(
    blocks: &Blocks,
    run: &BatchCoordinates,
    lane: Lane,
    again: bool,
) -> Result<VecDeque<Bytes>, StoreError> {
    let block_bytes = blocks.block_bytes();
    stream::iter(blocks.keys(run.object, run.range))
        .map(|key| async move {
            let block =
                if again { blocks.get_again(key, lane).await? } else { blocks.get(key, lane).await? };
            let block_start = u64::from(key.index) * block_bytes;
            let from = run.range.start.saturating_sub(block_start);
            let to = (run.range.end() - block_start).min(block_bytes);
            slice(&block, from, to).ok_or_else(|| damaged(run, "it ends before its records do"))
        })
        .buffered(BLOCKS_AT_ONCE)
        .try_collect()
        .await
}

fn slice(block: &Bytes, from: u64, to: u64) -> Option<Bytes> {
    let (from, to) = (usize::try_from(from).ok()?, usize::try_from(to).ok()?);
    (from <= to && to <= block.len()).then(|| block.slice(from..to))
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
