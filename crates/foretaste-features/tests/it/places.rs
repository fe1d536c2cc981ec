//! The kinds of storage that every test of tables runs on, and one that fails when told to.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use foretaste_features::Place;
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tempfile::TempDir;

use crate::s3::S3;

/// Runs `test` on a folder and on a bucket.
pub async fn everywhere(test: impl AsyncFn(Place)) {
    let folder = TempDir::new().unwrap();
    test(Place::folder(folder.path()).unwrap()).await;
    let s3 = S3::start();
    test(s3.place("some/prefix")).await;
}

/// Storage in memory whose writes begin to fail when a number of them is used up.
#[derive(Debug)]
pub struct Failing {
    inner: InMemory,
    writes_left: AtomicI64,
    /// Whether the write that fails has been done all the same: its answer is lost.
    does_it: bool,
}

impl Failing {
    pub fn place(does_it: bool) -> (Arc<Self>, Place) {
        let writes_left = AtomicI64::new(i64::MAX);
        let store = Arc::new(Self { inner: InMemory::new(), writes_left, does_it });
        let place = Place::of(Arc::clone(&store) as Arc<dyn ObjectStore>, "failing");
        (store, place)
    }

    /// From now on so many writes succeed, the next fails, and the ones after it succeed again.
    pub fn fail_after(&self, writes: i64) {
        self.writes_left.store(writes, Ordering::SeqCst);
    }

    /// Whether the failure has happened.
    pub fn has_failed(&self) -> bool {
        self.writes_left.load(Ordering::SeqCst) < 0
    }
}

impl fmt::Display for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failing storage")
    }
}

#[async_trait]
impl ObjectStore for Failing {
    async fn put_opts(&self, to: &Path, bytes: PutPayload, how: PutOptions) -> Result<PutResult> {
        if self.writes_left.fetch_sub(1, Ordering::SeqCst) != 0 {
            return self.inner.put_opts(to, bytes, how).await;
        }
        if self.does_it {
            self.inner.put_opts(to, bytes, how).await?;
        }
        Err(object_store::Error::Generic { store: "failing", source: "no space left".into() })
    }

    async fn put_multipart_opts(
        &self,
        to: &Path,
        how: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(to, how).await
    }

    async fn get_opts(&self, from: &Path, how: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(from, how).await
    }

    async fn get_ranges(&self, from: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(from, ranges).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, how: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, how).await
    }
}
