//! Values in Avro and Protobuf. The bytes were written by other people's encoders: fastavro 1.13.1 and the Protobuf
//! runtime of Python, 7.36.2.

use arrow_array::{Array, ArrayRef, cast::AsArray, types::*};
use ebb_archive::{Archive, ColumnTree, SchemaError, Typed, ValueReader};
use ebb_protocol::{
    columns::TypedColumns,
    values::{ValueFormat, ValueFraming, ValueSyntax},
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{batch, consumed, errors, lines, rows, typed, write_as};

const PROTO: &str = r#"
syntax = "proto3";
package shop;
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
message Order {
  message Line { string sku = 1; int32 count = 2; }
  enum State { NEW = 0; PAID = 1; }
  int64 id = 1;
  bool rush = 2;
  double total = 3;
  bytes token = 4;
  State state = 5;
  google.protobuf.Timestamp at = 6;
  google.protobuf.Int64Value weight = 7;
  repeated Line lines = 8;
  map<string, int32> stock = 9;
  optional string note = 10;
  Order parent = 11;
  uint64 big = 12;
}
message Other { string name = 1; }
"#;

fn avro_schema() -> String {
    let logical = |base: &str, logical: &str| json!({"type": base, "logicalType": logical});
    let line = json!({"type": "record", "name": "Line", "fields": [
        {"name": "sku", "type": "string"}, {"name": "count", "type": "int"}]});
    let fields = [
        ("id", json!("long")),
        ("rush", json!("boolean")),
        ("total", json!("double")),
        ("ratio", json!("float")),
        ("token", json!("bytes")),
        ("state", json!({"type": "enum", "name": "State", "symbols": ["NEW", "PAID"]})),
        ("at", logical("long", "timestamp-millis")),
        ("day", logical("int", "date")),
        ("price", json!({"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2})),
        ("key", logical("string", "uuid")),
        ("note", json!(["null", "string"])),
        ("lines", json!({"type": "array", "items": line})),
        ("stock", json!({"type": "map", "values": "long"})),
        ("gift", json!(["null", "Line"])),
        ("mixed", json!(["null", "int", "string"])),
        ("before", json!("State")),
        ("clock", logical("int", "time-millis")),
    ];
    let fields = fields.map(|(name, kind)| json!({"name": name, "type": kind}));
    json!({"type": "record", "name": "Order", "namespace": "shop", "fields": fields}).to_string()
}

fn format(syntax: ValueSyntax, schema: &str) -> ValueFormat {
    let (schema, message) = (schema.to_owned(), String::new());
    ValueFormat { syntax, framing: ValueFraming::None, schema, message }
}

/// What a reader of values in this format makes of them, and the columns of the topic.
fn archived(format: &ValueFormat, values: &[&[u8]]) -> (Archive, TypedColumns) {
    let (values_of, wanted) = ValueReader::new(format).expect("a schema");
    let (columns, topic) = wanted.expect("a schema wants columns").settle(&TypedColumns::default());
    let values: Vec<_> = values.iter().map(|value| Some(*value)).collect();
    (write_as(Typed { columns, values: values_of }, &batch(&values)), topic)
}

fn bytes(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("digits"));
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("digits")).collect()
}

/// A cell as text.
fn cell(column: &ArrayRef, row: usize) -> Value {
    use arrow_schema::DataType::*;
    match column.data_type() {
        _ if column.is_null(row) => Value::Null,
        Boolean => json!(column.as_boolean().value(row)),
        Int64 => json!(column.as_primitive::<Int64Type>().value(row)),
        Float64 => json!(column.as_primitive::<Float64Type>().value(row)),
        Utf8 => json!(column.as_string::<i32>().value(row)),
        Date32 => json!(column.as_primitive::<Date32Type>().value(row)),
        Timestamp(..) => json!(column.as_primitive::<TimestampMicrosecondType>().value(row)),
        List(_) => {
            let list = column.as_list::<i32>().value(row);
            (0..list.len()).map(|place| cell(&list, place)).collect()
        }
        Struct(fields) => {
            let cells = column.as_struct().columns().iter();
            fields
                .iter()
                .zip(cells)
                .map(|(field, column)| (field.name().clone(), cell(column, row)))
                .collect()
        }
        other => panic!("a column of {other}"),
    }
}

fn typed_row(archive: &Archive, row: usize) -> Value {
    let rows = rows(archive);
    cell(rows.column_by_name("v").expect("typed columns"), row)
}

#[test]
fn avro_records_become_rows() {
    let first = bytes(concat!(
        "0e01000000000000f83f0000803e0400ff029898d5edee660104fb4b4830303131323233332d343435352d363637372d",
        "383839392d6161626263636464656566660208736f6f6e040261040262010004027a02027904000202630004027800f8",
        "bbc603"
    ));
    let second = bytes(concat!(
        "0e01000000000000f87f0000803e0400ff029898d5edee6601020548303031313232333",
        "32d343435352d363637372d383839392d6161626263636464656566660000000004027800f8bbc603"
    ));
    let cut = &first[..first.len() - 1];
    let long = [&*second, &[0]].concat();
    let format = format(ValueSyntax::Avro, &avro_schema());
    let (archive, columns) = archived(&format, &[&first, &second, cut, &long, b"", &first[..1]]);
    let expect = [
        "19 id Long",
        "20 rush Boolean",
        "21 total Double",
        "22 ratio Double",
        "23 token String",
        "24 state String",
        "25 at Timestamp",
        "26 day Date",
        "27 price String",
        "28 key String",
        "29 note String",
        "30 lines List",
        "31 lines.element Struct",
        "32 lines.element.sku String",
        "33 lines.element.count Long",
        "34 stock List",
        "35 stock.element Struct",
        "36 stock.element.key String",
        "37 stock.element.value Long",
        "38 gift Struct",
        "39 gift.sku String",
        "40 gift.count Long",
        "41 before String",
        "42 clock String",
    ];
    assert_eq!(lines(&columns), expect);
    let full = json!({
        "id": 7, "rush": true, "total": 1.5, "ratio": 0.25, "token": "AP8=", "state": "PAID",
        "at": 1_767_225_599_500_000_i64, "day": -1, "price": "-12.05",
        "key": "00112233-4455-6677-8899-aabbccddeeff", "note": "soon",
        "lines": [{"sku": "a", "count": 2}, {"sku": "b", "count": -1}],
        "stock": [{"key": "y", "value": 2}, {"key": "z", "value": 1}],
        "gift": {"sku": "c", "count": 0}, "before": "NEW", "clock": "01:02:03.004000",
    });
    assert_eq!(typed_row(&archive, 0), full);
    let bare = typed_row(&archive, 1);
    for (key, expect) in [("note", json!(null)), ("lines", json!([])), ("gift", json!(null))] {
        assert_eq!(bare[key], expect, "{key}");
    }
    assert_eq!((&bare["total"], &bare["price"]), (&json!(null), &json!("0.05")), "NaN is no number");
    let unfit = Some("the value is not Avro of the topic's schema");
    assert_eq!(errors(&rows(&archive)), [None, None, unfit, unfit, unfit, unfit]);
    assert_eq!(archive.unfit, 4);
}

#[test]
fn avro_schemas_that_cannot_be_used_are_refused() {
    let check = |schema: &Value, expect: &str| {
        let error = ValueReader::new(&format(ValueSyntax::Avro, &schema.to_string())).expect_err("refused");
        assert!(error.to_string().contains(expect), "{error}");
    };
    let with = |kind: Value| json!({"type": "record", "name": "a", "fields": [{"name": "f", "type": kind}]});
    let list = |items: Value| with(json!({"type": "array", "items": items}));
    check(&json!("int"), "the schema of a record");
    check(&with(json!("null")), "fields that columns can hold");
    check(&with(json!("nothing")), "not an Avro schema");
    check(&with(json!(["null", "a"])), "a has itself in it");
    check(&list(json!("null")), "elements take no bytes");
    check(&list(json!({"type": "record", "name": "b", "fields": []})), "elements take no bytes");
    check(&list(json!({"type": "fixed", "name": "b", "size": 0})), "elements take no bytes");
    let types = (0..80).scan(json!("int"), |within, number| {
        let name = format!("t{number}");
        let named = json!({"type": "record", "name": name, "fields": [{"name": "f", "type": within}]});
        *within = json!(name);
        Some(json!({"name": name, "type": named}))
    });
    let chain = json!({"type": "record", "name": "a", "fields": types.collect::<Vec<_>>()});
    check(&chain, "more than 64 of its types lie in each other");
    let missing = ValueReader::new(&format(ValueSyntax::Avro, "")).expect_err("refused");
    assert_eq!(missing.to_string(), "values in Avro need a schema");
}

#[test]
fn a_short_value_cannot_ask_for_many_elements() {
    let kinds = [json!("boolean"), json!(["null", "int"]), json!("string")];
    for kind in kinds {
        let schema = json!({"type": "record", "name": "a", "fields": [
            {"name": "n", "type": "int"}, {"name": "f", "type": {"type": "array", "items": kind}}]});
        // Nine million elements, of which none is there.
        let value = [0, 0x80, 0xd2, 0xca, 0x08];
        let (archive, _) = archived(&format(ValueSyntax::Avro, &schema.to_string()), &[&value]);
        assert_eq!(archive.unfit, 1);
    }
}

#[test]
fn protobuf_messages_become_rows() {
    let large = bytes(concat!(
        "08f9ffffffffffffffff01100119000000000000f83f220200ff2801320c08fff1d6ca061080cab5ee013a0042050a01",
        "611002420e0a016210ffffffffffffffffff014a050a017910024a050a017a100152005a020801608080808080808080",
        "8001"
    ));
    let full = bytes(concat!(
        "08f9ffffffffffffffff01100119000000000000f83f220200ff2801320c08fff1d6ca061080cab5ee013a0042050a01",
        "611002420e0a016210ffffffffffffffffff014a050a017910024a050a017a100152005a0208016005"
    ));
    let bare = bytes("080119000000000000f07f");
    let format = format(ValueSyntax::Protobuf, PROTO);
    let (archive, columns) = archived(&format, &[&full, &bare, b"", &full[..20], b"{\"id\": 1}", &large]);
    let expect = [
        "19 id Long",
        "20 rush Boolean",
        "21 total Double",
        "22 token String",
        "23 state String",
        "24 at Timestamp",
        "25 weight Long",
        "26 lines List",
        "27 lines.element Struct",
        "28 lines.element.sku String",
        "29 lines.element.count Long",
        "30 stock List",
        "31 stock.element Struct",
        "32 stock.element.key String",
        "33 stock.element.value Long",
        "34 note String",
        "35 big Long",
    ];
    assert_eq!(lines(&columns), expect);
    let expect = json!({
        "id": -7, "rush": true, "total": 1.5, "token": "AP8=", "state": "PAID",
        "at": 1_767_225_599_500_000_i64, "weight": 0,
        "lines": [{"sku": "a", "count": 2}, {"sku": "b", "count": -1}],
        "stock": [{"key": "y", "value": 2}, {"key": "z", "value": 1}], "note": "", "big": 5,
    });
    assert_eq!(typed_row(&archive, 0), expect);
    let expect = json!({
        "id": 1, "rush": false, "total": null, "token": "", "state": "NEW", "at": null, "weight": null,
        "lines": [], "stock": [], "note": null, "big": 0,
    });
    assert_eq!(typed_row(&archive, 1), expect, "what has no presence has its default");
    assert_eq!(typed_row(&archive, 2)["id"], json!(0), "an empty message is one");
    let unfit = Some("the value is not Protobuf of the topic's schema");
    let long = Some("big: the column holds a 64-bit integer");
    assert_eq!(errors(&rows(&archive)), [None, None, None, unfit, unfit, long]);
}

#[test]
fn protobuf_schemas_that_cannot_be_used_are_refused() {
    let check = |schema: &str, message: &str, expect: &str| {
        let format = ValueFormat { message: message.to_owned(), ..format(ValueSyntax::Protobuf, schema) };
        let error = ValueReader::new(&format).expect_err("refused");
        assert!(error.to_string().contains(expect), "{error}");
    };
    check("message", "", "it is not a .proto file");
    check("syntax = \"proto3\"; import \"other.proto\"; message A { int32 a = 1; }", "", "other.proto");
    check("syntax = \"proto3\";", "", "a .proto file with a message");
    check("syntax = \"proto3\"; message A {}", "", "fields that columns can hold");
    check(PROTO, "Missing", "it has no message Missing");
    check(PROTO, "google.protobuf.Timestamp", "it has no message");
    let deep = "message A { ".repeat(1_000) + &"}".repeat(1_000);
    check(&format!("syntax = \"proto3\"; {deep}"), "", "it is not a .proto file");
    let missing = ValueReader::new(&format(ValueSyntax::Protobuf, "")).expect_err("refused");
    assert_eq!(missing, SchemaError::Missing(ValueSyntax::Protobuf));
}

#[test]
fn a_message_can_be_named() {
    for name in ["Other", "shop.Other"] {
        let format = ValueFormat { message: name.to_owned(), ..format(ValueSyntax::Protobuf, PROTO) };
        let (archive, columns) = archived(&format, &[&bytes("0a0178")]);
        assert_eq!(lines(&columns), ["19 name String"]);
        assert_eq!(typed_row(&archive, 0), json!({"name": "x"}));
    }
}

#[test]
fn what_a_schema_registrys_serializers_put_in_front_is_passed_over() {
    let framed = |format: ValueFormat, values: &[&[u8]]| {
        let (archive, _) = archived(&ValueFormat { framing: ValueFraming::Confluent, ..format }, values);
        let errors = rows(&archive);
        super::errors(&errors).into_iter().map(|error| error.map(str::to_owned)).collect::<Vec<_>>()
    };
    let missing = Some("the value does not begin with the id of a schema".to_owned());
    let schema = r#"{"type": "object", "properties": {"a": {"type": "integer"}}}"#;
    let found = framed(
        format(ValueSyntax::Json, schema),
        &[b"\0\0\0\0\x01{\"a\": 1}", b"{\"a\": 1}", b"\0\0\0\0", b""],
    );
    assert_eq!(found, [None, missing.clone(), missing.clone(), missing.clone()]);

    let schema = r#"{"type": "record", "name": "a", "fields": [{"name": "a", "type": "int"}]}"#;
    let found = framed(format(ValueSyntax::Avro, schema), &[b"\0\0\0\0\x01\x02", b"\x02"]);
    assert_eq!(found, [None, missing.clone()]);

    // The path of the message: that of the first one is written as nothing; then two steps to a message in another.
    let other = Some("the value is another message of the schema".to_owned());
    let values: [&[u8]; 4] = [
        b"\0\0\0\0\x01\0\x08\x01",
        b"\0\0\0\0\x01\x02\0\x08\x01",
        b"\0\0\0\0\x01\x02\x02\x0a\x01x",
        b"\0\0\0\0\x01",
    ];
    let found = framed(format(ValueSyntax::Protobuf, PROTO), &values);
    assert_eq!(found, [None, None, other.clone(), missing]);
    let line = ValueFormat { message: "Line".to_owned(), ..format(ValueSyntax::Protobuf, PROTO) };
    let found = framed(line, &[b"\0\0\0\0\x01\x04\0\0\x0a\x01x", b"\0\0\0\0\x01\0\x0a\x01x"]);
    assert_eq!(found, [None, other]);
}

proptest! {
    /// Whatever bytes come: no panic, and consumers get them.
    #[test]
    fn any_bytes_are_kept(
        values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..8),
        is_avro in any::<bool>(),
        is_framed in any::<bool>(),
    ) {
        let schema = if is_avro { avro_schema() } else { PROTO.to_owned() };
        let syntax = if is_avro { ValueSyntax::Avro } else { ValueSyntax::Protobuf };
        let framing = if is_framed { ValueFraming::Confluent } else { ValueFraming::None };
        let format = ValueFormat { framing, ..format(syntax, &schema) };
        let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        let (archive, columns) = archived(&format, &values);
        let read = consumed(&archive);
        prop_assert!(read.iter().map(|value| value.as_deref()).eq(values.iter().map(|value| Some(*value))));
        prop_assert_eq!(ColumnTree::new(&columns).is_empty(), false);
        prop_assert_eq!(typed(&rows(&archive)).len(), values.len());
    }
}
