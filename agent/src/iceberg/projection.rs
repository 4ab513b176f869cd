//! Turns the facts of a table into the objects that readers of Iceberg ask the store for. Names are hashes of contents, so
//! equal contents have one name, whoever makes them. Does no I/O.

use std::collections::{BTreeMap, btree_map::Entry};

use bytes::Bytes;
use ebb_segment::key::{self, Day};
use object_store::path::Path;
use serde_json::Value;
use url::Url;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use super::{
    manifest::{self, ManifestFile},
    metadata,
    table::{DataFile, Facts},
};

/// The address of the object store, under which readers find what it holds.
#[derive(Clone, Debug)]
pub(super) struct Location(String);

/// A table as readers see it.
#[derive(Clone, Debug)]
pub(super) struct Projection {
    /// What must be in the store before the address of the metadata is handed out.
    pub(super) objects: Vec<(Path, Bytes)>,
    /// The address of the metadata.
    pub(super) metadata_url: String,
    pub(super) metadata: Value,
}

impl Location {
    /// `store` is the URL with which the store was opened. Readers take the path of a directory literally, without
    /// the escapes of a URL.
    pub(super) fn new(store: &str) -> Self {
        let directory = Url::parse(store).ok().filter(|url| url.scheme() == "file");
        let directory = directory.and_then(|url| url.to_file_path().ok());
        let base = directory.map_or_else(|| store.to_owned(), |path| format!("file://{}", path.display()));
        Self(base.trim_end_matches('/').to_owned())
    }

    fn of(&self, path: &Path) -> String {
        format!("{}/{path}", self.0)
    }
}

/// Makes the objects of a table, as they are put on a day.
pub(super) fn project(facts: &Facts, location: &Location, day: Day) -> Projection {
    let mut objects = Vec::new();
    let mut add = |kind: &str, suffix: &str, bytes: Bytes| {
        let name = format!("{kind}-{}{suffix}", Uuid::from_u128(xxh3_128(&bytes)));
        let path = key::iceberg_key(day, facts.topic, &name);
        let url = location.of(&path);
        objects.push((path, bytes));
        url
    };
    let data_url = |file: &DataFile| location.of(&key::archive_key(facts.topic, file.id));
    // Most manifests of a snapshot are those of the one before.
    let mut made: BTreeMap<(u64, u64), ManifestFile> = BTreeMap::new();
    let mut lists = Vec::with_capacity(facts.snapshots.len());
    for snapshot in &facts.snapshots {
        let manifests = facts.manifests_at(snapshot.sequence).into_iter().map(|manifest| {
            match made.entry((manifest.group, manifest.made_by)) {
                Entry::Occupied(made) => made.get().clone(),
                Entry::Vacant(vacant) => {
                    let bytes = manifest::manifest(&manifest, data_url);
                    let length = bytes.len() as u64;
                    let url = add("manifest", ".avro", bytes);
                    vacant.insert(ManifestFile::new(&manifest, url, length)).clone()
                }
            }
        });
        let manifests: Vec<_> = manifests.collect();
        let list = manifest::manifest_list(snapshot, &manifests);
        lists.push(add(&format!("snapshot-{}", snapshot.sequence), ".avro", list));
    }
    let table = location.of(&key::archive_folder(facts.topic));
    let metadata = metadata::metadata(facts, &table, &lists);
    let sequence = facts.snapshots.last().map_or(0, |last| last.sequence);
    let metadata_url = add(&format!("{sequence:05}"), ".metadata.json", metadata.to_string().into());
    Projection { objects, metadata_url, metadata }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{
        super::table::tests::{facts, file},
        *,
    };

    #[test]
    fn addresses_are_those_of_the_store() {
        let check = |store: &str, expect: &str| {
            assert_eq!(Location::new(store).of(&Path::from("a/b")), expect, "{store}");
        };
        check("file:///data/store", "file:///data/store/a/b");
        check("file:///data/my%20store/", "file:///data/my store/a/b");
        check("s3://bucket", "s3://bucket/a/b");
        check("s3://bucket/some/prefix/", "s3://bucket/some/prefix/a/b");
    }

    #[test]
    fn a_snapshot_more_adds_a_list_a_manifest_and_metadata() {
        let files: Vec<_> = (1..=5).map(|id| file(id.into(), id, None)).collect();
        let location = Location::new("s3://bucket");
        let paths = |last: u64| -> BTreeSet<Path> {
            let files: Vec<_> = files.iter().filter(|file| file.added <= last).cloned().collect();
            project(&facts(&files, 1..last + 1), &location, Day(3))
                .objects
                .into_iter()
                .map(|(path, _)| path)
                .collect()
        };
        let (before, after) = (paths(4), paths(5));
        assert_eq!(before, paths(4), "equal facts give equal objects");
        assert_eq!((before.len(), after.difference(&before).count()), (9, 3));
        assert!(before.difference(&after).all(|path| path.as_ref().ends_with(".metadata.json")));
        let name = |path: &Path| path.filename().expect("a name").to_owned();
        assert!(after.iter().any(|path| name(path).starts_with("00005-")), "{after:?}");
    }

    #[test]
    fn metadata_tells_snapshots_and_their_parents() {
        let all = [file(1, 1, Some(3)), file(2, 2, Some(3)), file(3, 3, None)];
        let metadata = project(&facts(&all, 2..4), &Location::new("s3://bucket"), Day(3)).metadata;
        assert_eq!(metadata["current-snapshot-id"], 3);
        assert_eq!(metadata["location"], "s3://bucket/archive/00000000-0000-0000-0000-000000000007");
        let snapshots = metadata["snapshots"].as_array().expect("snapshots");
        assert_eq!(
            (&snapshots[0]["parent-snapshot-id"], &snapshots[1]["parent-snapshot-id"]),
            (&1.into(), &2.into())
        );
        assert_eq!(snapshots[0]["summary"]["operation"], "append");
        assert_eq!(snapshots[0]["summary"]["total-records"], "20");
        assert_eq!(snapshots[1]["summary"]["operation"], "overwrite");
        assert_eq!(snapshots[1]["summary"]["deleted-data-files"], "2");
        assert_eq!(snapshots[1]["summary"]["total-records"], "10");
    }

    #[test]
    fn a_table_without_files_has_no_snapshot() {
        let projection = project(&facts(&[], 1..1), &Location::new("s3://bucket"), Day(3));
        assert_eq!(projection.objects.len(), 1, "the metadata alone");
        assert_eq!(projection.metadata.get("current-snapshot-id"), None);
    }
}
