//! Turns the facts of a table into the objects that readers of Iceberg ask the store for. Names are hashes of contents, so
//! equal contents have one name, whoever makes them. Does no I/O.

use std::collections::{BTreeMap, btree_map::Entry};

use bytes::Bytes;
use ebb_protocol::ids::TopicId;
use ebb_segment::key::{self, Day};
use object_store::path::Path;
use serde_json::Value;
use url::Url;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use super::{
    manifest::{self, ManifestFile},
    metadata,
    schema::Schema,
    table::{DataFile, Facts},
};

/// Versions of the metadata that a foreign catalog keeps beside the present one.
const METADATA_VERSIONS_MAX: u32 = 20;

/// The address of the object store, under which readers find what it holds.
#[derive(Clone, Debug)]
pub(super) struct Location(String);

/// The catalog that a table is projected for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Catalogued {
    /// Ours, whose objects last for a day or two.
    Here,
    /// A foreign one, which refers to objects for as long as it shows a snapshot.
    Elsewhere,
}

impl Catalogued {
    fn key(self, day: Day, topic: TopicId, name: &str) -> Path {
        match self {
            Self::Here => key::iceberg_key(day, topic, name),
            Self::Elsewhere => key::mirror_key(day, topic, name),
        }
    }

    /// The folder that is the table's location. A foreign catalog writes into it.
    fn folder(self, topic: TopicId) -> Path {
        match self {
            Self::Here => key::archive_folder(topic),
            Self::Elsewhere => key::mirror_folder(topic),
        }
    }

    /// Properties of the table beside those it has in any catalog.
    fn properties(self, topic: TopicId, location: &Location) -> Vec<(&'static str, String)> {
        match self {
            Self::Here => Vec::new(),
            Self::Elsewhere => vec![
                // Catalogs that give out credentials know by this that they are needed for the files too.
                ("write.data.path", location.of(&key::archive_folder(topic))),
                ("write.metadata.delete-after-commit.enabled", "true".to_owned()),
                ("write.metadata.previous-versions-max", METADATA_VERSIONS_MAX.to_string()),
            ],
        }
    }
}

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

/// Makes the objects of a table for a catalog, as they are put on a day.
pub(super) fn project(facts: &Facts, location: &Location, day: Day, by: Catalogued) -> Projection {
    let mut objects = Vec::new();
    let mut add = |kind: &str, suffix: &str, bytes: Bytes| {
        let name = format!("{kind}-{}{suffix}", Uuid::from_u128(xxh3_128(&bytes)));
        let path = by.key(day, facts.topic, &name);
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
                    let schema = Schema::new(&facts.columns, facts.columns_at(manifest.made_by));
                    let bytes = manifest::manifest(&manifest, &schema, data_url);
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
    let table = location.of(&by.folder(facts.topic));
    let mut metadata = metadata::metadata(facts, &table, &lists);
    for (name, value) in by.properties(facts.topic, location) {
        metadata["properties"][name] = value.into();
    }
    let sequence = facts.snapshots.last().map_or(0, |last| last.sequence);
    let metadata_url = add(&format!("{sequence:05}"), ".metadata.json", metadata.to_string().into());
    Projection { objects, metadata_url, metadata }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ebb_protocol::columns::{ColumnKind, TYPED_ROOT, TypedColumn};
    use serde_json::json;

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
            project(&facts(&files, 1..last + 1), &location, Day(3), Catalogued::Here)
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
        let metadata =
            project(&facts(&all, 2..4), &Location::new("s3://bucket"), Day(3), Catalogued::Here).metadata;
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
    fn each_snapshot_has_the_columns_of_its_time() {
        let mut facts = facts(&[file(1, 1, None), file(2, 2, None)], 1..3);
        let add = |facts: &mut Facts, parent, name: &str, kind| {
            let (key, name) = (name.to_owned(), name.to_owned());
            facts.columns.add(TypedColumn { parent, key, name, kind }).expect("it fits")
        };
        add(&mut facts, TYPED_ROOT, "a", ColumnKind::Timestamp);
        facts.snapshots[0].columns = 1;
        let list = add(&mut facts, TYPED_ROOT, "l", ColumnKind::List);
        let element = add(&mut facts, list, "element", ColumnKind::Struct);
        add(&mut facts, element, "b", ColumnKind::Long);
        facts.snapshots[1].columns = 4;
        let metadata = project(&facts, &Location::new("s3://bucket"), Day(3), Catalogued::Here).metadata;
        assert_eq!((&metadata["last-column-id"], &metadata["current-schema-id"]), (&22.into(), &4.into()));
        let ids = |of: &str| -> Vec<_> {
            let all = metadata[of].as_array().expect("a list");
            all.iter().map(|each| each["schema-id"].clone()).collect()
        };
        assert_eq!((ids("schemas"), ids("snapshots")), (vec![1.into(), 4.into()], vec![1.into(), 4.into()]));
        let typed = |schema: usize| {
            let columns = metadata["schemas"][schema]["fields"].as_array().expect("columns");
            columns.iter().find(|column| column["id"] == 13).expect("typed columns")["type"]["fields"].clone()
        };
        let a = json!({"id": 19, "name": "a", "required": false, "type": "timestamptz"});
        assert_eq!(typed(0), json!([a]));
        let b = json!({"id": 22, "name": "b", "required": false, "type": "long"});
        let l = json!({"id": 20, "name": "l", "required": false, "type": {
            "type": "list", "element-id": 21, "element-required": false,
            "element": {"type": "struct", "fields": [b]},
        }});
        assert_eq!(typed(1), json!([a, l]));
    }

    #[test]
    fn a_table_without_files_has_no_snapshot() {
        let projection = project(&facts(&[], 1..1), &Location::new("s3://bucket"), Day(3), Catalogued::Here);
        assert_eq!(projection.objects.len(), 1, "the metadata alone");
        assert_eq!(projection.metadata.get("current-snapshot-id"), None);
    }
}
