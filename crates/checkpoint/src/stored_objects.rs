//! A folder of an object store as a store.

use crate::store::{Created, Store};
use dataflow::Result;
use object_stores::ObjectFolder;

impl Store for ObjectFolder {
    fn create(&self, name: &str, bytes: &[u8]) -> Result<Created> {
        Ok(created(ObjectFolder::create(self, name, bytes)?))
    }

    fn upload(&self, name: &str, bytes: &[u8]) -> Result<Created> {
        Ok(created(ObjectFolder::upload(self, name, bytes)?))
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        ObjectFolder::read(self, name)
    }

    fn read_range(&self, name: &str, offset: u64, bytes: u64) -> Result<Option<Vec<u8>>> {
        ObjectFolder::read_range(self, name, offset, bytes)
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let mut names = self.names()?;
        names.retain(|name| name.starts_with(prefix));
        Ok(names)
    }

    fn delete(&self, name: &str) -> Result<()> {
        ObjectFolder::delete(self, name)
    }

    fn place(&self, name: &str) -> String {
        format!("\"{}\"", self.place_of(name))
    }
}

fn created(is_new: bool) -> Created {
    if is_new { Created::New } else { Created::Exists }
}
