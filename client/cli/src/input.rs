//! Reads records from a file or standard input, one a line. Knows nothing of where they are sent.
//!
//! Reading blocks, so it has a thread of its own, which hands chunks of records over a bounded channel.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use ebbtide::Record;
use tokio::sync::mpsc;

use crate::{args::InputFormat, input::jsonl::parse, output::Failure};

pub(crate) mod jsonl;

/// Lines that are handed over together.
const CHUNK_LINES: usize = 1024;
/// Chunks that wait to be sent.
const CHUNKS_WAITING_MAX: usize = 8;
/// A longer line is refused: no record may be as large.
const LINE_BYTES_MAX: u64 = 64 << 20;
/// How much is read at once.
const READ_BYTES: usize = 1 << 20;

/// Records, with the input bytes that they took.
pub(crate) struct Chunk {
    pub(crate) records: Vec<Record>,
    pub(crate) bytes: u64,
}

/// An input that is being read.
pub(crate) struct Input {
    /// Its records; the first error ends them.
    pub(crate) chunks: mpsc::Receiver<Result<Chunk, Failure>>,
    /// Its size in bytes, when it is known.
    pub(crate) size: Option<u64>,
}

/// How lines become records.
#[derive(Clone)]
pub(crate) struct Shape {
    pub(crate) format: InputFormat,
    pub(crate) key_separator: Option<String>,
}

/// Opens the input and reads it in the background.
pub(crate) fn read(file: Option<PathBuf>, shape: Shape) -> Result<Input, Failure> {
    let (name, input, size): (String, Box<dyn Read + Send>, _) = match file {
        Some(path) => {
            let file = open(&path)?;
            let size = file.metadata().ok().filter(std::fs::Metadata::is_file).map(|data| data.len());
            (path.display().to_string(), Box::new(file), size)
        }
        None => ("standard input".to_owned(), Box::new(io::stdin()), None),
    };
    let (sender, chunks) = mpsc::channel(CHUNKS_WAITING_MAX);
    std::thread::spawn(move || {
        let mut lines = Lines { name, input: BufReader::with_capacity(READ_BYTES, input), shape, number: 0 };
        while let Some(chunk) = lines.chunk().transpose() {
            let failed = chunk.is_err();
            if sender.blocking_send(chunk).is_err() || failed {
                return;
            }
        }
    });
    Ok(Input { chunks, size })
}

fn open(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(Failure::with(path.display()))
}

struct Lines<R> {
    name: String,
    input: BufReader<R>,
    shape: Shape,
    number: u64,
}

impl<R: Read> Lines<R> {
    /// The next records; none at the end of the input.
    fn chunk(&mut self) -> Result<Option<Chunk>, Failure> {
        let mut chunk = Chunk { records: Vec::with_capacity(CHUNK_LINES), bytes: 0 };
        while chunk.records.len() < CHUNK_LINES {
            let mut line = Vec::new();
            let read = (&mut self.input)
                .take(LINE_BYTES_MAX)
                .read_until(b'\n', &mut line)
                .map_err(Failure::with(&self.name))?;
            if read == 0 {
                break;
            }
            self.number += 1;
            if line.last() == Some(&b'\n') {
                line.pop();
            } else if read as u64 == LINE_BYTES_MAX {
                return Err(self.wrong(format!("longer than {LINE_BYTES_MAX} bytes")));
            }
            chunk.bytes += read as u64;
            chunk.records.push(self.record(line)?);
            // A person who types wants each line sent; a full buffer means that more is to come at once.
            if self.input.buffer().is_empty() {
                break;
            }
        }
        Ok((!chunk.records.is_empty()).then_some(chunk))
    }

    fn record(&self, line: Vec<u8>) -> Result<Record, Failure> {
        match (self.shape.format, &self.shape.key_separator) {
            (InputFormat::Jsonl, _) => parse(&line).map_err(|error| self.wrong(error)),
            (InputFormat::Lines, None) => Ok(Record::new(line)),
            (InputFormat::Lines, Some(separator)) => split(line, separator.as_bytes())
                .ok_or_else(|| self.wrong(format!("no key separator {separator:?} in it"))),
        }
    }

    fn wrong(&self, what: impl std::fmt::Display) -> Failure {
        Failure::new(format!("{}, line {}: {what}", self.name, self.number))
    }
}

fn split(line: Vec<u8>, separator: &[u8]) -> Option<Record> {
    let at = line.windows(separator.len()).position(|window| window == separator)?;
    let line = Bytes::from(line);
    Some(Record::new(line.slice(at + separator.len()..)).key(line.slice(..at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(text: &str, format: InputFormat, separator: Option<&str>) -> Result<Vec<Record>, String> {
        let shape = Shape { format, key_separator: separator.map(str::to_owned) };
        let mut lines =
            Lines { name: "input".to_owned(), input: BufReader::new(text.as_bytes()), shape, number: 0 };
        let mut records = Vec::new();
        while let Some(chunk) = lines.chunk().map_err(|failure| failure.to_string())? {
            records.extend(chunk.records);
        }
        Ok(records)
    }

    #[test]
    fn each_line_is_a_value() {
        let records = read_all("a\n\nb", InputFormat::Lines, None).expect("the input is valid");
        assert_eq!(records, [Record::new("a"), Record::new(""), Record::new("b")]);
    }

    #[test]
    fn a_separator_splits_off_the_key_once() {
        let records = read_all("k::v::w\n", InputFormat::Lines, Some("::")).expect("the input is valid");
        assert_eq!(records, [Record::new("v::w").key("k")]);
    }

    #[test]
    fn a_line_without_the_separator_is_named() {
        let error =
            read_all("k:v\nkv\n", InputFormat::Lines, Some(":")).expect_err("line 2 has no separator");
        assert!(error.starts_with("input, line 2: "), "{error}");
    }

    #[test]
    fn a_line_that_is_no_json_is_named() {
        let error = read_all("{\"value\":1}\n{", InputFormat::Jsonl, None).expect_err("line 2 is no JSON");
        assert!(error.starts_with("input, line 2: "), "{error}");
    }
}
