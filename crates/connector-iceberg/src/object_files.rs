//! Files of an object store, for what the iceberg library reads and writes; those of a local disk beside them.

use crate::failure;
use crate::storage::DurableFiles;
use async_trait::async_trait;
use bytes::Bytes;
use dataflow::Error;
use futures::StreamExt;
use futures::stream::BoxStream;
use iceberg::Result;
use iceberg::io::{FileMetadata, FileRead, FileWrite, InputFile, OutputFile, Storage, StorageConfig, StorageFactory};
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, WriteMultipart};
use object_stores::{Bucket, Properties, StoreAccess, store_failure};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// A larger file is written in parts of this size.
pub const PART_BYTES: usize = 16 << 20;
/// So many parts are on their way at once.
const PARTS_MAX: usize = 4;

/// So long before keys of a catalog end others are asked for, and so long after that has failed again.
const RENEW_EARLY: Duration = Duration::from_secs(300);
const RENEW_AGAIN: Duration = Duration::from_secs(10);
/// Others are asked for no sooner than this, however soon keys end.
const RENEW_SOONEST: Duration = Duration::from_secs(1);
/// How long keys are taken for good of which the catalog does not say it: no store gives any for less.
const LIFE_DEFAULT: Duration = Duration::from_secs(900);

/// Whether a location is one of a local disk.
pub fn is_local(location: &str) -> bool {
    location.starts_with('/') || location.starts_with("file:")
}

/// Buckets that are opened when they are first named, and anew when what opens them has changed.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct ObjectFiles {
    #[serde(skip)]
    buckets: Arc<Buckets>,
}

/// Gets keys from a catalog that take the place of those that end.
#[async_trait]
pub trait Renewal: Send + Sync {
    /// What opens the buckets from now on.
    async fn renewed(&self) -> dataflow::Result<StoreAccess>;
}

#[derive(Default)]
struct Buckets {
    // `None` in one that was read from bytes: secrets are in none.
    access: Mutex<Option<GivenAccess>>,
    renewal: Option<Arc<dyn Renewal>>,
    // One asks at a time.
    renewing: tokio::sync::Mutex<()>,
    opened: Mutex<HashMap<Bucket, OpenedBucket>>,
}

struct OpenedBucket {
    // What it was opened with.
    properties: Properties,
    store: Arc<dyn ObjectStore>,
}

#[derive(Clone)]
struct GivenAccess {
    access: StoreAccess,
    // When others have to be there; `None` for keys that do not end.
    due: Option<Instant>,
}

impl fmt::Debug for ObjectFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectFiles").field("access", &self.access()).finish_non_exhaustive()
    }
}

impl ObjectFiles {
    /// Buckets that are opened with this; with keys of a catalog that end, `renewal` gets others in time.
    pub fn new(access: StoreAccess, renewal: Option<Arc<dyn Renewal>>) -> ObjectFiles {
        let given = Mutex::new(Some(GivenAccess::new(access)));
        ObjectFiles { buckets: Arc::new(Buckets { access: given, renewal, ..Buckets::default() }) }
    }

    /// What opens the buckets now.
    pub fn access(&self) -> Option<StoreAccess> {
        self.given().map(|given| given.access)
    }

    /// Gives the files of a store that lie below a location: where each lies, its bytes, and when it was written in
    /// milliseconds since 1970.
    pub async fn list(&self, folder: &str, each: &mut dyn FnMut(String, u64, i64)) -> Result<()> {
        let folder = folder.trim_end_matches('/');
        let place = self.place(folder).await?;
        let base = folder.strip_suffix(place.object.as_ref()).unwrap_or(folder).trim_end_matches('/');
        let mut listed = place.store.list(Some(&place.object));
        while let Some(found) = listed.next().await {
            let found = found.map_err(|error| place.failed("list", &error))?;
            each(format!("{base}/{}", found.location), found.size, found.last_modified.timestamp_millis());
        }
        Ok(())
    }

    /// Opens the buckets with this from now on, for all who hold them.
    pub fn renew(&self, access: StoreAccess) {
        *self.buckets.access.lock().unwrap_or_else(PoisonError::into_inner) = Some(GivenAccess::new(access));
    }

    fn given(&self) -> Option<GivenAccess> {
        self.buckets.access.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gets keys that take the place of those that end soon. Where that fails, those that are there may be good for a
    /// while yet, and a store that takes them no more says so.
    async fn renew_in_time(&self) {
        let is_due = || self.given().and_then(|given| given.due).is_some_and(|due| due <= Instant::now());
        let Some(renewal) = self.buckets.renewal.as_ref().filter(|_| is_due()) else { return };
        let _turn = self.buckets.renewing.lock().await;
        if !is_due() {
            return;
        }
        match renewal.renewed().await {
            Ok(access) => self.renew(access),
            Err(_) => {
                let mut given = self.buckets.access.lock().unwrap_or_else(PoisonError::into_inner);
                given.iter_mut().for_each(|given| given.due = Some(Instant::now() + RENEW_AGAIN));
            }
        }
    }

    async fn place(&self, location: &str) -> Result<StoredObject> {
        let (bucket, key) = Bucket::of(location).map_err(failure::for_iceberg)?;
        self.renew_in_time().await;
        let without = || Error::internal(format!("\"{location}\" lies in a store, and nothing opens it"));
        let access = self.access().ok_or_else(without).map_err(failure::for_iceberg)?;
        let properties = access.now().map_err(failure::for_iceberg)?;
        let mut opened = self.buckets.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let store = match opened.get(&bucket) {
            Some(opened) if opened.properties == properties => opened.store.clone(),
            _ => {
                let store = access.open(&bucket, &properties).map_err(failure::for_iceberg)?;
                opened.insert(bucket.clone(), OpenedBucket { properties, store: store.clone() });
                store
            }
        };
        // The path is taken as it is: a name that was percent-encoded by whoever wrote the file stays so.
        let wrong = |_| Error::invalid(format!("\"{location}\" cannot be the path of a file in a store"));
        let object = ObjectPath::parse(key).map_err(wrong).map_err(failure::for_iceberg)?;
        Ok(StoredObject { store, object, location: location.to_owned(), bucket, access })
    }
}

impl GivenAccess {
    #[expect(clippy::disallowed_methods, reason = "a catalog says by the clock of the day when its keys end")]
    fn new(access: StoreAccess) -> GivenAccess {
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let left =
            |ends_ms: i64| Duration::from_millis(u64::try_from(i128::from(ends_ms) - now_ms as i128).unwrap_or(0));
        let life = access.ends_ms().map_or(LIFE_DEFAULT, left);
        // Half of what is left, where that is little, so that nobody asks for others without end.
        let early = (life / 2).min(RENEW_EARLY);
        let due = access.is_vended().then(|| Instant::now() + (life - early).max(RENEW_SOONEST));
        GivenAccess { access, due }
    }
}

/// Gives [`ObjectFiles`] to whatever asks for a storage.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ObjectFilesFactory(pub ObjectFiles);

#[typetag::serde]
impl StorageFactory for ObjectFilesFactory {
    fn build(&self, _: &StorageConfig) -> Result<Arc<dyn Storage>> {
        Ok(Arc::new(self.0.clone()))
    }
}

#[async_trait]
#[typetag::serde]
impl Storage for ObjectFiles {
    async fn exists(&self, path: &str) -> Result<bool> {
        if is_local(path) {
            return DurableFiles.exists(path).await;
        }
        let at = self.place(path).await?;
        match at.store.head(&at.object).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(at.failed("look for", &error)),
        }
    }

    async fn metadata(&self, path: &str) -> Result<FileMetadata> {
        if is_local(path) {
            return DurableFiles.metadata(path).await;
        }
        let at = self.place(path).await?;
        let found = at.store.head(&at.object).await.map_err(|error| at.failed("look at", &error))?;
        Ok(FileMetadata { size: found.size })
    }

    async fn read(&self, path: &str) -> Result<Bytes> {
        if is_local(path) {
            return DurableFiles.read(path).await;
        }
        let at = self.place(path).await?;
        let read = async { at.store.get(&at.object).await?.bytes().await };
        read.await.map_err(|error| at.failed("read", &error))
    }

    async fn reader(&self, path: &str) -> Result<Box<dyn FileRead>> {
        if is_local(path) {
            return DurableFiles.reader(path).await;
        }
        Ok(Box::new(self.place(path).await?))
    }

    async fn write(&self, path: &str, bytes: Bytes) -> Result<()> {
        let mut file = self.writer(path).await?;
        file.write(bytes).await?;
        file.close().await
    }

    async fn writer(&self, path: &str) -> Result<Box<dyn FileWrite>> {
        if is_local(path) {
            return DurableFiles.writer(path).await;
        }
        let target = self.place(path).await?;
        Ok(Box::new(NewObject { target, gathered: Vec::new(), bytes: 0, parts: None, is_closed: false }))
    }

    async fn delete(&self, path: &str) -> Result<()> {
        if is_local(path) {
            return DurableFiles.delete(path).await;
        }
        let at = self.place(path).await?;
        match at.store.delete(&at.object).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(at.failed("delete", &error)),
        }
    }

    async fn delete_prefix(&self, path: &str) -> Result<()> {
        if is_local(path) {
            return DurableFiles.delete_prefix(path).await;
        }
        // Nothing of ours asks for it, and what it would delete nobody has looked at.
        Err(failure::for_iceberg(Error::internal(format!("all of \"{path}\" was to be deleted"))))
    }

    async fn delete_stream(&self, mut paths: BoxStream<'static, String>) -> Result<()> {
        while let Some(path) = paths.next().await {
            self.delete(&path).await?;
        }
        Ok(())
    }

    fn new_input(&self, path: &str) -> Result<InputFile> {
        Ok(InputFile::new(Arc::new(self.clone()), path.to_owned()))
    }

    fn new_output(&self, path: &str) -> Result<OutputFile> {
        Ok(OutputFile::new(Arc::new(self.clone()), path.to_owned()))
    }
}

/// A place in a store. It is not printed: the store has keys.
struct StoredObject {
    store: Arc<dyn ObjectStore>,
    object: ObjectPath,
    location: String,
    bucket: Bucket,
    // What opened it, which no message shows.
    access: StoreAccess,
}

impl StoredObject {
    fn failed(&self, doing: &str, error: &object_store::Error) -> iceberg::Error {
        let why = store_failure(&self.bucket, doing, &self.location, error, &self.access.secret_texts());
        failure::for_iceberg(why)
    }
}

#[async_trait]
impl FileRead for StoredObject {
    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let read = self.store.get_range(&self.object, range).await;
        read.map_err(|error| self.failed("read", &error))
    }
}

/// A file that is there when it is closed, and not before.
struct NewObject {
    target: StoredObject,
    // What has not been sent yet.
    gathered: Vec<Bytes>,
    bytes: usize,
    parts: Option<WriteMultipart>,
    is_closed: bool,
}

impl NewObject {
    /// Sends what is there as parts.
    async fn send(&mut self) -> Result<()> {
        let target = &self.target;
        let parts = match &mut self.parts {
            Some(parts) => parts,
            parts => {
                let upload = target.store.put_multipart(&target.object).await;
                let upload = upload.map_err(|error| target.failed("write", &error))?;
                parts.insert(WriteMultipart::new_with_chunk_size(upload, PART_BYTES))
            }
        };
        for bytes in self.gathered.drain(..) {
            if let Err(error) = parts.wait_for_capacity(PARTS_MAX).await {
                if let Some(parts) = self.parts.take() {
                    // Parts that stay are for the bucket's rule of uploads that nobody has ended.
                    let _ = parts.abort().await;
                }
                return Err(self.target.failed("write", &error));
            }
            parts.put(bytes);
        }
        self.bytes = 0;
        Ok(())
    }
}

#[async_trait]
impl FileWrite for NewObject {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.bytes += bytes.len();
        self.gathered.push(bytes);
        if self.bytes > PART_BYTES { self.send().await } else { Ok(()) }
    }

    async fn close(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.is_closed, true) {
            return Err(failure::for_iceberg(Error::internal(format!(
                "\"{}\" was closed before",
                self.target.location
            ))));
        }
        if self.parts.is_some() {
            self.send().await?;
        }
        let StoredObject { store, object, .. } = &self.target;
        let written = match self.parts.take() {
            // An upload that fails is aborted by the library.
            Some(parts) => parts.finish().await.map(drop),
            None => store.put(object, PutPayload::from_iter(self.gathered.drain(..))).await.map(drop),
        };
        written.map_err(|error| self.target.failed("write", &error))
    }
}
