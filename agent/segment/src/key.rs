//! Keys of segment objects: `segments/HH/ULID.seg`, where HH is a hash of the id, so that writes spread over prefixes.

use ebb_protocol::ids::SegmentId;
use object_store::path::Path;

/// The key of a segment.
#[must_use]
pub fn of(id: SegmentId) -> Path {
    todo!("{id}")
}

/// The segment that a key names; `None` for a key of another kind.
#[must_use]
pub fn parse(key: &Path) -> Option<SegmentId> {
    todo!("{key}")
}
