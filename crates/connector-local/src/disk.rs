//! Durable writes, and errors of the file system that name what was done and the path.

use dataflow::Error;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// An error of the operating system, with what was done and where.
pub(crate) fn io_error(doing: &str, path: &Path, error: io::Error) -> Error {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => Error::invalid(format!("cannot {doing} \"{path}\": it does not exist")),
        _ => Error::of_file(format!("cannot {doing} \"{path}\""), error),
    }
}

/// The size of a file.
pub(crate) fn file_bytes(path: &Path) -> dataflow::Result<u64> {
    Ok(std::fs::metadata(path).map_err(|e| io_error("look at", path, e))?.len())
}

/// What the system says of a file that was changed: which one it is, and when it changed last. Its time of
/// modification can be set by anyone, that of its last change of any kind cannot.
pub(crate) fn file_state(path: &Path) -> dataflow::Result<String> {
    let found = std::fs::metadata(path).map_err(|e| io_error("look at", path, e))?;
    let changed = (found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec());
    Ok(format!("{}:{}.{}:{}.{} ", found.ino(), changed.0, changed.1, changed.2, changed.3))
}

/// Makes the entries of a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> dataflow::Result<()> {
    File::open(folder).and_then(|opened| opened.sync_all()).map_err(|e| io_error("sync the folder", folder, e))
}

/// Writes a file durably under its name: other processes see all of it or nothing.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> dataflow::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(format!(".{}.unfinished", uuid::Uuid::new_v4().simple()));
    let unfinished = Path::new(&unfinished);
    let write = || {
        let mut file = File::create(unfinished)?;
        io::Write::write_all(&mut file, bytes)?;
        file.sync_all()?;
        std::fs::rename(unfinished, path)
    };
    write().map_err(|e| {
        // What is left of it would only take up space; the error that matters is the first one.
        let _ = std::fs::remove_file(unfinished);
        io_error("write", path, e)
    })?;
    path.parent().map_or(Ok(()), sync_folder)
}
