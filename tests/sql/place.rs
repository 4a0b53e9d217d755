//! The project of a file of statements: its text grows, and its clock is turned by the file.

use codec::JsonEncode;
use connector_local::{Outgoing, Topics};
use dataflow::{Clock, Encode, Error, ManualClock, ProcessingTime, Result, Span};
use project::Project;
use sql::{ColumnSource, Target};
use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use tempfile::TempDir;
use tests::told;

/// 2026-01-01 00:00:00, where every file begins.
const BEGIN: i64 = 1_767_225_600_000_000;

/// A project in a folder of its own.
pub struct Place {
    folder: TempDir,
    clock: Arc<ManualClock>,
    text: String,
}

impl Place {
    /// An empty project, with the models that files name.
    pub fn new() -> Place {
        let folder = tempfile::tempdir().expect("a folder for the test can be made");
        for part in ["pipelines", "tests", "models"] {
            fs::create_dir(folder.path().join(part)).expect("a folder for the test can be made");
        }
        let model = tests::root().join("crates/riverrun/template/models/spam.onnx");
        fs::copy(model, folder.path().join("models/spam.onnx")).expect("the model is there");
        Place { folder, clock: Arc::new(ManualClock::new(ProcessingTime(BEGIN))), text: String::new() }
    }

    /// Adds a statement, unless the project is wrong with it.
    pub fn add(&mut self, statement: &str) -> Result<()> {
        let before = self.text.clone();
        self.text += &format!("{statement};\n\n");
        let checked = self.open().and_then(|project| project.check(&Target::All).map(drop).map_err(wrong));
        if checked.is_err() {
            self.text = before;
        }
        checked
    }

    /// Whether the text has a statement.
    pub fn has(&self, statement: &str) -> bool {
        self.text.contains(&format!("{statement};"))
    }

    /// The project as it is now.
    pub fn open(&self) -> Result<Project> {
        fs::write(self.folder.path().join("pipelines/all.sql"), &self.text).expect("the project can be written");
        Project::open(self.folder.path(), "dev", self.clock.clone()).map_err(wrong)
    }

    /// Turns the clock on.
    pub fn advance(&self, span: Span) {
        self.clock.advance(span);
    }

    /// The topics.
    pub fn topics(&self) -> Result<Topics> {
        Topics::open(self.folder.path().join("topics"), self.clock.clone() as Arc<dyn Clock>)
    }

    /// Puts payloads on a partition of a topic, now.
    pub fn put(&self, topic: &str, partition: u32, payloads: &[Vec<u8>]) -> Result<()> {
        let topics = self.topics()?;
        topics.topic_or_create(topic, 1)?;
        let mut producer = topics.producer(topic, "", 0)?;
        let message = |payload| Outgoing { sequence: 0, key: None, payload, arrived: None };
        let messages: Vec<_> = payloads.iter().map(|payload| message(payload.as_slice())).collect();
        producer.append(partition, &messages).map(drop)
    }

    /// The payloads of rows that are written as `stream (columns) VALUES ..`, and their stream's topic.
    pub fn payloads(&self, stream: &str, rows: &str) -> Result<(String, Vec<Vec<u8>>)> {
        let given = format!("TEST 'rows';\nGIVEN {stream} {rows};\nEXPECT NO ROWS {stream};\n");
        let file = self.folder.path().join("tests/rows.test.sql");
        fs::write(&file, given).expect("the project can be written");
        let project = self.open()?;
        let statements = project.with_tests().map_err(wrong)?;
        fs::remove_file(&file).expect("the file is there");
        let test = statements.tests().into_iter().next().ok_or_else(|| Error::internal("no rows"))?;
        let target = Target::Collect(vec![stream.to_owned()]);
        let checked = sql::check(&statements, &project, &target).map_err(|all| wrong(all.into()))?;
        let bound = checked.bind_test(&test).map_err(|all| wrong(all.into()))?;
        let planned = &checked.streams[0];
        let paths = planned.sources.iter().filter_map(|source| match source {
            ColumnSource::Path(path) => Some(path.clone()),
            ColumnSource::Computed(_) => None,
        });
        let encode = JsonEncode::nested(planned.raw.clone(), paths.collect())?;
        let mut payloads = Vec::new();
        for given in &bound.givens {
            payloads.extend(encode.encode(&given.rows)?);
        }
        let topic = planned.live.clone().ok_or_else(|| Error::invalid(format!("stream {stream} has no LIVE")))?;
        Ok((topic, payloads))
    }

    /// Copies what lies on the topics of all ARCHIVE statements.
    pub fn archive(&self) -> Result<()> {
        tests::archive(&self.open()?, BTreeMap::new()).map_err(Error::invalid)
    }
}

/// A failure with all that it says.
pub fn wrong(failure: project::Failure) -> Error {
    Error::invalid(told(failure))
}
