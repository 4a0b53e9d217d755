//! What checkpoints are kept in.

use dataflow::Result;

/// Whether a name was free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// It was, and holds the bytes now.
    New,
    /// It was taken; what it holds is as it was, whole and durable.
    Exists,
}

/// Named objects, each made once and never changed.
///
/// An error of kind `Unavailable` says nothing of whether a call has had its effect, or will have it later.
pub trait Store: Send + Sync {
    /// Makes an object if its name is free. What it has returned for is whole and durable. A store whose answers get lost
    /// may take these very bytes under the name for made by an earlier request, so what rivals make differs.
    fn create(&self, name: &str, bytes: &[u8]) -> Result<Created>;
    /// The same for a name that no rival makes; a store may send a large object in parts, and not look whether it is there.
    fn upload(&self, name: &str, bytes: &[u8]) -> Result<Created> {
        self.create(name, bytes)
    }
    /// The bytes of an object, if there is one of this name.
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>>;
    /// At most so many bytes of an object from an offset on, fewer where it ends before; nothing if there is none of this name.
    fn read_range(&self, name: &str, offset: u64, bytes: u64) -> Result<Option<Vec<u8>>>;
    /// The names that begin with a prefix, sorted.
    fn list(&self, prefix: &str) -> Result<Vec<String>>;
    /// Removes an object; one that is not there is no error.
    fn delete(&self, name: &str) -> Result<()>;
    /// Where the object lies, for messages to people.
    fn place(&self, name: &str) -> String;
}
