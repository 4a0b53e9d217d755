//! The inputs on disk: made once per seed, size and layout, and kept in a cache folder.

use crate::events::{self, Message};
use crate::failure;
use crate::tables::{self, BATCH_ROWS, Output};
use dataflow::Result;
use std::path::{Path, PathBuf};

/// Raise it when the rows or the files change, so that no cached folder is taken for the new one.
const VERSION: u32 = 1;

/// The files of messages, where nothing else is said.
pub const FILES: usize = 8;

/// What is made.
#[derive(Clone, Debug)]
pub struct Recipe {
    pub seed: u64,
    pub events: usize,
    /// The files of messages.
    pub files: usize,
    /// Whether each file spans the whole time, rather than one after the other.
    pub spread: bool,
}

/// Inputs that are on disk.
#[derive(Clone, Debug)]
pub struct Dataset {
    pub folder: PathBuf,
    pub recipe: Recipe,
}

impl Dataset {
    /// Finds the inputs in the cache folder, or makes them.
    pub fn prepare(cache: &Path, recipe: &Recipe) -> Result<Dataset> {
        let Recipe { seed, events, files, spread } = recipe;
        let layout = if *spread { "spread" } else { "ordered" };
        let folder = cache.join(format!("data-v{VERSION}-seed{seed}-{events}-{files}-{layout}"));
        let dataset = Dataset { folder, recipe: recipe.clone() };
        if !dataset.folder.exists() {
            eprintln!("making {events} events in {files} {layout} files");
            dataset.make(|_| ())?;
        }
        Ok(dataset)
    }

    /// The same messages, each of an author of its own.
    pub fn prepare_distinct(cache: &Path, recipe: &Recipe) -> Result<Dataset> {
        let Recipe { seed, events, files, .. } = recipe;
        let folder = cache.join(format!("data-v{VERSION}-seed{seed}-{events}-{files}-distinct"));
        let dataset = Dataset { folder, recipe: recipe.clone() };
        if !dataset.folder.exists() {
            eprintln!("making {events} events of as many authors in {files} files");
            dataset.make(|rows| {
                rows.iter_mut().zip(0..).for_each(|(row, rank)| row.author_id = events::author_id(rank))
            })?;
        }
        Ok(dataset)
    }

    /// The files of messages, as a pattern.
    pub fn messages(&self) -> String {
        format!("{}/messages/*.parquet", self.folder.display())
    }

    /// The files of messages, in order.
    pub fn message_files(&self) -> Vec<PathBuf> {
        let folder = self.folder.join("messages");
        (0..self.recipe.files).map(|file| folder.join(format!("{file:05}.parquet"))).collect()
    }

    /// The file of profiles, as a pattern.
    pub fn profiles(&self) -> String {
        format!("{}/profiles/*.parquet", self.folder.display())
    }

    /// The file of profiles.
    pub fn profile_file(&self) -> PathBuf {
        self.folder.join("profiles/00000.parquet")
    }

    /// Writes beside the final folder, and renames: a folder that is there is whole.
    fn make(&self, change: impl FnOnce(&mut Vec<Message>)) -> Result<()> {
        let partial = Dataset { folder: self.folder.with_extension("partial"), recipe: self.recipe.clone() };
        for part in ["messages", "profiles"] {
            let folder = partial.folder.join(part);
            std::fs::create_dir_all(&folder).map_err(|error| failure::file("make", &folder, error))?;
        }
        partial.write_messages(change)?;
        partial.write_profiles()?;
        std::fs::rename(&partial.folder, &self.folder).map_err(|error| failure::file("rename", &partial.folder, error))
    }

    fn write_messages(&self, change: impl FnOnce(&mut Vec<Message>)) -> Result<()> {
        let mut rows = events::messages(self.recipe.seed, self.recipe.events);
        change(&mut rows);
        let files = self.message_files();
        let count = files.len();
        for (place, path) in files.iter().enumerate() {
            let rows: Vec<&Message> = if self.recipe.spread {
                rows.iter().skip(place).step_by(count).collect()
            } else {
                rows[rows.len() * place / count..rows.len() * (place + 1) / count].iter().collect()
            };
            let mut output = Output::create(path, tables::message_schema(), tables::properties())?;
            for rows in rows.chunks(BATCH_ROWS) {
                output.write(&tables::message_batch(rows)?)?;
            }
            output.close()?;
        }
        Ok(())
    }

    fn write_profiles(&self) -> Result<()> {
        let path = self.profile_file();
        let mut output = Output::create(&path, tables::profile_schema(), tables::properties())?;
        for rows in events::profiles(self.recipe.seed, self.recipe.events).chunks(BATCH_ROWS) {
            output.write(&tables::profile_batch(rows)?)?;
        }
        output.close()
    }
}
