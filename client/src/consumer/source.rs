//! What consumers have in common, with a group or without: both return batches or records, one after the other or as
//! a stream. Knows nothing of how they are fetched, or of who decides what is read.

use futures::Stream;

use super::{Consumer, ConsumerRecord, FetchedBatch, assignment::Key};
use crate::{Error, Offset};

/// What a consumer returns.
pub(super) trait Fetched: Sized + Send {
    /// Waits for the next one of any assigned partition. Dropping the future loses nothing.
    fn next(consumer: &mut Consumer) -> impl Future<Output = Result<Self, Error>> + Send;

    /// Its partition, and the offset at which reading goes on after it.
    fn place(&self) -> (Key, Offset);
}

impl Fetched for FetchedBatch {
    fn next(consumer: &mut Consumer) -> impl Future<Output = Result<Self, Error>> + Send {
        consumer.next_batch()
    }

    fn place(&self) -> (Key, Offset) {
        ((self.topic.clone(), self.partition), self.next_offset())
    }
}

impl Fetched for ConsumerRecord {
    fn next(consumer: &mut Consumer) -> impl Future<Output = Result<Self, Error>> + Send {
        consumer.next_record()
    }

    fn place(&self) -> (Key, Offset) {
        ((self.topic.clone(), self.partition), self.offset.plus(1))
    }
}

/// What is read from.
pub(super) trait Source: Send {
    /// Waits for the next batch or record.
    fn next<T: Fetched>(&mut self) -> impl Future<Output = Result<T, Error>> + Send;
}

impl Source for Consumer {
    fn next<T: Fetched>(&mut self) -> impl Future<Output = Result<T, Error>> + Send {
        T::next(self)
    }
}

/// All that comes, as a stream that does not end.
pub(super) fn stream<S: Source, T: Fetched>(source: &mut S) -> impl Stream<Item = Result<T, Error>> {
    futures::stream::unfold(source, |source| async {
        let next = source.next().await;
        Some((next, source))
    })
}
