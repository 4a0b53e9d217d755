//! Files of an object store, for what the iceberg library reads and writes; those of a local disk beside them.

use crate::failure;
use crate::s3_access::S3Access;
use crate::storage::DurableFiles;
use async_trait::async_trait;
use bytes::Bytes;
use dataflow::{Error, ErrorKind};
use futures::StreamExt;
use futures::stream::BoxStream;
use iceberg::Result;
use iceberg::io::{FileMetadata, FileRead, FileWrite, InputFile, OutputFile, Storage, StorageConfig, StorageFactory};
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, WriteMultipart};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// A larger file is written in parts of this size.
pub const PART_BYTES: usize = 16 << 20;
/// So many parts are on their way at once.
const PARTS_MAX: usize = 4;

/// Whether a location is one of a local disk.
pub fn is_local(location: &str) -> bool {
    location.starts_with('/') || location.starts_with("file:")
}

/// Buckets that are opened when they are first named.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct ObjectFiles {
    #[serde(skip)]
    buckets: Arc<Buckets>,
}

#[derive(Default)]
struct Buckets {
    // `None` in one that was read from bytes: secrets are in none.
    access: Option<S3Access>,
    opened: Mutex<HashMap<String, Arc<dyn ObjectStore>>>,
}

impl fmt::Debug for ObjectFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectFiles").field("access", &self.buckets.access).finish_non_exhaustive()
    }
}

impl ObjectFiles {
    /// Buckets that are opened with this.
    pub fn new(access: S3Access) -> ObjectFiles {
        ObjectFiles { buckets: Arc::new(Buckets { access: Some(access), opened: Mutex::default() }) }
    }

    /// What opens the buckets.
    pub fn access(&self) -> Option<&S3Access> {
        self.buckets.access.as_ref()
    }

    /// Gives the files of a store that lie below a location: where each lies, its bytes, and when it was written in
    /// milliseconds since 1970.
    pub async fn list(&self, folder: &str, each: &mut dyn FnMut(String, u64, i64)) -> Result<()> {
        let folder = folder.trim_end_matches('/');
        let (store, path) = self.place(folder)?;
        let base = folder.strip_suffix(path.as_ref()).unwrap_or(folder).trim_end_matches('/');
        let mut listed = store.list(Some(&path));
        while let Some(found) = listed.next().await {
            let found = found.map_err(|error| failed("list", folder, &error))?;
            each(format!("{base}/{}", found.location), found.size, found.last_modified.timestamp_millis());
        }
        Ok(())
    }

    fn place(&self, location: &str) -> Result<(Arc<dyn ObjectStore>, ObjectPath)> {
        let unknown = || {
            let what =
                format!("\"{location}\" lies in no store that is supported; expected s3://BUCKET/.. or file:///..");
            failure::for_iceberg(Error::invalid(what))
        };
        let (scheme, rest) = location.split_once("://").ok_or_else(unknown)?;
        let (bucket, key) = rest.split_once('/').ok_or_else(unknown)?;
        if !matches!(scheme, "s3" | "s3a" | "s3n") || bucket.is_empty() {
            return Err(unknown());
        }
        let mut opened = self.buckets.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let store = match opened.get(bucket) {
            Some(store) => store.clone(),
            None => {
                let access = self.access().ok_or_else(unknown)?;
                let store: Arc<dyn ObjectStore> = Arc::new(access.bucket(bucket).map_err(failure::for_iceberg)?);
                opened.insert(bucket.to_owned(), store.clone());
                store
            }
        };
        // The path is taken as it is: a name that was percent-encoded by whoever wrote the file stays so.
        let path = ObjectPath::parse(key).map_err(|_| unknown())?;
        Ok((store, path))
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

/// What a store's error means to a host. Of what the store has said only its code and its message are told: the rest may
/// hold what was sent.
fn failed(doing: &str, location: &str, error: &object_store::Error) -> iceberg::Error {
    let text = chain(error);
    let within = |tag: &str| {
        let from = text.find(&format!("<{tag}>"))? + tag.len() + 2;
        Some(text[from..].split('<').next().unwrap_or_default().to_owned())
    };
    let (code, message) = (within("Code"), within("Message"));
    let bucket = location.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let (kind, why) = match (code.as_deref(), error) {
        (Some("NoSuchBucket"), _) => (ErrorKind::Invalid, format!("there is no bucket \"{bucket}\"; make it")),
        (Some("InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" | "InvalidSecurity"), _) => (
            ErrorKind::Refused,
            "the store does not know these keys: look at access_key and secret_key of s3".to_owned(),
        ),
        (Some("ExpiredToken" | "TokenRefreshRequired"), _) => {
            (ErrorKind::Refused, "the keys have expired; get new ones".to_owned())
        }
        (Some("RequestTimeTooSkewed" | "RequestExpired"), _) => (
            ErrorKind::Unavailable,
            "the clock of this machine differs from that of the store; set it right".to_owned(),
        ),
        (Some("AuthorizationHeaderMalformed" | "PermanentRedirect" | "IllegalLocationConstraintException"), _) => {
            (ErrorKind::Invalid, format!("bucket \"{bucket}\" lies in another region; set region of s3"))
        }
        (Some("AccessDenied" | "AllAccessDisabled"), _)
        | (None, object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. }) => {
            (ErrorKind::Refused, format!("these keys may not do this in bucket \"{bucket}\""))
        }
        (_, object_store::Error::NotFound { .. }) => (ErrorKind::Corrupt, "the file is missing".to_owned()),
        (_, object_store::Error::InvalidPath { .. }) => {
            (ErrorKind::Invalid, "the path cannot be one of a store".to_owned())
        }
        _ => (ErrorKind::Unavailable, "the store does not answer as expected".to_owned()),
    };
    let told = match (code, message) {
        (Some(code), Some(message)) => format!(" ({code}: {})", message.chars().take(300).collect::<String>()),
        (Some(code), None) => format!(" ({code})"),
        _ if kind == ErrorKind::Unavailable => format!(" ({})", text.chars().take(400).collect::<String>()),
        _ => String::new(),
    };
    failure::for_iceberg(Error::new(kind, format!("cannot {doing} \"{location}\": {why}{told}")))
}

/// An error and what is below it.
fn chain(error: &object_store::Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        let told = cause.to_string();
        if !text.contains(&told) {
            text.push_str(": ");
            text.push_str(&told);
        }
        next = cause.source();
    }
    text
}

#[async_trait]
#[typetag::serde]
impl Storage for ObjectFiles {
    async fn exists(&self, path: &str) -> Result<bool> {
        if is_local(path) {
            return DurableFiles.exists(path).await;
        }
        let (store, object) = self.place(path)?;
        match store.head(&object).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(failed("look for", path, &error)),
        }
    }

    async fn metadata(&self, path: &str) -> Result<FileMetadata> {
        if is_local(path) {
            return DurableFiles.metadata(path).await;
        }
        let (store, object) = self.place(path)?;
        let found = store.head(&object).await.map_err(|error| failed("look at", path, &error))?;
        Ok(FileMetadata { size: found.size })
    }

    async fn read(&self, path: &str) -> Result<Bytes> {
        if is_local(path) {
            return DurableFiles.read(path).await;
        }
        let (store, object) = self.place(path)?;
        let read = async { store.get(&object).await?.bytes().await };
        read.await.map_err(|error| failed("read", path, &error))
    }

    async fn reader(&self, path: &str) -> Result<Box<dyn FileRead>> {
        if is_local(path) {
            return DurableFiles.reader(path).await;
        }
        let (store, object) = self.place(path)?;
        Ok(Box::new(StoredObject { store, object, location: path.to_owned() }))
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
        let (store, object) = self.place(path)?;
        let target = StoredObject { store, object, location: path.to_owned() };
        Ok(Box::new(NewObject { target, gathered: Vec::new(), bytes: 0, parts: None, is_closed: false }))
    }

    async fn delete(&self, path: &str) -> Result<()> {
        if is_local(path) {
            return DurableFiles.delete(path).await;
        }
        let (store, object) = self.place(path)?;
        match store.delete(&object).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed("delete", path, &error)),
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
}

#[async_trait]
impl FileRead for StoredObject {
    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let read = self.store.get_range(&self.object, range).await;
        read.map_err(|error| failed("read", &self.location, &error))
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
        let StoredObject { store, object, location } = &self.target;
        let parts = match &mut self.parts {
            Some(parts) => parts,
            parts => {
                let upload = store.put_multipart(object).await.map_err(|error| failed("write", location, &error))?;
                parts.insert(WriteMultipart::new_with_chunk_size(upload, PART_BYTES))
            }
        };
        for bytes in self.gathered.drain(..) {
            if let Err(error) = parts.wait_for_capacity(PARTS_MAX).await {
                if let Some(parts) = self.parts.take() {
                    // Parts that stay are for the bucket's rule of uploads that nobody has ended.
                    let _ = parts.abort().await;
                }
                return Err(failed("write", location, &error));
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
        let StoredObject { store, object, location } = &self.target;
        let written = match self.parts.take() {
            // An upload that fails is aborted by the library.
            Some(parts) => parts.finish().await.map(drop),
            None => store.put(object, PutPayload::from_iter(self.gathered.drain(..))).await.map(drop),
        };
        written.map_err(|error| failed("write", location, &error))
    }
}
