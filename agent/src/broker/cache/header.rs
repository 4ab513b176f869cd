//! Checks that an object is the one that was asked for: its first block names cluster and segment.
//! A proxy or a mixed-up bucket can give back another object than the one at the key.

use ebb_metastore::{
    command::ObjectRef,
    entry::{Entry, EntryError},
};
use ebb_protocol::ids::ClusterId;
use ebb_segment::format::{self, FormatError, Identity};

/// How every Parquet file begins.
const PARQUET_MAGIC: &[u8] = b"PAR1";

/// Checks an object's first block.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn check(cluster: ClusterId, object: ObjectRef, first_block: &[u8]) -> Result<(), String> {
    let found = match object {
        ObjectRef::Segment(_) => format::parse_header(first_block).map_err(|error| error.to_string())?,
        ObjectRef::Entry(_) => match body_header(first_block)? {
            Some(identity) => identity,
            None => return Ok(()),
        },
        // An archive file says who it is at its end, where its readers look.
        ObjectRef::Archive(_) if first_block.starts_with(PARQUET_MAGIC) => return Ok(()),
        ObjectRef::Archive(_) => return Err("it is no Parquet file".to_owned()),
    };
    if found.cluster != cluster {
        return Err(format!("it belongs to cluster {}, this is cluster {cluster}", found.cluster));
    }
    match object {
        ObjectRef::Segment(segment) if found.segment != segment => {
            Err(format!("its header names segment {}", found.segment))
        }
        _ => Ok(()),
    }
}

/// The header of the segment that rides behind an entry; `None` when it lies beyond the first block.
fn body_header(first_block: &[u8]) -> Result<Option<Identity>, String> {
    let body = match Entry::decode(first_block) {
        Ok((_, body)) => body,
        Err(EntryError::Truncated { .. }) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let body = usize::try_from(body.start).ok().and_then(|start| first_block.get(start..));
    match format::parse_header(body.unwrap_or_default()) {
        Ok(identity) => Ok(Some(identity)),
        Err(FormatError::Truncated { .. }) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}
