//! A checked cursor over bytes from the wire: every read either lies inside the bytes or is an error.
//! Knows the integers and varints of Kafka's protocol guide, nothing of messages.

/// Why bytes could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// More bytes were asked for than are left.
    #[error("{need} bytes are needed and {left} are left")]
    Truncated {
        /// Bytes that are needed.
        need: usize,
        /// Bytes that are left.
        left: usize,
    },
    /// A varint is longer than its type allows.
    #[error("a varint is longer than its type allows")]
    OverlongVarint,
    /// A length or count is negative where none may be.
    #[error("a length is negative: {0}")]
    NegativeLength(i64),
}

/// A cursor over borrowed bytes.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Bytes that are left.
    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }

    /// The next `n` bytes.
    #[inline]
    pub(crate) fn take(&mut self, n: usize) -> Result<&'a [u8], WireError> {
        let Some((head, rest)) = self.rest.split_at_checked(n) else {
            return Err(WireError::Truncated { need: n, left: self.rest.len() });
        };
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let Some((head, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(WireError::Truncated { need: N, left: self.rest.len() });
        };
        self.rest = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, WireError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn i16(&mut self) -> Result<i16, WireError> {
        self.array().map(i16::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, WireError> {
        self.array().map(i32::from_be_bytes)
    }

    /// An unsigned varint of at most five bytes.
    #[inline]
    pub(crate) fn uvarint(&mut self) -> Result<u32, WireError> {
        let value = self.varint_bits(5)?;
        u32::try_from(value).map_err(|_| WireError::OverlongVarint)
    }

    /// A zigzag varint of at most five bytes.
    #[inline]
    pub(crate) fn varint(&mut self) -> Result<i32, WireError> {
        let bits = self.uvarint()?;
        Ok((bits >> 1).cast_signed() ^ -(bits & 1).cast_signed())
    }

    /// A zigzag varint of at most ten bytes.
    #[inline]
    pub(crate) fn varlong(&mut self) -> Result<i64, WireError> {
        let bits = self.varint_bits(10)?;
        Ok((bits >> 1).cast_signed() ^ -(bits & 1).cast_signed())
    }

    /// Most varints are of one byte.
    #[inline]
    fn varint_bits(&mut self, bytes_max: u32) -> Result<u64, WireError> {
        match self.rest.split_first() {
            Some((byte, rest)) if *byte < 0x80 => {
                self.rest = rest;
                Ok((*byte).into())
            }
            _ => self.long_varint_bits(bytes_max),
        }
    }

    fn long_varint_bits(&mut self, bytes_max: u32) -> Result<u64, WireError> {
        let mut value = 0_u64;
        for index in 0..bytes_max {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit only.
            if index == 9 && bits > 1 {
                return Err(WireError::OverlongVarint);
            }
            value |= bits << (7 * index);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(WireError::OverlongVarint)
    }
}

/// Appends an unsigned varint.
pub(crate) fn put_uvarint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a zigzag varint. The encoding of an `i32` is the same as that of the equal `i64`.
pub(crate) fn put_varint(out: &mut Vec<u8>, value: i64) {
    put_uvarint(out, zigzag(value));
}

/// How many bytes [`put_varint`] writes.
pub(crate) fn varint_len(value: i64) -> usize {
    let bits = 64 - (zigzag(value) | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_are_read_back_and_measured() {
        let values =
            [0, -1, 1, 63, -64, 64, 8191, 8192, i64::from(i32::MAX), i64::from(i32::MIN), i64::MAX, i64::MIN];
        for value in values {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(out.len(), varint_len(value), "{value}");
            let mut reader = Reader::new(&out);
            assert_eq!(reader.varlong(), Ok(value));
            assert_eq!(reader.left(), 0);
            if let Ok(small) = i32::try_from(value) {
                assert_eq!(Reader::new(&out).varint(), Ok(small));
            }
        }
    }

    #[test]
    fn overlong_varints_are_refused() {
        let check = |bytes: &[u8]| Reader::new(bytes).varint();
        assert_eq!(check(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Ok(i32::MIN));
        assert_eq!(check(&[0xff, 0xff, 0xff, 0xff, 0x1f]), Err(WireError::OverlongVarint));
        assert_eq!(check(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x00]), Err(WireError::OverlongVarint));
        assert_eq!(check(&[0x80]), Err(WireError::Truncated { need: 1, left: 0 }));
        let long = |last: u8| {
            let mut bytes = [0xff; 10];
            bytes[9] = last;
            Reader::new(&bytes).varlong()
        };
        assert_eq!(long(0x01), Ok(i64::MIN));
        assert_eq!(long(0x02), Err(WireError::OverlongVarint));
        assert_eq!(long(0x80), Err(WireError::OverlongVarint));
    }

    #[test]
    fn reads_past_the_end_say_what_is_missing() {
        let mut reader = Reader::new(&[1, 2, 3]);
        assert_eq!(reader.i32(), Err(WireError::Truncated { need: 4, left: 3 }));
        assert_eq!(reader.take(usize::MAX), Err(WireError::Truncated { need: usize::MAX, left: 3 }));
        assert_eq!(reader.i16(), Ok(0x0102));
        assert_eq!(reader.take(1), Ok([3].as_slice()));
    }
}
