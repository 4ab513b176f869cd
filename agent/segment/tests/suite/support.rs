//! What the tests of this crate share: record batches, and a store that fails as told.

use std::{collections::VecDeque, fmt, sync::Arc};

use async_trait::async_trait;
use bytes::{BufMut, Bytes, BytesMut};
use ebb_protocol::batch::RecordBatch;
use futures::{StreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, memory::InMemory,
    path::Path,
};
use parking_lot::Mutex;

/// Size of a batch's header (KIP-98).
const HEADER_BYTES: usize = 61;

/// A batch of one "record" of `payload` bytes, at least 7, of value `fill`. Nobody here looks into records.
pub(crate) fn batch(payload: usize, fill: u8) -> RecordBatch {
    let mut covered = BytesMut::new();
    covered.put_i16(0); // attributes
    covered.put_i32(0); // last offset delta
    covered.put_i64(1_000); // base timestamp
    covered.put_i64(1_000); // max timestamp
    covered.put_i64(-1); // producer id
    covered.put_i16(-1); // producer epoch
    covered.put_i32(-1); // base sequence
    covered.put_i32(1); // record count
    covered.put_bytes(fill, payload);
    let mut bytes = BytesMut::new();
    bytes.put_i64(0); // base offset
    bytes.put_i32(i32::try_from(HEADER_BYTES - 12 + payload).expect("small"));
    bytes.put_i32(-1); // leader epoch
    bytes.put_i8(2); // magic
    bytes.put_u32(crc32c::crc32c(&covered));
    bytes.put_slice(&covered);
    RecordBatch::parse(bytes.freeze()).expect("a valid batch")
}

/// What happens to one request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// The store answers 503.
    SlowDown,
    /// The store never answers.
    Hang,
    /// The store refuses us.
    Deny,
    /// The store sends fewer bytes than it promises.
    CutShort,
    /// The store does what is asked and its answer is lost.
    LoseAnswer,
}

/// A store in memory whose puts and gets meet the faults in turn, and then none.
#[derive(Debug, Default)]
pub(crate) struct FaultyStore {
    inner: InMemory,
    faults: Mutex<VecDeque<Fault>>,
}

impl FaultyStore {
    pub(crate) fn new(faults: &[Fault]) -> Arc<Self> {
        let store = Arc::new(Self::default());
        store.plan(faults);
        store
    }

    /// Adds faults for the requests to come.
    pub(crate) fn plan(&self, faults: &[Fault]) {
        self.faults.lock().extend(faults);
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyStore")
    }
}

fn slow_down() -> object_store::Error {
    object_store::Error::Generic { store: "faulty", source: "503 Slow Down".into() }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let fault = self.faults.lock().pop_front();
        match fault {
            None => self.inner.put_opts(location, payload, opts).await,
            Some(Fault::LoseAnswer) => {
                self.inner.put_opts(location, payload, opts).await?;
                Err(slow_down())
            }
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Deny) => Err(object_store::Error::PermissionDenied {
                path: location.to_string(),
                source: "403".into(),
            }),
            Some(Fault::SlowDown | Fault::CutShort) => Err(slow_down()),
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let fault = self.faults.lock().pop_front();
        match fault {
            None => self.inner.get_opts(location, options).await,
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Deny) => Err(object_store::Error::PermissionDenied {
                path: location.to_string(),
                source: "403".into(),
            }),
            Some(Fault::CutShort) => {
                let mut answer = self.inner.get_opts(location, options).await?;
                let half = Bytes::from(vec![0; 1]);
                answer.payload =
                    GetResultPayload::Stream(futures::stream::once(async move { Ok(half) }).boxed());
                Ok(answer)
            }
            Some(Fault::SlowDown | Fault::LoseAnswer) => Err(slow_down()),
        }
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
