//! Record values for load: either incompressible, or made to compress about 2.5 times with lz4.

use bytes::Bytes;
use ebb_protocol::random::Random;

/// How many different values there are. They are longer together than any codec's window, so that a repeated value
/// is not compressed away against its predecessor.
const VALUES: usize = 4096;
/// Values are made of pieces of this size ...
const PIECE_BYTES: usize = 64;
/// ... of which this much is random when they should compress; the rest is text that repeats.
const RANDOM_BYTES: usize = 22;

/// A pool of values to send in turn; giving one out copies nothing.
pub(crate) struct Values {
    values: Vec<Bytes>,
    next: usize,
}

impl Values {
    /// Values of `bytes` each.
    pub(crate) fn new(bytes: usize, compressible: bool, random: &Random) -> Self {
        let values = (0..VALUES).map(|_| value(bytes, compressible, random)).collect();
        Self { values, next: 0 }
    }

    /// The next value.
    pub(crate) fn next(&mut self) -> Bytes {
        let value = self.values[self.next].clone();
        self.next = (self.next + 1) % VALUES;
        value
    }
}

fn value(bytes: usize, compressible: bool, random: &Random) -> Bytes {
    const TEXT: &[u8; PIECE_BYTES] =
        b"{\"carrier\":\"UA\",\"origin\":\"EWR\",\"dest\":\"IAH\",\"distance\":1400.00,}";
    let mut value = Vec::with_capacity(bytes + PIECE_BYTES);
    while value.len() < bytes {
        let fresh = if compressible { RANDOM_BYTES } else { PIECE_BYTES };
        let end = value.len() + fresh;
        while value.len() < end {
            value.extend_from_slice(&random.next_u64().to_le_bytes());
        }
        value.truncate(end);
        value.extend_from_slice(&TEXT[fresh..]);
    }
    value.truncate(bytes);
    Bytes::from(value)
}
