//! `riverrun.lock`: what planning found outside the SQL, pinned so that it cannot change unseen.
//!
//! Columns of streams that declare none are inferred from their table or files once; another answer later is an
//! error until the entry is removed. So it is with models: the file that a job first scored with is the one that is
//! meant, and the file's history in git tells which model a revision ran with. States are found by what they hold: a state gets its id when a job with it
//! first runs, and keeps it while the same is computed of the same rows, whatever it is called.

use arrow::datatypes::Schema;
use dataflow::{Error, Result, no_room};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

const NAME: &str = "riverrun.lock";
const VERSION: u32 = 1;
const HEADER: &str = "# Written by riverrun; keep it in git.\n\n";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PinnedModel {
    version: u32,
    /// Inferred columns by table or file pattern: names and types in their order.
    #[serde(default)]
    columns: BTreeMap<String, Vec<(String, String)>>,
    /// Digests of model files by model.
    #[serde(default)]
    models: BTreeMap<String, String>,
    /// The states of steps, by name.
    #[serde(default)]
    states: Vec<PinnedState>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PinnedState {
    id: String,
    /// The step that has it, as it was last called.
    name: String,
    /// What it holds.
    digest: String,
}

/// The digits of a digest that are its state's id, unless another state has them.
const ID_DIGITS: usize = 12;

/// The lock file of a project.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    // What the file held when it was read, and what it should hold now.
    pinned: Mutex<(Option<PinnedModel>, PinnedModel)>,
}

impl Lock {
    /// Reads the lock file of a project folder, if it is there.
    pub fn read(root: &Path) -> Result<Lock> {
        let path = root.join(NAME);
        let read = read(&path)?;
        let now = read.clone().unwrap_or_else(PinnedModel::empty);
        Ok(Lock { path, pinned: Mutex::new((read, now)) })
    }

    /// Pins inferred columns, or checks them against those that are pinned.
    pub fn columns(&self, of: &str, schema: &Schema) -> Result<()> {
        let found: Vec<_> =
            schema.fields().iter().map(|field| (field.name().clone(), field.data_type().to_string())).collect();
        let mut pinned = self.pinned.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(wanted) = pinned.1.columns.get(of) else {
            pinned.1.columns.insert(of.to_owned(), found);
            return Ok(());
        };
        let differ = wanted
            .iter()
            .find(|column| !found.contains(column))
            .or_else(|| found.iter().find(|column| !wanted.contains(column)));
        let Some((name, _)) = differ else { return Ok(()) };
        let shown = |columns: &[(String, String)]| {
            let kind = columns.iter().find(|(column, _)| column == name);
            // The file has Arrow's names of types, and people know those of SQL.
            let of_sql = |kind: &String| kind.parse().map_or(kind.clone(), |kind| values::name(&kind));
            kind.map_or("no such column".to_owned(), |(_, kind)| of_sql(kind))
        };
        Err(Error::invalid(format!(
            "{of}: column \"{name}\" has changed: found {}, {} expects {}; declare the stream's columns, or remove the \
             entry from {NAME} to accept what is there",
            shown(&found),
            self.path.display(),
            shown(wanted)
        )))
    }

    /// Checks the digest of a model's file against the one that is pinned, if one is.
    pub fn model(&self, name: &str, place: &str, digest: &str) -> Result<()> {
        let pinned = self.pinned.lock().unwrap_or_else(PoisonError::into_inner);
        match pinned.1.models.get(name).filter(|wanted| *wanted != digest) {
            None => Ok(()),
            Some(wanted) => Err(Error::invalid(format!(
                "{place}: the file has changed: found {digest}, {} expects {wanted}; put the file \
                 back, or remove the line of \"{name}\" below [models] in {NAME} to accept what is there",
                self.path.display()
            ))),
        }
    }

    /// Whether a model's file is the one that is pinned.
    pub fn knows_model(&self, name: &str, digest: &str) -> bool {
        let pinned = self.pinned.lock().unwrap_or_else(PoisonError::into_inner);
        pinned.1.models.get(name).is_some_and(|wanted| wanted == digest)
    }

    /// The id of the state that holds what a digest says.
    pub fn state_id(&self, digest: u128) -> String {
        let pinned = self.pinned.lock().unwrap_or_else(PoisonError::into_inner);
        id_of(&pinned.1.states, &digest_text(digest))
    }

    /// Records the models and the states of a job and writes the file when anything in it is new. States have the
    /// name of their step and what they hold. What another run has written in the meantime stays.
    pub fn write(&self, models: &[(String, String)], states: &[(String, u128)]) -> Result<()> {
        let mut pinned = self.pinned.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
            let why = error.downcast_ref().and_then(no_room).map(|why| format!(": {why}")).unwrap_or_default();
            Error::unavailable(format!("{} cannot be written{why}", self.path.display())).with_source(error)
        };
        // Held until the file is in its place: another run waits, and then adds to what it finds.
        let _turn = self.turn().map_err(|error| failed(error.into()))?;
        let there = read(&self.path)?;
        let mut all = there.clone().unwrap_or_else(PinnedModel::empty);
        let was = |of: &String| pinned.0.as_ref().is_some_and(|was| was.columns.contains_key(of));
        for (of, columns) in pinned.1.columns.iter().filter(|(of, _)| !was(of)) {
            if all.columns.entry(of.clone()).or_insert_with(|| columns.clone()) != columns {
                return Err(Error::invalid(format!(
                    "{of}: another run has just recorded other columns of it in {}; run the command again, which says \
                     what has changed",
                    self.path.display()
                )));
            }
        }
        for (name, digest) in models {
            if all.models.entry(name.clone()).or_insert_with(|| digest.clone()) != digest {
                return Err(Error::invalid(format!(
                    "model \"{name}\": another run has just recorded another file of it in {}; run the command again, \
                     which says what has changed",
                    self.path.display()
                )));
            }
        }
        pin_states(&mut all.states, states);
        let nothing = all.columns.is_empty() && all.models.is_empty() && all.states.is_empty();
        if !nothing && there.as_ref() != Some(&all) {
            let text = toml::to_string(&all).map_err(|error| failed(error.into()))?;
            write_durably(&self.path, &format!("{HEADER}{text}")).map_err(|error| failed(error.into()))?;
        }
        *pinned = (Some(all.clone()), all);
        Ok(())
    }

    /// Waits for the turn of this run to write.
    fn turn(&self) -> std::io::Result<std::fs::File> {
        let folder = std::fs::File::open(folder_of(&self.path))?;
        folder.lock()?;
        Ok(folder)
    }
}

impl PinnedModel {
    fn empty() -> PinnedModel {
        PinnedModel { version: VERSION, columns: BTreeMap::new(), models: BTreeMap::new(), states: vec![] }
    }
}

/// The file, if it is there.
fn read(path: &Path) -> Result<Option<PinnedModel>> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(path, &text).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::invalid(format!("{} cannot be read", path.display())).with_source(error)),
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn digest_text(digest: u128) -> String {
    format!("{digest:032x}")
}

/// The id that a state has, or gets.
fn id_of(states: &[PinnedState], digest: &str) -> String {
    if let Some(known) = states.iter().find(|state| state.digest == digest) {
        return known.id.clone();
    }
    let is_free = |id: &&str| !states.iter().any(|state| state.id == **id);
    let mut ids = (ID_DIGITS..=digest.len()).filter_map(|digits| digest.get(..digits));
    ids.find(is_free).unwrap_or(digest).to_owned()
}

/// Gives states that are new an id, and the others the name that they have now.
fn pin_states(pinned: &mut Vec<PinnedState>, states: &[(String, u128)]) {
    for (name, digest) in states {
        let digest = digest_text(*digest);
        match pinned.iter_mut().find(|state| state.digest == digest) {
            Some(known) => known.name.clone_from(name),
            None => pinned.push(PinnedState { id: id_of(pinned, &digest), name: name.clone(), digest }),
        }
    }
    pinned.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
}

/// Puts a file in place as a whole, or leaves what is there. Several processes may do so at once, so each writes under
/// a name of its own first.
fn write_durably(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = folder_of(path);
    let mut unfinished = tempfile::Builder::new().prefix(".riverrun.lock.").tempfile_in(folder)?;
    std::io::Write::write_all(&mut unfinished, text.as_bytes())?;
    // People read it as any other file of the project.
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    unfinished.as_file().set_permissions(readable)?;
    unfinished.as_file().sync_all()?;
    unfinished.persist(path).map_err(|error| error.error)?;
    std::fs::File::open(folder)?.sync_all()
}

fn parse(path: &Path, text: &str) -> Result<PinnedModel> {
    let hint = "remove it to have it written again";
    let pinned: PinnedModel = toml::from_str(text)
        .map_err(|error| Error::invalid(format!("{}: {}; {hint}", path.display(), error.to_string().trim_end())))?;
    match pinned.version {
        VERSION => Ok(pinned),
        other => Err(Error::invalid(format!("{} has version {other}, expected {VERSION}; {hint}", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{DataType, Field};

    #[test]
    fn columns_are_pinned_by_the_first_run() {
        let folder = tempfile::tempdir().unwrap();
        let schema = |kind| Schema::new(vec![Field::new("id", DataType::Utf8, true), Field::new("n", kind, true)]);
        let lock = Lock::read(folder.path()).unwrap();
        lock.columns("data/*.csv", &schema(DataType::Int64)).unwrap();
        lock.write(&[("spam".to_owned(), "abc".to_owned())], &[]).unwrap();
        let again = Lock::read(folder.path()).unwrap();
        again.columns("data/*.csv", &schema(DataType::Int64)).unwrap();
        let error = again.columns("data/*.csv", &schema(DataType::Float64)).unwrap_err().to_string();
        assert!(
            error.contains("column \"n\" has changed: found DOUBLE") && error.contains("expects BIGINT"),
            "{error}"
        );
    }

    #[test]
    fn runs_that_begin_together_keep_what_each_of_them_records() {
        let folder = tempfile::tempdir().unwrap();
        let schema = |kind| Schema::new(vec![Field::new("n", kind, true)]);
        let [one, other, third] = [0, 1, 2].map(|_| Lock::read(folder.path()).unwrap());
        one.columns("a.csv", &schema(DataType::Int64)).unwrap();
        one.write(&[("spam".to_owned(), "abc".to_owned())], &[("one".to_owned(), 1)]).unwrap();
        other.columns("b.csv", &schema(DataType::Int64)).unwrap();
        other.write(&[], &[("other".to_owned(), 2)]).unwrap();
        let text = std::fs::read_to_string(folder.path().join(NAME)).unwrap();
        for part in ["a.csv", "b.csv", "spam", "name = \"one\"", "name = \"other\""] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        third.columns("a.csv", &schema(DataType::Utf8)).unwrap();
        let error = third.write(&[], &[]).unwrap_err().to_string();
        assert!(error.contains("a.csv: another run has just recorded other columns"), "{error}");
        assert_eq!(std::fs::read_to_string(folder.path().join(NAME)).unwrap(), text);
    }

    #[test]
    fn a_model_is_pinned_by_the_first_run() {
        let folder = tempfile::tempdir().unwrap();
        let lock = Lock::read(folder.path()).unwrap();
        lock.model("spam", "model \"spam\"", "abc").unwrap();
        lock.write(&[("spam".to_owned(), "abc".to_owned())], &[]).unwrap();
        lock.model("spam", "model \"spam\"", "abc").unwrap();
        let again = Lock::read(folder.path()).unwrap();
        assert!(again.knows_model("spam", "abc") && !again.knows_model("spam", "def"));
        let error = again.model("spam", "model \"spam\"", "def").unwrap_err().to_string();
        assert!(error.starts_with("model \"spam\": the file has changed") && error.contains("found def"), "{error}");
        assert!(
            error.contains("riverrun.lock expects abc") && error.contains("remove the line of \"spam\""),
            "{error}"
        );
        let error = again.write(&[("spam".to_owned(), "def".to_owned())], &[]).unwrap_err().to_string();
        assert!(error.contains("another run has just recorded another file"), "{error}");
    }

    #[test]
    fn what_another_run_is_writing_is_not_taken_for_the_file() {
        let folder = tempfile::tempdir().unwrap();
        // A folder of this name stands for the file that another process has half written.
        std::fs::create_dir(folder.path().join("riverrun.lock.unfinished")).unwrap();
        let lock = Lock::read(folder.path()).unwrap();
        lock.write(&[("spam".to_owned(), "abc".to_owned())], &[]).unwrap();
        assert!(Lock::read(folder.path()).is_ok());
        let files = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(files, 2, "nothing is left over beside the lock file");
    }

    #[test]
    fn a_state_keeps_its_id_under_another_name() {
        let folder = tempfile::tempdir().unwrap();
        let lock = Lock::read(folder.path()).unwrap();
        let (first, second) = (7 << 100, (7 << 100) + 1);
        lock.write(&[], &[("v.window[k]".to_owned(), first), ("v.dedup".to_owned(), second)]).unwrap();
        let ids = [first, second].map(|digest| lock.state_id(digest));
        assert!(ids[0] != ids[1] && ids[0].len() == 12, "two digests that begin alike have ids of their own: {ids:?}");
        let again = Lock::read(folder.path()).unwrap();
        again.write(&[], &[("renamed.window[k]".to_owned(), first), ("renamed.more".to_owned(), 9)]).unwrap();
        assert_eq!([first, second].map(|digest| Lock::read(folder.path()).unwrap().state_id(digest)), ids);
        let text = std::fs::read_to_string(folder.path().join(NAME)).unwrap();
        assert!(text.contains("name = \"renamed.window[k]\"") && !text.contains("\"v.window[k]\""), "{text}");
        assert_eq!(text.matches("[[states]]").count(), 3, "{text}");
    }

    #[test]
    fn nothing_to_pin_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        Lock::read(folder.path()).unwrap().write(&[], &[]).unwrap();
        assert!(!folder.path().join(NAME).exists());
    }

    #[test]
    fn a_broken_lock_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(NAME), "version = 9").unwrap();
        let error = Lock::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("riverrun.lock has version 9, expected 1"), "{error}");
    }
}
