//! Keys of segment objects: `segments/HH/ULID.seg`, where HH is a hash of the id, so that writes spread over prefixes.

use ebb_protocol::ids::SegmentId;
use object_store::path::Path;

/// All segments lie under this prefix.
pub const PREFIX: &str = "segments";
const SUFFIX: &str = ".seg";

/// The key of a segment.
#[must_use]
pub fn of(id: SegmentId) -> Path {
    Path::from(format!("{PREFIX}/{:02x}/{id}{SUFFIX}", spread(id)))
}

/// The segment that a key names; `None` for a key of another kind.
#[must_use]
pub fn parse(key: &Path) -> Option<SegmentId> {
    let id: SegmentId = key.filename()?.strip_suffix(SUFFIX)?.parse().ok()?;
    // Whatever `of` would not have made is not ours: wrong prefix, wrong hash, another spelling of the id.
    (of(id) == *key).then_some(id)
}

/// The prefix number of an id, 0 to 255: ids minted one after the other differ in their last bits only.
fn spread(id: SegmentId) -> u32 {
    crc32c::crc32c(&id.0.to_be_bytes()) & 0xff
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_key_of_an_id_is_fixed() {
        let id: SegmentId = "01JD7W3X5N8Q2V4R6T9YBCDEFG".parse().expect("a ULID");
        assert_eq!(of(id).as_ref(), "segments/44/01JD7W3X5N8Q2V4R6T9YBCDEFG.seg");
        assert_eq!(parse(&of(id)), Some(id));
    }

    #[test]
    fn other_keys_are_not_segments() {
        let check = |key: &str| assert_eq!(parse(&Path::from(key)), None, "{key}");
        check("segments");
        check("segments/44/01JD7W3X5N8Q2V4R6T9YBCDEFG");
        check("segments/fe/01JD7W3X5N8Q2V4R6T9YBCDEFG.seg");
        check("segments/44/01jd7w3x5n8q2v4r6t9ybcdefg.seg");
        check("archive/00/01JD7W3X5N8Q2V4R6T9YBCDEFG.seg");
        check("segments/00/nonsense.seg");
    }

    #[test]
    fn neighbours_spread_over_prefixes() {
        let base: SegmentId = "01JD7W3X5N8Q2V4R6T9YBCDEFG".parse().expect("a ULID");
        let prefixes: BTreeSet<u32> = (0..512).map(|i| spread(SegmentId(base.0 + i))).collect();
        assert!(prefixes.len() > 128, "{} prefixes of 256", prefixes.len());
    }
}
