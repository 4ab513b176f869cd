//! Joins offsets to bytes: the batches of one row of coordinates, each where it belongs. Bad bytes never leave this file.

use bytes::Bytes;
use ebb_metastore::state::BatchCoordinates;
use ebb_protocol::{batch::RecordBatch, ids::LeaderEpoch};

use super::error::RewriteError;

/// Cuts the bytes of a row into batches, verifies each, and gives it its offset. Together they fill the row's bytes and
/// offsets exactly.
///
/// # Errors
/// [`RewriteError::Damaged`].
pub(super) fn place(
    row: &BatchCoordinates,
    bytes: Bytes,
    epoch: LeaderEpoch,
) -> Result<Vec<RecordBatch>, RewriteError> {
    let damaged = |why: String| RewriteError::Damaged { object: row.object, range: row.range, why };
    let mut bytes = bytes;
    let mut batches = Vec::new();
    let mut next = row.base;
    while !bytes.is_empty() {
        let batch = RecordBatch::split_first(&mut bytes).map_err(|error| damaged(error.to_string()))?;
        let batch = batch.at(next, epoch);
        next = batch.last_offset().plus(1);
        batches.push(batch);
    }
    if next != row.last.plus(1) {
        return Err(damaged(format!("it holds records up to {next}, not up to {}", row.last)));
    }
    Ok(batches)
}
