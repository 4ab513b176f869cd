//! A request's frame without its length: header, the guard in front of the decoder, decoder. A request that is taken
//! is read back from what the encoder makes of it.
#![no_main]

use std::fmt::Debug;

use bytes::Bytes;
use ebb_fuzz::{has_huge_tag, with_request, within};
use ebb_protocol::{
    frame::{FRAME_LENGTH_BYTES, decode_request_header},
    messages::{self, decode_request, encode_request},
};
use libfuzzer_sys::fuzz_target;

/// A request's elements cost some hundred bytes each, and each took a byte of the input.
const BYTES_MAX: usize = 64 << 20;

fuzz_target!(|input: &[u8]| {
    let frame = Bytes::copy_from_slice(input);
    within(BYTES_MAX, || {
        let Ok((header, body)) = decode_request_header(&frame) else { return };
        with_request!(header.api.key, R => read_back::<R>(header.version, body));
    });
});

fn read_back<R: messages::Request + PartialEq + Debug>(version: i16, body: Bytes) {
    let Ok(request) = decode_request::<R>(body, version) else { return };
    // The encoder refuses what its version cannot say, and knows no Produce below version 3.
    let Ok(frame) = encode_request(&request, version, 1, None) else { return };
    let (_, body) = decode_request_header(&frame.slice(FRAME_LENGTH_BYTES..)).expect("the encoder wrote it");
    let again = decode_request::<R>(body, version);
    assert!(
        again.as_ref() == Ok(&request) || has_huge_tag(&request),
        "{request:?} was read back as {again:?}"
    );
}
