//! The archive object: the Parquet layout, version 1, its writer and its reader. One file holds records of one topic
//! and serves two readers: analysts, who see a table, and consumers, who get record batches as they were.
//! Makes no request and opens no file: bytes come in and go out. Must not know the metastore and the segments.
//!
//! ```text
//! file        row groups, footer                     of one topic; sorted by partition, then offset
//! row group   rows of one partition, 8 MiB           a record batch never spans two row groups
//!             pages of 112 KiB, with a page index
//! tail        page index and Parquet's footer, with the keys of `Identity` and checksums of all before it
//!
//!  1 partition         int32                         9 attributes        int32   as on the wire, KIP-98
//!  2 offset            int64                        10 producer_id       int64   -1 is none
//!  3 timestamp         timestamp, micros, UTC?      11 producer_epoch    int32   -1 is none
//!  4 key               binary?                      12 base_sequence     int32   -1 is none
//!  5 value             binary? or string?           13 v                  struct? of typed columns
//!  6 headers           list of key, value?          14 value_error       string?
//!  7 batch_base_offset int64                        15 raw_batch         binary?
//!  8 leader_epoch      int32                        16 to 18 headers: element, key, value
//!                                              19 and on: typed columns
//! ```
//!
//! Numbers are Iceberg's field ids; those of nested fields follow those of the top level, because catalogs number in
//! that order. A question mark marks a column that may be null.
//!
//! A batch is made anew from the rows that share `batch_base_offset`. What the columns cannot hold (header keys that
//! are not UTF-8, a timestamp past the year 294,246, records that cannot be read or are larger than 8 MiB) is not lost:
//! such a batch lies whole in `raw_batch` of its first row, and consumers get those bytes.

mod checksums;
mod footer;
mod hash;
mod rebuild;
mod rows;
mod scan;
mod schema;
mod typed;
mod writer;

pub use checksums::Tail;
pub use footer::{Footer, FooterError, RowGroup};
pub use hash::Chain;
pub use rebuild::{Found, RebuildError};
pub use scan::{ReadError, Scan, Step, Steps, TimeScan};
pub use schema::{Identity, VERSION, ValueType};
pub use typed::{ColumnTree, SchemaError, Typed, Unfit, ValueReader};
pub use writer::{Archive, ArchiveWriter, Codec, Settings, Span, WriteError};
