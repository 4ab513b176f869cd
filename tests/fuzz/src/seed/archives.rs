//! Inputs for `archives`: batches to write with both types of values, changes of a file, and what is no file.

use crate::Seed;

/// Two batches of a partition and one of the next: the shape of each, then of each record the gap before it, its
/// timestamp, and its fields, each behind its length and one.
const BATCHES: &[u8] =
    b"\x04\x00\x09\x03UA\x06hello\x03hk\x03hv\x02\x08\x00\x01\x00\x02\x00\x07\x03AA\x03\xff\xfe\x00\
    \x03\x00\x05\x02k\x02v\x00";

/// Values with columns of each kind: those of the first are learned, the second has the same, and the third another.
const VALUES: [&str; 3] = [
    r#"{"b":true,"l":1,"d":0.5,"s":"x","day":"2025-12-31","at":"2025-12-31T23:59:59Z","o":{"l":[1,2]}}"#,
    r#"{"b":null,"l":2,"d":3,"s":"","day":"2026-01-01","at":"2026-01-01T00:00:00.5Z","o":{"l":[]}}"#,
    r#"{"b":1,"l":"one","more":[{"of":"it"}]}"#,
];

/// A value in Avro: a number, a string of a union, a double, an enum, a list of lists, a map, a time and a decimal.
const AVRO: &[u8] =
    b"\x06\x02\x04hi\0\0\0\0\0\0\xe0\x3f\x02\x04\x02\x08\0\0\0\x02\x02k\x04vv\0\x80\x08\x04\x01\x02";
/// The same in Protobuf, without the enum, and with messages in each other.
const PROTOBUF: &[u8] =
    b"\x08\x03\x12\x02hi\x19\0\0\0\0\0\0\xe0\x3f\x22\x02\x02\x04\x2a\x06\x0a\x01k\x12\x01v\x32\x02\x08\x09\
    \x3a\x0d\x09\x01\0\0\0\0\0\0\0\x12\x02\x12\0\x40\x01";

/// A batch of one record for each value.
fn typed<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let batch = |value: &[u8]| {
        let len = u8::try_from(value.len() + 1).expect("values are short");
        [&[0, 0, 9, 0, len][..], value, &[0]].concat()
    };
    values.into_iter().flat_map(batch).collect()
}

pub(crate) fn seeds() -> Vec<Seed> {
    let seed = |name, kind: u8, input: &[u8]| Seed::new("archives", name, [&[kind], input].concat());
    vec![
        seed("binary", 0, BATCHES),
        seed("text", 128, BATCHES),
        seed("json", 3, &typed(VALUES.map(str::as_bytes))),
        seed("avro", 4, &typed([AVRO])),
        seed("protobuf", 5, &typed([PROTOBUF])),
        seed(
            "avro-schema",
            6,
            br#"{"type":"record","name":"R","fields":[{"name":"l","type":["null","long"]}]}"#,
        ),
        seed("proto", 7, b"syntax = \"proto3\"; message R { optional int64 l = 1; repeated R r = 2; }"),
        seed("changed", 1, &[0x02, 0x10, 0x01, 0x06, 0x33, 0x80]),
        seed("foreign", 2, b"PAR1\x15\x04\x19\x00\x00\x00\x00\x08\x00\x00\x00PAR1"),
    ]
}
