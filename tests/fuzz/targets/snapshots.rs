//! Snapshots: what is read is written as bytes that are read as the same. Length, hash and checksum are made to hold,
//! so that mutations reach the state.
#![no_main]

use ebb_fuzz::{put, within};
use ebb_metastore::snapshot;
use libfuzzer_sys::fuzz_target;
use xxhash_rust::xxh3::xxh3_64;

/// A state takes more memory than bytes, and the decoder guesses a list's size up to a mebibyte.
const BYTES_MAX: usize = 32 << 20;
/// Before the state.
const FIXED_BYTES: usize = 40;

fuzz_target!(|input: &[u8]| {
    within(BYTES_MAX, || {
        check(input);
        check(&sealed(input));
    });
});

/// The input as one snapshot whose length, hash and checksum hold.
fn sealed(input: &[u8]) -> Vec<u8> {
    let mut bytes = input.to_vec();
    let Some(covered) = bytes.len().checked_sub(4).filter(|covered| *covered >= FIXED_BYTES) else {
        return bytes;
    };
    let state = &bytes[FIXED_BYTES..covered];
    let (hash, len) = (xxh3_64(state), state.len() as u64);
    put(&mut bytes, 24, hash.to_be_bytes());
    put(&mut bytes, 32, len.to_be_bytes());
    let crc = crc32c::crc32c(&bytes[..covered]);
    put(&mut bytes, covered, crc.to_be_bytes());
    bytes
}

fn check(bytes: &[u8]) {
    let Ok(state) = snapshot::decode(bytes) else { return };
    let encoded = snapshot::encode(&state);
    let again = snapshot::decode(&encoded).expect("it was just encoded");
    assert!(again == state, "a state is read back as another");
    assert_eq!(snapshot::encode(&again), encoded, "a state has one encoding");
}
