//! A table as a foreign catalog shows it: whether it is ours, what it lacks, and the commit that brings it. Does no I/O.

use std::collections::{BTreeMap, BTreeSet};

use ebb_protocol::{columns::TypedColumns, ids::TopicId};
use ebb_segment::key::{self, Day};
use serde_json::{Value, json};

use super::error::MirrorError;
use crate::iceberg::{projection::Projection, schema::Schema, table::Facts};

/// A table in a foreign catalog.
#[derive(Clone, Debug)]
pub(super) struct Foreign {
    uuid: String,
    /// The number of its present snapshot.
    pub(super) current: Option<u64>,
    snapshots: BTreeSet<u64>,
    schema: Value,
    /// Addresses of manifest lists.
    lists: Vec<String>,
    /// Addresses of metadata, the present ones and those before.
    metadata: Vec<String>,
}

/// What has to be done to a foreign table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Commit {
    pub(super) requirements: Vec<Value>,
    pub(super) updates: Vec<Value>,
}

impl Foreign {
    /// Takes what is of interest from a catalog's answer.
    ///
    /// # Errors
    /// [`MirrorError::NotOurs`] for one that no table of ours can have.
    pub(super) fn parse(answer: &Value) -> Result<Self, MirrorError> {
        let metadata = &answer["metadata"];
        let list = |name: &str| metadata[name].as_array().map_or(&[][..], Vec::as_slice);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let id = |value: &Value| {
            // Without a snapshot, some write -1.
            let number = value.as_i64().filter(|id| *id >= 0);
            number.map(i64::cast_unsigned)
        };
        let schema = list("schemas").iter().find(|each| each["schema-id"] == metadata["current-schema-id"]);
        let schema = schema.ok_or_else(|| MirrorError::NotOurs("it has no schema".to_owned()))?;
        let log = list("metadata-log").iter().map(|entry| text(&entry["metadata-file"]));
        Ok(Self {
            uuid: text(&metadata["table-uuid"]),
            current: id(&metadata["current-snapshot-id"]),
            snapshots: list("snapshots").iter().filter_map(|each| id(&each["snapshot-id"])).collect(),
            schema: schema.clone(),
            lists: list("snapshots").iter().map(|each| text(&each["manifest-list"])).collect(),
            metadata: log.chain([text(&answer["metadata-location"])]).collect(),
        })
    }

    /// Makes sure that the table is the one which is mirrored, and that nobody else has written to it. `last` is the
    /// number of our newest snapshot.
    ///
    /// # Errors
    /// [`MirrorError::NotOurs`].
    pub(super) fn check(&self, topic: TopicId, ours: &TypedColumns, last: u64) -> Result<(), MirrorError> {
        if self.uuid != topic.to_string() {
            let why = format!("the catalog has another table of this name, whose id is {}", self.uuid);
            return Err(MirrorError::NotOurs(why));
        }
        let theirs = columns(&self.schema);
        // Columns are only added, so how many there are tells which.
        let fixed = i64::from(TypedColumns::default().last_id().0);
        let typed = theirs.keys().filter(|id| **id > fixed).count();
        let ours = columns(&Schema::new(ours, typed).json());
        if let Some(id) = theirs.keys().chain(ours.keys()).find(|id| theirs.get(id) != ours.get(id)) {
            let say = |columns: &Columns| columns.get(id).map_or("none", |(name, ..)| name).to_owned();
            let (theirs, ours) = (say(&theirs), say(&ours));
            let why =
                format!("the column with the id {id} is {theirs} in the catalog's table, and {ours} in ours");
            return Err(MirrorError::NotOurs(why));
        }
        if self.snapshots.last().copied().max(self.current).is_some_and(|newest| newest > last) {
            return Err(MirrorError::NotOurs("somebody has written to the table in the catalog".to_owned()));
        }
        Ok(())
    }

    /// The commit that brings the snapshots of a projection, and the columns. Those of the catalog's that are older than
    /// `oldest` go.
    pub(super) fn commit(&self, facts: &Facts, projection: &Projection, oldest: u64) -> Commit {
        let mut requirements = vec![
            json!({"type": "assert-table-uuid", "uuid": self.uuid}),
            json!({"type": "assert-ref-snapshot-id", "ref": "main", "snapshot-id": self.current}),
        ];
        let mut updates = Vec::new();
        let schema = Schema::new(&facts.columns, facts.columns.len()).json();
        if columns(&schema) != columns(&self.schema) {
            let id = &self.schema["schema-id"];
            requirements.push(json!({"type": "assert-current-schema-id", "current-schema-id": id}));
            let last = facts.columns.last_id().0;
            updates.push(json!({"action": "add-schema", "schema": schema, "last-column-id": last}));
            // The one that was added: catalogs number schemas themselves.
            updates.push(json!({"action": "set-current-schema", "schema-id": -1}));
        }
        let snapshots = projection.metadata["snapshots"].as_array().map_or(&[][..], Vec::as_slice);
        for (at, snapshot) in facts.snapshots.iter().zip(snapshots) {
            if self.snapshots.contains(&at.sequence) {
                continue;
            }
            let mut snapshot = snapshot.clone();
            // The number that its schema has there is not known before the commit, and readers can do without.
            snapshot.as_object_mut().and_then(|snapshot| snapshot.remove("schema-id"));
            updates.push(json!({"action": "add-snapshot", "snapshot": snapshot}));
        }
        if let Some(last) = facts.snapshots.last() {
            updates.push(json!({
                "action": "set-snapshot-ref",
                "ref-name": "main",
                "type": "branch",
                "snapshot-id": last.sequence,
            }));
        }
        let old: Vec<_> = self.snapshots.range(..oldest).collect();
        if !old.is_empty() {
            updates.push(json!({"action": "remove-snapshots", "snapshot-ids": old}));
        }
        Commit { requirements, updates }
    }

    /// The days on which something was put that the table refers to. What was put on one day refers to that day only.
    /// `None`: some of it is not ours.
    pub(super) fn days(&self, topic: TopicId) -> Option<BTreeSet<Day>> {
        let lists: Option<BTreeSet<_>> = self.lists.iter().map(|list| key::mirror_day(list, topic)).collect();
        let mut days = lists?;
        days.extend(self.metadata.iter().filter_map(|address| key::mirror_day(address, topic)));
        Some(days)
    }
}

/// Columns by their ids: name, type, and whether there is always a value.
type Columns = BTreeMap<i64, (String, String, bool)>;

/// The columns of a schema by their ids. Nested ones stand beside those that hold them.
fn columns(schema: &Value) -> Columns {
    let mut columns = BTreeMap::new();
    // What is still to be looked at, with the names in front of its own.
    let mut rest = vec![(String::new(), schema)];
    while let Some((path, kind)) = rest.pop() {
        let mut add = |id: &Value, name: &str, required: &Value, kind| {
            let path = format!("{path}{name}");
            let word = |kind: &Value| kind.as_str().or(kind["type"].as_str()).unwrap_or_default().to_owned();
            let column = (path.clone(), word(kind), *required == true);
            columns.insert(id.as_i64().unwrap_or(-1), column);
            rest.push((format!("{path}."), kind));
        };
        for field in kind["fields"].as_array().into_iter().flatten() {
            add(&field["id"], field["name"].as_str().unwrap_or_default(), &field["required"], &field["type"]);
        }
        if kind["type"] == "list" {
            add(&kind["element-id"], "element", &kind["element-required"], &kind["element"]);
        }
    }
    columns
}
