//! `model add`: a model's file becomes a part of the project.
//!
//! The file is copied below `models/`, a CREATE MODEL is written below `pipelines/`, and the digest is pinned in
//! `riverrun.lock`. Nothing that is there is written over, and what fails on its way is taken back.

use crate::failure::Failure;
use crate::load::within;
use crate::lock::Found;
use crate::near_path::with_near_path;
use crate::open::Project;
use dataflow::{Error, Result, ScorerInput};
use model::{Model, ModelFile, Output};
use sql::{SourceFile, Target};
use std::path::{Path, PathBuf};

/// A file that is to become a model.
#[derive(Clone, Debug)]
pub struct NewModel {
    pub file: PathBuf,
    /// What the project calls it; the file's name if left out.
    pub name: Option<String>,
    /// The names of its inputs in order; those that the file has if there are none.
    pub inputs: Vec<String>,
}

/// A model that the project has got.
#[derive(Clone, Debug)]
pub struct AddedModel {
    pub name: String,
    pub version: String,
    /// The files that were written, relative to the project.
    pub written: Vec<String>,
    /// Its CREATE MODEL.
    pub statement: String,
    /// A SELECT that scores with it, where a stream or view has all its inputs.
    pub query: Option<String>,
    /// The names of its inputs.
    pub inputs: Vec<String>,
}

/// The name that a file gives its model.
pub fn name_of(file: &Path) -> String {
    let stem = file.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let letter = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '_' };
    let name: String = stem.chars().map(letter).collect();
    if name.starts_with(|first: char| first.is_ascii_alphabetic()) { name } else { format!("model_{name}") }
}

/// The CREATE MODEL of a model, with names for its inputs.
pub fn create_statement(model: &Model, name: &str, path: &str, inputs: &[String]) -> Result<String> {
    // The file's sample rows say which output a pipeline asks for. Without them it is a score, since that is what most
    // ask for: the last class is the positive one of two.
    let scores = model.outputs().iter().rev().find(|output| **output != Output::Label);
    let output = model.sampled_output()?.or(scores).or(model.outputs().first());
    let names: Vec<String> = inputs.iter().map(|name| identifier(name)).collect();
    let output = output.map_or(String::new(), |output| format!("\n  OUTPUT {}", output_text(model, output)));
    let path = path.replace('\'', "''");
    Ok(format!("CREATE MODEL {} FROM '{path}'\n  INPUTS ({}){output};\n", identifier(name), names.join(", ")))
}

/// An output as a statement asks for it.
fn output_text(model: &Model, output: &Output) -> String {
    match output {
        Output::Probability { label } if is_plain(label) || label.bytes().all(|digit| digit.is_ascii_digit()) => {
            output.to_string()
        }
        Output::Probability { label } => format!("probability OF '{}'", label.replace('\'', "''")),
        Output::Named { name } => identifier(name),
        Output::Label | Output::Value { .. } => model.signature().name(output),
    }
}

fn is_plain(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

/// A name as SQL has it, in quotes where it needs them.
pub fn identifier(name: &str) -> String {
    if is_plain(name) { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

impl Project {
    /// Makes a file a model of the project.
    pub fn add_model(&self, new: &NewModel) -> Result<AddedModel, Failure> {
        let name = self.free_name(new)?;
        let path = new.file.to_string_lossy();
        let file = with_near_path(ModelFile::read(&name, &new.file), Path::new("."), &path)?;
        let place = self.place_of(&name, &new.file)?;
        let bytes = place.is_new.then(|| file.bytes().to_vec());
        let model = self.load_model(file)?;
        let inputs = input_names(&model, &new.inputs)?;
        let statement = create_statement(&model, &name, &place.path, &inputs)?;
        let pipeline = SourceFile { path: format!("pipelines/model_{name}.sql"), text: statement.clone() };
        self.refuse_misfit(&pipeline)?;
        let mut written = Written { root: &self.folder.root, files: Vec::new() };
        if let Some(bytes) = bytes {
            written.write(&place.path, &bytes)?;
        }
        written.write(&pipeline.path, statement.as_bytes())?;
        let models = [(name.clone(), model.version().to_owned())];
        let mut named = self.named();
        named.models.insert(name.clone());
        // No job has it yet.
        self.lock.write(Found { job: "", models: &models, states: &[] }, &named)?;
        let query = self.relation_with(&model, &inputs).map(|relation| {
            format!("SELECT *, predict({}) AS score FROM {}", identifier(&name), identifier(&relation))
        });
        let version = model.version().to_owned();
        Ok(AddedModel { name, version, written: written.keep(), statement, query, inputs })
    }

    /// The name of a new model, which no model has.
    fn free_name(&self, new: &NewModel) -> Result<String> {
        if !self.folder.root.join("pipelines").is_dir() {
            let what =
                "has no folder pipelines/ to write a CREATE MODEL into; `riverrun init` makes a project that has";
            return Err(Error::invalid(format!("project {} {what}", self.folder.root.display())));
        }
        let name = new.name.clone().unwrap_or_else(|| name_of(&new.file));
        if !is_plain(&name) {
            return Err(Error::invalid(format!(
                "the name \"{name}\" is not one of letters, digits and _, beginning with a letter; choose one with --name"
            )));
        }
        match self.statements.models().iter().find(|known| known.name.text.eq_ignore_ascii_case(&name)) {
            None => Ok(name),
            Some(known) => Err(Error::invalid(format!(
                "the project has a model \"{}\" already, from '{}'; choose another name with --name",
                known.name.text, known.path.text
            ))),
        }
    }

    /// Where the model's file is in the project, or goes.
    fn place_of(&self, name: &str, file: &Path) -> Result<ModelPlace> {
        let real = |path: &Path| path.canonicalize().map_err(|error| not_read(path, error));
        let (root, source) = (real(&self.folder.root)?, real(file)?);
        if let Some(path) = source.strip_prefix(&root).ok().and_then(Path::to_str) {
            return Ok(ModelPlace { path: path.to_owned(), is_new: false });
        }
        Ok(ModelPlace { path: format!("models/{name}.onnx"), is_new: true })
    }

    /// Refuses a statement that does not go with those that are there.
    fn refuse_misfit(&self, pipeline: &SourceFile) -> Result<(), Failure> {
        let all: Vec<SourceFile> = self.folder.pipelines.iter().chain([pipeline]).cloned().collect();
        sql::parse(&all)?;
        Ok(())
    }

    /// The last view or stream that has all inputs of a model as columns.
    fn relation_with(&self, model: &Model, inputs: &[String]) -> Option<String> {
        let takes: Vec<(&String, &ScorerInput)> = inputs.iter().zip(&model.signature().inputs).collect();
        let has_all = |relation: &&&str| {
            let Ok(checked) = self.check(&Target::View((**relation).to_owned())) else { return false };
            let Some(output) = checked.outputs.first() else { return false };
            takes.iter().all(|(name, takes)| {
                let named = output.schema.fields().iter().filter(|field| field.name().eq_ignore_ascii_case(name));
                let types: Vec<_> = named.map(|field| field.data_type()).collect();
                matches!(types.as_slice(), [only] if takes.takes(only))
            })
        };
        self.statements.relations().iter().rev().find(has_all).map(|name| (*name).to_owned())
    }
}

/// Where a model's file is.
struct ModelPlace {
    /// Relative to the project.
    path: String,
    /// It is yet to be written there.
    is_new: bool,
}

/// The names of a model's inputs: those that are given, or else those of its file.
fn input_names(model: &Model, given: &[String]) -> Result<Vec<String>> {
    let known = &model.signature().inputs;
    if given.is_empty() {
        let names: Option<Vec<String>> = known.iter().map(|input| input.name.clone()).collect();
        return names.ok_or_else(|| {
            Error::invalid(format!(
                "model \"{}\": the file does not name its {} inputs; give them in the order in which the model was \
                 trained: --inputs NAME,NAME,..",
                model.name(),
                known.len()
            ))
        });
    }
    if given.len() != known.len() {
        let (name, found, expected) = (model.name(), given.len(), known.len());
        return Err(Error::invalid(format!(
            "model \"{name}\": {found} names in --inputs, expected {expected} as the file has inputs"
        )));
    }
    let differs = |(given, input): &(&String, &ScorerInput)| {
        input.name.as_ref().is_some_and(|name| !name.eq_ignore_ascii_case(given))
    };
    match given.iter().zip(known).find(differs) {
        None => Ok(given.to_vec()),
        Some((name, input)) => Err(Error::invalid(format!(
            "model \"{}\": --inputs has \"{name}\" where the file has \"{}\"; leave --inputs out",
            model.name(),
            input.name.as_deref().unwrap_or_default()
        ))),
    }
}

/// Files that were written, which go again unless they are kept.
struct Written<'a> {
    root: &'a Path,
    files: Vec<String>,
}

impl Written<'_> {
    /// Writes a file that is not there yet, as a whole.
    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = within(self.root, name);
        let failed = |error: std::io::Error| {
            if error.kind() == std::io::ErrorKind::AlreadyExists {
                return Error::invalid(format!("{} is there already; choose another name with --name", path.display()));
            }
            Error::of_file(format!("{} cannot be written", path.display()), error)
        };
        let folder = path.parent().unwrap_or(self.root);
        std::fs::create_dir_all(folder).map_err(failed)?;
        let mut unfinished = tempfile::Builder::new().prefix(".riverrun.").tempfile_in(folder).map_err(failed)?;
        std::io::Write::write_all(&mut unfinished, bytes).map_err(failed)?;
        let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        unfinished.as_file().set_permissions(readable).map_err(failed)?;
        unfinished.as_file().sync_all().map_err(failed)?;
        unfinished.persist_noclobber(&path).map_err(|error| failed(error.error))?;
        self.files.push(name.to_owned());
        Ok(())
    }

    /// Keeps them, and gives their names.
    fn keep(mut self) -> Vec<String> {
        std::mem::take(&mut self.files)
    }
}

impl Drop for Written<'_> {
    fn drop(&mut self) {
        for name in &self.files {
            let _ = std::fs::remove_file(within(self.root, name));
        }
    }
}

fn not_read(path: &Path, error: std::io::Error) -> Error {
    Error::invalid(format!("{} cannot be read", path.display())).with_source(error)
}
