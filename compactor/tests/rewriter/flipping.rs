//! A store on whose way bits flip: of each piece of an archive file, the first answer is wrong.

use std::{collections::BTreeSet, fmt, sync::Arc};

use async_trait::async_trait;
use futures::{StreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, memory::InMemory,
    path::Path,
};
use parking_lot::Mutex;

/// The store.
#[derive(Debug)]
pub(crate) struct FlippingStore {
    inner: Arc<InMemory>,
    /// What was read once, by its key and range.
    read: Mutex<BTreeSet<(Path, String)>>,
}

impl FlippingStore {
    pub(crate) fn new(inner: Arc<InMemory>) -> Arc<Self> {
        Arc::new(Self { inner, read: Mutex::default() })
    }

    /// How many answers were wrong.
    pub(crate) fn flipped(&self) -> usize {
        self.read.lock().len()
    }
}

impl fmt::Display for FlippingStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("FlippingStore")
    }
}

#[async_trait]
impl ObjectStore for FlippingStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let piece = (location.clone(), format!("{:?}", options.range));
        let mut answer = self.inner.get_opts(location, options.clone()).await?;
        if !self.read.lock().insert(piece) {
            return Ok(answer);
        }
        let mut bytes = self.inner.get_opts(location, options).await?.bytes().await?.to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        let flipped = futures::stream::once(async move { Ok(bytes.into()) }).boxed();
        answer.payload = GetResultPayload::Stream(flipped);
        Ok(answer)
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
