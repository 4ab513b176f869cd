//! Checksums over a file's data, so that no byte is believed that changed in the store. Parquet has a place for them
//! in each page, which its writers leave empty. Knows nothing of rows.
//!
//! The data, which is all that lies before the page index, is cut into blocks of 64 KiB; each has a CRC-32C, and all
//! of them stand in the footer. The [`Tail`], page index and footer, has one of its own, kept outside the file.

use std::ops::Range;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;

/// Bytes under one checksum.
const BLOCK_BYTES: u64 = 64 << 10;

/// The end of a file, behind its data: page index and footer. Whoever refers to a file keeps this with it: it is what
/// a reader reads first, and by which it knows that it can believe the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    /// Its length in bytes.
    pub bytes: u32,
    /// CRC-32C of its bytes.
    pub checksum: u32,
}

/// Checksums of the blocks of a file's data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checksums {
    data_bytes: u64,
    blocks: Vec<u32>,
}

impl Checksums {
    /// Takes up the next of a file's data.
    pub(crate) fn add(&mut self, data: &[u8]) {
        let begun = usize::try_from(self.data_bytes % BLOCK_BYTES).unwrap_or(0);
        let missing = if begun == 0 { 0 } else { data.len().min(BLOCK - begun) };
        let (head, rest) = data.split_at(missing);
        if let Some(last) = self.blocks.last_mut() {
            *last = crc32c::crc32c_append(*last, head);
        }
        self.blocks.extend(blocks_of(rest));
        self.data_bytes += data.len() as u64;
    }

    /// As the footer keeps them: base64 of the checksums, each in four bytes, the highest first.
    pub(crate) fn encode(&self) -> String {
        let bytes: Vec<u8> = self.blocks.iter().flat_map(|block| block.to_be_bytes()).collect();
        BASE64_STANDARD.encode(bytes)
    }

    /// Reads what [`Self::encode`] made of data of so many bytes; `None` when it is something else.
    pub(crate) fn decode(text: &str, data_bytes: u64) -> Option<Self> {
        let bytes = BASE64_STANDARD.decode(text).ok()?;
        let (blocks, rest) = bytes.as_chunks();
        let blocks: Vec<_> = blocks.iter().map(|block| u32::from_be_bytes(*block)).collect();
        let whole = rest.is_empty() && blocks.len() as u64 == data_bytes.div_ceil(BLOCK_BYTES);
        whole.then_some(Self { data_bytes, blocks })
    }

    /// What they take in memory, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.blocks.len() * size_of::<u32>()
    }

    /// The bytes that they cover, from the first of the file.
    pub(crate) fn data_bytes(&self) -> u64 {
        self.data_bytes
    }

    /// The ranges of whole blocks in which some ranges lie, sorted; what touches is one range.
    pub(crate) fn widen(&self, ranges: &[Range<u64>]) -> Vec<Range<u64>> {
        let wide = |range: &Range<u64>| {
            let end = range.end.div_ceil(BLOCK_BYTES) * BLOCK_BYTES;
            range.start / BLOCK_BYTES * BLOCK_BYTES..end.min(self.data_bytes.max(range.end))
        };
        let mut wide: Vec<_> = ranges.iter().map(wide).collect();
        wide.sort_unstable_by_key(|range| range.start);
        let mut joined: Vec<Range<u64>> = Vec::with_capacity(wide.len());
        for range in wide {
            match joined.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => joined.push(range),
            }
        }
        joined
    }

    /// Whether the bytes of a range that [`Self::widen`] gave are those that were written.
    pub(crate) fn hold(&self, range: &Range<u64>, bytes: &Bytes) -> bool {
        if range.end > self.data_bytes || bytes.len() as u64 != range.end - range.start {
            return false;
        }
        let first = usize::try_from(range.start / BLOCK_BYTES).unwrap_or(usize::MAX);
        let expected = self.blocks.get(first..).unwrap_or_default();
        let count = bytes.len().div_ceil(BLOCK);
        expected.len() >= count && blocks_of(bytes).eq(expected.iter().take(count).copied())
    }
}

/// [`BLOCK_BYTES`], for slices.
const BLOCK: usize = BLOCK_BYTES as usize;

fn blocks_of(data: &[u8]) -> impl Iterator<Item = u32> {
    data.chunks(BLOCK).map(crc32c::crc32c)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA_BYTES: u64 = 3 * BLOCK_BYTES + 100;

    fn sums(data: &[u8]) -> Checksums {
        let mut sums = Checksums::default();
        sums.add(data);
        sums
    }

    #[test]
    fn data_may_come_in_any_pieces() {
        let data = data();
        for pieces in [1, 100, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 7] {
            let mut sums = Checksums::default();
            data.chunks(pieces).for_each(|piece| sums.add(piece));
            assert_eq!(sums, self::sums(&data), "pieces of {pieces} bytes");
        }
    }

    fn data() -> Vec<u8> {
        (0..DATA_BYTES).map(|n| u8::try_from(n % 251).expect("below 251")).collect()
    }

    #[test]
    fn they_are_read_as_they_were_written() {
        let sums = sums(&data());
        assert_eq!(Checksums::decode(&sums.encode(), DATA_BYTES), Some(sums.clone()));
        assert_eq!(Checksums::decode(&sums.encode(), DATA_BYTES + BLOCK_BYTES), None, "a block is missing");
        assert_eq!(Checksums::decode("no base64", DATA_BYTES), None);
    }

    #[test]
    fn ranges_grow_to_whole_blocks() {
        let sums = sums(&data());
        let check = |ranges: &[(u64, u64)], expected: &[(u64, u64)]| {
            let ranges: Vec<_> = ranges.iter().map(|(start, end)| *start..*end).collect();
            let wide: Vec<_> = sums.widen(&ranges).iter().map(|range| (range.start, range.end)).collect();
            assert_eq!(wide, expected, "{ranges:?}");
        };
        let block = |index| index * BLOCK_BYTES;
        check(&[(4, 5)], &[(0, block(1))]);
        check(&[(block(2), block(2) + 1), (4, 5)], &[(0, block(1)), (block(2), block(3))]);
        check(&[(4, 5), (block(1), block(1) + 1)], &[(0, block(2))]);
        check(&[(DATA_BYTES - 1, DATA_BYTES)], &[(block(3), DATA_BYTES)]);
    }

    #[test]
    fn one_bit_is_noticed() {
        let data = data();
        let sums = sums(&data);
        let range = BLOCK_BYTES..DATA_BYTES;
        let bytes = Bytes::copy_from_slice(&data[BLOCK..]);
        assert!(sums.hold(&range, &bytes));
        for at in [0, BLOCK - 1, BLOCK, bytes.len() - 1] {
            let mut bad = bytes.to_vec();
            bad[at] ^= 4;
            assert!(!sums.hold(&range, &bad.into()), "byte {at}");
        }
        assert!(!sums.hold(&range, &bytes.slice(1..)));
        assert!(!sums.hold(&(0..DATA_BYTES + 1), &bytes));
    }
}
