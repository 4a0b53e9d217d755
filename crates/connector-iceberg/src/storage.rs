//! Durable files on a local disk, for the metadata that the iceberg library writes.

use crate::failure;
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use iceberg::Result;
use iceberg::io::{FileMetadata, FileRead, FileWrite, InputFile, OutputFile, Storage, StorageConfig, StorageFactory};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// Files of a local disk that are either whole and durable under their name, or not there.
///
/// ```text
/// write to a hidden name beside the file -> sync it -> rename it -> sync the folder
/// ```
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DurableFiles;

/// Makes [`DurableFiles`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DurableFilesFactory;

#[typetag::serde]
impl StorageFactory for DurableFilesFactory {
    fn build(&self, _: &StorageConfig) -> Result<Arc<dyn Storage>> {
        Ok(Arc::new(DurableFiles))
    }
}

/// The path on disk that a location of Iceberg means: `file:///x`, `file:/x` and `/x` are the same.
pub fn path_of(location: &str) -> PathBuf {
    let path = location.strip_prefix("file:").unwrap_or(location);
    PathBuf::from(format!("/{}", path.trim_start_matches('/')))
}

/// Makes a folder and those above it, and makes their names durable.
pub fn create_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        create_folder(parent)?;
    }
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => folder.parent().map_or(Ok(()), sync_folder),
    }
}

/// The time by the clock of the disk that a folder lies on, as files get it which are written now.
pub fn disk_time(folder: &Path) -> io::Result<SystemTime> {
    let path = folder.join(format!(".{}.tmp", uuid::Uuid::new_v4()));
    let written = OpenOptions::new().write(true).create_new(true).open(&path).and_then(|mut file| {
        // A disk of another machine gives the time when something is written.
        file.write_all(b"1")?;
        file.sync_all()
    });
    let time = written.and_then(|()| fs::metadata(&path)?.modified());
    // Nobody knows the hidden name, so a file that stays costs space and nothing else.
    let _ = fs::remove_file(&path);
    time
}

/// Makes the names in a folder durable.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn failed(doing: &str, path: &Path, error: io::Error) -> iceberg::Error {
    failure::io_for_iceberg(format!("cannot {doing} \"{}\"", path.display()), error)
}

#[async_trait]
#[typetag::serde]
impl Storage for DurableFiles {
    async fn exists(&self, path: &str) -> Result<bool> {
        let path = path_of(path);
        path.try_exists().map_err(|error| failed("look for", &path, error))
    }

    async fn metadata(&self, path: &str) -> Result<FileMetadata> {
        let path = path_of(path);
        let metadata = fs::metadata(&path).map_err(|error| failed("look at", &path, error))?;
        Ok(FileMetadata { size: metadata.len() })
    }

    async fn read(&self, path: &str) -> Result<Bytes> {
        let path = path_of(path);
        Ok(Bytes::from(fs::read(&path).map_err(|error| failed("read", &path, error))?))
    }

    async fn reader(&self, path: &str) -> Result<Box<dyn FileRead>> {
        let path = path_of(path);
        let file = File::open(&path).map_err(|error| failed("read", &path, error))?;
        Ok(Box::new(OldFile { path, file }))
    }

    async fn write(&self, path: &str, bytes: Bytes) -> Result<()> {
        let mut file = NewFile::create(path_of(path))?;
        file.write(bytes).await?;
        file.close().await
    }

    async fn writer(&self, path: &str) -> Result<Box<dyn FileWrite>> {
        Ok(Box::new(NewFile::create(path_of(path))?))
    }

    async fn delete(&self, path: &str) -> Result<()> {
        let path = path_of(path);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("delete", &path, error)),
            _ => Ok(()),
        }
    }

    async fn delete_prefix(&self, path: &str) -> Result<()> {
        let path = path_of(path);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("delete", &path, error)),
            _ => Ok(()),
        }
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

/// A file that is there.
#[derive(Debug)]
struct OldFile {
    path: PathBuf,
    file: File,
}

#[async_trait]
impl FileRead for OldFile {
    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let mut bytes = vec![0; range.end.saturating_sub(range.start) as usize];
        let read = self.file.read_exact_at(&mut bytes, range.start);
        read.map_err(|error| failed("read", &self.path, error))?;
        Ok(Bytes::from(bytes))
    }
}

/// A file that gets its name when it is closed.
#[derive(Debug)]
struct NewFile {
    path: PathBuf,
    hidden: PathBuf,
    // Invariant: `Some` until the file has been closed.
    file: Option<File>,
}

impl NewFile {
    fn create(path: PathBuf) -> Result<NewFile> {
        let parent = path.parent().unwrap_or(Path::new("/"));
        create_folder(parent).map_err(|error| failed("make the folder of", &path, error))?;
        let hidden = parent.join(format!(".{}.tmp", uuid::Uuid::new_v4()));
        let file = OpenOptions::new().write(true).create_new(true).open(&hidden);
        let file = file.map_err(|error| failed("create", &path, error))?;
        Ok(NewFile { path, hidden, file: Some(file) })
    }
}

#[async_trait]
impl FileWrite for NewFile {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let written = match &mut self.file {
            Some(file) => file.write_all(&bytes),
            None => Err(io::Error::other("the file was closed before")),
        };
        written.map_err(|error| failed("write", &self.path, error))
    }

    async fn close(&mut self) -> Result<()> {
        let Some(file) = &self.file else {
            return Err(failed("close", &self.path, io::Error::other("the file was closed before")));
        };
        let parent = self.path.parent().unwrap_or(Path::new("/"));
        file.sync_all()
            .and_then(|()| fs::rename(&self.hidden, &self.path))
            .and_then(|()| sync_folder(parent))
            .map_err(|error| failed("make durable", &self.path, error))?;
        self.file = None;
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if self.file.is_some() {
            // Nobody knows the hidden name, so a file that stays costs space and nothing else.
            let _ = fs::remove_file(&self.hidden);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_the_same_path_with_and_without_scheme() {
        for location in ["file:///a/b", "file:/a/b", "file://a/b", "/a/b"] {
            assert_eq!(path_of(location), Path::new("/a/b"), "{location}");
        }
    }

    #[test]
    fn a_file_has_its_name_only_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/file");
        let mut file = NewFile::create(path.clone()).unwrap();
        futures::executor::block_on(file.write(Bytes::from_static(b"one"))).unwrap();
        assert!(!path.exists());
        futures::executor::block_on(file.close()).unwrap();
        drop(file);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_is_given_up_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        drop(NewFile::create(folder.path().join("file")).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
