//! What is done with an input, and what comes of it.

use super::input::Input;
use super::target::Target;
use crate::failure;
use arrow::array::AsArray;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use codec::JsonDecode;
use connector_local::{FileColumn, Files};
use connector_pulsar::hostile;
use dataflow::{ERROR_COLUMN, Error, ManualClock, ProcessingTime, Result, Scorer, TimedFiles};
use model::Model;
use project::Project;
use sql::SourceFile;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tests::told;
use values::Encoding;

/// The rows that a model which loads must score.
const SCORED_ROWS: usize = 130;
const BATCH_ROWS: usize = 1024;
/// What may be held at once for an input of Pulsar, whose messages may have a mebibyte.
const HELD_BYTES_MAX: u64 = 192 << 20;
/// The reasons of bad rows that make an outcome.
const REASONS_MAX: usize = 4;
/// The letters of an outcome that tell it from others.
const SIGNATURE_MAX: usize = 400;

/// What came of an input.
pub struct Outcome {
    /// Nothing was refused as a whole.
    pub accepted: bool,
    /// What was said.
    pub said: String,
    /// The steps that were taken, where a target has some.
    pub steps: BTreeSet<String>,
}

impl Outcome {
    fn new(accepted: bool, said: String) -> Outcome {
        Outcome { accepted, said, steps: BTreeSet::new() }
    }
}

/// What inputs are tried in.
pub struct Place {
    target: Target,
    /// A project whose files and models texts of SQL may name.
    project: Option<Project>,
    root: PathBuf,
    /// The memory that was had at once before the first input, in bytes.
    held_bytes: u64,
}

impl Place {
    /// Makes it, in a folder below one.
    pub fn open(target: Target, folder: &Path) -> Result<Place> {
        let root = folder.join("project");
        if matches!(target, Target::Sql | Target::Toml) {
            lay(&root)?;
        }
        if target == Target::Checkpoint {
            lay_state(&root)?;
        }
        let project = if target == Target::Sql { Some(open(&root).map_err(Error::invalid)?) } else { None };
        Ok(Place { target, project, root, held_bytes: held_bytes()? })
    }

    /// Tries an input, which also lies in a file. What an input may not do ends the process, or is an error.
    pub fn try_out(&mut self, input: &Input, path: &Path) -> Result<Outcome> {
        match self.target {
            Target::Sql => Ok(self.statements(&input.bytes)),
            Target::Jsonl => {
                let mut outcome = files(path, encoding(input));
                outcome.said += &messages(&input.bytes)?;
                Ok(outcome)
            }
            Target::Csv | Target::Parquet => Ok(files(path, encoding(input))),
            Target::Onnx => scores(input.bytes.clone()),
            Target::Toml => self.settings(input),
            Target::Checkpoint => self.restored(&input.bytes),
            Target::Pulsar => self.played(input),
            Target::State | Target::Select | Target::Answers => {
                Err(Error::internal(format!("{} has no inputs", self.target.name())))
            }
        }
    }

    /// Parses, checks and plans a text.
    fn statements(&self, bytes: &[u8]) -> Outcome {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let all = |wrong: Vec<sql::Diagnostic>| wrong.iter().map(|one| format!("{}\n", one.message)).collect();
        let Some(project) = &self.project else { return Outcome::new(false, String::new()) };
        let parsed = match sql::parse(&[SourceFile { path: "pipelines/all.sql".to_owned(), text }]) {
            Ok(parsed) => parsed,
            Err(wrong) => return Outcome::new(false, all(wrong)),
        };
        match sql::check(&parsed, project, &sql::Target::All) {
            Ok(checked) => Outcome::new(true, checked.logical()),
            Err(wrong) => Outcome::new(false, all(wrong)),
        }
    }

    /// Opens a project with such settings, or such a lock file.
    fn settings(&self, input: &Input) -> Result<Outcome> {
        let settings = self.root.join("riverrun.toml");
        let lock = self.root.join("riverrun.lock");
        write(&settings, SETTINGS.as_bytes())?;
        write(if input.ending == "lock" { &lock } else { &settings }, &input.bytes)?;
        let opened = open(&self.root).and_then(|project| {
            let checked = project.check(&sql::Target::All).map_err(told)?;
            let targets = ["decide", "train"].map(|job| project.job_target(Some(job)));
            let wrong = targets.iter().filter_map(|target| target.as_ref().err()).map(Error::chain);
            Ok(checked.logical() + &wrong.collect::<String>())
        });
        if input.ending == "lock" {
            std::fs::remove_file(&lock).map_err(|error| failure::file("remove", &lock, error))?;
        }
        Ok(match opened {
            Ok(said) => Outcome::new(true, said),
            // The lines after the first show the settings themselves.
            Err(said) => Outcome::new(false, said.lines().next().unwrap_or_default().to_owned()),
        })
    }

    /// Plays what a broker says, and reads what came out as messages.
    fn played(&self, input: &Input) -> Result<Outcome> {
        let played = hostile::play(&input.ending, &input.bytes).map_err(Error::internal)?;
        let mut said: Vec<String> = played.said.into_iter().collect();
        said.push(messages(&played.payloads.join(&b'\n'))?);
        let held = held_bytes()?.saturating_sub(self.held_bytes);
        if held > HELD_BYTES_MAX {
            return Err(Error::internal(format!("{held} bytes were held at once for {} of input", input.bytes.len())));
        }
        Ok(Outcome { accepted: played.is_accepted, said: said.join("; "), steps: played.steps })
    }

    /// Goes on from a checkpoint.
    fn restored(&self, bytes: &[u8]) -> Result<Outcome> {
        let is_state =
            |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("state-"));
        for path in paths(&self.root)?.into_iter().filter(|path| !is_state(path)) {
            std::fs::remove_file(&path).map_err(|error| failure::file("remove", &path, error))?;
        }
        write(&self.root.join(MANIFEST), bytes)?;
        let restored = checkpoint::look(&self.root).and_then(|newest| {
            let Some(newest) = newest else { return Err(Error::internal("a manifest is not seen")) };
            let clock = Arc::new(ManualClock::new(ProcessingTime(0)));
            let mut run = checkpoint::Checkpoints::open(&self.root, 1, clock, Box::new(|_| {}))?;
            let restored = run.go_on(&newest, &newest.facts)?;
            Ok(format!("{} steps, {} outputs", restored.steps.len(), restored.outputs.len()))
        });
        Ok(match restored {
            Ok(said) => Outcome::new(true, said),
            Err(error) if error.kind() == dataflow::ErrorKind::Internal => return Err(error),
            Err(error) => Outcome::new(false, error.chain()),
        })
    }
}

/// The memory that the process has had at once, at most, whether it has used it or not, in bytes.
fn held_bytes() -> Result<u64> {
    let path = Path::new("/proc/self/status");
    let status = std::fs::read_to_string(path).map_err(|error| failure::file("read", path, error))?;
    let most = status.lines().find_map(|line| line.strip_prefix("VmPeak:"));
    let kib = most.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kib.unwrap_or_default() << 10)
}

/// The name of an input that is a manifest.
const MANIFEST: &str = "manifest-0000000001";

/// Lays the state that stored manifests name.
fn lay_state(root: &Path) -> Result<()> {
    let stored = tests::root().join("tests/compat/checkpoint-3");
    std::fs::create_dir_all(root).map_err(|error| failure::file("make", root, error))?;
    for path in paths(&stored)? {
        let name = path.file_name().unwrap_or_default();
        std::fs::copy(&path, root.join(name)).map_err(|error| failure::file("read", &path, error))?;
    }
    Ok(())
}

/// What lies in a folder.
fn paths(folder: &Path) -> Result<Vec<PathBuf>> {
    let list = std::fs::read_dir(folder).map_err(|error| failure::file("read", folder, error))?;
    list.map(|entry| Ok(entry.map_err(|error| failure::file("read", folder, error))?.path())).collect()
}

const SETTINGS: &str = "[project]\nname = \"fuzzed\"\n";
const STATEMENTS: &str = "CREATE STREAM rows (WATERMARK FOR at AS at) HISTORY FILES 'data/rows.csv' ON BAD ROW SKIP;\n\
    CREATE STREAM x (id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at) HISTORY FILES 'data/rows.csv';\n\
    INSERT INTO lake.y SELECT id FROM x;\n";
const ROWS: &str = "id,at,k\n1,2024-01-01 00:00:00,a\n";

/// Writes a project.
fn lay(root: &Path) -> Result<()> {
    for folder in ["pipelines", "data", "models"] {
        let folder = root.join(folder);
        std::fs::create_dir_all(&folder).map_err(|error| failure::file("make", &folder, error))?;
    }
    let model = tests::root().join("crates/riverrun/template/models/spam.onnx");
    let copy = root.join("models/spam.onnx");
    std::fs::copy(&model, &copy).map_err(|error| failure::file("read", &model, error))?;
    write(&root.join("riverrun.toml"), SETTINGS.as_bytes())?;
    write(&root.join("pipelines/all.sql"), STATEMENTS.as_bytes())?;
    write(&root.join("data/rows.csv"), ROWS.as_bytes())
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).map_err(|error| failure::file("write", path, error))
}

fn open(root: &Path) -> std::result::Result<Project, String> {
    Project::open(root, "dev", Arc::new(ManualClock::new(ProcessingTime(0)))).map_err(told)
}

/// The encoding in which an input is read: any, and always the same.
fn encoding(input: &Input) -> Encoding {
    match input.bytes.len() % 8 {
        0 => Encoding::Latin1,
        1 => Encoding::Utf16,
        _ => Encoding::Unicode,
    }
}

/// A column of every type, one of them in an object.
fn declared() -> Vec<FileColumn> {
    let columns = [
        ("id", DataType::Int64),
        ("at", DataType::Timestamp(TimeUnit::Microsecond, None)),
        ("small", DataType::Int16),
        ("int", DataType::Int32),
        ("real", DataType::Float32),
        ("double", DataType::Float64),
        ("flag", DataType::Boolean),
        ("day", DataType::Date32),
        ("text", DataType::Utf8),
        ("payload.user.id", DataType::Int64),
    ];
    columns.map(|(path, data_type)| (path.split('.').map(str::to_owned).collect(), data_type)).to_vec()
}

/// Reads a file as one of which nothing is declared, and as one of declared columns.
fn files(path: &Path, encoding: Encoding) -> Outcome {
    let folder = path.parent().unwrap_or(Path::new("."));
    let pattern = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let inferred = Files::inferred_schema(&pattern, folder, encoding);
    let mut said = match &inferred {
        Ok(schema) => types(schema),
        Err(error) => error.chain(),
    };
    let own: Vec<FileColumn> =
        inferred.iter().flat_map(|schema| schema.fields().iter()).map(|field| of_field(field)).collect();
    let mut accepted = inferred.is_ok();
    for columns in [own, declared()] {
        match read(&pattern, folder, &columns, encoding) {
            Ok(read) => said += &read,
            Err(error) => {
                accepted = false;
                said += &error.chain();
            }
        }
    }
    Outcome::new(accepted, said)
}

fn of_field(field: &Field) -> FileColumn {
    (vec![field.name().clone()], field.data_type().clone())
}

fn types(schema: &Schema) -> String {
    schema.fields().iter().map(|field| format!("{} ", field.data_type())).collect()
}

/// Reads all rows; gives the reasons of those that are bad.
fn read(pattern: &str, folder: &Path, columns: &[FileColumn], encoding: Encoding) -> Result<String> {
    let files = Files::open(pattern, folder, columns, encoding)?;
    let names: Vec<String> = files.schema().fields().iter().map(|field| field.name().clone()).collect();
    let mut reasons = BTreeSet::new();
    let mut rows = 0;
    for (at, file) in files.files().iter().enumerate() {
        for batch in files.open(at, file.all_groups(), &names, BATCH_ROWS)? {
            let batch = batch?;
            rows += batch.num_rows();
            if let Some(errors) = batch.column_by_name(ERROR_COLUMN) {
                let errors = errors.as_string::<i32>().iter().flatten();
                reasons.extend(errors.take(REASONS_MAX).map(signature));
            }
        }
    }
    let some = reasons.into_iter().take(REASONS_MAX).collect::<Vec<_>>();
    Ok(format!("{} rows {}", rows.min(9), some.join("; ")))
}

/// Decodes lines as messages; gives the reasons of those that are wrong.
fn messages(bytes: &[u8]) -> Result<String> {
    let columns = declared();
    let fields = columns.iter().map(|(path, data_type)| Field::new(path.join("."), data_type.clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let decode = JsonDecode::new("fuzzed", schema, columns.into_iter().map(|(path, _)| path).collect())?;
    let payloads: Vec<&[u8]> = bytes.split(|&byte| byte == b'\n').collect();
    let reasons: BTreeSet<String> = decode.rows(&payloads)?.wrong.iter().map(|(_, why)| signature(why)).collect();
    Ok(reasons.into_iter().take(REASONS_MAX).collect::<Vec<_>>().join("; "))
}

/// Loads a model; one that loads must score.
fn scores(bytes: Vec<u8>) -> Result<Outcome> {
    let refused = |error: Error| Outcome::new(false, error.chain());
    let scorer = match Model::from_bytes("fuzzed", bytes)
        .and_then(|model| Ok((model.select_all()?, model.probe(SCORED_ROWS))))
    {
        Ok(scorer) => scorer,
        Err(error) => return Ok(refused(error)),
    };
    let (scorer, rows) = scorer;
    let scores = scorer.score(&rows)?;
    if scores.len() != SCORED_ROWS {
        return Err(Error::internal(format!("{} scores for {SCORED_ROWS} rows", scores.len())));
    }
    Ok(Outcome::new(true, format!("{} of {} inputs", scores.data_type(), rows.len())))
}

/// What tells an outcome from others: the words that are said, without the numbers and names in them.
pub fn signature(said: &str) -> String {
    let (mut short, mut quote) = (String::new(), None);
    for sign in said.chars() {
        match quote {
            Some(open) if sign == open => quote = None,
            Some(_) => continue,
            None if sign == '"' || sign == '`' => quote = Some(sign),
            None => {}
        }
        let sign = if sign.is_ascii_digit() { '0' } else { sign };
        if !(sign == '0' && short.ends_with('0')) {
            short.push(sign);
        }
        if short.len() >= SIGNATURE_MAX {
            break;
        }
    }
    short
}

#[test]
fn outcomes_are_told_apart_by_words_alone() {
    assert_eq!(signature("field \"at\" is 512, expected 7"), signature("field \"a b\" is 3, expected 123"));
    assert_ne!(signature("field \"at\" is 5"), signature("field \"at\" is missing"));
}
