//! Typed columns: what values become, and that consumers see nothing of them.

mod formats;

use std::{collections::BTreeMap, sync::Arc};

use arrow_array::{
    Array, RecordBatch as Columns, StructArray,
    cast::AsArray,
    types::{Date32Type, Float64Type, Int64Type, TimestampMicrosecondType},
};
use bytes::Bytes;
use ebb_archive::{
    Archive, ArchiveWriter, ColumnTree, Footer, Identity, Scan, SchemaError, Settings, Step, Steps, Typed,
    ValueReader,
};
use ebb_protocol::{
    batch::{BatchBuilder, BatchHeader, DECOMPRESSED_BYTES_MAX, RecordBatch},
    columns::{COLUMN_DEPTH_MAX, COLUMNS_MAX, ColumnId, ColumnKind, TYPED_ROOT, TypedColumns},
    ids::{
        ArchiveId, ClusterId, LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId, Sequence,
        Timestamp, TopicId,
    },
    values::{ValueFormat, ValueFraming, ValueSyntax},
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

const IDENTITY: Identity =
    Identity { cluster: ClusterId(7), topic: TopicId(Uuid::from_u128(8)), object: ArchiveId(9) };
const PARTITION: PartitionIndex = PartitionIndex(0);
const NOW: Timestamp = Timestamp(1_760_000_000_000);

/// Columns as lines of text: id, path, kind.
fn lines(columns: &TypedColumns) -> Vec<String> {
    fn path(columns: &TypedColumns, id: ColumnId) -> String {
        let column = columns.get(id).expect("parents are there");
        let holder = (column.parent != TYPED_ROOT).then(|| path(columns, column.parent) + ".");
        holder.unwrap_or_default() + &column.name
    }
    columns.iter().map(|(id, column)| format!("{} {} {:?}", id.0, path(columns, id), column.kind)).collect()
}

fn learn(known: &TypedColumns, values: &[Value]) -> (ColumnTree, TypedColumns) {
    let mut tree = ColumnTree::new(known);
    values.iter().for_each(|value| tree.learn(&ValueReader::default(), value.to_string().as_bytes()));
    tree.settle(known)
}

fn learned(values: &[Value]) -> Vec<String> {
    lines(&learn(&TypedColumns::default(), values).1)
}

fn json_schema(schema: &str) -> Result<ColumnTree, SchemaError> {
    let (message, schema) = (String::new(), schema.to_owned());
    let format = ValueFormat { syntax: ValueSyntax::Json, framing: ValueFraming::None, schema, message };
    ValueReader::new(&format).map(|(_, columns)| columns.expect("a schema wants columns"))
}

fn batch(values: &[Option<&[u8]>]) -> RecordBatch {
    let mut builder = BatchBuilder::default();
    for (delta, value) in (0..).zip(values) {
        builder.append_at(delta, NOW, Some(b"key"), *value, &[]).expect("it fits");
    }
    let header = BatchHeader {
        base_offset: Offset(0),
        leader_epoch: LeaderEpoch(0),
        attributes: 0,
        producer_id: ProducerId(-1),
        producer_epoch: ProducerEpoch(-1),
        base_sequence: Sequence(-1),
    };
    builder.finish_as(header).expect("it fits")
}

fn write(columns: ColumnTree, batch: &RecordBatch) -> Archive {
    write_as(Typed { columns, values: ValueReader::default() }, batch)
}

fn write_as(typed: Typed, batch: &RecordBatch) -> Archive {
    let mut writer = ArchiveWriter::typed(IDENTITY, Settings::default(), typed).expect("known settings");
    writer.append(PARTITION, batch).expect("one batch is in order");
    writer.finish().expect("the file can be written")
}

/// The rows of a file as analysts read them.
fn rows(archive: &Archive) -> Columns {
    let file = Bytes::copy_from_slice(&archive.bytes);
    let mut reader =
        ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet").build().expect("a reader");
    reader.next().expect("rows").expect("they can be read")
}

fn typed(rows: &Columns) -> &StructArray {
    rows.column_by_name("v").expect("typed columns").as_struct()
}

fn errors(rows: &Columns) -> Vec<Option<&str>> {
    rows.column_by_name("value_error").expect("a column").as_string::<i32>().iter().collect()
}

/// The values of a file as consumers read them.
fn consumed(archive: &Archive) -> Vec<Option<Bytes>> {
    let file = Bytes::copy_from_slice(&archive.bytes);
    let tail = file.slice(file.len() - archive.tail.bytes as usize..);
    let footer = Arc::new(Footer::decode(file.len() as u64, archive.tail, tail).expect("a sound footer"));
    let mut scan = Scan::new(footer, PARTITION, Offset(0), Offset(i64::MAX), u64::MAX);
    let mut values = Vec::new();
    loop {
        match scan.step().expect("it can be read") {
            Step::Needs(ranges) => {
                let place = |at: u64| usize::try_from(at).expect("small");
                let bytes =
                    ranges.iter().map(|range| file.slice(place(range.start)..place(range.end))).collect();
                scan.push(ranges, bytes).expect("they are whole");
            }
            Step::Item(found) => {
                let records = found.batch.decode(DECOMPRESSED_BYTES_MAX).expect("it can be decoded");
                values.extend(records.map(|record| record.expect("a record").value));
            }
            Step::End => return values,
        }
    }
}

#[test]
fn columns_follow_from_values() {
    let check = |values: &[Value], expect: &[&str]| assert_eq!(learned(values), expect, "{values:?}");
    check(
        &[json!({"a": true, "b": 1, "c": 1.5, "d": "x", "e": null, "f": [], "g": {}})],
        &["19 a Boolean", "20 b Long", "21 c Double", "22 d String"],
    );
    check(&[json!({"a": 1}), json!({"a": 1.5}), json!({"a": 3})], &["19 a Double"]);
    check(&[json!({"a": 1}), json!({"a": "x"})], &["19 a Long", "20 a_2 String"]);
    check(
        &[json!({"a": {"b": 1}}), json!({"a": {"c": [{"d": 1}, {"e": "x"}]}})],
        &[
            "19 a Struct",
            "20 a.b Long",
            "21 a.c List",
            "22 a.c.element Struct",
            "23 a.c.element.d Long",
            "24 a.c.element.e String",
        ],
    );
    check(&[json!({"a": [1]}), json!({"a": [1.5]})], &["19 a List", "20 a.element Double"]);
    check(&[json!({"a": [1, "x"]})], &[]);
    check(&[json!({"id": 1, "ID": 2})], &["19 ID Long", "20 id_2 Long"]);
    check(&[json!({"a": 18_446_744_073_709_551_615_u64})], &["19 a Double"]);
    check(&[json!([1]), json!("x"), json!(null)], &[]);
}

#[test]
fn what_is_published_never_changes() {
    let (_, first) = learn(&TypedColumns::default(), &[json!({"a": 1, "b": {"c": 1}, "l": [1]})]);
    let check = |value: Value, added: &[&str]| {
        let (_, after) = learn(&first, &[value]);
        assert_eq!(after.first(first.len()), first);
        assert_eq!(lines(&after)[first.len()..], *added);
    };
    check(json!({"a": 2, "b": {"c": 5}, "l": []}), &[]);
    check(json!({"a": 2.0}), &[]);
    check(json!({"a": 2.5}), &["24 a_2 Double"]);
    check(json!({"b": {"d": 1}}), &["24 b.d Long"]);
    check(json!({"b": 1}), &["24 b_2 Long"]);
    check(json!({"l": ["x"]}), &["24 l_2 List", "25 l_2.element String"]);
}

#[test]
fn limits_leave_out_what_goes_beyond() {
    let wide: serde_json::Map<_, _> =
        (0..COLUMNS_MAX + 10).map(|key| (format!("{key:04}"), json!(1))).collect();
    assert_eq!(learned(&[Value::Object(wide)]).len(), COLUMNS_MAX);
    let deep = (0..COLUMN_DEPTH_MAX + 2).fold(json!(1), |within, _| json!({"in": within, "n": 1}));
    let deepest = learned(&[deep]).iter().map(|line| line.matches('.').count()).max();
    assert_eq!(deepest, Some(COLUMN_DEPTH_MAX - 1));
    assert_eq!(learned(&[json!({"x".repeat(300): 1})]), [""; 0]);
}

#[test]
fn values_become_rows() {
    let values = [
        json!({"b": true, "l": 7, "d": 1.5, "s": "x", "o": {"i": 1}, "a": [{"j": 2}, null, {}]}),
        json!({"l": 9, "d": 2, "o": {}, "a": []}),
    ];
    let texts = values.each_ref().map(ToString::to_string);
    let (tree, _) = learn(&TypedColumns::default(), &values);
    let batch = batch(&[Some(texts[0].as_bytes()), None, Some(texts[1].as_bytes())]);
    let archive = write(tree, &batch);
    assert_eq!(archive.unfit, 0);
    let rows = rows(&archive);
    let typed = typed(&rows);
    let column = |name: &str| typed.column_by_name(name).expect("a column");
    assert_eq!((0..3).map(|row| typed.is_null(row)).collect::<Vec<_>>(), [false, true, false]);
    assert_eq!(column("b").as_boolean().iter().collect::<Vec<_>>(), [Some(true), None, None]);
    assert_eq!(column("l").as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(7), None, Some(9)]);
    let doubles = column("d").as_primitive::<Float64Type>();
    assert_eq!(doubles.iter().collect::<Vec<_>>(), [Some(1.5), None, Some(2.0)]);
    assert_eq!(column("s").as_string::<i32>().iter().collect::<Vec<_>>(), [Some("x"), None, None]);
    let inner = column("o").as_struct();
    assert_eq!((0..3).map(|row| inner.is_null(row)).collect::<Vec<_>>(), [false, true, false]);
    let list = column("a").as_list::<i32>();
    assert_eq!((list.value_length(0), list.is_null(1), list.value_length(2)), (3, true, 0));
    let elements = list.value(0);
    assert!(elements.is_null(1) && !elements.is_null(2), "an element that is null is no empty object");
}

#[test]
fn a_value_that_does_not_fit_keeps_its_bytes_and_says_why() {
    let (tree, columns) = learn(&TypedColumns::default(), &[json!({"a": 1, "b": {"c": "x"}, "l": [1]})]);
    let tree = [tree, ColumnTree::new(&columns)];
    assert_eq!(tree[0], tree[1], "a topic's columns are those that were settled");
    let cases: &[(&[u8], Option<&str>)] = &[
        (br#"{"a": 2, "more": 1}"#, None),
        (b"not JSON", Some("the value is not JSON")),
        (b"[1]", Some("the value is not a JSON object")),
        (br#"{"a": "x"}"#, Some("a: the column holds a 64-bit integer")),
        (br#"{"b": {"c": 1}}"#, Some("b.c: the column holds a string")),
        (br#"{"a": 1, "l": [1, "x"]}"#, Some("l: the column holds a list of one kind")),
        (b"\xff\x00", Some("the value is not JSON")),
    ];
    let values: Vec<_> = cases.iter().map(|(value, _)| Some(*value)).collect();
    let archive = write(ColumnTree::new(&columns), &batch(&values));
    assert_eq!(archive.unfit, 6);
    let rows = rows(&archive);
    assert_eq!(errors(&rows), cases.iter().map(|(_, error)| *error).collect::<Vec<_>>());
    let is_null: Vec<_> = (0..cases.len()).map(|row| typed(&rows).is_null(row)).collect();
    assert_eq!(is_null, cases.iter().map(|(_, error)| error.is_some()).collect::<Vec<_>>());
    let raw: Vec<_> = rows.column_by_name("value").expect("raw values").as_binary::<i32>().iter().collect();
    assert_eq!(raw, values);
}

#[test]
fn a_json_schema_says_which_columns_there_are() {
    let schema = json!({"type": "object", "properties": {
        "at": {"type": "string", "format": "date-time"},
        "day": {"type": ["string", "null"], "format": "date"},
        "n": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "free": {"type": "object"},
    }});
    let tree = json_schema(&schema.to_string()).expect("a schema");
    let (tree, columns) = tree.settle(&TypedColumns::default());
    let expect = ["19 at Timestamp", "20 day Date", "21 n Long", "22 tags List", "23 tags.element String"];
    assert_eq!(lines(&columns), expect);
    let (_, same) = json_schema(&schema.to_string()).expect("a schema").settle(&columns);
    assert_eq!(same, columns, "a schema that stays adds nothing");
    let fits = br#"{"at": "1970-01-01T01:00:00.5+01:00", "day": "1970-01-03", "n": 5, "other": 1}"#;
    let archive = write(tree, &batch(&[Some(fits), Some(br#"{"day": "tomorrow"}"#)]));
    let rows = rows(&archive);
    let column = |name: &str| typed(&rows).column_by_name(name).expect("a column");
    assert_eq!(column("at").as_primitive::<TimestampMicrosecondType>().value(0), 500_000);
    assert_eq!(column("day").as_primitive::<Date32Type>().value(0), 2);
    assert_eq!(errors(&rows), [None, Some("day: the column holds a date as 2025-12-31")]);
}

#[test]
fn a_schema_that_changes_its_mind_gets_columns_of_its_own() {
    let settle = |kind: &str, known: &TypedColumns| {
        let schema = json!({"type": "object", "properties": {"a": {"type": kind}}}).to_string();
        json_schema(&schema).expect("a schema").settle(known).1
    };
    let first = settle("integer", &TypedColumns::default());
    let second = settle("string", &first);
    assert_eq!(lines(&second), ["19 a Long", "20 a_2 String"]);
    assert_eq!(settle("integer", &second), second, "what was there is taken up again");
}

#[test]
fn a_schema_that_cannot_be_used_is_refused_by_name() {
    const SHAPE: SchemaError = SchemaError::Shape("the schema of an object with properties");
    let check = |schema: &str, expect: SchemaError| {
        assert_eq!(json_schema(schema), Err(expect), "{schema}");
    };
    assert!(matches!(json_schema("{"), Err(SchemaError::Syntax(_))));
    check(r#"{"type": "string"}"#, SHAPE);
    check(r#"{"type": "object"}"#, SHAPE);
    let with = |property: &str| format!(r#"{{"type": "object", "properties": {{"a": {property}}}}}"#);
    check(&with(r##"{"$ref": "#/b"}"##), SchemaError::Type("$.a".to_owned()));
    check(&with(r#"{"type": ["string", "integer"]}"#), SchemaError::Type("$.a".to_owned()));
    check(&with(r#"{"type": "array", "items": {}}"#), SchemaError::Type("$.a[]".to_owned()));
    let deep = (0..COLUMN_DEPTH_MAX + 1)
        .fold(json!({"type": "string"}), |within, _| json!({"type": "object", "properties": {"in": within}}));
    assert!(matches!(json_schema(&deep.to_string()), Err(SchemaError::Limit(_))));
}

#[test]
fn field_ids_are_in_the_file() {
    let (tree, _) = learn(&TypedColumns::default(), &[json!({"a": 1, "l": [{"b": 1}]})]);
    let archive = write(tree, &batch(&[Some(b"{}")]));
    let file = Bytes::from(archive.bytes);
    let tail = file.slice(file.len() - archive.tail.bytes as usize..);
    let footer = Footer::decode(file.len() as u64, archive.tail, tail).expect("a sound footer");
    let schema = footer.schema();
    for part in ["v [13]", "a [19]", "l [20]", "element [21]", "b [22]"] {
        assert!(schema.contains(part), "{part} in {schema}");
    }
}

#[test]
fn typed_columns_cost_consumers_nothing() {
    let texts: Vec<_> =
        (0..2_000).map(|n| json!({"n": n, "text": format!("number {n}")}).to_string()).collect();
    let batch = batch(&texts.iter().map(|text| Some(text.as_bytes())).collect::<Vec<_>>());
    let values: Vec<Value> = texts.iter().map(|text| serde_json::from_str(text).expect("JSON")).collect();
    let (tree, _) = learn(&TypedColumns::default(), &values);
    let (plain, typed) = (write(ColumnTree::default(), &batch), write(tree, &batch));
    let group = |archive: &Archive| {
        let tail =
            Bytes::copy_from_slice(&archive.bytes[archive.bytes.len() - archive.tail.bytes as usize..]);
        let footer = Footer::decode(archive.bytes.len() as u64, archive.tail, tail).expect("a sound footer");
        let group = footer.groups()[0].clone();
        (group.range, group.logical_bytes)
    };
    assert!(typed.bytes.len() > plain.bytes.len() + 5_000);
    assert_eq!(group(&plain), group(&typed), "consumers read the same bytes, and as many at once");
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-5_i64..5).prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-c]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |within| {
        prop_oneof![
            prop::collection::vec(within.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-cA]{0,1}", within, 0..4)
                .prop_map(|fields: BTreeMap<String, Value>| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Whatever the values are: consumers get their bytes, and what was learned is there when it is read again.
    #[test]
    fn any_values_are_kept(values in prop::collection::vec(any_value(), 1..12), split in 0_usize..12) {
        let texts: Vec<_> = values.iter().map(ToString::to_string).collect();
        let early = values.get(..split.min(values.len())).unwrap_or_default();
        let (_, known) = learn(&TypedColumns::default(), early);
        let (tree, columns) = learn(&known, &values);
        prop_assert_eq!(columns.first(known.len()), known);
        prop_assert_eq!(&tree, &ColumnTree::new(&columns));
        let again = learn(&columns, &values).1;
        prop_assert_eq!(&again, &columns, "nothing is learned twice");
        let expect: Vec<_> = texts.iter().map(|text| Some(Bytes::from(text.clone()))).collect();
        let batch = batch(&texts.iter().map(|text| Some(text.as_bytes())).collect::<Vec<_>>());
        let archive = write(tree, &batch);
        prop_assert_eq!(consumed(&archive), expect);
        let objects = values.iter().filter(|value| value.is_object()).count() as u64;
        let others = if columns.is_empty() { 0 } else { texts.len() as u64 - objects };
        prop_assert!(archive.unfit >= others);
        prop_assert!(columns.iter().all(|(_, column)| column.kind != ColumnKind::Date));
    }
}
