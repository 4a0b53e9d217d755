//! `riverrun.lock`: what planning found outside the SQL, pinned so that it cannot change unseen.
//!
//! Columns of streams that declare none are inferred from their table or files once; another answer later is an
//! error until the entry is removed. So it is with models: the file that a job first scored with is the one that is
//! meant, and the file's history in git tells which model a revision ran with. States are found by what they hold: a state gets its id when a job with it
//! first runs, and keeps it while the same is computed of the same rows, whatever it is called.
//!
//! What statements are gone leaves with the next run: a state when no job has it, columns and digests when no statement
//! names what they are of. No checkpoint and no savepoint needs them: a job goes on from these with the statements that
//! made them alone, and a state that comes back has the same id again, since that is the beginning of its digest.

use arrow::datatypes::Schema;
use dataflow::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

const NAME: &str = "riverrun.lock";
const VERSION: u32 = 2;
/// In which no state says which jobs have it.
const VERSION_BEFORE: u32 = 1;
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
    /// The jobs that have it.
    #[serde(default)]
    jobs: BTreeSet<String>,
}

/// What a run of a job has found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'a> {
    /// The job.
    pub job: &'a str,
    /// The models with their digests.
    pub models: &'a [(String, String)],
    /// The name of each step with state, and what it holds.
    pub states: &'a [(String, u128)],
}

/// What the statements and the settings of a project name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Named {
    pub jobs: BTreeSet<String>,
    pub models: BTreeSet<String>,
    /// The tables and file patterns that streams have as history.
    pub histories: BTreeSet<String>,
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
        match pinned.1.model(name).filter(|(_, wanted)| *wanted != digest) {
            None => Ok(()),
            Some((pinned, wanted)) => Err(Error::invalid(format!(
                "{place}: the file has changed: found {digest}, {} expects {wanted}; put the file \
                 back, or remove the line of \"{pinned}\" below [models] in {NAME} to accept what is there",
                self.path.display()
            ))),
        }
    }

    /// Whether a model's file is the one that is pinned.
    pub fn knows_model(&self, name: &str, digest: &str) -> bool {
        let pinned = self.pinned.lock().unwrap_or_else(PoisonError::into_inner);
        pinned.1.model(name).is_some_and(|(_, wanted)| wanted == digest)
    }

    /// The id of the state that holds what a digest says.
    pub fn state_id(&self, digest: u128) -> String {
        let pinned = self.pinned.lock().unwrap_or_else(PoisonError::into_inner);
        id_of(&pinned.1.states, &digest_text(digest))
    }

    /// Records what a run has found, lets go of what nothing names, and writes the file when that changes it. What
    /// another run has written in the meantime stays.
    pub fn write(&self, found: Found, named: &Named) -> Result<()> {
        let mut pinned = self.pinned.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
            let failed = format!("{} cannot be written", self.path.display());
            match error.downcast::<std::io::Error>() {
                Ok(error) => Error::of_file(failed, *error),
                Err(other) => Error::unavailable(failed).with_source(other),
            }
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
        for (name, digest) in found.models {
            if all.model(name).is_none() {
                all.models.insert(name.clone(), digest.clone());
            } else if all.model(name).is_some_and(|(_, there)| there != digest) {
                return Err(Error::invalid(format!(
                    "model \"{name}\": another run has just recorded another file of it in {}; run the command again, \
                     which says what has changed",
                    self.path.display()
                )));
            }
        }
        pin_states(&mut all.states, found);
        all.let_go(named);
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

    /// What is pinned of a model, whose name SQL takes in any case.
    fn model(&self, name: &str) -> Option<(&String, &String)> {
        self.models.iter().find(|(model, _)| model.eq_ignore_ascii_case(name))
    }

    /// Forgets what nothing names.
    fn let_go(&mut self, named: &Named) {
        self.columns.retain(|of, _| named.histories.contains(of));
        self.models.retain(|model, _| named.models.iter().any(|name| name.eq_ignore_ascii_case(model)));
        self.states.iter_mut().for_each(|state| state.jobs.retain(|job| named.jobs.contains(job)));
        self.states.retain(|state| !state.jobs.is_empty());
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

/// Gives states that are new an id, and the others the name that they have now; the job has no others.
fn pin_states(pinned: &mut Vec<PinnedState>, found: Found) {
    for state in pinned.iter_mut() {
        state.jobs.remove(found.job);
    }
    for (name, digest) in found.states {
        let digest = digest_text(*digest);
        let jobs = BTreeSet::from([found.job.to_owned()]);
        match pinned.iter_mut().find(|state| state.digest == digest) {
            Some(known) => {
                known.name.clone_from(name);
                known.jobs.extend(jobs);
            }
            None => pinned.push(PinnedState { id: id_of(pinned, &digest), name: name.clone(), digest, jobs }),
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
        VERSION_BEFORE | VERSION => Ok(PinnedModel { version: VERSION, ..pinned }),
        other => Err(Error::invalid(format!("{} has version {other}, expected {VERSION}; {hint}", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{DataType, Field};

    /// A run of a job that has a model of these names and states of these, in a project with two jobs.
    fn write(lock: &Lock, job: &str, models: &[&str], states: &[(&str, u128)]) -> Result<()> {
        let models: Vec<_> = models.iter().map(|model| ((*model).to_owned(), "abc".to_owned())).collect();
        let states: Vec<_> = states.iter().map(|(name, digest)| ((*name).to_owned(), *digest)).collect();
        lock.write(Found { job, models: &models, states: &states }, &named())
    }

    fn named() -> Named {
        let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Named { jobs: all(&["all", "some"]), models: all(&["spam"]), histories: all(&["data/*.csv", "a.csv", "b.csv"]) }
    }

    fn text(folder: &tempfile::TempDir) -> String {
        std::fs::read_to_string(folder.path().join(NAME)).unwrap()
    }

    #[test]
    fn columns_are_pinned_by_the_first_run() {
        let folder = tempfile::tempdir().unwrap();
        let schema = |kind| Schema::new(vec![Field::new("id", DataType::Utf8, true), Field::new("n", kind, true)]);
        let lock = Lock::read(folder.path()).unwrap();
        lock.columns("data/*.csv", &schema(DataType::Int64)).unwrap();
        write(&lock, "all", &["spam"], &[]).unwrap();
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
        write(&one, "all", &["spam"], &[("one", 1)]).unwrap();
        other.columns("b.csv", &schema(DataType::Int64)).unwrap();
        write(&other, "some", &[], &[("other", 2)]).unwrap();
        let written = text(&folder);
        for part in ["a.csv", "b.csv", "spam", "name = \"one\"", "name = \"other\""] {
            assert!(written.contains(part), "{part} is not in {written}");
        }
        third.columns("a.csv", &schema(DataType::Utf8)).unwrap();
        let error = write(&third, "all", &[], &[]).unwrap_err().to_string();
        assert!(error.contains("a.csv: another run has just recorded other columns"), "{error}");
        assert_eq!(text(&folder), written);
    }

    #[test]
    fn a_model_is_pinned_by_the_first_run() {
        let folder = tempfile::tempdir().unwrap();
        let lock = Lock::read(folder.path()).unwrap();
        lock.model("spam", "model \"spam\"", "abc").unwrap();
        write(&lock, "all", &["spam"], &[]).unwrap();
        lock.model("spam", "model \"spam\"", "abc").unwrap();
        let again = Lock::read(folder.path()).unwrap();
        assert!(again.knows_model("spam", "abc") && !again.knows_model("spam", "def"));
        let error = again.model("spam", "model \"spam\"", "def").unwrap_err().to_string();
        assert!(error.starts_with("model \"spam\": the file has changed") && error.contains("found def"), "{error}");
        assert!(
            error.contains("riverrun.lock expects abc") && error.contains("remove the line of \"spam\""),
            "{error}"
        );
        // The same model by another name in SQL's sense.
        assert!(again.knows_model("Spam", "abc") && again.model("SPAM", "model \"SPAM\"", "def").is_err());
        write(&again, "all", &["Spam"], &[]).unwrap();
        let text = std::fs::read_to_string(folder.path().join("riverrun.lock")).unwrap();
        assert!(text.contains("spam = \"abc\"") && !text.contains("Spam"), "{text}");
        let models = [("spam".to_owned(), "def".to_owned())];
        let found = Found { job: "all", models: &models, states: &[] };
        let error = again.write(found, &named()).unwrap_err().to_string();
        assert!(error.contains("another run has just recorded another file"), "{error}");
    }

    #[test]
    fn what_another_run_is_writing_is_not_taken_for_the_file() {
        let folder = tempfile::tempdir().unwrap();
        // A folder of this name stands for the file that another process has half written.
        std::fs::create_dir(folder.path().join("riverrun.lock.unfinished")).unwrap();
        let lock = Lock::read(folder.path()).unwrap();
        write(&lock, "all", &["spam"], &[]).unwrap();
        assert!(Lock::read(folder.path()).is_ok());
        let files = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(files, 2, "nothing is left over beside the lock file");
    }

    #[test]
    fn a_state_keeps_its_id_under_another_name() {
        let folder = tempfile::tempdir().unwrap();
        let lock = Lock::read(folder.path()).unwrap();
        let (first, second) = (7 << 100, (7 << 100) + 1);
        write(&lock, "all", &[], &[("v.window[k]", first), ("v.dedup", second)]).unwrap();
        let ids = [first, second].map(|digest| lock.state_id(digest));
        assert!(ids[0] != ids[1] && ids[0].len() == 12, "two digests that begin alike have ids of their own: {ids:?}");
        let again = Lock::read(folder.path()).unwrap();
        let renamed = [("renamed.window[k]", first), ("v.dedup", second), ("renamed.more", 9)];
        write(&again, "all", &[], &renamed).unwrap();
        assert_eq!([first, second].map(|digest| Lock::read(folder.path()).unwrap().state_id(digest)), ids);
        let text = text(&folder);
        assert!(text.contains("name = \"renamed.window[k]\"") && !text.contains("\"v.window[k]\""), "{text}");
        assert_eq!(text.matches("[[states]]").count(), 3, "{text}");
    }

    #[test]
    fn what_no_statement_has_leaves_and_has_the_same_id_when_it_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let lock = Lock::read(folder.path()).unwrap();
        let (first, second) = (7 << 100, (7 << 100) + 1);
        lock.columns("a.csv", &Schema::new(vec![Field::new("n", DataType::Int64, true)])).unwrap();
        write(&lock, "all", &["spam"], &[("one", first), ("two", second)]).unwrap();
        let id = lock.state_id(second);
        write(&lock, "some", &[], &[("two", second)]).unwrap();
        write(&lock, "all", &[], &[("one", first)]).unwrap();
        assert!(text(&folder).contains("name = \"two\""), "the other job has it");
        write(&lock, "some", &[], &[]).unwrap();
        assert!(!text(&folder).contains("name = \"two\""), "{}", text(&folder));
        assert_eq!(lock.state_id(second), id);
        write(&lock, "all", &[], &[("one", first), ("two", second)]).unwrap();
        assert_eq!(Lock::read(folder.path()).unwrap().state_id(second), id);
        // A job, a model and a stream that the project has no more.
        let nothing = Named { jobs: BTreeSet::from(["some".to_owned()]), ..Named::default() };
        lock.write(Found { job: "some", models: &[], states: &[("three".to_owned(), 3)] }, &nothing).unwrap();
        let text = text(&folder);
        assert!(["one", "two", "spam", "a.csv"].iter().all(|gone| !text.contains(gone)), "{text}");
        assert!(text.contains("name = \"three\""), "{text}");
    }

    #[test]
    fn a_file_that_names_no_jobs_keeps_what_the_next_run_has() {
        let folder = tempfile::tempdir().unwrap();
        let state = |name: &str, digest: u128| {
            format!("[[states]]\nid = \"{name}-id\"\nname = \"{name}\"\ndigest = \"{digest:032x}\"\n")
        };
        let before = format!("version = 1\n{}{}", state("one", 1), state("two", 2));
        std::fs::write(folder.path().join(NAME), before).unwrap();
        let lock = Lock::read(folder.path()).unwrap();
        assert_eq!(lock.state_id(2), "two-id");
        write(&lock, "all", &[], &[("renamed", 1)]).unwrap();
        let text = text(&folder);
        assert!(
            text.contains("id = \"one-id\"") && text.contains("jobs = [\"all\"]") && !text.contains("two"),
            "{text}"
        );
    }

    #[test]
    fn nothing_to_pin_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        write(&Lock::read(folder.path()).unwrap(), "all", &[], &[]).unwrap();
        assert!(!folder.path().join(NAME).exists());
    }

    #[test]
    fn a_broken_lock_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(NAME), "version = 9").unwrap();
        let error = Lock::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("riverrun.lock has version 9, expected 2"), "{error}");
    }
}
