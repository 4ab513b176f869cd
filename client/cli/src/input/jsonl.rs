//! A record as one JSON object: the form that `ebb consume --format json` prints and `ebb produce --format jsonl`
//! reads. Bytes that are no UTF-8 are written as base64 under a name of their own.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use ebbtide::{ConsumerRecord, Header, PartitionIndex, Record, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

/// Reads a record. A value that is no JSON string is taken as the JSON text it is.
pub(super) fn parse(line: &[u8]) -> Result<Record, String> {
    let input: Input<'_> = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    Ok(Record {
        partition: input.partition.map(PartitionIndex),
        key: field(input.key, input.key_base64.as_deref())?,
        value: field(input.value, input.value_base64.as_deref())?,
        headers: headers(input.headers)?,
        timestamp: input.timestamp.map(Timestamp),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input<'a> {
    #[serde(borrow)]
    key: Option<&'a RawValue>,
    key_base64: Option<String>,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    value_base64: Option<String>,
    #[serde(default)]
    headers: Headers,
    partition: Option<i32>,
    timestamp: Option<i64>,
    // What `ebb consume` prints besides, so that its output can be read back.
    #[serde(rename = "topic")]
    _topic: Option<String>,
    #[serde(rename = "offset")]
    _offset: Option<i64>,
}

/// Headers as a map, or as a list of pairs where names repeat.
#[derive(Deserialize)]
#[serde(untagged)]
enum Headers {
    Map(BTreeMap<String, Option<String>>),
    Pairs(Vec<(String, Option<String>)>),
}

impl Default for Headers {
    fn default() -> Self {
        Self::Pairs(Vec::new())
    }
}

fn headers(input: Headers) -> Result<Vec<Header>, String> {
    let pairs = match input {
        Headers::Map(map) => map.into_iter().collect(),
        Headers::Pairs(pairs) => pairs,
    };
    Ok(pairs
        .into_iter()
        .map(|(name, value)| Header { key: Bytes::from(name), value: value.map(Bytes::from) })
        .collect())
}

fn field(text: Option<&RawValue>, base64: Option<&str>) -> Result<Option<Bytes>, String> {
    if let Some(base64) = base64 {
        let bytes = STANDARD.decode(base64).map_err(|error| format!("base64: {error}"))?;
        return Ok(Some(Bytes::from(bytes)));
    }
    let Some(raw) = text else { return Ok(None) };
    match serde_json::from_str(raw.get()).map_err(|error| error.to_string())? {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(Bytes::from(text))),
        _ => Ok(Some(Bytes::copy_from_slice(raw.get().as_bytes()))),
    }
}

/// A record as it is printed.
#[derive(Serialize)]
pub(crate) struct Printed<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    timestamp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers: Vec<(String, Option<String>)>,
}

impl<'a> From<&'a ConsumerRecord> for Printed<'a> {
    fn from(record: &'a ConsumerRecord) -> Self {
        let (key, key_base64) = text_or_base64(record.key.as_deref());
        let (value, value_base64) = text_or_base64(record.value.as_deref());
        let lossy = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        let headers =
            record.headers.iter().map(|header| (lossy(&header.key), header.value.as_ref().map(lossy)));
        Self {
            topic: &record.topic,
            partition: record.partition.0,
            offset: record.offset.0,
            timestamp: record.timestamp.0,
            key,
            key_base64,
            value,
            value_base64,
            headers: headers.collect(),
        }
    }
}

fn text_or_base64(bytes: Option<&[u8]>) -> (Option<&str>, Option<String>) {
    match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => (None, None),
        Some((_, Ok(text))) => (Some(text), None),
        Some((bytes, Err(_))) => (None, Some(STANDARD.encode(bytes))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_become_a_record() {
        let text =
            r#"{"key":"k","value":{"a": 1},"headers":[["h","1"],["h",null]],"partition":2,"timestamp":7}"#;
        let record = parse(text.as_bytes()).expect("the line is valid");
        let header = |value: Option<&'static str>| Header { key: "h".into(), value: value.map(Bytes::from) };
        let expect = Record {
            partition: Some(PartitionIndex(2)),
            key: Some("k".into()),
            value: Some("{\"a\": 1}".into()),
            headers: vec![header(Some("1")), header(None)],
            timestamp: Some(Timestamp(7)),
        };
        assert_eq!(record, expect);
    }

    #[test]
    fn null_and_absent_are_null() {
        assert_eq!(parse(br#"{"value":null}"#), Ok(Record::default()));
    }

    #[test]
    fn what_is_printed_can_be_read_back() {
        let printed = ConsumerRecord {
            topic: "t".into(),
            partition: PartitionIndex(1),
            offset: ebbtide::Offset(5),
            timestamp: Timestamp(9),
            key: None,
            value: Some(Bytes::from_static(b"\xff\x00")),
            headers: Vec::new(),
        };
        let line = serde_json::to_vec(&Printed::from(&printed)).expect("a record can be printed");
        let expect =
            Record::new(Bytes::from_static(b"\xff\x00")).partition(PartitionIndex(1)).timestamp(Timestamp(9));
        assert_eq!(parse(&line), Ok(expect));
    }
}
