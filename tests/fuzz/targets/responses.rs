//! A response's frame without its length, as a client reads it: the guard in front of the decoder, decoder. The first
//! two bytes choose the request that is answered. A response that is taken is read back from what the encoder makes
//! of it.
#![no_main]

use std::fmt::Debug;

use bytes::Bytes;
use ebb_fuzz::{has_huge_tag, with_request, within};
use ebb_protocol::{
    api::APIS,
    frame::FRAME_LENGTH_BYTES,
    messages::{self, decode_response, encode_response},
};
use libfuzzer_sys::fuzz_target;

/// A response's elements cost some hundred bytes each, and each took a byte of the input.
const BYTES_MAX: usize = 64 << 20;

fuzz_target!(|input: &[u8]| {
    let [api, version, frame @ ..] = input else { return };
    let Some(api) = APIS.get(usize::from(*api) % APIS.len()) else { return };
    let (version, frame) = (i16::from(*version), Bytes::copy_from_slice(frame));
    within(BYTES_MAX, || with_request!(api.key, R => read_back::<R>(version, &frame)));
});

fn read_back<R: messages::Request>(version: i16, frame: &Bytes)
where
    R::Response: PartialEq + Debug,
{
    let Ok(response) = decode_response::<R>(frame, version) else { return };
    // The encoder refuses what its version cannot say.
    let Ok(frame) = encode_response::<R>(&response, version, 1) else { return };
    let again = decode_response::<R>(&frame.slice(FRAME_LENGTH_BYTES..), version);
    // A quota may be no number, which equals nothing, not even itself.
    let reads_alike = || again.as_ref().is_ok_and(|again| format!("{again:?}") == format!("{response:?}"));
    assert!(
        again.as_ref() == Ok(&response) || has_huge_tag(&response) || reads_alike(),
        "{response:?} was read back as {again:?}"
    );
}
