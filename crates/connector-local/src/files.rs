//! Files in folders as history: `data/*.parquet`, and CSV and JSON lines the same way.

mod format;
mod glob;
mod path_values;

mod gzip;
mod utf8;

mod lines;
mod text_input;

mod csv;
mod rows;

mod cell;
mod object;

mod stop;

mod feed;
mod growing;
mod infer;
mod parquet;
mod parquet_footer;
mod parquet_group;
mod pipe;
mod text;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use dataflow::{Error, RecordBatches, Result, TimedFile, TimedFiles};
use std::ops::Range;
use std::path::{Path, PathBuf};
use values::Encoding;

use crate::disk::file_state;

use self::format::Packing;
use self::parquet::ParquetFiles;
use self::path_values::{FoundFile, path_values};
use self::rows::TextFile;
use self::text::TextFiles;

pub use self::feed::{TextFeed, TextFeeds, TextRows};
pub use self::format::{FileColumn, Format};
pub use self::growing::{GrowingFile, GrowingFiles};
pub use self::parquet::write_parquet;
pub use self::pipe::Pipe;
pub use self::stop::{InputEnd, StopSignal};

/// The files that match a pattern, with one schema.
///
/// Columns are found by name, as SQL finds them ([`values::find_name`]), in the objects of JSON lines by path; a
/// file that lacks a column has NULL there, unless a folder of its path names it, as in `dt=2024-01-01/`. Values are
/// read as CAST reads them, whatever type a file has for them. Rows that cannot be read come with the reason in a
/// column `_error`, their text in `_raw`, and NULL in columns that have no value. Columns that are not asked for come
/// after the others, as they are. Files are sorted by path.
pub struct Files {
    pattern: String,
    schema: SchemaRef,
    files: Vec<TimedFile>,
    contents: Contents,
    state: String,
}

enum Contents {
    Parquet(ParquetFiles),
    Text(TextFiles),
}

impl Files {
    /// Finds the files that a pattern such as `data/*.parquet` names, in a folder unless the pattern begins at the
    /// root. `*` and `?` stand for characters within one step of a path. An error when nothing matches. A column of a
    /// Parquet file that CAST does not take to its declared type is an error.
    pub fn open(pattern: &str, folder: &Path, columns: &[FileColumn], encoding: Encoding) -> Result<Files> {
        // Before they are read, so that a change in the meantime is seen the next time.
        let paths = glob::matching(pattern, folder)?;
        let state = paths.iter().map(|path| file_state(path)).collect::<Result<String>>()?;
        let found = Found::of(pattern, (folder, paths), encoding, None)?;
        let (schema, contents, files) = match found {
            Found::Parquet(files) => {
                let (parquet, schema, files) = ParquetFiles::open(pattern, files, columns)?;
                (schema, Contents::Parquet(parquet), files)
            }
            Found::Text(files) => {
                let (text, schema, files) = TextFiles::open(files, columns)?;
                (schema, Contents::Text(text), files)
            }
        };
        Ok(Files { pattern: pattern.to_owned(), schema, files, contents, state })
    }

    /// The columns of files of which nothing is declared: those of Parquet files are in their footers; CSV and JSON
    /// lines are read once to find the types: BOOLEAN, BIGINT, DOUBLE, TIMESTAMP where every value is one, else TEXT.
    /// Fields of nested objects become columns such as `payload.user.id`. Where files differ, the wider type holds.
    pub fn inferred_schema(pattern: &str, folder: &Path, encoding: Encoding) -> Result<SchemaRef> {
        match Found::of(pattern, (folder, glob::matching(pattern, folder)?), encoding, None)? {
            Found::Parquet(files) => parquet::common_schema(&files),
            Found::Text(files) => infer::schema(&files),
        }
    }

    /// Whether a pattern names a file that need not be there yet. Its folder is given without links.
    pub fn would_read(pattern: &str, below: &Path, folder: &Path, name: &str) -> Result<bool> {
        glob::names_file(pattern, below, folder, name)
    }

    /// What differs when a file was changed, even where its size is the same.
    pub fn state(&self) -> &str {
        &self.state
    }

    /// The text files that a pattern names, to be passed on row by row; `None` where they are Parquet files. The format
    /// is that of their names, unless one is given.
    pub fn feeds(
        pattern: &str,
        folder: &Path,
        columns: &[FileColumn],
        encoding: Encoding,
        format: Option<Format>,
    ) -> Result<Option<TextFeeds>> {
        match Found::of(pattern, (folder, glob::matching(pattern, folder)?), encoding, format)? {
            Found::Parquet(_) => Ok(None),
            Found::Text(files) => TextFeeds::new(pattern, files, columns).map(Some),
        }
    }
}

/// Files of one format.
enum Found {
    Parquet(Vec<FoundFile>),
    Text(Vec<TextFile>),
}

impl Found {
    fn of(
        pattern: &str,
        (folder, paths): (&Path, Vec<PathBuf>),
        encoding: Encoding,
        given: Option<Format>,
    ) -> Result<Found> {
        let format = |path: &PathBuf| match given {
            Some(format) => Ok((format, Format::by_ending(path).1)),
            None => Format::of(path),
        };
        let formats = paths.iter().map(format).collect::<Result<Vec<_>>>()?;
        let Some((format, _)) = formats.first().copied() else {
            let hint = match folder.join(pattern).is_dir() {
                true => format!(", which is a folder; \"{}/*\" names its files", pattern.trim_end_matches('/')),
                false => String::new(),
            };
            let within = match folder {
                here if here == Path::new(".") || here == Path::new("") => String::new(),
                folder => format!(" in \"{}\"", folder.display()),
            };
            return Err(Error::invalid(format!("no file matches \"{pattern}\"{within}{hint}")));
        };
        if let Some(other) = formats.iter().position(|(other, _)| *other != format) {
            return Err(Error::invalid(format!(
                "files \"{pattern}\": \"{}\" and \"{}\" have different formats, expected one",
                paths[0].display(),
                paths[other].display()
            )));
        }
        // Where the project itself lies says nothing about its data.
        let files = paths.into_iter().map(|path| FoundFile { of_path: path_values(&path, folder), path });
        if format == Format::Parquet {
            return Ok(Found::Parquet(files.collect()));
        }
        let file = |(FoundFile { path, of_path }, (format, packing)): (FoundFile, (Format, Packing))| TextFile {
            path,
            of_path,
            format,
            packing,
            encoding,
        };
        Ok(Found::Text(files.zip(formats).map(file).collect()))
    }
}

impl TimedFiles for Files {
    fn name(&self) -> &str {
        &self.pattern
    }

    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn files(&self) -> &[TimedFile] {
        &self.files
    }

    fn property(&self, _: &str) -> Option<String> {
        None
    }

    fn open(&self, file: usize, groups: Range<usize>, columns: &[String], batch_rows: usize) -> Result<RecordBatches> {
        if let Some(unknown) = columns.iter().find(|name| self.schema.index_of(name).is_err()) {
            return Err(Error::internal(format!("files \"{}\" have no column \"{unknown}\"", self.pattern)));
        }
        let rows = match &self.contents {
            Contents::Parquet(parquet) => parquet.read(file, groups, columns, batch_rows.max(1))?,
            // A text file is one group.
            Contents::Text(_) if groups != (0..1) => {
                return Err(Error::internal(format!(
                    "\"{}\" is a text file of one row group; the row groups {groups:?} of it were asked for",
                    self.files[file].path
                )));
            }
            Contents::Text(text) => text.read(file, columns, batch_rows.max(1))?,
        };
        let columns = columns.to_vec();
        Ok(Box::new(rows.map(move |rows| in_sequence(&rows?, &columns))))
    }
}

/// Columns by name.
fn in_sequence(rows: &RecordBatch, names: &[String]) -> Result<RecordBatch> {
    let schema = rows.schema_ref();
    let places = names.iter().map(|name| Ok(schema.index_of(name)?)).collect::<Result<Vec<_>>>()?;
    Ok(rows.project(&places)?)
}
