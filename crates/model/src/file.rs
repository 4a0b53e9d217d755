//! A model's file: its bytes, nothing of which is believed yet.

use crate::external_data::embed;
use dataflow::{Error, Result};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use xxhash_rust::xxh3::xxh3_128;

/// The largest model file that is read.
pub const FILE_BYTES_MAX: u64 = 256 << 20;

/// The bytes of a model's file, and of the weights beside it, with the digest that tells them from others.
pub struct ModelFile {
    pub(crate) place: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) bytes: Vec<u8>,
}

impl ModelFile {
    /// Reads a model's file. `name` is what the project calls the model.
    pub fn read(name: &str, path: &Path) -> Result<ModelFile> {
        let place = format!("model \"{name}\" ({})", path.display());
        let fail = |what: &str| Error::invalid(format!("{place}: {what}"));
        let missing = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => fail("there is no such file"),
            _ => fail("the file cannot be opened").with_source(error),
        };
        // Before it is opened: opening a named pipe would wait for its other end.
        if !std::fs::metadata(path).map_err(missing)?.is_file() {
            return Err(fail("is not a file, expected an ONNX model"));
        }
        let file = File::open(path).map_err(missing)?;
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| fail("the file cannot be read").with_source(error))?;
        let read = ModelFile::new(place, name, bytes)?;
        let embedded = embed(&read.bytes, path, FILE_BYTES_MAX)
            .map_err(|what| Error::invalid(format!("{}: {what}", read.place)))?;
        match embedded {
            None => Ok(read),
            // What lies beside the model is part of it, and of its digest.
            Some(bytes) => ModelFile::new(read.place, name, bytes),
        }
    }

    /// Takes a file that is in memory already.
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<ModelFile> {
        ModelFile::new(format!("model \"{name}\""), name, bytes)
    }

    /// Refuses what is plainly no model, saying what it is.
    fn new(place: String, name: &str, bytes: Vec<u8>) -> Result<ModelFile> {
        let fault = |what: String| Err(Error::invalid(format!("{place}: {what}")));
        if bytes.is_empty() {
            return fault("the file is empty, expected an ONNX model".to_string());
        }
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return fault(format!("the file is larger than {} MiB", FILE_BYTES_MAX >> 20));
        }
        if bytes.starts_with(b"version https://git-lfs") {
            return fault("the file is a Git LFS pointer, expected an ONNX model (run git lfs pull)".to_string());
        }
        let version = format!("{:032x}", xxh3_128(&bytes));
        Ok(ModelFile { place, name: name.to_string(), version, bytes })
    }

    /// What the project calls the model.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The model's name and file, as messages begin.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The xxh3 digest of the bytes, 32 hexadecimal digits.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The bytes themselves.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
