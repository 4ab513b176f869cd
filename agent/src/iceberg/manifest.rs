//! Manifests and manifest lists of Iceberg's table format, version 2, as Avro files. Field ids and names are those of the
//! specification. Knows nothing of where the files are put.

use bytes::Bytes;
use ebb_metastore::state::TableSnapshot;
use serde_json::{Value, json};

use super::{
    avro::Encoder,
    metadata,
    schema::Schema,
    table::{DataFile, Entry, Manifest, Status},
};

/// A manifest that has been written.
#[derive(Clone, Debug)]
pub(super) struct ManifestFile {
    pub(super) url: String,
    pub(super) bytes: u64,
    pub(super) made_by: u64,
    /// The smallest sequence number of a file in it.
    sequence_min: u64,
    added: (u64, u64),
    existing: (u64, u64),
    deleted: (u64, u64),
}

impl ManifestFile {
    pub(super) fn new(manifest: &Manifest<'_>, url: String, bytes: u64) -> Self {
        let live = manifest.entries.iter().filter(|entry| entry.status != Status::Deleted);
        Self {
            url,
            bytes,
            made_by: manifest.made_by,
            sequence_min: live.map(|entry| entry.file.added).min().unwrap_or(manifest.made_by),
            added: manifest.count(Status::Added),
            existing: manifest.count(Status::Existing),
            deleted: manifest.count(Status::Deleted),
        }
    }
}

/// A manifest of files with this schema. `url` gives the address of an archive file.
pub(super) fn manifest(manifest: &Manifest<'_>, schema: &Schema, url: impl Fn(&DataFile) -> String) -> Bytes {
    let mut encoder = Encoder::default();
    for entry in &manifest.entries {
        put_entry(&mut encoder, *entry, &url(entry.file));
    }
    let metadata = [
        ("schema", schema.json().to_string()),
        ("schema-id", schema.id().to_string()),
        ("partition-spec", "[]".to_owned()),
        ("partition-spec-id", "0".to_owned()),
        ("format-version", "2".to_owned()),
        ("content", "data".to_owned()),
    ];
    encoder.into_container(&entry_schema(), &metadata, manifest.entries.len())
}

/// The manifest list of a snapshot.
pub(super) fn manifest_list(snapshot: &TableSnapshot, manifests: &[ManifestFile]) -> Bytes {
    let mut encoder = Encoder::default();
    for manifest in manifests {
        encoder.string(&manifest.url);
        encoder.count(manifest.bytes);
        // Its partition spec, and that it lists data.
        encoder.long(0);
        encoder.long(0);
        encoder.count(manifest.made_by);
        encoder.count(manifest.sequence_min);
        encoder.count(manifest.made_by);
        let counts = [manifest.added, manifest.existing, manifest.deleted];
        counts.iter().for_each(|(files, _)| encoder.count(*files));
        counts.iter().for_each(|(_, rows)| encoder.count(*rows));
    }
    let mut metadata = vec![
        ("snapshot-id", snapshot.sequence.to_string()),
        ("sequence-number", snapshot.sequence.to_string()),
        ("format-version", "2".to_owned()),
    ];
    metadata.extend(metadata::parent(snapshot).map(|parent| ("parent-snapshot-id", parent.to_string())));
    encoder.into_container(&list_schema(), &metadata, manifests.len())
}

fn put_entry(encoder: &mut Encoder, Entry { status, file }: Entry<'_>, url: &str) {
    encoder.long(status as i64);
    let snapshot = if status == Status::Deleted { file.removed.unwrap_or(file.added) } else { file.added };
    // The snapshot that added or deleted it, and the sequence number of its rows and of the file.
    for number in [snapshot, file.added, file.added] {
        encoder.is_present(true);
        encoder.count(number);
    }
    // That it holds data. The partition has no fields and takes no bytes.
    encoder.long(0);
    encoder.string(url);
    encoder.string("PARQUET");
    encoder.count(file.rows);
    encoder.count(file.bytes);
    let rows = file.rows.cast_signed();
    put_map(encoder, &[(1, rows), (2, rows), (3, rows)], |encoder, count| encoder.long(*count));
    put_map(encoder, &[(1, 0), (2, 0)], |encoder, count| encoder.long(*count));
    let timestamp = file.timestamp;
    let bounds = |partition: i32, offset: i64, timestamp: Option<i64>| {
        let mut bounds = vec![(1, partition.to_le_bytes().to_vec()), (2, offset.to_le_bytes().to_vec())];
        bounds.extend(timestamp.map(|micros| (3, micros.to_le_bytes().to_vec())));
        bounds
    };
    let lower = bounds(file.partition.0, file.offset.0, timestamp.map(|(least, _)| least));
    let upper = bounds(file.partition.1, file.offset.1, timestamp.map(|(_, most)| most));
    for bounds in [lower, upper] {
        put_map(encoder, &bounds, |encoder, bound| encoder.bytes(bound));
    }
}

/// An optional map by field id, which Avro has as an array of pairs.
fn put_map<T>(encoder: &mut Encoder, pairs: &[(i64, T)], mut value: impl FnMut(&mut Encoder, &T)) {
    encoder.is_present(true);
    encoder.array(pairs, |encoder, (id, each)| {
        encoder.long(*id);
        value(encoder, each);
    });
}

fn field(id: u32, name: &str, kind: impl Into<Value>) -> Value {
    json!({"name": name, "type": kind.into(), "field-id": id})
}

fn optional(id: u32, name: &str, kind: impl Into<Value>) -> Value {
    json!({"name": name, "type": ["null", kind.into()], "default": null, "field-id": id})
}

/// The type of a map by field id, whose keys and values have these ids.
fn map(key: u32, value: u32, kind: &str) -> Value {
    json!({
        "type": "array",
        "logicalType": "map",
        "items": {
            "type": "record",
            "name": format!("k{key}_v{value}"),
            "fields": [field(key, "key", "int"), field(value, "value", kind)],
        },
    })
}

/// The schema of a manifest's entries. Optional fields of which we have nothing to say are left out.
fn entry_schema() -> Value {
    let data_file = json!({
        "type": "record",
        "name": "r2",
        "fields": [
            field(134, "content", "int"),
            field(100, "file_path", "string"),
            field(101, "file_format", "string"),
            field(102, "partition", json!({"type": "record", "name": "r102", "fields": []})),
            field(103, "record_count", "long"),
            field(104, "file_size_in_bytes", "long"),
            optional(109, "value_counts", map(119, 120, "long")),
            optional(110, "null_value_counts", map(121, 122, "long")),
            optional(125, "lower_bounds", map(126, 127, "bytes")),
            optional(128, "upper_bounds", map(129, 130, "bytes")),
        ],
    });
    json!({
        "type": "record",
        "name": "manifest_entry",
        "fields": [
            field(0, "status", "int"),
            optional(1, "snapshot_id", "long"),
            optional(3, "sequence_number", "long"),
            optional(4, "file_sequence_number", "long"),
            field(2, "data_file", data_file),
        ],
    })
}

/// The schema of a manifest list.
fn list_schema() -> Value {
    json!({
        "type": "record",
        "name": "manifest_file",
        "fields": [
            field(500, "manifest_path", "string"),
            field(501, "manifest_length", "long"),
            field(502, "partition_spec_id", "int"),
            field(517, "content", "int"),
            field(515, "sequence_number", "long"),
            field(516, "min_sequence_number", "long"),
            field(503, "added_snapshot_id", "long"),
            field(504, "added_files_count", "int"),
            field(505, "existing_files_count", "int"),
            field(506, "deleted_files_count", "int"),
            field(512, "added_rows_count", "long"),
            field(513, "existing_rows_count", "long"),
            field(514, "deleted_rows_count", "long"),
        ],
    })
}
