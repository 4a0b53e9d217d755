//! A folder in a store, whose objects are made once: for what has to be there whole, and be nobody else's.
//!
//! ```text
//! create      put if absent; taken: read it. These bytes: an earlier request of ours, whose answer was lost
//! upload      the same, and in parts where it is large: for names that nobody else makes
//! replace     put if it is as it was read
//! ```

use crate::attempts::{Attempt, until_done};
use crate::store_access::StoreAccess;
use crate::store_failure::store_failure;
use crate::store_place::Bucket;
use crate::store_properties::Properties;
use bytes::Bytes;
use dataflow::{Error, ErrorKind, Result};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path as ObjectPath;
use object_store::{
    Error as StoreError, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutPayload, UpdateVersion,
};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Runtime;

/// What is larger goes in parts, so many of them at once; each has to arrive within the time of a request.
const WHOLE_BYTES_MAX: usize = 16 << 20;
const PART_BYTES: usize = 8 << 20;
const PARTS_MAX: usize = 8;

/// How long a request may take that is made once.
const ONCE_TIME_MAX: Duration = Duration::from_secs(4);

/// A folder in a bucket. Clones reach the store by the same connections.
#[derive(Clone)]
pub struct ObjectFolder {
    store: Arc<OpenedStore>,
    // Both without a slash at the end.
    location: String,
    path: String,
}

/// A bucket, and what reaches it.
struct OpenedStore {
    bucket: Bucket,
    access: StoreAccess,
    // With what it was opened: keys may be replaced while it is used.
    client: Mutex<Option<(Properties, Arc<dyn ObjectStore>)>>,
    runtime: Runtime,
}

/// What an object was when it was read or written.
#[derive(Clone, Debug)]
pub struct Version(UpdateVersion);

impl std::fmt::Debug for ObjectFolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ObjectFolder").field(&self.location).finish()
    }
}

impl ObjectFolder {
    /// A folder at a location, `s3://BUCKET/FOLDER` and the like; the bucket itself has no name of a folder after it. Nothing
    /// is sent yet.
    pub fn open(location: &str, access: StoreAccess) -> Result<ObjectFolder> {
        let with_slash = format!("{}/", location.trim_end_matches('/'));
        // An error shows what was written.
        let (bucket, path) =
            Bucket::of(&with_slash).or_else(|error| Err(Bucket::of(location).err().unwrap_or(error)))?;
        let (path, location) = (path.trim_end_matches('/').to_owned(), location.trim_end_matches('/'));
        let client = access.now().and_then(|properties| Ok((access.open_once(&bucket, &properties)?, properties)))?;
        let client = Mutex::new(Some((client.1, client.0)));
        ObjectFolder::with(location, path, OpenedStore { bucket, access, client, runtime: runtime()? })
    }

    fn with(location: &str, path: String, store: OpenedStore) -> Result<ObjectFolder> {
        ObjectPath::parse(&path)
            .map_err(|_| Error::invalid(format!("\"{location}\" cannot be the path of a folder in a store")))?;
        Ok(ObjectFolder { store: Arc::new(store), location: location.to_owned(), path })
    }

    /// A folder over a store that a test has made.
    #[cfg(test)]
    pub(crate) fn of_test(location: &str, store: Arc<dyn ObjectStore>) -> ObjectFolder {
        let access = StoreAccess::new(&crate::StoreSettings::default(), None, []).unwrap();
        let with_slash = format!("{location}/");
        let (bucket, path) = Bucket::of(&with_slash).unwrap();
        let (path, properties) = (path.trim_end_matches('/').to_owned(), access.now().unwrap());
        let client = Mutex::new(Some((properties, store)));
        let opened = OpenedStore { bucket, access, client, runtime: runtime().unwrap() };
        ObjectFolder::with(location, path, opened).unwrap()
    }

    /// A folder in this one.
    pub fn within(&self, name: &str) -> ObjectFolder {
        ObjectFolder { store: self.store.clone(), location: self.place_of(name), path: self.key(name) }
    }

    /// Where it is, without a slash at its end.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// The last part of its location.
    pub fn name(&self) -> &str {
        self.location.rsplit('/').next().unwrap_or_default()
    }

    /// Where an object is.
    pub fn place_of(&self, name: &str) -> String {
        format!("{}/{name}", self.location)
    }

    /// Makes an object if its name is free; false where it is taken by other bytes. After an error of kind `Unavailable`
    /// nobody knows whether it is made.
    pub fn create(&self, name: &str, bytes: &[u8]) -> Result<bool> {
        let bytes = Bytes::copy_from_slice(bytes);
        self.store.runtime.block_on(self.create_here(name, &bytes))
    }

    pub(crate) async fn create_here(&self, name: &str, bytes: &Bytes) -> Result<bool> {
        until_done(async || {
            let (client, path) = self.object(name)?;
            let put = client.put_opts(&path, PutPayload::from_bytes(bytes.clone()), PutMode::Create.into()).await;
            match put {
                Ok(_) => Ok(Attempt::Done(true)),
                Err(StoreError::AlreadyExists { .. }) => match self.find(name).await? {
                    Attempt::Done(Some(found)) => Ok(Attempt::Done(found == *bytes)),
                    // It was there for others that made it at this moment, and is not, or is deleted.
                    Attempt::Done(None) => Ok(Attempt::Again(Error::unavailable(format!(
                        "\"{}\" is there for whoever writes it, and not for whoever reads it",
                        self.place_of(name)
                    )))),
                    Attempt::Again(error) => Ok(Attempt::Again(error)),
                },
                Err(error) => Ok(Attempt::Again(self.failed("write", name, &error))),
            }
        })
        .await
    }

    /// As [`create`](Self::create), for an object whose name nobody else makes: a large one goes in parts, whatever is there.
    pub fn upload(&self, name: &str, bytes: &[u8]) -> Result<bool> {
        let bytes = Bytes::copy_from_slice(bytes);
        self.store.runtime.block_on(async {
            if bytes.len() <= WHOLE_BYTES_MAX {
                return self.create_here(name, &bytes).await;
            }
            until_done(async || {
                let (client, path) = self.object(name)?;
                match put_parts(&*client, &path, &bytes).await {
                    Ok(()) => Ok(Attempt::Done(true)),
                    Err(error) => Ok(Attempt::Again(self.failed("write", name, &error))),
                }
            })
            .await
        })
    }

    /// The bytes of an object, if there is one of the name.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.store.runtime.block_on(until_done(async || self.find(name).await)).map(|found| found.map(Vec::from))
    }

    async fn find(&self, name: &str) -> Result<Attempt<Option<Bytes>>> {
        let (client, path) = self.object(name)?;
        let read = async { client.get(&path).await?.bytes().await };
        self.there(name, read.await)
    }

    /// At most so many bytes of an object from an offset on, fewer where it ends before; nothing if there is none.
    pub fn read_range(&self, name: &str, offset: u64, bytes: u64) -> Result<Option<Vec<u8>>> {
        if bytes == 0 {
            return Ok(Some(Vec::new()));
        }
        let read = until_done(async || {
            let (client, path) = self.object(name)?;
            let read = client.get_range(&path, offset..offset.saturating_add(bytes)).await;
            if matches!(&read, Err(error) if !matches!(error, StoreError::NotFound { .. }))
                && client.head(&path).await.is_ok_and(|object| object.size <= offset)
            {
                return Ok(Attempt::Done(Some(Bytes::new())));
            }
            self.there(name, read)
        });
        self.store.runtime.block_on(read).map(|found| found.map(Vec::from))
    }

    /// What was read of an object, which may not be there.
    fn there(&self, name: &str, read: object_store::Result<Bytes>) -> Result<Attempt<Option<Bytes>>> {
        match read {
            Ok(bytes) => Ok(Attempt::Done(Some(bytes))),
            Err(StoreError::NotFound { .. }) => Ok(Attempt::Done(None)),
            Err(error) => Ok(Attempt::Again(self.failed("read", name, &error))),
        }
    }

    /// The names of the objects in it, sorted; those in folders of it are not.
    pub fn names(&self) -> Result<Vec<String>> {
        Ok(self.list()?.0)
    }

    /// The names of the folders in it, sorted: those that have an object.
    pub fn folders(&self) -> Result<Vec<String>> {
        Ok(self.list()?.1)
    }

    fn list(&self) -> Result<(Vec<String>, Vec<String>)> {
        self.store.runtime.block_on(self.list_here())
    }

    pub(crate) async fn list_here(&self) -> Result<(Vec<String>, Vec<String>)> {
        let listed = until_done(async || {
            let (client, path) = self.object("")?;
            // The library asks for one page after the other.
            match client.list_with_delimiter(Some(&path)).await {
                Ok(listed) => Ok(Attempt::Done(listed)),
                Err(error) => Ok(Attempt::Again(self.failed("list", "", &error))),
            }
        });
        let listed = listed.await?;
        let last = |path: &ObjectPath| path.filename().map(str::to_owned);
        let mut names: Vec<String> = listed.objects.iter().filter_map(|object| last(&object.location)).collect();
        let mut folders: Vec<String> = listed.common_prefixes.iter().filter_map(last).collect();
        names.sort_unstable();
        folders.sort_unstable();
        Ok((names, folders))
    }

    /// Removes an object; one that is not there is no error.
    pub fn delete(&self, name: &str) -> Result<()> {
        self.store.runtime.block_on(self.delete_here(name))
    }

    pub(crate) async fn delete_here(&self, name: &str) -> Result<()> {
        until_done(async || {
            let (client, path) = self.object(name)?;
            match client.delete(&path).await {
                Ok(()) | Err(StoreError::NotFound { .. }) => Ok(Attempt::Done(())),
                Err(error) => Ok(Attempt::Again(self.failed("delete", name, &error))),
            }
        })
        .await
    }

    /// The bytes of an object and which version of it they are, if there is one of the name.
    pub fn read_version(&self, name: &str) -> Result<Option<(Vec<u8>, Version)>> {
        self.store.runtime.block_on(until_done(async || {
            let (client, path) = self.object(name)?;
            let read = async {
                let found = client.get(&path).await?;
                let meta = &found.meta;
                let version = Version(UpdateVersion { e_tag: meta.e_tag.clone(), version: meta.version.clone() });
                Ok((Vec::from(found.bytes().await?), version))
            };
            match read.await {
                Ok(found) => Ok(Attempt::Done(Some(found))),
                Err(StoreError::NotFound { .. }) => Ok(Attempt::Done(None)),
                Err(error) => Ok(Attempt::Again(self.failed("read", name, &error))),
            }
        }))
    }

    /// Gives an object other bytes if it is that version; nothing where it is another one, or gone. It is asked for once, for
    /// a few seconds: after an error nobody knows whether it is done.
    pub fn replace(&self, name: &str, bytes: &[u8], version: &Version) -> Result<Option<Version>> {
        let (client, path) = self.object(name)?;
        let payload = PutPayload::from_bytes(Bytes::copy_from_slice(bytes));
        self.store.runtime.block_on(async {
            let put = client.put_opts(&path, payload, PutMode::Update(version.0.clone()).into());
            match tokio::time::timeout(ONCE_TIME_MAX, put).await {
                Ok(Ok(put)) => Ok(Some(Version(put.into()))),
                Ok(Err(StoreError::Precondition { .. } | StoreError::NotFound { .. })) => Ok(None),
                Ok(Err(error)) => Err(self.failed("write", name, &error)),
                Err(_) => Err(Error::unavailable(format!(
                    "cannot write \"{}\": the store says nothing for {} s",
                    self.place_of(name),
                    ONCE_TIME_MAX.as_secs()
                ))),
            }
        })
    }

    /// Does something with the store, which is waited for.
    pub(crate) fn wait_for<T>(&self, doing: impl Future<Output = T>) -> T {
        self.store.runtime.block_on(doing)
    }

    fn key(&self, name: &str) -> String {
        match (self.path.is_empty(), name.is_empty()) {
            (true, _) => name.to_owned(),
            (false, true) => self.path.clone(),
            (false, false) => format!("{}/{name}", self.path),
        }
    }

    /// What reaches an object now, with the keys as they are now.
    fn object(&self, name: &str) -> Result<(Arc<dyn ObjectStore>, ObjectPath)> {
        let OpenedStore { bucket, access, client, .. } = &*self.store;
        let wrong = |_| Error::invalid(format!("\"{}\" cannot be the path of an object", self.place_of(name)));
        let (path, properties) = (ObjectPath::parse(self.key(name)).map_err(wrong)?, access.now()?);
        let mut client = client.lock().unwrap_or_else(PoisonError::into_inner);
        match &*client {
            Some((of, client)) if *of == properties => Ok((client.clone(), path)),
            _ => {
                let opened = access.open_once(bucket, &properties)?;
                *client = Some((properties, opened.clone()));
                Ok((opened, path))
            }
        }
    }

    fn failed(&self, doing: &str, name: &str, error: &StoreError) -> Error {
        let place = if name.is_empty() { self.location.clone() } else { self.place_of(name) };
        if let StoreError::NotImplemented { .. } | StoreError::NotSupported { .. } = error {
            return Error::new(ErrorKind::Invalid, format!("cannot {doing} \"{place}\": the store does not offer it"));
        }
        store_failure(&self.store.bucket, doing, &place, error, &self.store.access.secret_texts())
    }
}

/// Puts an object in parts; it is there once all of them are.
async fn put_parts(client: &dyn ObjectStore, path: &ObjectPath, bytes: &Bytes) -> object_store::Result<()> {
    let mut upload = client.put_multipart(path).await?;
    match fill(&mut *upload, bytes).await {
        Ok(()) => Ok(()),
        Err(error) => {
            // Parts that stay are for the bucket's rule of uploads that nobody has ended.
            let _ = tokio::time::timeout(ONCE_TIME_MAX, upload.abort()).await;
            Err(error)
        }
    }
}

async fn fill(upload: &mut dyn MultipartUpload, bytes: &Bytes) -> object_store::Result<()> {
    let begins = (0..bytes.len()).step_by(PART_BYTES);
    let part = |from: usize| PutPayload::from_bytes(bytes.slice(from..bytes.len().min(from + PART_BYTES)));
    // A part is sent when it is first asked for.
    let parts: Vec<_> = begins.map(|from| upload.put_part(part(from))).collect();
    stream::iter(parts).buffer_unordered(PARTS_MAX).try_collect::<()>().await?;
    upload.complete().await.map(drop)
}

fn runtime() -> Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).thread_name("object-store").enable_all();
    builder.build().map_err(|error| Error::unavailable("no threads can be started for a store").with_source(error))
}
