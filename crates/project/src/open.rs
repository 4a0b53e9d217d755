//! A project, read and parsed, with its places not yet touched.

use crate::config::Environment;
use crate::failure::Failure;
use crate::fingerprint::revision;
use crate::load::{Folder, within};
use crate::lock::{Lock, Named};
use crate::model_trial::ModelTrial;
use crate::names::Places;
use crate::table_place::TablePlace;
use crate::topic_place::TopicPlace;
use crate::topics::{LocalPlace, Topics};
use connector_iceberg::Warehouse;
use dataflow::{Clock, Error, Output, Result};
use model::{Model, ModelFile};
use object_stores::ObjectFolder;
use sql::{CheckedPlan, OwnNames, Rule, Statements, Target, near_or_all};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use toml::Spanned;

/// The folder of a project, and of an environment in it, for what is kept on this machine beside the tables of a catalog.
const BESIDE_CATALOG: &str = "_riverrun";
const PUBLISHERS: &str = "publishers";

/// A project: its statements, and where its names live in one environment.
pub struct Project {
    pub(crate) folder: Folder,
    pub(crate) statements: Statements,
    pub(crate) lock: Lock,
    pub(crate) environment: Environment,
    environment_name: String,
    pub(crate) own: Option<Own>,
    pub(crate) clock: Arc<dyn Clock>,
    warehouse: OnceLock<Warehouse>,
    topics: OnceLock<Topics>,
    pub(crate) reads_arrivals: OnceLock<ReadsArrivals>,
    trial: OnceLock<ModelTrial>,
    pub(crate) checkpoint_store: OnceLock<ObjectFolder>,
}

/// Whose names a project writes under.
pub(crate) struct Own {
    /// Who it is.
    pub(crate) person: String,
    /// The names.
    pub(crate) names: OwnNames,
}

/// Is told the name of a stream and how many rows of its history were read for their arrivals.
type ReadsArrivals = Box<dyn Fn(&str, u64) + Send + Sync>;

impl Project {
    /// Reads a project and parses its pipelines. Makes no file. The clock stamps messages that are published.
    pub fn open(path: &Path, environment: &str, clock: Arc<dyn Clock>) -> Result<Project, Failure> {
        let folder = Folder::read(path)?;
        let statements = sql::parse(&folder.pipelines)?;
        let project = Project::of(folder, statements, environment, clock)?;
        project.check_names()?;
        Ok(project)
    }

    /// The same for a project in which statements may be wrong: planning it says what is wrong with those, and with the
    /// others.
    pub fn open_to_check(path: &Path, environment: &str, clock: Arc<dyn Clock>) -> Result<Project, Failure> {
        let folder = match Folder::read(path) {
            // What is wrong with the settings is no reason to keep what is wrong with the SQL.
            Err(Failure::Diagnostics(mut wrong)) => {
                wrong.extend(sql::parse_all(&Folder::pipelines_of(path)?).wrong().iter().cloned());
                return Err(Failure::Diagnostics(wrong));
            }
            read => read?,
        };
        let statements = sql::parse_all(&folder.pipelines);
        Project::of(folder, statements, environment, clock)
    }

    fn of(
        folder: Folder,
        statements: Statements,
        environment: &str,
        clock: Arc<dyn Clock>,
    ) -> Result<Project, Failure> {
        let environment_name = environment.to_owned();
        let environment = folder.config.environment(environment)?;
        let lock = Lock::read(&folder.root)?;
        Ok(Project {
            folder,
            statements,
            lock,
            environment,
            environment_name,
            own: None,
            clock,
            warehouse: OnceLock::new(),
            topics: OnceLock::new(),
            reads_arrivals: OnceLock::new(),
            trial: OnceLock::new(),
            checkpoint_store: OnceLock::new(),
        })
    }

    /// The environment's name.
    pub fn environment_name(&self) -> &str {
        &self.environment_name
    }

    /// The topics of which the environment says where else their messages come from or go to.
    pub(crate) fn names(&self) -> &BTreeMap<String, Spanned<Places>> {
        &self.environment.names
    }

    /// Where else the messages of a topic come from and go to.
    pub(crate) fn places(&self, topic: &str) -> Option<&Places> {
        self.environment.places(topic)
    }

    /// Tells from now on how far a history is read for the arrivals of its rows, before a job begins.
    pub fn tell_arrivals(&self, tell: impl Fn(&str, u64) + Send + Sync + 'static) {
        let _ = self.reads_arrivals.set(Box::new(tell));
    }

    /// Has models tried out from now on before they are loaded, unless `riverrun.lock` knows their files.
    pub fn try_models(&self, attempt: impl Fn(&ModelFile) -> Result<()> + Send + Sync + 'static) {
        let _ = self.trial.set(ModelTrial::new(Box::new(attempt)));
    }

    /// Loads a model's file, which has to be the one that is pinned.
    pub(crate) fn load_model(&self, file: ModelFile) -> Result<Model> {
        let is_known = self.lock.knows_model(file.name(), file.version());
        self.lock.model(file.name(), file.place(), file.version())?;
        if let Some(trial) = self.trial.get().filter(|_| !is_known) {
            trial.pass(&file)?;
        }
        Model::from_file(file)
    }

    /// Takes the project for one of its jobs. Where there are several, each keeps the bad and late rows of the streams
    /// that it reads in outputs of its own, `name__job`: two jobs that read one stream would else write the same one.
    pub fn for_job(&mut self, job: &str) {
        let jobs = &self.folder.config.jobs;
        if jobs.len() > 1 && jobs.contains_key(job) {
            self.statements.keep_under(&format!("__{job}"));
        }
    }

    /// The project's name.
    pub fn name(&self) -> &str {
        &self.folder.config.project.name
    }

    /// How often tables are committed while a job runs.
    pub fn commit_every(&self) -> Duration {
        self.folder.config.commit_every()
    }

    /// How often checkpoints are taken while a job runs, beside those at commits.
    pub fn checkpoint_every(&self) -> Option<Duration> {
        self.folder.config.checkpoint_every()
    }

    /// How many bytes the state of a job may take in memory.
    pub fn state_memory(&self) -> usize {
        self.environment.state_memory.0
    }

    /// How long after a checkpoint of a job the next one begins at the earliest.
    pub fn checkpoint_pause(&self) -> Duration {
        self.folder.config.checkpoint_pause()
    }

    /// How long a checkpoint of a job may wait to be stored before the next one is tried.
    pub fn checkpoint_timeout(&self) -> Duration {
        self.folder.config.project.checkpoint_timeout.0
    }

    /// How often the tables that a job writes are compacted while it runs, if they are.
    pub fn compact_every(&self) -> Option<Duration> {
        self.folder.config.project.compact_every.map(|every| every.0)
    }

    /// The revision of the pipelines: 16 hex digits.
    pub fn revision(&self) -> String {
        revision(&self.folder)
    }

    /// The folder that paths in SQL and settings are relative to.
    pub fn root(&self) -> &Path {
        &self.folder.root
    }

    /// Plans what a target needs.
    pub fn check(&self, target: &Target) -> Result<CheckedPlan, Failure> {
        self.check_with(target, &Rule::ALL)
    }

    /// The same with some of the rules that make plans better.
    pub fn check_with(&self, target: &Target, rules: &[Rule]) -> Result<CheckedPlan, Failure> {
        self.plan(&self.statements, target, rules)
    }

    /// The same without what is wrong in the text of other statements.
    pub(crate) fn check_apart(&self, target: &Target) -> Result<CheckedPlan, Failure> {
        self.plan(&self.statements.as_far_as_read(), target, &Rule::ALL)
    }

    fn plan(&self, statements: &Statements, target: &Target, rules: &[Rule]) -> Result<CheckedPlan, Failure> {
        sql::check_with(statements, self, target, rules)
            .map_err(|wrong| Failure::Diagnostics(wrong.into_iter().map(|one| self.folder.in_settings(one)).collect()))
    }

    /// What a state is known by: its id in `riverrun.lock`, or the one that it gets there when a job first runs.
    pub fn state_id(&self, digest: u128) -> String {
        self.lock.state_id(digest)
    }

    /// What the statements and the settings name.
    pub(crate) fn named(&self) -> Named {
        let jobs = self.folder.config.jobs.keys().map(String::as_str).chain([self.name()]);
        let models = self.statements.models().into_iter().map(|model| model.name.text);
        let histories = self.statements.history_tables().into_iter().chain(self.statements.history_files());
        Named {
            jobs: jobs.map(str::to_owned).collect(),
            models: models.collect(),
            histories: histories.map(|(history, _)| history).collect(),
        }
    }

    /// The outputs of a job of `riverrun.toml`; of all jobs without a name.
    pub fn job_target(&self, job: Option<&str>) -> Result<Target> {
        let Some(name) = job else { return Ok(Target::All) };
        let jobs = &self.folder.config.jobs;
        let job = jobs.get(name).ok_or_else(|| {
            let mut known: Vec<_> = jobs.keys().map(String::as_str).collect();
            known.push("archive");
            let settings = match self.folder.root.join("riverrun.toml").exists() {
                true => "riverrun.toml has no job",
                false => "there is no riverrun.toml, and so no job",
            };
            let known = near_or_all(name, known.into_iter(), "the jobs are:", "");
            Error::invalid(format!("{settings} \"{name}\"; {known}"))
        })?;
        let own = |name: &String| self.own_output(name).unwrap_or(name).to_owned();
        Ok(Target::Outputs(job.outputs.iter().map(own).collect()))
    }

    /// Where the dead letters of a stream go.
    pub fn dead_letters(&self, stream: &str) -> Option<&Output> {
        self.statements.dead_letters(stream)
    }

    /// The tests of the project, parsed with the pipelines.
    pub fn with_tests(&self) -> Result<Statements, Failure> {
        let files: Vec<_> = self.folder.pipelines.iter().chain(&self.folder.tests).cloned().collect();
        Ok(sql::parse(&files)?)
    }

    /// The folder of the tables, or of what is kept on this machine beside those of a catalog.
    pub fn warehouse_path(&self) -> PathBuf {
        match &self.environment.history.place {
            TablePlace::Folder(folder) => within(&self.folder.root, folder),
            TablePlace::Rest(_) => within(&self.folder.root, BESIDE_CATALOG).join(&self.environment_name),
        }
    }

    /// The folder for what those who publish to a cluster keep on this machine.
    pub(crate) fn publishers_path(&self) -> PathBuf {
        within(&self.folder.root, BESIDE_CATALOG).join(&self.environment_name).join(PUBLISHERS)
    }

    /// Whether the tables are those of a catalog, and not of a folder.
    pub(crate) fn has_catalog(&self) -> bool {
        matches!(self.environment.history.place, TablePlace::Rest(_))
    }

    /// Where the tables are, for messages to people.
    pub(crate) fn tables_place(&self) -> String {
        match &self.environment.history.place {
            TablePlace::Folder(_) => self.warehouse_path().display().to_string(),
            TablePlace::Rest(place) => format!("catalog \"{}\"", place.address()),
        }
    }

    /// How many checkpoints of a job are kept.
    pub(crate) fn checkpoints_kept(&self) -> usize {
        self.folder.config.project.checkpoints_kept.0
    }

    /// Where the topics are.
    pub(crate) fn topic_place(&self) -> &TopicPlace {
        &self.environment.live.place
    }

    /// The folder of the topics, where they lie in one.
    pub fn topics_path(&self) -> Option<PathBuf> {
        match &self.environment.live.place {
            TopicPlace::Folder(folder) => Some(within(&self.folder.root, folder)),
            TopicPlace::Pulsar(_) => None,
        }
    }

    /// The warehouse, made when it is not there.
    pub fn warehouse(&self) -> Result<Warehouse> {
        if let Some(warehouse) = self.warehouse.get() {
            return Ok(warehouse.clone());
        }
        let opened = match &self.environment.history.place {
            TablePlace::Folder(_) => Warehouse::open(&self.warehouse_path())?,
            TablePlace::Rest(place) => {
                Warehouse::open_rest(place.settings(&self.folder.root)?, &self.warehouse_path())?
            }
        };
        Ok(self.warehouse.get_or_init(|| opened).clone())
    }

    /// Where the files of a table lie, or below what they would; `None` for one that a catalog is still to make.
    pub(crate) fn table_location(&self, table: &str) -> Result<Option<String>> {
        match &self.environment.history.place {
            TablePlace::Folder(_) => Ok(Some(format!("file:{}", self.tables_place()))),
            TablePlace::Rest(_) => self.warehouse_if_there()?.map_or(Ok(None), |warehouse| warehouse.location(table)),
        }
    }

    /// The warehouse, unless nothing was ever written to it.
    pub fn warehouse_if_there(&self) -> Result<Option<Warehouse>> {
        let is_there = match &self.environment.history.place {
            TablePlace::Folder(_) => {
                let catalog = self.warehouse_path().join("catalog.db");
                catalog.try_exists().map_err(|error| {
                    let advice = match error.kind() {
                        std::io::ErrorKind::NotADirectory => "the warehouse has to be a folder, and is a file",
                        _ => "give this user the right to read the warehouse, or name another one",
                    };
                    Error::invalid(format!("\"{}\" cannot be looked at; {advice}", catalog.display()))
                        .with_source(error)
                })?
            }
            TablePlace::Rest(_) => true,
        };
        if is_there { self.warehouse().map(Some) } else { Ok(None) }
    }

    /// How long messages of topics are kept at least, if not for ever.
    pub fn retention(&self) -> Option<Duration> {
        self.environment.live.retention.map(|retention| retention.0)
    }

    /// What people should know of the settings.
    pub fn settings_warning(&self) -> Option<&'static str> {
        if !self.environment.live.plain_secrets().is_empty() {
            return Some(
                "a secret of Pulsar stands in riverrun.toml as plain text, and goes wherever the file goes: write \
                 \"env:NAME\" or \"file:PATH\" in its place; other environments than dev refuse it",
            );
        }
        (!self.environment.history.plain_secrets().is_empty()).then_some(
            "a secret of the catalog or of S3 stands in riverrun.toml as plain text, and goes wherever the file goes: write \
             \"env:NAME\" or \"file:PATH\" in its place; other environments than dev refuse it",
        )
    }

    /// The topics; their folder is made when the first one is, and a cluster is first asked for one of them.
    pub fn topics(&self) -> Result<&Topics> {
        if let Some(topics) = self.topics.get() {
            return Ok(topics);
        }
        let opened = match &self.environment.live.place {
            TopicPlace::Folder(folder) => {
                let folder = within(&self.folder.root, folder);
                let topics = connector_local::Topics::open(&folder, self.clock.clone())?;
                let is_copied = |(_, places): &(&String, &Spanned<Places>)| !places.get_ref().subscriptions.is_empty();
                let copied = self.environment.names.iter().filter(is_copied).map(|(name, _)| name.clone()).collect();
                Topics::Local(topics, LocalPlace { folder, copied })
            }
            TopicPlace::Pulsar(place) => {
                let settings = place.settings(&self.folder.root)?;
                let topics = connector_pulsar::Topics::new(settings, place.namespace.clone());
                Topics::Pulsar(topics.with_patterns(self.topic_patterns(place)?))
            }
        };
        Ok(self.topics.get_or_init(|| opened))
    }
}
