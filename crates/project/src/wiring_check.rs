//! What a run would refuse, told before it: inputs and outputs that do not fit their statements.
//!
//! What is there has to fit. What is not there yet, a table, files or a topic, is no fault; and no message is read.

use crate::declared_columns::{DeclaredFiles, file_columns};
use crate::failure::Failure;
use crate::job::{decoder, stream_spec};
use crate::open::Project;
use crate::output_check::{placed, wrong_outputs};
use connector_iceberg::check_table;
use connector_local::{Files, check_topic_name};
use dataflow::{Error, EventTime, KeyGroups, NodeKind, Result, StepContext, TimedFiles};
use seam::archive_schema;
use sql::{CheckedPlan, History, Start, Stream, Target};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Project {
    /// Plans what a target needs, as [`Project::check`] does, and refuses what a job of it would be refused for.
    pub fn check_wiring(&self, target: &Target) -> Result<CheckedPlan, Failure> {
        let checked = self.check(target)?;
        let mut wrong = Vec::new();
        for stream in &checked.streams {
            if let Err(error) = self.check_inputs(stream) {
                wrong.push(placed(error, |message| self.statements.at_inputs(&stream.name, message))?);
            }
        }
        let mut archives = BTreeSet::new();
        for name in self.statements.archives() {
            for stream in &self.check(&Target::View(name))?.streams {
                let Some(History::Table(table)) = &stream.history else { continue };
                let fits = check_table(table, &archive_schema(&stream_spec(stream).schema));
                let once = fits.and_then(|()| match archives.insert(table.to_lowercase()) {
                    true => Ok(()),
                    false => Err(Error::invalid(format!("two ARCHIVE write the table {table}, expected one"))),
                });
                if let Err(error) = once {
                    let found = placed(error, |message| self.statements.at_inputs(&stream.name, message))?;
                    if !wrong.contains(&found) {
                        wrong.push(found);
                    }
                }
            }
        }
        wrong.extend(wrong_outputs(self, &checked.outputs)?);
        if !wrong.is_empty() {
            return Err(Failure::Diagnostics(wrong));
        }
        // Streams and views are then planned for themselves, and nothing takes their rows.
        if !self.statements.has_outputs() {
            return Ok(checked);
        }
        let start = Start { after: EventTime::MIN, revision: self.revision(), row_text: crate::dead_letter::row_text };
        let graph = checked.lower(&start)?;
        for node in &graph.nodes {
            if let NodeKind::Step(make) = &node.kind {
                make(StepContext { groups: KeyGroups::ALL }).map_err(|error| error.context(node.name.clone()))?;
            }
        }
        graph.check()?;
        Ok(checked)
    }

    fn check_inputs(&self, stream: &Stream) -> Result<()> {
        if let Some(topic) = &stream.live {
            check_topic_name(topic)?;
            decoder(stream, topic)?;
        }
        let history: Option<Arc<dyn TimedFiles>> = match &stream.history {
            Some(History::Table(table)) => {
                check_table(table, &arrow::datatypes::Schema::empty())?;
                self.table(stream, table)?.0
            }
            Some(History::Files(pattern, encoding)) if Files::are_there(pattern, &self.folder.root)? => {
                let files = Files::open(pattern, &self.folder.root, &file_columns(stream), *encoding)?;
                Some(Arc::new(DeclaredFiles::new(Arc::new(files), stream)?))
            }
            _ => None,
        };
        seam::check_stream(&stream_spec(stream), history.as_deref())
    }
}
