//! What a run would refuse, told before it: inputs, outputs, archives and jobs that do not fit their statements.
//!
//! Inputs are opened as a run opens them, up to the first thing that it would make or write, so that both refuse the
//! same. A topic that is not there is no fault, since a run makes it.

use crate::archive_check::check_archive;
use crate::failure::Failure;
use crate::job::JobOptions;
use crate::open::Project;
use crate::output::Begin;
use crate::output_check::{placed, told_outputs, unfitting_outputs, wrong_outputs};
use crate::stream_input::decoder;
use connector_iceberg::check_table;
use connector_local::check_topic_name;
use dataflow::{Error, EventTime, KeyGroups, NodeKind, Result, StepContext};
use seam::Seam;
use sql::{CheckedPlan, Diagnostic, History, Start, Stream, Target};
use std::collections::BTreeSet;

impl Project {
    /// Plans what a target needs, as [`Project::check`] does, and refuses what a job of it would be refused for.
    pub fn check_wiring(&self, target: &Target) -> Result<CheckedPlan, Failure> {
        let mut checked = match self.check(target) {
            Ok(checked) => checked,
            Err(Failure::Diagnostics(wrong)) => return Err(Failure::Diagnostics(self.with_wrong_inputs(wrong)?)),
            Err(other) => return Err(other),
        };
        let mut wrong = match self.check_names() {
            Ok(()) => Vec::new(),
            Err(Failure::Diagnostics(wrong)) => wrong,
            Err(other) => return Err(other),
        };
        checked.warnings.extend(self.names_warnings(None));
        for stream in &checked.streams {
            if let Err(error) = self.check_inputs(stream) {
                wrong.push(placed(error, |message| self.statements.at_inputs(&stream.name, message))?);
            }
        }
        for found in self.wrong_archives()? {
            if !wrong.contains(&found) {
                wrong.push(found);
            }
        }
        wrong.extend(wrong_outputs(self, &checked.outputs)?);
        wrong.extend(unfitting_outputs(self, &checked.outputs)?);
        wrong.extend(self.wrong_jobs()?);
        if !wrong.is_empty() {
            return Err(Failure::Diagnostics(wrong));
        }
        checked.warnings.extend(told_outputs(self, &checked.outputs)?);
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

    /// What is wrong with statements, and with the inputs of the streams that can be planned all the same.
    fn with_wrong_inputs(&self, mut wrong: Vec<Diagnostic>) -> Result<Vec<Diagnostic>, Failure> {
        for name in self.statements.streams() {
            let Ok(planned) = self.check_apart(&Target::View(name)) else { continue };
            for stream in &planned.streams {
                if let Err(error) = self.check_inputs(stream) {
                    let found = placed(error, |message| self.statements.at_inputs(&stream.name, message))?;
                    if !wrong.contains(&found) {
                        wrong.push(found);
                    }
                }
            }
        }
        Ok(wrong)
    }

    /// What is wrong with ARCHIVE statements, where the text names the inputs of their streams.
    fn wrong_archives(&self) -> Result<Vec<Diagnostic>, Failure> {
        let (mut wrong, mut tables) = (Vec::new(), BTreeSet::new());
        for name in self.statements.archives() {
            for stream in &self.check(&Target::View(name))?.streams {
                let Some(History::Table(table)) = &stream.history else { continue };
                let fits = check_archive(self, stream);
                let once = fits.and_then(|()| match tables.insert(table.to_lowercase()) {
                    true => Ok(()),
                    false => Err(Error::invalid(format!("two ARCHIVE write the table {table}, expected one"))),
                });
                if let Err(error) = once {
                    wrong.push(placed(error, |message| self.statements.at_inputs(&stream.name, message))?);
                }
            }
        }
        Ok(wrong)
    }

    /// What is wrong with the jobs of the settings: outputs that no statement writes.
    fn wrong_jobs(&self) -> Result<Vec<Diagnostic>, Failure> {
        let mut wrong = Vec::new();
        for name in self.folder.config.jobs.keys() {
            match self.check(&self.job_target(Some(name))?) {
                Ok(_) => {}
                Err(Failure::Diagnostics(found)) => wrong.extend(found),
                Err(other) => return Err(other),
            }
        }
        Ok(wrong)
    }

    fn check_inputs(&self, stream: &Stream) -> Result<()> {
        if let Some(topic) = &stream.live {
            check_topic_name(topic)?;
            decoder(stream, topic)?;
        }
        if let Some(History::Table(table)) = &stream.history {
            check_table(table, &arrow::datatypes::Schema::empty())?;
        }
        let (input, _) = self.input_there(stream, None)?;
        match (&input.history, &input.live, &stream.live) {
            (None, None, None) => Err(self.nothing_there(stream)),
            (None, None, Some(_)) => input.spec.check(),
            _ => {
                let options =
                    JobOptions { until_caught_up: false, begin: Begin::GoOn, from: None, ..JobOptions::default() };
                let (options, _spill) = self.seam_options(&options, None, false);
                Seam::open(vec![input], &options, None).map(drop)
            }
        }
    }
}
