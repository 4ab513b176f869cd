//! The entry: what an agent appends to the commit log in one step, and its bytes. Commands are only carried here;
//! what they mean is `apply`'s business. Knows no engine and no segment format: the body is opaque.

use bytes::{BufMut, Bytes, BytesMut};
use ebb_protocol::ids::{AgentEpoch, AgentId, ByteRange, EntryId, LogPosition, Timestamp};
use serde::{Deserialize, Serialize};

use crate::command::Command;

/// The newest entry version that this code reads, and the one it writes.
pub const ENTRY_VERSION: u8 = 1;

const MAGIC: [u8; 4] = *b"EbEn";
const FLAG_HASH: u8 = 1;
const FIXED_BYTES: usize = 92;
const CRC_BYTES: usize = 4;
const ID_AT: usize = 8;

/// One entry of the commit log.
///
/// # Bytes, version 1
/// Integers are big-endian. A head, and behind it the optional segment body, whose length is in the head.
///
/// ```text
///      0  4   magic "EbEn"
///      4  1   version = 1
///      5  1   flags: bit 0 a state hash is there; others 0
///      6  2   reserved, 0
///      8 16   entry id            magic, version and id keep their places in every version
///     24  4   head length, bytes, from the magic to the CRC
///     28  8   body length, bytes; 0 without a body
///     36 16   agent id
///     52  8   agent epoch
///     60  8   number of the entry, per agent
///     68  8   time, milliseconds since the Unix epoch
///     76  8   state hash: position, 0 without
///     84  8   state hash: chain, 0 without
///     92  n   commands: postcard of `Vec<Command>`
///   92+n  4   CRC-32C of all before
///   96+n  m   body
/// ```
///
/// A range of the body, counted from the start of its segment, therefore lies in the entry's object at head
/// length + range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its id: tells whose entry stands at a position after an ambiguous append.
    pub id: EntryId,
    /// The agent that wrote it.
    pub agent: AgentId,
    /// The epoch under which the agent wrote it; 0 before the agent has registered.
    pub epoch: AgentEpoch,
    /// Counts the agent's entries, dense from 0. A number is used once, so that the entries of one agent apply in
    /// the order in which it numbered them.
    pub number: u64,
    /// The agent's wall clock when it wrote the entry.
    pub time: Timestamp,
    /// What the agent's replica knew of the state's history, now and then.
    pub hash: Option<StateHash>,
    /// The commands, applied in order.
    pub commands: Vec<Command>,
}

/// A fingerprint of the history up to a position. Replicas that applied the same entries have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateHash {
    /// All entries below this position are covered.
    pub position: LogPosition,
    /// The running hash of positions, times and outcomes.
    pub chain: u64,
}

/// Why bytes are no entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// The bytes do not begin as an entry does.
    #[error("this is not a commit log entry")]
    NotAnEntry,
    /// The entry was written by a newer version.
    #[error(
        "the entry has format version {found}, this version knows up to {ENTRY_VERSION}: use a newer ebb"
    )]
    NewerVersion {
        /// Its version.
        found: u8,
    },
    /// The bytes end before the head does.
    #[error("the entry's head is truncated: {have} of {want} bytes")]
    Truncated {
        /// How many bytes are there.
        have: usize,
        /// How many there should be, as far as that is known.
        want: usize,
    },
    /// The bytes are not those that were written.
    #[error("the entry is damaged: {0}")]
    Damaged(&'static str),
}

impl Entry {
    /// The bytes of the head, for an entry behind which `body_len` bytes of a segment body follow.
    #[must_use]
    pub fn encode(&self, body_len: u64) -> Bytes {
        let commands = postcard::to_allocvec(&self.commands).expect("commands serialise into memory");
        let head_len = FIXED_BYTES + commands.len() + CRC_BYTES;
        let head_len_field =
            u32::try_from(head_len).expect("the limits on commands keep a head far below 4 GiB");
        let mut head = BytesMut::with_capacity(head_len);
        head.put_slice(&MAGIC);
        head.put_u8(ENTRY_VERSION);
        head.put_u8(if self.hash.is_some() { FLAG_HASH } else { 0 });
        head.put_u16(0);
        head.put_u128(self.id.0);
        head.put_u32(head_len_field);
        head.put_u64(body_len);
        head.put_u128(self.agent.0);
        head.put_u64(self.epoch.0);
        head.put_u64(self.number);
        head.put_i64(self.time.0);
        head.put_u64(self.hash.map_or(0, |hash| hash.position.0));
        head.put_u64(self.hash.map_or(0, |hash| hash.chain));
        head.put_slice(&commands);
        head.put_u32(crc32c::crc32c(&head));
        head.freeze()
    }

    /// Reads an entry from the bytes of its head, and says where in the entry's object its body lies (empty when
    /// there is none). The body itself need not be there, and is not looked at.
    ///
    /// # Errors
    /// See [`EntryError`].
    pub fn decode(bytes: &[u8]) -> Result<(Self, ByteRange), EntryError> {
        let head = checked_head(bytes)?;
        let (fixed, commands) = head.split_at(FIXED_BYTES);
        let flags = fixed[5];
        let hash = StateHash { position: LogPosition(u64_at(fixed, 76)), chain: u64_at(fixed, 84) };
        let (commands, rest) = postcard::take_from_bytes(&commands[..commands.len() - CRC_BYTES])
            .map_err(|_| EntryError::Damaged("its commands cannot be read"))?;
        if !rest.is_empty() {
            return Err(EntryError::Damaged("bytes are left over behind its commands"));
        }
        let entry = Self {
            id: EntryId(u128_at(fixed, ID_AT)),
            agent: AgentId(u128_at(fixed, 36)),
            epoch: AgentEpoch(u64_at(fixed, 52)),
            number: u64_at(fixed, 60),
            time: Timestamp(u64_at(fixed, 68).cast_signed()),
            hash: (flags & FLAG_HASH != 0).then_some(hash),
            commands,
        };
        let body = ByteRange { start: head.len() as u64, len: u64_at(fixed, 28) };
        Ok((entry, body))
    }

    /// The id of the entry that begins with these bytes, without checking anything but that it is an entry's head:
    /// cheap, for an engine that compares ids. Works on entries of newer versions too.
    #[must_use]
    pub fn peek_id(bytes: &[u8]) -> Option<EntryId> {
        let id = bytes.get(ID_AT..ID_AT + 16)?;
        bytes.starts_with(&MAGIC).then(|| EntryId(u128_at(id, 0)))
    }
}

/// The head, of a length and checksum that hold, so that its fixed part can be sliced.
fn checked_head(bytes: &[u8]) -> Result<&[u8], EntryError> {
    let have = bytes.len();
    if !bytes.starts_with(&MAGIC[..have.min(MAGIC.len())]) {
        return Err(EntryError::NotAnEntry);
    }
    match bytes.get(MAGIC.len()) {
        Some(&ENTRY_VERSION) => {}
        Some(&found) if found > ENTRY_VERSION => return Err(EntryError::NewerVersion { found }),
        Some(_) => return Err(EntryError::Damaged("its version is 0")),
        None => return Err(EntryError::Truncated { have, want: FIXED_BYTES + CRC_BYTES }),
    }
    if have < FIXED_BYTES + CRC_BYTES {
        return Err(EntryError::Truncated { have, want: FIXED_BYTES + CRC_BYTES });
    }
    let want = u32_at(bytes, 24) as usize;
    if want < FIXED_BYTES + CRC_BYTES {
        return Err(EntryError::Damaged("its head is shorter than the shortest"));
    }
    let head = bytes.get(..want).ok_or(EntryError::Truncated { have, want })?;
    let (covered, crc) = head.split_at(want - CRC_BYTES);
    if crc32c::crc32c(covered) != u32_at(crc, 0) {
        return Err(EntryError::Damaged("its checksum differs"));
    }
    if head[5] & !FLAG_HASH != 0 || head[6] != 0 || head[7] != 0 {
        return Err(EntryError::Damaged("it has flags that version 1 does not know"));
    }
    Ok(head)
}

// The callers have checked the lengths.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(array_at(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(array_at(bytes, at))
}

fn u128_at(bytes: &[u8], at: usize) -> u128 {
    u128::from_be_bytes(array_at(bytes, at))
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}
