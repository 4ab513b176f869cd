//! The codecs: arbitrary bytes never decompress to more than the limit, and what a codec wrote it reads back.
//! The first byte chooses codec and direction, the second the limit.
#![no_main]

use bytes::Bytes;
use ebb_fuzz::within;
use ebb_protocol::batch::{Compression, CompressionError};
use libfuzzer_sys::fuzz_target;

/// The largest limit on output, in bytes, as a power of two.
const LIMIT_LOG_MAX: u8 = 20;
/// Output and its growth, and what the codecs hold of it in windows and blocks.
const BYTES_MAX: usize = 16 << 20;

fuzz_target!(|input: &[u8]| {
    let [choice, limit, bytes @ ..] = input else { return };
    let codec = Compression::ALL[usize::from(choice & 0x7f) % Compression::ALL.len()];
    let limit = 1 << (limit % (LIMIT_LOG_MAX + 1));
    let bytes = Bytes::copy_from_slice(bytes);
    within(BYTES_MAX, || {
        if choice & 0x80 == 0 { decompress(codec, &bytes, limit) } else { read_back(codec, bytes) }
    });
});

fn decompress(codec: Compression, bytes: &Bytes, limit: usize) {
    match codec.decompress(bytes, limit) {
        // Uncompressed bytes are passed on as they are.
        Ok(out) => assert!(out.len() <= limit || codec == Compression::None, "{codec}: {} bytes", out.len()),
        Err(CompressionError::TooLarge { limit: stated, .. }) => assert_eq!(stated, limit),
        Err(CompressionError::Corrupt { reason, .. }) => assert!(!reason.is_empty()),
    }
}

fn read_back(codec: Compression, bytes: Bytes) {
    let mut packed = Vec::new();
    codec.compress(&bytes, &mut packed).expect("codecs take any input");
    assert!(
        codec.decompress(&packed.into(), bytes.len()).is_ok_and(|read| read == bytes),
        "{codec}: {bytes:?}"
    );
}
