//! Iceberg's schema of a topic's table: the columns that every archive file has, and the typed ones. The crate
//! `ebb-archive` writes the same field ids into Parquet. Knows nothing of snapshots.

use std::collections::BTreeMap;

use ebb_protocol::columns::{ColumnId, ColumnKind, TYPED_ROOT, TypedColumn, TypedColumns};
use serde_json::{Value, json};

/// The schema of a table while it had so many typed columns. Their number is its id: columns are only added.
#[derive(Clone, Debug)]
pub(super) struct Schema {
    columns: TypedColumns,
}

type ByParent<'a> = BTreeMap<ColumnId, Vec<(ColumnId, &'a TypedColumn)>>;

impl Schema {
    /// That with the first `count` typed columns.
    pub(super) fn new(columns: &TypedColumns, count: usize) -> Self {
        Self { columns: columns.first(count) }
    }

    pub(super) fn id(&self) -> usize {
        self.columns.len()
    }

    /// As Iceberg has it.
    pub(super) fn json(&self) -> Value {
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
        let mut columns = vec![
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
            column(
                12,
                "base_sequence",
                true,
                int(),
                "the first sequence number of the record's batch; -1 without",
            ),
            column(
                14,
                "value_error",
                false,
                json!("string"),
                "why value or v is null though the record has a value",
            ),
            column(15, "raw_batch", false, binary(), raw),
        ];
        if !self.columns.is_empty() {
            let typed = json!({"type": "struct", "fields": fields(&self.columns.by_parent(), TYPED_ROOT)});
            columns.push(column(
                13,
                "v",
                false,
                typed,
                "what the record's value holds; null where it does not fit",
            ));
        }
        json!({"type": "struct", "schema-id": self.id(), "fields": columns})
    }
}

/// The fields of a struct.
fn fields(columns: &ByParent<'_>, parent: ColumnId) -> Vec<Value> {
    let own = columns.get(&parent).into_iter().flatten();
    let field = |(id, column): &(ColumnId, &TypedColumn)| json!({"id": id.0, "name": column.name, "required": false, "type": kind(columns, *id, column)});
    own.map(field).collect()
}

fn kind(columns: &ByParent<'_>, id: ColumnId, column: &TypedColumn) -> Value {
    match column.kind {
        ColumnKind::Boolean => json!("boolean"),
        ColumnKind::Long => json!("long"),
        ColumnKind::Double => json!("double"),
        ColumnKind::String => json!("string"),
        ColumnKind::Date => json!("date"),
        ColumnKind::Timestamp => json!("timestamptz"),
        ColumnKind::Struct => json!({"type": "struct", "fields": fields(columns, id)}),
        ColumnKind::List => {
            let element = columns.get(&id).and_then(|own| own.first());
            let (id, kind) =
                element.map_or((0, json!("string")), |(id, own)| (id.0, kind(columns, *id, own)));
            json!({"type": "list", "element-id": id, "element-required": false, "element": kind})
        }
    }
}
