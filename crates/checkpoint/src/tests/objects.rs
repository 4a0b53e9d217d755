//! A store in memory.

use crate::store::{Created, Store};
use dataflow::Result;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Named objects, and how many bytes were read of parts of them.
#[derive(Default)]
pub struct Objects(pub Mutex<BTreeMap<String, Vec<u8>>>, pub AtomicUsize);

impl Store for Objects {
    fn create(&self, name: &str, bytes: &[u8]) -> Result<Created> {
        match self.0.lock().unwrap().entry(name.to_owned()) {
            Entry::Occupied(_) => Ok(Created::Exists),
            Entry::Vacant(place) => {
                place.insert(bytes.to_vec());
                Ok(Created::New)
            }
        }
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.0.lock().unwrap().get(name).cloned())
    }

    fn read_range(&self, name: &str, offset: u64, bytes: u64) -> Result<Option<Vec<u8>>> {
        self.1.fetch_add(bytes as usize, Relaxed);
        Ok(self.0.lock().unwrap().get(name).map(|object| {
            let from = object.len().min(offset as usize);
            object[from..object.len().min(from + bytes as usize)].to_vec()
        }))
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let objects = self.0.lock().unwrap();
        Ok(objects.keys().filter(|name| name.starts_with(prefix)).cloned().collect())
    }

    fn delete(&self, name: &str) -> Result<()> {
        self.0.lock().unwrap().remove(name);
        Ok(())
    }

    fn place(&self, name: &str) -> String {
        name.to_owned()
    }
}
