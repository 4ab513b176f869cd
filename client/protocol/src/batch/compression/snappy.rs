//! Snappy as Kafka's clients write it: the "xerial" framing of Java's library, or one raw block.
//!
//! ```text
//! 0x82 "SNAPPY" 0x00 | version i32 = 1 | oldest reader's version i32 = 1 | length i32, raw block | length i32, ...
//! ```

use std::io;

use bytes::Bytes;

use super::{Compression, CompressionError};
use crate::wire::Reader;

const MAGIC: &[u8; 8] = b"\x82SNAPPY\0";
const VERSIONS: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 1];
/// What Java's writer puts in a block, in bytes before compression.
const BLOCK_BYTES: usize = 32 << 10;
/// No element of a raw block gives more output than this for each byte of it: a copy of 64 bytes takes 3.
const RATIO_MAX: usize = 22;

/// Writes the framing.
pub(super) fn compress(input: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSIONS);
    let mut encoder = snap::raw::Encoder::new();
    for block in input.chunks(BLOCK_BYTES) {
        let packed = encoder.compress_vec(block)?;
        let len = i32::try_from(packed.len()).map_err(io::Error::other)?;
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(&packed);
    }
    Ok(())
}

/// Reads the framing, or one raw block when the magic is not there.
pub(super) fn decompress(input: &Bytes, limit: usize) -> Result<Bytes, CompressionError> {
    let mut out = Vec::new();
    if !input.starts_with(MAGIC) {
        decompress_block(input, &mut out, limit)?;
        return Ok(out.into());
    }
    let mut reader = Reader::new(input);
    let corrupt = |e| Compression::Snappy.corrupt(&e);
    reader.take(MAGIC.len() + VERSIONS.len()).map_err(corrupt)?;
    while reader.left() > 0 {
        let len = reader.i32().map_err(corrupt)?;
        let len = usize::try_from(len).map_err(|e| Compression::Snappy.corrupt(&e))?;
        decompress_block(reader.take(len).map_err(corrupt)?, &mut out, limit)?;
    }
    Ok(out.into())
}

/// Appends what a raw block holds. The length it states is believed only as far as its bytes can bear it out.
fn decompress_block(block: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(), CompressionError> {
    let snappy = Compression::Snappy;
    let len = snap::raw::decompress_len(block).map_err(|e| snappy.corrupt(&e))?;
    if len > limit.saturating_sub(out.len()) {
        return Err(CompressionError::TooLarge { compression: snappy, limit });
    }
    if len > block.len().saturating_mul(RATIO_MAX) {
        return Err(snappy.corrupt(&"a block states more bytes than it can hold"));
    }
    let start = out.len();
    out.resize(start + len, 0);
    let room = out.get_mut(start..).unwrap_or_default();
    snap::raw::Decoder::new().decompress(block, room).map_err(|e| snappy.corrupt(&e))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_blocks_are_read_as_well() {
        let raw =
            snap::raw::Encoder::new().compress_vec(b"raw raw raw raw raw").expect("snappy takes any input");
        assert_eq!(decompress(&raw.into(), 100), Ok(Bytes::from_static(b"raw raw raw raw raw")));
    }

    #[test]
    fn the_framing_is_javas() {
        let mut out = Vec::new();
        compress(b"abc", &mut out).expect("snappy takes any input");
        assert_eq!(out, b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01\0\0\0\x05\x03\x08abc");
    }

    #[test]
    fn stated_lengths_are_not_believed() {
        let check = |input: &'static [u8], limit| decompress(&Bytes::from_static(input), limit);
        // Five bytes that state four gigabytes.
        assert!(matches!(check(b"\xff\xff\xff\xff\x0f", 1 << 20), Err(CompressionError::TooLarge { .. })));
        assert!(matches!(check(b"\xff\xff\xff\xff\x0f", usize::MAX), Err(CompressionError::Corrupt { .. })));
        assert!(matches!(check(b"\0", 10), Ok(empty) if empty.is_empty()));
        assert!(check(b"", 10).is_err(), "even nothing takes a byte");
        // Block lengths that are negative or reach past the end.
        let framed = |tail: &[u8]| decompress(&[MAGIC, VERSIONS.as_slice(), tail].concat().into(), 1 << 20);
        assert!(matches!(framed(b"\xff\xff\xff\xff"), Err(CompressionError::Corrupt { .. })));
        assert!(matches!(framed(b"\x7f\xff\xff\xff"), Err(CompressionError::Corrupt { .. })));
        assert!(matches!(framed(b"\0\0"), Err(CompressionError::Corrupt { .. })));
    }
}
