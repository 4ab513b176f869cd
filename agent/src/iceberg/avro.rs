//! Writes Avro object container files, as far as Iceberg's manifests need them: one uncompressed block. The same values
//! always give the same bytes. Knows nothing of Iceberg.

use bytes::Bytes;
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_128;

/// The first bytes of an object container file, Avro 1.11.
const MAGIC: &[u8; 4] = b"Obj\x01";

/// Values in Avro's binary encoding, one behind the other.
#[derive(Debug, Default)]
pub(super) struct Encoder(Vec<u8>);

impl Encoder {
    /// A `long`, or an `int`: both are zigzag varints.
    pub(super) fn long(&mut self, value: i64) {
        let mut rest = value.cast_unsigned() << 1 ^ (value >> 63).cast_unsigned();
        while rest >= 0x80 {
            self.0.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        self.0.push(rest as u8);
    }

    /// A count or a size. Those of this product are far below 2^63.
    pub(super) fn count(&mut self, value: u64) {
        self.long(i64::try_from(value).unwrap_or(i64::MAX));
    }

    /// `bytes`.
    pub(super) fn bytes(&mut self, value: &[u8]) {
        self.count(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    /// A `string`.
    pub(super) fn string(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    /// The branch of a union of null and another type; the value follows if it is there.
    pub(super) fn is_present(&mut self, present: bool) {
        self.long(i64::from(present));
    }

    /// An `array`: the items in one block, and the end.
    pub(super) fn array<T>(&mut self, items: &[T], mut item: impl FnMut(&mut Self, &T)) {
        if !items.is_empty() {
            self.count(items.len() as u64);
            items.iter().for_each(|each| item(self, each));
        }
        self.long(0);
    }

    /// A container file of so many values, all of this schema, with metadata beside Avro's own.
    pub(super) fn into_container(self, schema: &Value, metadata: &[(&str, String)], values: usize) -> Bytes {
        let own = [("avro.schema", schema.to_string()), ("avro.codec", "null".to_owned())];
        let pairs: Vec<_> = own.iter().chain(metadata).collect();
        let mut file = Self(MAGIC.to_vec());
        // A map is encoded as an array of pairs.
        file.array(&pairs, |file, (key, value)| {
            file.string(key);
            file.string(value);
        });
        // The marker only has to differ from what stands in the file; a hash of it does, and is always the same.
        let marker = xxh3_128(&self.0).to_be_bytes();
        file.0.extend_from_slice(&marker);
        if values > 0 {
            file.count(values as u64);
            file.bytes(&self.0);
            file.0.extend_from_slice(&marker);
        }
        file.0.into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn longs_are_zigzag_varints() {
        let check = |value: i64, expect: &[u8]| {
            let mut encoder = Encoder::default();
            encoder.long(value);
            assert_eq!(encoder.0, expect, "{value}");
        };
        check(0, &[0]);
        check(-1, &[1]);
        check(1, &[2]);
        check(-64, &[0x7f]);
        check(64, &[0x80, 0x01]);
        check(i64::MAX, &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
        check(i64::MIN, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
    }

    #[test]
    fn a_container_has_header_block_and_markers() {
        let mut encoder = Encoder::default();
        encoder.string("a");
        let file = encoder.into_container(&json!("string"), &[("k", "v".to_owned())], 1);
        let marker = xxh3_128(b"\x02a").to_be_bytes();
        let mut expect =
            b"Obj\x01\x06\x16avro.schema\x10\"string\"\x14avro.codec\x08null\x02k\x02v\x00".to_vec();
        expect.extend_from_slice(&marker);
        expect.extend_from_slice(b"\x02\x04\x02a");
        expect.extend_from_slice(&marker);
        assert_eq!(file, expect);
    }

    #[test]
    fn arrays_end_with_an_empty_block() {
        let mut encoder = Encoder::default();
        encoder.array(&[1, 2], |encoder, item| encoder.long(*item));
        encoder.array(&[], |encoder, item: &i64| encoder.long(*item));
        assert_eq!(encoder.0, [4, 2, 4, 0, 0]);
    }
}
