//! LZ4 frames as Kafka's clients write them: independent blocks, which Java's reader wants, and no checksum of the
//! content, which would only repeat the batch's own. Written here because `lz4_flex` compresses single blocks nearly
//! twice as fast as its frame encoder does.
//!
//! ```text
//! magic 04 22 4d 18 | flags 60 | block size 40 | header checksum 82 | length u32 le, block | ... | length 0
//! ```
//!
//! The highest bit of a length marks a block that is stored as it is.

use std::io;

use lz4_flex::block::{compress_into, get_maximum_output_size};

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
        }
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
