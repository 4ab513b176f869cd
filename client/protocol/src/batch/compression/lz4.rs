//! LZ4 frames as Kafka's clients write them: independent blocks, which Java's reader wants, and no checksum of the
//! content, which would only repeat the batch's own. Written here because `lz4_flex` compresses single blocks nearly
//! twice as fast as its frame encoder does, and decompresses them to where they belong. Other frames are its own affair.
//!
//! ```text
//! magic 04 22 4d 18 | flags 60 | block size 40 | header checksum 82 | length u32 le, block | ... | length 0
//! ```
//!
//! The highest bit of a length marks a block that is stored as it is.

use std::io;

use lz4_flex::block::{compress_into, decompress_into, get_maximum_output_size};

/// Version 1, independent blocks of at most 64 KiB, no sizes and checksums.
const HEADER: [u8; 7] = [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82];
const BLOCK_BYTES: usize = 64 << 10;
const STORED: u32 = 1 << 31;
const END: [u8; 4] = [0; 4];

/// Whether bytes begin as a frame does. What Kafka's clients do not read either is none: legacy frames, skippable ones.
pub(super) fn is_frame(bytes: &[u8]) -> bool {
    HEADER.first_chunk::<4>().is_some_and(|magic| bytes.starts_with(magic))
}

/// Appends a frame.
pub(super) fn compress(input: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let mut scratch = vec![0; get_maximum_output_size(input.len().min(BLOCK_BYTES))];
    out.extend_from_slice(&HEADER);
    for block in input.chunks(BLOCK_BYTES) {
        let packed = compress_into(block, &mut scratch).map_err(io::Error::other)?;
        let (flag, body) = match scratch.get(..packed) {
            Some(packed) if packed.len() < block.len() => (0, packed),
            _ => (STORED, block),
        };
        let len = u32::try_from(body.len()).map_err(io::Error::other)?;
        out.extend_from_slice(&(len | flag).to_le_bytes());
        out.extend_from_slice(body);
    }
    out.extend_from_slice(&END);
    Ok(())
}

/// Decompresses a frame like those that [`compress`] makes, to `limit` bytes or a block more, behind what is in `out`.
/// False when the frame is of another kind.
pub(super) fn decompress(input: &[u8], limit: usize, out: &mut Vec<u8>) -> io::Result<bool> {
    let Some(mut rest) = input.strip_prefix(&HEADER) else { return Ok(false) };
    while out.len() <= limit {
        let (len, behind) = rest.split_first_chunk::<4>().ok_or(io::ErrorKind::UnexpectedEof)?;
        if *len == END {
            break;
        }
        let len = u32::from_le_bytes(*len);
        let bytes = usize::try_from(len & !STORED).map_err(io::Error::other)?;
        let (block, behind) = behind.split_at_checked(bytes).ok_or(io::ErrorKind::UnexpectedEof)?;
        rest = behind;
        if len & STORED != 0 {
            if bytes > BLOCK_BYTES {
                return Err(io::Error::other("a block is larger than the frame allows"));
            }
            out.extend_from_slice(block);
            continue;
        }
        let start = out.len();
        out.resize(start + BLOCK_BYTES, 0);
        let room = out.get_mut(start..).unwrap_or_default();
        let unpacked = decompress_into(block, room).map_err(io::Error::other)?;
        out.truncate(start + unpacked);
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use bytes::Bytes;
    use lz4_flex::frame::FrameDecoder;

    use super::*;
    use crate::{
        batch::{Compression, CompressionError},
        random::Random,
    };

    #[test]
    fn frames_are_read_by_an_lz4_decoder() {
        let random = Random::from_seed(4);
        let noise: Vec<u8> = (0..BLOCK_BYTES / 8 + 1).flat_map(|_| random.next_u64().to_be_bytes()).collect();
        for input in [Vec::new(), b"abc".to_vec(), noise, vec![7; 3 * BLOCK_BYTES], vec![7; BLOCK_BYTES + 1]]
        {
            let mut frame = Vec::new();
            compress(&input, &mut frame).expect("lz4 takes any input");
            assert!(frame.len() <= input.len() + 7 + 4 + 4 * (input.len() / BLOCK_BYTES + 1));
            let mut output = Vec::new();
            FrameDecoder::new(frame.as_slice()).read_to_end(&mut output).expect("a sound frame");
            assert_eq!(output, input);
            assert_eq!(decompressed(&frame, usize::MAX).expect("a sound frame"), input);
        }
    }

    fn decompressed(frame: &[u8], limit: usize) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        let is_known = decompress(frame, limit, &mut out)?;
        assert!(is_known, "the frame's header is the one that is written here");
        Ok(out)
    }

    #[test]
    fn no_more_than_a_block_is_decompressed_beyond_the_limit() {
        let mut frame = Vec::new();
        compress(&vec![7; 10 * BLOCK_BYTES], &mut frame).expect("lz4 takes any input");
        for limit in [0, 1, BLOCK_BYTES, 3 * BLOCK_BYTES + 1] {
            let out = decompressed(&frame, limit).expect("a sound frame");
            assert!(out.len() > limit && out.len() <= limit + BLOCK_BYTES, "{} for {limit}", out.len());
        }
    }

    #[test]
    fn damaged_frames_are_refused() {
        let mut frame = Vec::new();
        compress(&[7; 300], &mut frame).expect("lz4 takes any input");
        for end in HEADER.len()..frame.len() {
            assert!(decompressed(&frame[..end], 1 << 20).is_err(), "cut after {end} bytes");
        }
        let with = |block: &[u8], stored: u32| {
            let len = u32::try_from(block.len()).expect("a small block") | stored;
            [&HEADER, &len.to_le_bytes()[..], block, &END].concat()
        };
        let large = vec![0; BLOCK_BYTES + 1];
        assert!(decompressed(&with(&large, STORED), 1 << 20).is_err(), "a stored block that is too large");
        let packed = lz4_flex::block::compress(&large);
        assert!(decompressed(&with(&packed, 0), 1 << 20).is_err(), "a block of too many bytes");
        assert!(decompressed(&with(b"\xff", 0), 1 << 20).is_err(), "no block at all");
        assert!(!decompress(b"\x04\x22\x4d\x18\x64\x40\xa7", 9, &mut Vec::new()).expect("another kind"));
    }

    #[test]
    fn legacy_frames_are_refused() {
        let refused = |bytes: &'static [u8]| {
            let read = Compression::Lz4.decompress(&Bytes::from_static(bytes), 1 << 16);
            assert!(matches!(read, Err(CompressionError::Corrupt { .. })), "{read:?}");
        };
        // A block of four literals, for which the decoder would set aside two times 8 MiB.
        refused(b"\x02\x21\x4c\x18\x05\x00\x00\x00\x40abcd");
        refused(b"\x50\x2a\x4d\x18\x00\x00\x00\x00");
        refused(b"");
    }

    #[test]
    fn what_does_not_compress_is_stored() {
        let mut frame = Vec::new();
        compress(b"abc", &mut frame).expect("lz4 takes any input");
        assert_eq!(frame, b"\x04\x22\x4d\x18\x60\x40\x82\x03\x00\x00\x80abc\x00\x00\x00\x00");
    }
}
