//! What clients saw, operation by operation, in memory and as JSON lines.

use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};

/// One operation of one client process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Op {
    /// The client process. One process does one thing after another.
    pub process: u32,
    /// When it began, by a clock that all processes of the history share; any unit.
    pub invoked: u64,
    /// When it ended.
    pub returned: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// What it did.
    #[serde(flatten)]
    pub action: Action,
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The client was told that it took effect.
    Ok,
    /// The client does not know; it may take effect at any later time.
    Unknown,
    /// The client was told that it never will take effect.
    Failed,
}

/// What an operation did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "f", rename_all = "lowercase")]
pub enum Action {
    /// Sent records.
    Send(Send),
    /// Read records.
    Read(Read),
    /// Committed an offset on behalf of a group's member.
    Commit(Commit),
    /// Asked for a group's committed offset.
    Committed(Committed),
    /// Deleted a group's committed offset.
    DeleteOffset(DeleteOffset),
    /// Was given a partition by its group.
    Own(Own),
    /// Processed records on behalf of a group.
    Consume(Consume),
}

/// Records sent to one partition together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Send {
    /// The partition: a number for each topic and partition of the history.
    pub partition: u32,
    /// The idempotent producer, and its count of batches sent to the partition so far; `None` for a plain one.
    pub producer: Option<(u64, u64)>,
    /// The records, each by its unique value.
    pub values: Vec<u64>,
    /// Offset of the first one, when the client was told.
    pub base: Option<i64>,
}

/// Records read from one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// The partition.
    pub partition: u32,
    /// The offset asked for.
    pub from: i64,
    /// Whether the process chose this offset anew, instead of going on where it was.
    pub seek: bool,
    /// Offset and value of each record; no value when its bytes are damaged.
    pub records: Vec<(i64, Option<u64>)>,
    /// The log start offset that came with them.
    pub log_start: i64,
    /// The high watermark that came with them, when one did.
    pub high_watermark: Option<i64>,
    /// Whether this belongs to the complete read of the partition after everything had come to rest.
    pub last: bool,
}

/// An offset committed for one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// The group: a number for each group of the history.
    pub group: u32,
    /// The partition.
    pub partition: u32,
    /// The generation (classic) or member epoch (KIP-848) on whose behalf.
    pub generation: i32,
    /// The offset.
    pub offset: i64,
    /// What was committed with it: no two commits of a history have the same.
    pub metadata: String,
}

/// A group's committed offset of one partition, as it was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    /// The group.
    pub group: u32,
    /// The partition.
    pub partition: u32,
    /// The generation or member epoch of a member that begins to own the partition; `None` for anybody else.
    pub taking: Option<i32>,
    /// Offset and metadata; `None` when there was none.
    pub found: Option<(i64, String)>,
}

/// The end of a group's committed offset of one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteOffset {
    /// The group.
    pub group: u32,
    /// The partition.
    pub partition: u32,
}

/// A partition that a process owns from now on. Its end is not noted: a member may not know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Own {
    /// The group.
    pub group: u32,
    /// The partition.
    pub partition: u32,
    /// The generation or member epoch as of which it does.
    pub generation: i32,
}

/// Records that a group's member processed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consume {
    /// The group.
    pub group: u32,
    /// The partition.
    pub partition: u32,
    /// The offset asked for.
    pub from: i64,
    /// The log start offset that came with them: what is below it cannot be processed any more.
    pub log_start: i64,
    /// Offset and value of each record; no value when its bytes are damaged.
    pub records: Vec<(i64, Option<u64>)>,
}

/// Writes a history, a line an operation.
///
/// # Errors
/// Those of the writer.
pub fn write_jsonl(history: &[Op], out: &mut impl Write) -> io::Result<()> {
    for op in history {
        serde_json::to_writer(&mut *out, op)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// Reads a history, a line an operation. A last line that was cut off, as a killed client leaves it, is left out.
///
/// # Errors
/// Those of the reader, and of a line that is no operation.
pub fn read_jsonl(input: &mut impl BufRead) -> io::Result<Vec<Op>> {
    let mut history = Vec::new();
    let mut line = String::new();
    while input.read_line(&mut line)? > 0 {
        if line.ends_with('\n') {
            history.push(serde_json::from_str(&line)?);
        }
        line.clear();
    }
    Ok(history)
}
