//! Inputs, and the corpora that they come from.

use super::target::Target;
use crate::failure;
use dataflow::{Error, Result};
use std::path::{Path, PathBuf};

/// Bytes, and the ending of the file that they are, which says how they are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    pub ending: String,
    pub bytes: Vec<u8>,
}

impl Input {
    /// The contents of a file.
    pub fn read(path: &Path) -> Result<Input> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let ending = name.split_once('.').map_or("", |(_, ending)| ending).to_owned();
        let bytes = std::fs::read(path).map_err(|error| failure::file("read", path, error))?;
        Ok(Input { ending, bytes })
    }

    /// Writes it to a folder, under a name of so many letters.
    pub fn write(&self, folder: &Path, name: &str) -> Result<PathBuf> {
        let path = folder.join(format!("{name}.{}", self.ending));
        std::fs::write(&path, &self.bytes).map_err(|error| failure::file("write", &path, error))?;
        Ok(path)
    }
}

impl Target {
    /// The folders with inputs, and the endings of those that are some.
    fn folders(self) -> Vec<(&'static str, &'static [&'static str])> {
        match self {
            Target::Onnx => vec![("tests/corpora/onnx", &[]), ("crates/model/tests/exports", &["onnx"])],
            Target::Sql => vec![("tests/corpora/sql", &[]), ("tests/sql/errors", &["sql"])],
            Target::Jsonl => vec![("tests/corpora/jsonl", &[])],
            Target::Csv => vec![("tests/corpora/csv", &[])],
            Target::Parquet => vec![("tests/corpora/parquet", &[])],
            Target::Toml => vec![("tests/corpora/toml", &[])],
            Target::Checkpoint => vec![("tests/corpora/checkpoint", &[])],
            Target::Pulsar => vec![("tests/corpora/pulsar", &[])],
            Target::State | Target::Select | Target::Answers => vec![],
        }
    }

    /// All stored inputs.
    pub fn corpus(self) -> Result<Vec<Input>> {
        let mut paths = Vec::new();
        for (folder, endings) in self.folders() {
            let folder = tests::root().join(folder);
            let list = std::fs::read_dir(&folder).map_err(|error| failure::file("read", &folder, error))?;
            let fits =
                |path: &PathBuf| endings.is_empty() || endings.iter().any(|end| path.extension() == Some(end.as_ref()));
            paths.extend(list.filter_map(|entry| Some(entry.ok()?.path())).filter(fits));
        }
        paths.sort();
        if paths.is_empty() {
            return Err(Error::invalid(format!("tests/corpora has no inputs for {}", self.name())));
        }
        paths.iter().map(|path| Input::read(path)).collect()
    }
}
