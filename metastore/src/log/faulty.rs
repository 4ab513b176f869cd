//! An object store that fails in every way that a real one does, by seed. For this crate's tests.

use std::{
    fmt,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use ebb_protocol::random::Random;
use futures::{StreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, path::Path,
};
use parking_lot::Mutex;
use tokio::time::sleep;

/// How often what goes wrong, as probabilities; and how long requests take.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// A request fails and nothing was done.
    pub(crate) before: f64,
    /// A put fails although it was done.
    pub(crate) after: f64,
    /// How long the answer takes once a put or get is done.
    pub(crate) late_answer: Duration,
    /// A conditional put says `AlreadyExists` although nothing was written: a conflict with another.
    pub(crate) conflict: f64,
    /// A put is never answered; half of these are done.
    pub(crate) hang: f64,
    /// A put fails, and is done seconds later.
    pub(crate) late: f64,
    /// A get loses the end of its bytes.
    pub(crate) short: f64,
    /// A get has one bit wrong.
    pub(crate) corrupt: f64,
    /// A put is denied.
    pub(crate) deny: f64,
    /// A conditional put overwrites: a broken store.
    pub(crate) ignore_create: f64,
    /// The shortest and the longest time of a request, in milliseconds.
    pub(crate) delay_ms: (u64, u64),
}

impl Faults {
    /// Everything that a sound store may do to us, often.
    pub(crate) fn chaos() -> Self {
        Self {
            before: 0.05,
            after: 0.05,
            late_answer: Duration::ZERO,
            conflict: 0.05,
            hang: 0.02,
            late: 0.03,
            short: 0.02,
            corrupt: 0.02,
            deny: 0.0,
            ignore_create: 0.0,
            delay_ms: (5, 80),
        }
    }
}

/// The wrapper.
#[derive(Debug)]
pub(crate) struct FaultyStore<S> {
    inner: Arc<S>,
    faults: Mutex<Faults>,
    random: Random,
    puts: AtomicU64,
    requests: AtomicU64,
}

impl<S: ObjectStore> FaultyStore<S> {
    pub(crate) fn new(inner: S, seed: u64, faults: Faults) -> Self {
        Self::over(Arc::new(inner), seed, faults)
    }

    /// Several wrappers may share one store: each is one process's way to it.
    pub(crate) fn over(inner: Arc<S>, seed: u64, faults: Faults) -> Self {
        Self {
            inner,
            faults: Mutex::new(faults),
            random: Random::from_seed(seed),
            puts: AtomicU64::new(0),
            requests: AtomicU64::new(0),
        }
    }

    pub(crate) fn set(&self, faults: Faults) {
        *self.faults.lock() = faults;
    }

    pub(crate) fn puts(&self) -> u64 {
        self.puts.load(Ordering::Relaxed)
    }

    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    fn strikes(&self, which: impl Fn(&Faults) -> f64) -> bool {
        let p = which(&self.faults.lock());
        p > 0.0 && self.random.chance(p)
    }

    async fn begin(&self) -> Result<()> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let (min, max) = self.faults.lock().delay_ms;
        if max > 0 {
            sleep(Duration::from_millis(min + self.random.below(max - min + 1))).await;
        }
        if self.strikes(|f| f.before) { Err(fault("503 slow down")) } else { Ok(()) }
    }

    async fn end(&self) {
        let late = self.faults.lock().late_answer;
        if !late.is_zero() {
            sleep(late).await;
        }
    }
}

fn fault(what: &'static str) -> Error {
    Error::Generic { store: "faulty", source: what.into() }
}

impl<S> fmt::Display for FaultyStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty store")
    }
}

#[async_trait]
impl<S: ObjectStore> ObjectStore for FaultyStore<S> {
    async fn put_opts(&self, at: &Path, payload: PutPayload, mut options: PutOptions) -> Result<PutResult> {
        self.puts.fetch_add(1, Ordering::Relaxed);
        self.begin().await?;
        if self.strikes(|f| f.deny) {
            return Err(Error::PermissionDenied { path: at.to_string(), source: "403".into() });
        }
        if options.mode == PutMode::Create && self.strikes(|f| f.ignore_create) {
            options.mode = PutMode::Overwrite;
        }
        if options.mode == PutMode::Create && self.strikes(|f| f.conflict) {
            return Err(Error::AlreadyExists { path: at.to_string(), source: "409 conflict".into() });
        }
        if self.strikes(|f| f.hang) {
            if self.random.chance(0.5) {
                let _ = self.inner.put_opts(at, payload, options).await;
            }
            return pending().await;
        }
        if self.strikes(|f| f.late) {
            let (inner, at, after) = (self.inner.clone(), at.clone(), self.random.below(20_000));
            tokio::spawn(async move {
                sleep(Duration::from_millis(after)).await;
                let _ = inner.put_opts(&at, payload, options).await;
            });
            return Err(fault("connection reset"));
        }
        let answer = self.inner.put_opts(at, payload, options).await;
        self.end().await;
        if self.strikes(|f| f.after) { Err(fault("answer lost")) } else { answer }
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.begin().await?;
        let found = self.inner.get_opts(at, options).await;
        self.end().await;
        let found = found?;
        let (meta, range) = (found.meta.clone(), found.range.clone());
        let (attributes, extensions) = (found.attributes.clone(), found.extensions.clone());
        let mut bytes = found.bytes().await?.to_vec();
        if !bytes.is_empty() && self.strikes(|f| f.corrupt) {
            let bit = self.random.below(bytes.len() as u64 * 8) as usize;
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        if self.strikes(|f| f.short) {
            bytes.truncate(self.random.below(bytes.len() as u64) as usize);
        }
        let payload = GetResultPayload::Stream(futures::stream::once(async { Ok(bytes.into()) }).boxed());
        Ok(GetResult { payload, meta, range, attributes, extensions })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if self.strikes(|f| f.before) {
            return futures::stream::once(async { Err(fault("503 slow down")) }).boxed();
        }
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.begin().await?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.begin().await?;
        self.inner.copy_opts(from, to, options).await
    }
}
