//! Iceberg's table metadata, format version 2, as JSON: the schema of archive files with their field ids, and the
//! snapshots. Knows nothing of manifests but the addresses of their lists.

use ebb_metastore::state::TableSnapshot;
use serde_json::{Map, Value, json};

use super::table::Facts;

/// The id of the only schema.
pub(super) const SCHEMA_ID: i32 = 0;

/// The largest field id in use: top-level columns come first, nested ones behind, and none is used twice.
const COLUMN_ID_LAST: i32 = 18;

/// The last id of a partition field when there is none.
const PARTITION_ID_LAST: i32 = 999;

/// The columns of archive files. The crate `ebb-archive` writes these ids into their Parquet schema.
pub(super) fn schema() -> Value {
    let column = |id: i32, name: &str, required: bool, kind: Value, doc: &str| json!({"id": id, "name": name, "required": required, "type": kind, "doc": doc});
    let headers = json!({
        "type": "list",
        "element-id": 16,
        "element-required": true,
        "element": {"type": "struct", "fields": [
            {"id": 17, "name": "key", "required": true, "type": "string"},
            {"id": 18, "name": "value", "required": false, "type": "binary"},
        ]},
    });
    let (int, long, binary) = (|| json!("int"), || json!("long"), || json!("binary"));
    let raw = "the batch itself, on its first row, where the columns cannot hold all of it";
    json!({"type": "struct", "schema-id": SCHEMA_ID, "fields": [
        column(1, "partition", true, int(), "the partition of the topic"),
        column(2, "offset", true, long(), "the record's offset in its partition"),
        column(3, "timestamp", false, json!("timestamptz"), "the record's timestamp"),
        column(4, "key", false, binary(), "the record's key"),
        column(5, "value", false, binary(), "the record's value"),
        column(6, "headers", true, headers, "the record's headers, in their order"),
        column(7, "batch_base_offset", true, long(), "the base offset of the record's batch"),
        column(8, "leader_epoch", true, int(), "the leader epoch of the record's batch"),
        column(9, "attributes", true, int(), "the attributes of the record's batch"),
        column(10, "producer_id", true, long(), "the id of the record's producer; -1 without"),
        column(11, "producer_epoch", true, int(), "the epoch of the record's producer; -1 without"),
        column(12, "base_sequence", true, int(), "the first sequence number of the record's batch; -1 without"),
        column(14, "value_error", false, json!("string"), "why the value is null though the record has one"),
        column(15, "raw_batch", false, binary(), raw),
    ]})
}

/// The snapshot before this one. It may no longer be kept.
pub(super) fn parent(snapshot: &TableSnapshot) -> Option<u64> {
    (snapshot.sequence > 1).then(|| snapshot.sequence - 1)
}

/// The metadata of a table at `location`. `lists` are the addresses of the manifest lists, one for each snapshot.
pub(super) fn metadata(facts: &Facts, location: &str, lists: &[String]) -> Value {
    let snapshots: Vec<_> =
        facts.snapshots.iter().zip(lists).map(|(at, list)| snapshot(facts, at, list)).collect();
    let entry = |at: &TableSnapshot| json!({"snapshot-id": at.sequence, "timestamp-ms": at.at.0});
    let log: Vec<_> = facts.snapshots.iter().map(entry).collect();
    let last = facts.snapshots.last();
    let mut metadata = json!({
        "format-version": 2,
        "table-uuid": facts.topic.to_string(),
        "location": location,
        "last-sequence-number": last.map_or(0, |last| last.sequence),
        "last-updated-ms": last.map_or(0, |last| last.at.0),
        "last-column-id": COLUMN_ID_LAST,
        "current-schema-id": SCHEMA_ID,
        "schemas": [schema()],
        "default-spec-id": 0,
        "partition-specs": [{"spec-id": 0, "fields": []}],
        "last-partition-id": PARTITION_ID_LAST,
        "default-sort-order-id": 0,
        "sort-orders": [{"order-id": 0, "fields": []}],
        // No tool of a foreign catalog may delete the files: they are the log's.
        "properties": {"gc.enabled": "false", "ebbtide.topic": facts.name.to_string()},
        "snapshots": snapshots,
        "snapshot-log": log,
        "metadata-log": [],
        "refs": {},
    });
    if let Some(last) = last {
        metadata["current-snapshot-id"] = last.sequence.into();
        metadata["refs"] = json!({"main": {"type": "branch", "snapshot-id": last.sequence}});
    }
    metadata
}

fn snapshot(facts: &Facts, at: &TableSnapshot, list: &str) -> Value {
    let mut snapshot = json!({
        "snapshot-id": at.sequence,
        "sequence-number": at.sequence,
        "timestamp-ms": at.at.0,
        "manifest-list": list,
        "schema-id": SCHEMA_ID,
        "summary": summary(facts, at),
    });
    if let Some(parent) = parent(at) {
        snapshot["parent-snapshot-id"] = parent.into();
    }
    snapshot
}

/// What a snapshot changed. Iceberg wants text for all of it.
fn summary(facts: &Facts, at: &TableSnapshot) -> Value {
    let sum = |ids: &[_]| {
        let files = ids.iter().filter_map(|id| facts.files.get(id));
        files.fold((0, 0, 0), |(count, rows, bytes), file| (count + 1, rows + file.rows, bytes + file.bytes))
    };
    let (added, deleted) = (sum(&at.added), sum(&at.removed));
    let total = facts.files.values().filter(|file| file.is_in(at.sequence));
    let total =
        total.fold((0, 0, 0), |(count, rows, bytes), file| (count + 1, rows + file.rows, bytes + file.bytes));
    let operation = match (at.added.is_empty(), at.removed.is_empty()) {
        (_, true) => "append",
        (true, false) => "delete",
        // The same rows in other files, as far as numbers tell.
        (false, false) if added.1 == deleted.1 => "replace",
        (false, false) => "overwrite",
    };
    let mut summary = Map::from_iter([("operation".to_owned(), operation.into())]);
    for (kind, (files, rows, bytes)) in [("added", added), ("deleted", deleted), ("total", total)] {
        let size =
            if kind == "deleted" { "removed-files-size".to_owned() } else { format!("{kind}-files-size") };
        for (name, number) in
            [(format!("{kind}-data-files"), files), (format!("{kind}-records"), rows), (size, bytes)]
        {
            if kind == "total" || files > 0 {
                summary.insert(name, number.to_string().into());
            }
        }
    }
    Value::Object(summary)
}
