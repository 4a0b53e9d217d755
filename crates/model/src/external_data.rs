//! Weights that lie in a file of their own beside the model, as the exporter of PyTorch writes them for large nets.
//!
//! They are put into the model's bytes before anything else looks at these, so that what is tried, pinned and scored is
//! one file. The bytes are gone through once, as deep as [`Kind::child`] goes; what is no such weight stays as it is.
//! A location is the name of a file in the model's own folder, never a path, and no link leads out of there.

use crate::node::{Checked, shown};
use crate::wire::{Cursor, Kind};
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The fields of a tensor that say where its numbers lie.
const RAW_DATA: u64 = 9;
const EXTERNAL_DATA: u64 = 13;
const DATA_LOCATION: u64 = 14;
/// The kind of field that has a length.
const SIZED: u64 = 2;
/// The most files beside a model.
const FILES_MAX: usize = 64;

/// A model's bytes with all weights in them, which are at most so many; `None` where they are there already. `path` is
/// the model's file.
pub fn embed(bytes: &[u8], path: &Path, bytes_max: u64) -> Checked<Option<Vec<u8>>> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut embedding = Embedding { folder, files: HashMap::new(), put: 0, bytes_max };
    let mut out = Vec::new();
    let changed = embedding.message(Kind::Model, bytes, &mut out)?;
    Ok(changed.then_some(out))
}

struct Embedding<'a> {
    folder: &'a Path,
    /// The files beside the model that are open, with their lengths.
    files: HashMap<String, (File, u64)>,
    /// How many bytes of them were put in.
    put: u64,
    bytes_max: u64,
}

impl Embedding<'_> {
    /// Copies a message, and says whether anything was put into it.
    fn message(&mut self, kind: Kind, bytes: &[u8], out: &mut Vec<u8>) -> Checked<bool> {
        if matches!(kind, Kind::Tensor)
            && let Some(location) = Location::of(bytes)?
        {
            return self.tensor(bytes, &location, out).map(|()| true);
        }
        let (mut cursor, mut changed) = (Cursor { bytes }, false);
        while !cursor.bytes.is_empty() {
            let start = cursor.bytes;
            let field = cursor.field()?;
            match field.part.and_then(|part| Some((part, kind.child(field.number).filter(Kind::holds_tensors)?))) {
                Some((part, child)) => {
                    let mut inner = Vec::new();
                    changed |= self.message(child, part, &mut inner)?;
                    put_sized(out, field.number, &inner);
                }
                None => out.extend_from_slice(&start[..start.len() - cursor.bytes.len()]),
            }
        }
        Ok(changed)
    }

    /// Copies a tensor with its numbers in the place of where they lie.
    fn tensor(&mut self, bytes: &[u8], location: &Location, out: &mut Vec<u8>) -> Checked<()> {
        let fault = |what: String| format!("weights {}: {what}", shown(&location.tensor));
        let mut cursor = Cursor { bytes };
        while !cursor.bytes.is_empty() {
            let start = cursor.bytes;
            let field = cursor.field()?;
            if ![RAW_DATA, EXTERNAL_DATA, DATA_LOCATION].contains(&field.number) {
                out.extend_from_slice(&start[..start.len() - cursor.bytes.len()]);
            }
        }
        put_sized(out, RAW_DATA, &self.read(location).map_err(fault)?);
        Ok(())
    }

    /// The bytes that lie at a location.
    fn read(&mut self, location: &Location) -> Checked<Vec<u8>> {
        let name = location.file.as_str();
        let (file, file_bytes) = match self.files.contains_key(name) {
            true => self.files.get_mut(name).ok_or("is closed")?,
            false if self.files.len() >= FILES_MAX => {
                return Err(format!("they lie in more than {FILES_MAX} files"));
            }
            false => {
                let opened = open(self.folder, name)?;
                self.files.entry(name.to_string()).or_insert(opened)
            }
        };
        let rest = file_bytes.checked_sub(location.offset);
        let length = match (rest, location.length) {
            (Some(rest), None) => rest,
            (Some(rest), Some(length)) if length <= rest => length,
            (_, length) => {
                let length = length.map_or("all".to_string(), |length| length.to_string());
                return Err(format!(
                    "{length} bytes from byte {} on of {}, which has {file_bytes}: the two files are not of one export",
                    location.offset,
                    shown(name)
                ));
            }
        };
        self.put += length;
        if self.put > self.bytes_max {
            return Err(format!("the model and what lies beside it are larger than {} MiB", self.bytes_max >> 20));
        }
        let mut bytes = vec![0; length as usize];
        let read = file.seek(SeekFrom::Start(location.offset)).and_then(|_| file.read_exact(&mut bytes));
        read.map_err(|error| format!("{} cannot be read: {error}", shown(name)))?;
        Ok(bytes)
    }
}

/// Opens a file in the model's own folder.
fn open(folder: &Path, name: &str) -> Checked<(File, u64)> {
    let is_plain = !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\\', '\0']);
    if !is_plain {
        return Err(format!(
            "they lie at {}, expected the name of a file in the model's own folder: export the model again there",
            shown(name)
        ));
    }
    let path = folder.join(name);
    let missing = |error: std::io::Error| {
        format!(
            "they lie in {}, which cannot be opened beside the model ({error}): copy it there, or write one file with \
             torch.onnx.export(.., external_data=False) or onnx.save(model, path, save_as_external_data=False)",
            shown(name)
        )
    };
    // Before it is opened: opening a named pipe would wait for its other end, and a link may lead anywhere.
    let there = std::fs::symlink_metadata(&path).map_err(missing)?;
    if !there.is_file() {
        return Err(format!(
            "they lie in {}, which is a link or no file, expected a file beside the model",
            shown(name)
        ));
    }
    let file = File::open(&path).map_err(missing)?;
    let metadata = file.metadata().map_err(missing)?;
    if (metadata.dev(), metadata.ino()) != (there.dev(), there.ino()) {
        return Err(format!("they lie in {}, which was exchanged while it was opened", shown(name)));
    }
    Ok((file, metadata.len()))
}

/// Where the numbers of a tensor lie.
struct Location {
    tensor: String,
    file: String,
    offset: u64,
    length: Option<u64>,
}

impl Location {
    /// Reads where a tensor's numbers lie; `None` where they are in the tensor.
    fn of(tensor: &[u8]) -> Checked<Option<Location>> {
        const NAME: u64 = 8;
        let mut location = Location { tensor: String::new(), file: String::new(), offset: 0, length: None };
        let (mut cursor, mut is_external) = (Cursor { bytes: tensor }, false);
        while !cursor.bytes.is_empty() {
            let field = cursor.field()?;
            match (field.number, field.part) {
                (DATA_LOCATION, None) => is_external = field.value == 1,
                (NAME, Some(name)) => location.tensor = text(name).to_string(),
                (EXTERNAL_DATA, Some(entry)) => location.entry(entry)?,
                _ => {}
            }
        }
        Ok(is_external.then_some(location))
    }

    /// Reads an entry, a key and a value; those that say nothing of the place are left alone.
    fn entry(&mut self, entry: &[u8]) -> Checked<()> {
        let (mut cursor, mut key, mut value) = (Cursor { bytes: entry }, "", "");
        while !cursor.bytes.is_empty() {
            let field = cursor.field()?;
            match (field.number, field.part) {
                (1, Some(part)) => key = text(part),
                (2, Some(part)) => value = text(part),
                _ => {}
            }
        }
        let number = || {
            value.parse().map_err(|_| {
                format!("weights {}: their {key} is {}, expected a number of bytes", shown(&self.tensor), shown(value))
            })
        };
        match key {
            "location" => self.file = value.to_string(),
            "offset" => self.offset = number()?,
            "length" => self.length = Some(number()?),
            _ => {}
        }
        Ok(())
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or("")
}

fn put_sized(out: &mut Vec<u8>, number: u64, part: &[u8]) {
    put_number(out, number << 3 | SIZED);
    put_number(out, part.len() as u64);
    out.extend_from_slice(part);
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
