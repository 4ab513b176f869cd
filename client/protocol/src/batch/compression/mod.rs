//! The compression codecs of Kafka's record batches, in the framings that Kafka's clients write and read.
//! Decompression is streamed and capped: no size from the wire decides how much is allocated.
//! Knows nothing of batches and records.

mod lz4;
mod snappy;

use std::{
    fmt,
    io::{self, Read, Write},
    str::FromStr,
};

use bytes::Bytes;
use lz4_flex::frame::FrameDecoder;

/// What records decompress to may have this many bytes by default.
pub const DECOMPRESSED_BYTES_MAX: usize = 128 << 20;

/// The level at which zstd compresses: its own default, as in Kafka's clients.
const ZSTD_LEVEL: i32 = 3;
/// Windows up to this power of two are always taken: zstd's levels up to 19 use them, however little is in them.
const ZSTD_WINDOW_LOG_MIN: u32 = 23;
/// No larger window is ever taken: it is what zstd's highest level uses.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// How the records of a batch are compressed. The number is the codec's id in a batch's attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are the codecs' own")]
pub enum Compression {
    #[default]
    None = 0,
    Gzip = 1,
    Snappy = 2,
    Lz4 = 3,
    Zstd = 4,
}

/// A name that is no codec's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("compression {0:?} is not known; use none, gzip, snappy, lz4 or zstd")]
pub struct UnknownCompression(String);

/// Why bytes could not be compressed or decompressed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompressionError {
    /// The bytes are not what the codec writes.
    #[error("{compression} data is corrupt: {reason}")]
    Corrupt {
        /// The codec.
        compression: Compression,
        /// What the codec says.
        reason: String,
    },
    /// The bytes decompress to more than may be held.
    #[error(
        "{compression} data decompresses to more than {limit} bytes; raise the limit or send smaller batches"
    )]
    TooLarge {
        /// The codec.
        compression: Compression,
        /// The limit in bytes.
        limit: usize,
    },
}

impl Compression {
    /// Every codec, by id.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The codec with an id.
    #[must_use]
    pub fn from_id(id: u8) -> Option<Self> {
        Self::ALL.get(usize::from(id)).copied()
    }

    /// The codec's id in a batch's attributes.
    #[must_use]
    pub fn id(self) -> u8 {
        self as u8
    }

    /// The codec's name, as in Kafka's `compression.type`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// Compresses `input` and appends the result to `out`.
    ///
    /// # Errors
    /// [`CompressionError::Corrupt`] when the codec fails, which it has no reason to.
    pub fn compress(self, input: &[u8], out: &mut Vec<u8>) -> Result<(), CompressionError> {
        let done = match self {
            Self::None => out.write_all(input),
            Self::Gzip => compress_gzip(input, out),
            Self::Snappy => snappy::compress(input, out),
            Self::Lz4 => lz4::compress(input, out),
            Self::Zstd => compress_zstd(input, out),
        };
        done.map_err(|e| self.corrupt(&e))
    }

    /// Decompresses `input` to at most `limit` bytes. Uncompressed bytes are passed on as they are.
    ///
    /// # Errors
    /// [`CompressionError`] when the bytes are corrupt or decompress to more.
    pub fn decompress(self, input: &Bytes, limit: usize) -> Result<Bytes, CompressionError> {
        match self {
            Self::None => Ok(input.clone()),
            Self::Gzip => {
                let decoder = flate2::read::MultiGzDecoder::new(input.as_ref());
                self.read(decoder, room(input.len(), limit), limit)
            }
            Self::Snappy => snappy::decompress(input, limit),
            // The decoder would take legacy frames as well, and hold 16 MiB for a few bytes of them.
            Self::Lz4 if !lz4::is_frame(input) => {
                Err(self.corrupt(&"it does not begin with the magic of a frame"))
            }
            Self::Lz4 => {
                let mut out = room(input.len(), limit);
                match lz4::decompress(input, limit, &mut out) {
                    Ok(true) => self.within(out, limit),
                    Ok(false) => self.read(FrameDecoder::new(input.as_ref()), out, limit),
                    Err(error) => Err(self.corrupt(&error)),
                }
            }
            Self::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(input.as_ref()).map_err(|e| self.corrupt(&e))?;
                // zstd allocates the window that the data asks for: a large one only where the output may be large.
                let window_log =
                    (usize::BITS - limit.leading_zeros()).clamp(ZSTD_WINDOW_LOG_MIN, ZSTD_WINDOW_LOG_MAX);
                decoder.window_log_max(window_log).map_err(|e| self.corrupt(&e))?;
                self.read(decoder, room(input.len(), limit), limit)
            }
        }
    }

    /// Reads a decoder to its end, or to one byte past the limit.
    fn read(self, decoder: impl Read, mut out: Vec<u8>, limit: usize) -> Result<Bytes, CompressionError> {
        let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        decoder.take(most).read_to_end(&mut out).map_err(|e| self.corrupt(&e))?;
        self.within(out, limit)
    }

    fn within(self, out: Vec<u8>, limit: usize) -> Result<Bytes, CompressionError> {
        if out.len() > limit {
            return Err(CompressionError::TooLarge { compression: self, limit });
        }
        Ok(out.into())
    }

    fn corrupt(self, reason: &impl ToString) -> CompressionError {
        CompressionError::Corrupt { compression: self, reason: reason.to_string() }
    }
}

/// Room for what some bytes may decompress to.
fn room(input_bytes: usize, limit: usize) -> Vec<u8> {
    Vec::with_capacity(input_bytes.saturating_mul(4).min(limit))
}

fn compress_gzip(input: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::default());
    encoder.write_all(input)?;
    encoder.finish().map(drop)
}

fn compress_zstd(input: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let mut encoder = zstd::Encoder::new(out, ZSTD_LEVEL)?;
    encoder.set_pledged_src_size(u64::try_from(input.len()).ok())?;
    encoder.write_all(input)?;
    encoder.finish().map(drop)
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Compression {
    type Err = UnknownCompression;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|codec| codec.name() == name);
        known.ok_or_else(|| UnknownCompression(name.chars().take(64).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codecs_are_found_by_id_and_by_name() {
        for codec in Compression::ALL {
            assert_eq!(Compression::from_id(codec.id()), Some(codec));
            assert_eq!(codec.name().parse(), Ok(codec));
        }
        assert_eq!(Compression::from_id(5), None);
        assert!("brotli".parse::<Compression>().is_err());
    }

    fn compressed(codec: Compression, input: &[u8]) -> Bytes {
        let mut out = Vec::new();
        codec.compress(input, &mut out).expect("codecs take any input");
        out.into()
    }

    /// Lines that compress, with bytes that do not.
    fn text(bytes: usize) -> Vec<u8> {
        (0_u32..)
            .flat_map(|n| format!("{{\"n\":{},\"c\":\"AA\"}}\n", n.wrapping_mul(2_654_435_761)).into_bytes())
            .take(bytes)
            .collect()
    }

    #[test]
    fn every_codec_reads_what_it_wrote() {
        for codec in Compression::ALL {
            for bytes in [0, 1, 100, 32 << 10, (32 << 10) + 1, 1 << 20] {
                let input = text(bytes);
                let packed = compressed(codec, &input);
                assert_eq!(codec.decompress(&packed, bytes), Ok(input.into()), "{codec} {bytes}");
                assert!(bytes < 1 << 20 || codec == Compression::None || packed.len() < bytes, "{codec}");
            }
        }
    }

    #[test]
    fn output_is_capped_whatever_the_input_says() {
        for codec in Compression::ALL.into_iter().skip(1) {
            let packed = compressed(codec, &vec![0; 4 << 20]);
            assert!(packed.len() < 1 << 18, "{codec} packs zeros");
            for limit in [0, 1, 1_000, (4 << 20) - 1] {
                let error = CompressionError::TooLarge { compression: codec, limit };
                assert_eq!(codec.decompress(&packed, limit), Err(error));
            }
        }
    }

    #[test]
    fn a_zstd_window_beyond_the_limit_is_refused() {
        // A frame header that asks for a window of 64 MiB, and an empty last block.
        let frame = Bytes::from_static(b"\x28\xb5\x2f\xfd\x00\x80\x01\x00\x00");
        assert_eq!(Compression::Zstd.decompress(&frame, 64 << 20), Ok(Bytes::new()));
        let refused = Compression::Zstd.decompress(&frame, 1 << 20);
        assert!(matches!(refused, Err(CompressionError::Corrupt { .. })), "{refused:?}");
    }

    #[test]
    fn damaged_data_is_an_error_or_other_data_but_never_a_panic() {
        for codec in Compression::ALL.into_iter().skip(1) {
            let packed = compressed(codec, &text(500));
            for len in 0..packed.len() {
                // What is missing is noticed here or by the batch's record count: not every framing has an end mark.
                let cut = codec.decompress(&packed.slice(..len), 1_000);
                assert!(cut.is_err() || cut.is_ok_and(|cut| text(500).starts_with(&cut)), "{codec} {len}");
            }
            for at in 0..packed.len() {
                let mut damaged = packed.to_vec();
                damaged[at] ^= 0xff;
                let _ = codec.decompress(&damaged.into(), 1_000);
            }
        }
    }
}
