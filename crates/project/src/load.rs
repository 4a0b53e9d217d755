//! A project folder, or a single SQL file, as texts.

use crate::config::{Config, placed};
use crate::failure::Failure;
use dataflow::{Error, Result};
use sql::{Diagnostic, SourceFile};
use std::path::{Component, Path, PathBuf};

/// The texts of a project.
#[derive(Debug)]
pub struct Folder {
    /// Paths in SQL and in the settings are relative to this.
    pub root: PathBuf,
    /// `riverrun.toml`, or the embedded defaults.
    pub config: Config,
    /// `pipelines/*.sql` by path, or the single file.
    pub pipelines: Vec<SourceFile>,
    /// `tests/*.test.sql` by path.
    pub tests: Vec<SourceFile>,
}

impl Folder {
    /// Reads a project: a folder with `pipelines/*.sql`, or one `.sql` file.
    pub fn read(path: &Path) -> Result<Folder, Failure> {
        if path.is_file() {
            if path.extension().is_none_or(|extension| extension != "sql") {
                let what = "is a file, expected a folder with pipelines/*.sql or one .sql file";
                return Err(Error::invalid(format!("project {} {what}", path.display())).into());
            }
            return Ok(Folder::of_file(path)?);
        }
        if !path.is_dir() {
            return Err(
                Error::invalid(format!("project {} is neither a folder nor a .sql file", path.display())).into()
            );
        }
        let toml = within(path, "riverrun.toml");
        let name = path.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
        let config = if toml.exists() { Config::read(&toml)? } else { Config::embedded(&name.unwrap_or_default()) };
        let pipelines = Folder::pipelines_of(path)?;
        if pipelines.is_empty() {
            return Err(Error::invalid(format!(
                "project {} has no pipelines/*.sql; `riverrun init` writes a working one",
                path.display()
            ))
            .into());
        }
        let tests = read_all(&within(path, "tests"), ".test.sql")?;
        Ok(Folder { root: path.to_owned(), config, pipelines, tests })
    }

    /// The SQL of a project folder.
    pub fn pipelines_of(path: &Path) -> Result<Vec<SourceFile>> {
        read_all(&within(path, "pipelines"), ".sql")
    }

    /// The outputs of a job are named in the settings: what is wrong with one is shown there.
    pub fn in_settings(&self, wrong: Diagnostic) -> Diagnostic {
        let path = within(&self.root, "riverrun.toml");
        let quoted = format!("\"{}\"", wrong.source_line);
        let text =
            if wrong.path == "<output>" { std::fs::read_to_string(&path).unwrap_or_default() } else { String::new() };
        match text.find(&quoted) {
            Some(at) => Diagnostic {
                message: wrong.message.clone(),
                found: wrong.found,
                expected: wrong.expected,
                hint: wrong.hint,
                ..placed(&path, &text, at..at + quoted.len(), &wrong.message)
            },
            None => wrong,
        }
    }

    fn of_file(path: &Path) -> Result<Folder> {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let root = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
        Ok(Folder { root, config: Config::embedded(&name), pipelines: vec![read_one(path)?], tests: Vec::new() })
    }
}

/// A path in a folder, without the steps `.` that only make messages longer.
pub fn within(folder: &Path, path: impl AsRef<Path>) -> PathBuf {
    folder.join(path).components().filter(|step| *step != Component::CurDir).collect()
}

fn read_all(folder: &Path, suffix: &str) -> Result<Vec<SourceFile>> {
    let failed = |error| Error::invalid(format!("folder {} cannot be read", folder.display())).with_source(error);
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_file() && path.to_string_lossy().ends_with(suffix) {
            paths.push(path);
        }
    }
    paths.sort();
    paths.iter().map(|path| read_one(path)).collect()
}

fn read_one(path: &Path) -> Result<SourceFile> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::invalid(format!("file {} cannot be read", path.display())).with_source(error))?;
    Ok(SourceFile { path: path.to_string_lossy().into_owned(), text })
}
