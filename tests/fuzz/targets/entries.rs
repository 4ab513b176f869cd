//! The commit log's entries: what is read is written as bytes that are read as the same. Length and checksum are made
//! to hold, so that mutations reach what lies behind them.
#![no_main]

use ebb_fuzz::{put, within};
use ebb_metastore::entry::{Entry, EntryError};
use libfuzzer_sys::fuzz_target;

/// Commands take more memory than bytes, and the decoder guesses a list's size up to a mebibyte.
const BYTES_MAX: usize = 16 << 20;
/// Before the commands.
const FIXED_BYTES: usize = 92;

fuzz_target!(|input: &[u8]| {
    within(BYTES_MAX, || {
        check(input);
        check(&sealed(input));
    });
});

/// The input as one entry's head whose length and checksum hold.
fn sealed(input: &[u8]) -> Vec<u8> {
    let mut head = input.to_vec();
    let len = u32::try_from(head.len()).expect("inputs are short");
    put(&mut head, 24, len.to_be_bytes());
    if let Some(covered) = head.len().checked_sub(4) {
        let crc = crc32c::crc32c(&head[..covered]);
        put(&mut head, covered, crc.to_be_bytes());
    }
    head
}

fn check(bytes: &[u8]) {
    let id = Entry::peek_id(bytes);
    let (entry, body) = match Entry::decode(bytes) {
        Ok(decoded) => decoded,
        Err(EntryError::NotAnEntry) => return assert!(!bytes.starts_with(b"EbEn")),
        Err(_) => return,
    };
    assert_eq!(id, Some(entry.id));
    assert!(body.start >= FIXED_BYTES as u64 && body.start <= bytes.len() as u64);
    let encoded = entry.encode(body.len);
    let (again, again_body) = Entry::decode(&encoded).expect("it was just encoded");
    assert_eq!((&again, again_body.len, again_body.start), (&entry, body.len, encoded.len() as u64));
    assert_eq!(again.encode(body.len), encoded, "an entry has one encoding");
}
