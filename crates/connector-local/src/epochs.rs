//! The epochs that producers have claimed in a partition: a small file, written whole, that every append reads.

use crate::disk::{io_error, write_whole};
use crate::partition::Partition;
use dataflow::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const VERSION: u32 = 1;

/// The file's content when it was last read. A partition in which no one has claimed an epoch has no such file.
#[derive(Default)]
pub(crate) struct Epochs {
    text: Vec<u8>,
    claimed: BTreeMap<String, u64>,
}

/// The file `epochs`: each producer's name and its greatest epoch.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EpochsFile {
    version: u32,
    producers: BTreeMap<String, u64>,
}

impl Epochs {
    /// Reads the file, and parses it when it has changed. The caller holds the lock.
    pub fn refresh(&mut self, partition: &Partition) -> Result<()> {
        let path = partition.folder.join("epochs");
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(io_error("read", &path, e)),
        };
        if text == self.text {
            return Ok(());
        }
        let saved: EpochsFile = serde_json::from_slice(&text)
            .map_err(|e| Error::corrupt(format!("\"{}\" does not list epochs", path.display())).with_source(e))?;
        if saved.version != VERSION {
            return Err(Error::corrupt(format!(
                "\"{}\" has format version {}, expected {VERSION}: it was written by a newer riverrun",
                path.display(),
                saved.version
            )));
        }
        (self.text, self.claimed) = (text, saved.producers);
        Ok(())
    }

    /// The greatest epoch that was claimed for a producer.
    pub fn of(&self, producer: &str) -> Option<u64> {
        self.claimed.get(producer).copied()
    }

    /// Records a claim, durably. The caller holds the lock and has refreshed.
    pub fn claim(&mut self, partition: &Partition, producer: &str, epoch: u64) -> Result<()> {
        self.claimed.insert(producer.to_owned(), epoch);
        self.text = serde_json::to_vec(&EpochsFile { version: VERSION, producers: self.claimed.clone() })
            .map_err(|e| Error::internal("cannot list epochs").with_source(e))?;
        write_whole(&partition.folder.join("epochs"), &self.text)
    }
}
