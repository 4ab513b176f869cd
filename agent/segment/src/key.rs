//! Keys of segment objects: `segments/HH/ULID.seg`, where HH is a hash of the id, so that writes spread over prefixes.
//! Keys of archive files: `archive/UUID/ULID.parquet`, where UUID is the topic's id, so that analysts find the files of a
//! topic under one prefix.
//! Keys of what readers of Iceberg need: `iceberg/DAY/UUID/NAME`; all of it can be made again from the state. DAY is the
//! day on which it was put, so that nothing is put anew that somebody may be about to delete.
//! Keys of what a foreign catalog refers to: `mirror/UUID/DAY/NAME`. Such a catalog keeps metadata of its own under
//! `mirror/UUID/metadata/`.

use ebb_protocol::ids::{ArchiveId, SegmentId, Timestamp, TopicId};
use object_store::path::Path;

/// All segments lie under this prefix.
pub const PREFIX: &str = "segments";
const SUFFIX: &str = ".seg";

/// All archive files lie under this prefix.
pub const ARCHIVE_PREFIX: &str = "archive";
const ARCHIVE_SUFFIX: &str = ".parquet";

/// All metadata for readers of Iceberg lies under this prefix.
pub const ICEBERG_PREFIX: &str = "iceberg";

/// All metadata that foreign catalogs refer to lies under this prefix.
pub const MIRROR_PREFIX: &str = "mirror";

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

/// The key of an archive file.
#[must_use]
pub fn archive_key(topic: TopicId, id: ArchiveId) -> Path {
    Path::from(format!("{ARCHIVE_PREFIX}/{topic}/{id}{ARCHIVE_SUFFIX}"))
}

/// The topic and the archive file that a key names; `None` for a key of another kind.
#[must_use]
pub fn parse_archive(key: &Path) -> Option<(TopicId, ArchiveId)> {
    let rest = key.as_ref().strip_prefix(ARCHIVE_PREFIX)?.strip_prefix('/')?;
    let (topic, id) = rest.strip_suffix(ARCHIVE_SUFFIX)?.split_once('/')?;
    let (topic, id) = (TopicId(topic.parse().ok()?), id.parse().ok()?);
    (archive_key(topic, id) == *key).then_some((topic, id))
}

/// The folder of a topic's archive files.
#[must_use]
pub fn archive_folder(topic: TopicId) -> Path {
    Path::from(format!("{ARCHIVE_PREFIX}/{topic}"))
}

/// A day in UTC: how many have passed since the beginning of 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(pub i64);

impl Day {
    /// The day in which an instant lies.
    #[must_use]
    pub fn of(at: Timestamp) -> Self {
        Self(at.0.div_euclid(24 * 60 * 60 * 1_000))
    }
}

/// The key of metadata for readers of Iceberg that are put on a day.
#[must_use]
pub fn iceberg_key(day: Day, topic: TopicId, name: &str) -> Path {
    Path::from(format!("{ICEBERG_PREFIX}/{}/{topic}/{name}", day.0))
}

/// The day on which metadata for readers of Iceberg were put; `None` for any other key.
#[must_use]
pub fn iceberg_day(key: &Path) -> Option<Day> {
    let day = key.as_ref().strip_prefix(ICEBERG_PREFIX)?.strip_prefix('/')?.split('/').next()?;
    day.parse().ok().map(Day)
}

/// The folder of the metadata of a topic's table in a foreign catalog.
#[must_use]
pub fn mirror_folder(topic: TopicId) -> Path {
    Path::from(format!("{MIRROR_PREFIX}/{topic}"))
}

/// The key of metadata for a foreign catalog that are put on a day.
#[must_use]
pub fn mirror_key(day: Day, topic: TopicId, name: &str) -> Path {
    Path::from(format!("{}/{}/{name}", mirror_folder(topic), day.0))
}

/// The day on which metadata for a foreign catalog were put, by their key or their address; `None` for anything else,
/// such as what the catalog itself has put there.
#[must_use]
pub fn mirror_day(address: &str, topic: TopicId) -> Option<Day> {
    let (_, rest) = address.rsplit_once(&format!("{}/", mirror_folder(topic)))?;
    let (day, _) = rest.split_once('/')?;
    day.parse().ok().map(Day)
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
    fn an_archive_file_lies_under_its_topic() {
        let topic = TopicId("01234567-89ab-4def-8123-456789abcdef".parse().expect("a UUID"));
        let id: ArchiveId = "01JD7W3X5N8Q2V4R6T9YBCDEFG".parse().expect("a ULID");
        let key = archive_key(topic, id);
        assert_eq!(
            key.as_ref(),
            "archive/01234567-89ab-4def-8123-456789abcdef/01JD7W3X5N8Q2V4R6T9YBCDEFG.parquet"
        );
        assert_eq!(parse_archive(&key), Some((topic, id)));
        assert_eq!(parse(&key), None, "it is no segment");
    }

    #[test]
    fn other_keys_are_not_archive_files() {
        let check = |key: &str| assert_eq!(parse_archive(&Path::from(key)), None, "{key}");
        check("archive");
        check("archive/01234567-89ab-4def-8123-456789abcdef");
        check("archive/01234567-89ab-4def-8123-456789abcdef/01JD7W3X5N8Q2V4R6T9YBCDEFG");
        check("archive/01234567-89AB-4DEF-8123-456789ABCDEF/01JD7W3X5N8Q2V4R6T9YBCDEFG.parquet");
        check("archive/0123456789ab4def8123456789abcdef/01JD7W3X5N8Q2V4R6T9YBCDEFG.parquet");
        check("archive/01234567-89ab-4def-8123-456789abcdef/01jd7w3x5n8q2v4r6t9ybcdefg.parquet");
        check("archive/01234567-89ab-4def-8123-456789abcdef/x/01JD7W3X5N8Q2V4R6T9YBCDEFG.parquet");
        check("archives/01234567-89ab-4def-8123-456789abcdef/01JD7W3X5N8Q2V4R6T9YBCDEFG.parquet");
        check("segments/44/01JD7W3X5N8Q2V4R6T9YBCDEFG.seg");
    }

    #[test]
    fn metadata_for_a_foreign_catalog_tell_their_day() {
        let topic = TopicId("01234567-89ab-4def-8123-456789abcdef".parse().expect("a UUID"));
        let key = mirror_key(Day(20_780), topic, "manifest.avro");
        assert_eq!(key.as_ref(), "mirror/01234567-89ab-4def-8123-456789abcdef/20780/manifest.avro");
        let check = |address: &str, expect| assert_eq!(mirror_day(address, topic), expect, "{address}");
        check(key.as_ref(), Some(Day(20_780)));
        check(&format!("s3://bucket/mirror/x/{key}"), Some(Day(20_780)));
        check(&format!("s3://bucket/{}/metadata/00001.metadata.json", mirror_folder(topic)), None);
        check("s3://bucket/mirror/01234567-89ab-4def-8123-000000000000/20780/manifest.avro", None);
        check("archive/01234567-89ab-4def-8123-456789abcdef/20780/x", None);
    }

    #[test]
    fn neighbours_spread_over_prefixes() {
        let base: SegmentId = "01JD7W3X5N8Q2V4R6T9YBCDEFG".parse().expect("a ULID");
        let prefixes: BTreeSet<u32> = (0..512).map(|i| spread(SegmentId(base.0 + i))).collect();
        assert!(prefixes.len() > 128, "{} prefixes of 256", prefixes.len());
    }
}
