//! Request counters: a store that counts what passes through it, whoever asks. Knows nothing of what is asked for.

use std::{
    fmt,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, path::Path,
};

/// Requests made so far, by kind. Retries count as requests of their own.
#[derive(Debug, Default)]
pub struct RequestCounters {
    puts: AtomicU64,
    put_bytes: AtomicU64,
    gets: AtomicU64,
    get_bytes: AtomicU64,
    heads: AtomicU64,
    lists: AtomicU64,
    deletes: AtomicU64,
    copies: AtomicU64,
    failures: AtomicU64,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestCounts {
    /// Objects put, conditionally or not; a multipart upload counts once.
    pub puts: u64,
    /// Bytes of those bodies.
    pub put_bytes: u64,
    /// Ranges and objects got.
    pub gets: u64,
    /// Bytes that the store promised to send for them.
    pub get_bytes: u64,
    /// Look-ups without a body.
    pub heads: u64,
    /// Listings begun; one may take several pages.
    pub lists: u64,
    /// Objects deleted.
    pub deletes: u64,
    /// Objects copied or renamed.
    pub copies: u64,
    /// Requests of any kind that failed, "not found" and "exists already" included.
    pub failures: u64,
}

impl RequestCounts {
    /// All requests, whatever their kind.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.puts + self.gets + self.heads + self.lists + self.deletes + self.copies
    }
}

impl RequestCounters {
    /// Reads the counters. Each is exact, but they are not read at the same instant.
    #[must_use]
    pub fn counts(&self) -> RequestCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RequestCounts {
            puts: read(&self.puts),
            put_bytes: read(&self.put_bytes),
            gets: read(&self.gets),
            get_bytes: read(&self.get_bytes),
            heads: read(&self.heads),
            lists: read(&self.lists),
            deletes: read(&self.deletes),
            copies: read(&self.copies),
            failures: read(&self.failures),
        }
    }

    /// Counts a failure, if it is one, and passes the result on.
    fn outcome<T>(&self, result: Result<T>) -> Result<T> {
        if result.is_err() {
            add(&self.failures, 1);
        }
        result
    }
}

fn add(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

/// A store that counts its requests. Wrap it around a store once, before segments and commit log share it.
#[derive(Debug)]
pub struct CountedStore {
    inner: Arc<dyn ObjectStore>,
    counters: Arc<RequestCounters>,
}

impl CountedStore {
    /// Counts the requests to `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner, counters: Arc::default() }
    }

    /// The counters, which outlive the store.
    #[must_use]
    pub fn counters(&self) -> Arc<RequestCounters> {
        self.counters.clone()
    }
}

impl fmt::Display for CountedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for CountedStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        add(&self.counters.puts, 1);
        add(&self.counters.put_bytes, payload.content_length() as u64);
        self.counters.outcome(self.inner.put_opts(location, payload, opts).await)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        add(&self.counters.puts, 1);
        self.counters.outcome(self.inner.put_multipart_opts(location, opts).await)
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let head = options.head;
        add(if head { &self.counters.heads } else { &self.counters.gets }, 1);
        let answer = self.counters.outcome(self.inner.get_opts(location, options).await)?;
        if !head {
            add(&self.counters.get_bytes, answer.range.end.saturating_sub(answer.range.start));
        }
        Ok(answer)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        add(&self.counters.gets, ranges.len() as u64);
        let answer = self.counters.outcome(self.inner.get_ranges(location, ranges).await)?;
        add(&self.counters.get_bytes, answer.iter().map(|bytes| bytes.len() as u64).sum());
        Ok(answer)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let counters = self.counters.clone();
        let deleted = self.inner.delete_stream(locations);
        deleted
            .map(move |result| {
                add(&counters.deletes, 1);
                counters.outcome(result)
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        add(&self.counters.lists, 1);
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        add(&self.counters.lists, 1);
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        add(&self.counters.lists, 1);
        self.counters.outcome(self.inner.list_with_delimiter(prefix).await)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        add(&self.counters.copies, 1);
        self.counters.outcome(self.inner.copy_opts(from, to, options).await)
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        add(&self.counters.copies, 1);
        self.counters.outcome(self.inner.rename_opts(from, to, options).await)
    }
}
