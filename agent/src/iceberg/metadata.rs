//! Iceberg's table metadata, format version 2, as JSON: the schemas of its files, and the snapshots. Knows nothing of
//! manifests but the addresses of their lists.

use std::collections::BTreeSet;

use ebb_metastore::state::TableSnapshot;
use serde_json::{Map, Value, json};

use super::{schema::Schema, table::Facts};

/// The last id of a partition field when there is none.
const PARTITION_ID_LAST: i32 = 999;

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
    // One for each set of typed columns that a snapshot has, and that of the table now.
    let counts = facts.snapshots.iter().map(|at| at.columns).chain([facts.columns.len()]);
    let counts: BTreeSet<_> = counts.collect();
    let schemas: Vec<_> = counts.into_iter().map(|count| Schema::new(&facts.columns, count).json()).collect();
    let mut metadata = json!({
        "format-version": 2,
        "table-uuid": facts.topic.to_string(),
        "location": location,
        "last-sequence-number": last.map_or(0, |last| last.sequence),
        "last-updated-ms": last.map_or(0, |last| last.at.0),
        "last-column-id": facts.columns.last_id().0,
        "current-schema-id": facts.columns.len(),
        "schemas": schemas,
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
        "schema-id": at.columns,
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
