//! The checkpoints of a job, and how a run goes on from the last one.

use crate::changes::Changes;
use crate::checkpoint_places::NamedPlaces;
use crate::open::Project;
use crate::output::{Begin, Claims, NewPosition, WiredSink, go_on_with_table};
use crate::savepoints::{SavedCheckpoints, SavepointRequests};
use crate::takeover::Takeover;
use checkpoint::{Checkpoints, JobFacts, JobPlan, Manifest, OutputCut, Place, Savepoint};
use connector_pulsar::AnchorsBegin;
use dataflow::{CheckpointStore, CoordinatorState, Error, EventTime, Output, OutputState, RestoredJob, Result};
use seam::{has_read_nothing, joined_since};
use sql::OutputSpec;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};

/// The checkpoints of a job, and the one that a run goes on from.
pub(crate) struct GoingOn {
    place: Place,
    // Where savepoints lie that are given no place, and what people name one by.
    savepoints: (Place, NamedPlaces),
    // The number of the newest manifest, as it was looked at before anything was held.
    seen: Option<u64>,
    // The savepoint that `last` is, if it is one.
    savepoint: Option<Savepoint>,
    // A stream, by its number, and a partition of it that has joined since the savepoint.
    joined: Option<(usize, u32)>,
    pub last: Option<Manifest>,
    // What a job takes over from it instead whose pipelines have changed.
    pub takeover: Option<Takeover>,
    // The number of the newest checkpoint.
    newest: Option<u64>,
    // Whether the job has put out nothing after what it goes on from.
    is_all: bool,
    held: Option<Checkpoints>,
    warnings: (Sender<String>, Option<Receiver<String>>),
}

impl GoingOn {
    /// Looks at the checkpoints of a job, or at a savepoint of it, and writes nothing. A run that starts over goes on from
    /// none of them.
    pub fn look(project: &Project, job: Option<&str>, begin: Begin, savepoint: Option<&Path>) -> Result<GoingOn> {
        let (place, beside, places) =
            (project.checkpoints_place(job)?, project.savepoints_place(job)?, project.named_places(job));
        let newest = if begin == Begin::Fresh { None } else { checkpoint::look(&place)? };
        let seen = newest.as_ref().map(|newest| newest.number);
        let number = newest.as_ref().map(|newest| newest.coordinator.number);
        let savepoint = savepoint.map(|named| Savepoint::open(&places.at(named)?)).transpose()?;
        let joined = match (&savepoint, &newest) {
            (Some(savepoint), Some(newest)) => joined_since(&savepoint.manifest.coordinator, &newest.coordinator)?,
            _ => None,
        };
        // Of a savepoint that is another checkpoint, or that came here without its job, nobody knows what followed.
        let is_newest =
            |newest: &Manifest| savepoint.as_ref().is_none_or(|saved| newest.is_same_checkpoint(&saved.manifest));
        let is_all = newest.as_ref().is_some_and(|newest| newest.is_all() && is_newest(newest));
        let last = match &savepoint {
            Some(savepoint) => Some(saved(savepoint, newest.as_ref(), job.unwrap_or(project.name()))?),
            None => match newest {
                Some(newest) if is_over_before_a_row(&newest)? => None,
                newest => newest,
            },
        };
        let (warn, warnings) = channel();
        Ok(GoingOn {
            place,
            savepoints: (beside, places),
            seen,
            savepoint,
            joined,
            last,
            takeover: None,
            newest: number,
            is_all,
            held: None,
            warnings: (warn, Some(warnings)),
        })
    }

    /// Tells people what they should know of what the job goes on with.
    pub fn warn(&self, warning: String) {
        // Nobody may listen.
        drop(self.warnings.0.send(warning));
    }

    /// Takes the checkpoints; refused by name while another run holds them.
    pub fn hold(&mut self, project: &Project, fresh: bool) -> Result<()> {
        let warnings = self.warnings.0.clone();
        // Whoever reads them has gone with the job.
        let warn = Box::new(move |error: &Error| drop(warnings.send(error.chain())));
        let held = Checkpoints::open(&self.place, project.checkpoints_kept(), project.clock.clone(), warn)?;
        if !fresh && held.newest()?.map(|newest| newest.number) != self.seen {
            return Err(Error::unavailable("another run of the job has put a checkpoint while this one began"));
        }
        self.held = Some(held);
        Ok(())
    }

    /// Where the job begins to read its topics.
    pub fn anchors_begin(&self) -> AnchorsBegin {
        match (&self.last, &self.takeover, &self.savepoint) {
            (None, ..) | (_, Some(_), _) => AnchorsBegin::Anew,
            (Some(_), None, Some(_)) => AnchorsBegin::Earlier,
            (Some(_), None, None) => AnchorsBegin::WhereTheyStand,
        }
    }

    /// The same while the job may still be refused: what stands stays, since a savepoint that is not gone on from needs
    /// nothing.
    pub fn anchors_begin_at_first(&self) -> AnchorsBegin {
        match self.anchors_begin() {
            AnchorsBegin::Earlier => AnchorsBegin::WhereTheyStand,
            begin => begin,
        }
    }

    /// Refuses a savepoint after which rows of a partition were written to a topic that had given none before: it would join
    /// at another moment than it did, so that its rows would come again at other places among those of others, and be left
    /// out for them.
    pub fn check_replay(&self, sinks: &[WiredSink]) -> Result<()> {
        let sink = sinks.iter().find(|sink| sink.replay > 0);
        let (Some(savepoint), Some(sink), Some((stream, partition))) = (&self.savepoint, sink, self.joined) else {
            return Ok(());
        };
        let streams = self.last.iter().flat_map(|last| &last.facts.plan.streams);
        let name = streams.map(|stream| stream.name.as_str()).nth(stream).unwrap_or_default();
        Err(Error::invalid(format!(
            "savepoint \"{}\" cannot be gone on from, while `riverrun run` goes on from the newest checkpoint: topic {} holds \
             {} rows that were written since, and partition {partition} of stream \"{name}\" gave its first row since, so that \
             they would not come again in the same order; start over with --fresh, or write to another topic",
            savepoint.path().display(),
            sink.name,
            sink.replay
        )))
    }

    /// Refuses a savepoint of a job that reads a queue where a checkpoint came after it: messages that were acknowledged since
    /// do not come again, and what became of them may be nowhere but in that checkpoint.
    pub fn check_queue(&self) -> Result<()> {
        let (Some(savepoint), Some(newest)) = (&self.savepoint, self.newest) else { return Ok(()) };
        if newest <= savepoint.manifest.coordinator.number {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "savepoint \"{}\" cannot be gone on from, while `riverrun run` goes on from the newest checkpoint: the job reads a \
             queue, and messages that were acknowledged since do not come again; a savepoint that `riverrun stop` made is the \
             newest",
            savepoint.path().display()
        )))
    }

    /// What people should know of the checkpoints while the job runs; given once.
    pub fn take_warnings(&mut self) -> Option<Receiver<String>> {
        self.warnings.1.take()
    }

    /// The savepoint that the job goes on from, if it is one.
    pub fn savepoint(&self) -> Option<PathBuf> {
        self.savepoint.as_ref().map(|savepoint| savepoint.path().to_owned())
    }

    /// What the job goes on from, as people call it.
    fn what(&self, Manifest { coordinator, .. }: &Manifest) -> String {
        match &self.savepoint {
            Some(savepoint) => format!("savepoint \"{}\"", savepoint.path().display()),
            None => format!("checkpoint {}", coordinator.number),
        }
    }

    /// Whether the job had its first checkpoint, and no more, when it was left.
    pub fn is_at_first(&self) -> bool {
        self.savepoint.is_none() && self.last.as_ref().is_some_and(|last| last.coordinator.number == 1)
    }

    /// Refuses a checkpoint of which the job that is planned now would make something else. What it does under other names
    /// keeps its state; other changes are taken over if that is asked for.
    pub fn fit(&mut self, (fingerprint, plan): (&str, &JobPlan), applies: bool, from: Option<EventTime>) -> Result<()> {
        let Some(mut last) = self.last.take() else { return Ok(()) };
        let what = self.what(&last);
        if last.facts.fingerprint != fingerprint {
            let changes = Changes::between(&last.facts.plan, plan);
            if !changes.is_same() && applies && self.savepoint.is_none() {
                if from.is_some() {
                    return Err(Error::invalid(
                        "--from says where outputs begin, and outputs that are taken over go on where they are: leave it out",
                    ));
                }
                self.takeover = Some(Takeover::of(&last, plan)?);
                return Ok(());
            }
            if !changes.is_same()
                && let Err(refused) = Takeover::of(&last, plan)
            {
                return Err(Error::invalid(format!(
                    "the job has changed since its {what} of {} (revision {} of the pipelines), and {refused}; or put the \
                     pipelines, and the jobs in riverrun.toml, back",
                    last.written_at, last.facts.revision
                )));
            }
            if !changes.is_same() {
                return Err(Error::invalid(format!(
                    "the job has changed since its {what} of {} (revision {} of the pipelines), and what that holds is of \
                     the job as it was: `riverrun plan` shows what would become of it, and `riverrun run --apply` does that; \
                     or put the pipelines, and the jobs in riverrun.toml, back, or start over from history with `--fresh`",
                    last.written_at, last.facts.revision
                )));
            }
            changes.rename(&mut last, plan);
        }
        if from.is_some() && from != last.facts.from {
            return Err(Error::invalid(format!(
                "--from says where outputs begin, and this job goes on from its {what} of {}: leave \
                 it out, or start over with `--fresh`",
                last.written_at
            )));
        }
        self.last = Some(last);
        Ok(())
    }

    /// The snapshot that the job reads as a stream's history.
    pub fn snapshot(&self, stream: &str) -> Option<i64> {
        let histories = &self.last.as_ref()?.facts.histories;
        histories.iter().find(|(name, _)| name == stream)?.1.parse().ok()
    }

    /// What an earlier plan of the job has written of its outputs.
    pub fn cuts(&self) -> &[OutputCut] {
        match (&self.takeover, &self.last) {
            (Some(takeover), _) => &takeover.cuts,
            (None, Some(last)) => &last.facts.cuts,
            (None, None) => &[],
        }
    }

    /// Where outputs on topics begin, as an earlier run has decided.
    pub fn start(&self) -> Option<EventTime> {
        let taken_over = self.takeover.as_ref().map(|takeover| takeover.start);
        taken_over.or(self.last.as_ref().map(|last| last.facts.start))
    }

    /// From when on rows have to come out, where an earlier plan of the job has written those before.
    pub fn reads_from(&self) -> Option<EventTime> {
        match &self.takeover {
            Some(takeover) => takeover.reads_from,
            None => self.last.as_ref().and_then(|last| last.facts.reads_from.or(last.facts.from)),
        }
    }

    /// What an output left, by the name of its node.
    pub fn output(&self, node: &str) -> Option<&OutputState> {
        self.outputs().find(|output| output.output == node)
    }

    /// Whether the job has put out nothing after what it goes on from.
    pub fn is_all(&self) -> bool {
        self.is_all
    }

    /// What the outputs left.
    pub fn outputs(&self) -> impl Iterator<Item = &OutputState> {
        let taken_over = self.takeover.iter().flat_map(|takeover| &takeover.outputs);
        self.last.iter().flat_map(|last| &last.outputs).chain(taken_over)
    }

    /// Goes on with a claimed table where the checkpoint or the savepoint left it. One that an earlier plan of the job has
    /// written gets the columns that it lacks. What a savepoint has pending is copied.
    pub fn go_on_with_table(&mut self, claims: &Claims, spec: &OutputSpec, node: &str) -> Result<()> {
        let Some(before) = self.output(node) else { return Ok(()) };
        let is_of_earlier_plan = self.cuts().iter().any(|cut| cut.output == node);
        if let (true, Output::Table(table)) = (is_of_earlier_plan, &spec.output) {
            claims.get(table).map(|claim| claim.add_columns(&spec.schema)).transpose()?;
        }
        let saved = self.savepoint.as_ref();
        let pending = go_on_with_table(claims, spec, before, saved).map_err(|error| match saved {
            Some(saved) => error.context(format!(
                "savepoint \"{}\" cannot be gone on from, while `riverrun run` goes on from the newest checkpoint",
                saved.path().display()
            )),
            None => error,
        })?;
        let outputs = self.last.iter_mut().flat_map(|last| &mut last.outputs);
        let taken_over = self.takeover.iter_mut().flat_map(|takeover| &mut takeover.outputs);
        for output in outputs.chain(taken_over).filter(|output| output.output == node) {
            output.pending.clone_from(&pending);
        }
        Ok(())
    }

    /// Goes on with an output from another position than the checkpoint has. It is durable before the first row: the first
    /// checkpoint of outputs that are taken over has it from their writers.
    pub fn set_position(&mut self, spec: &OutputSpec, node: &str, position: &NewPosition) -> Result<()> {
        if self.takeover.is_some() && position.has_grown {
            return Err(Error::invalid(format!(
                "partitions were added to the topic of output {} since the last checkpoint, and the pipelines have changed: \
                 put the pipelines back, run the job once and stop it, and then apply the change; or start over with --fresh",
                spec.name
            )));
        }
        let outputs = self.last.iter_mut().flat_map(|last| &mut last.outputs);
        for output in outputs.filter(|output| output.output == node) {
            output.position = Some(position.bytes.clone());
        }
        Ok(())
    }

    /// Makes this run the one that the checkpoints belong to. With a checkpoint to go on from, or outputs to take over, gives
    /// what it holds, with the positions as they are to be read on.
    pub fn begin(&mut self, facts: JobFacts, positions: CoordinatorState) -> Result<Option<RestoredJob>> {
        let held = self.held.as_mut().ok_or_else(|| Error::internal("a job begins whose checkpoints nobody holds"))?;
        let Some(last) = &mut self.last else {
            // No two beginnings of a job have the same epoch.
            held.begin(JobFacts { generation: held.epoch(), ..facts })?;
            return Ok(self.takeover.as_ref().map(|takeover| takeover.restored(positions)));
        };
        last.coordinator = positions;
        match &self.savepoint {
            Some(savepoint) => held.resume(savepoint, last, &facts).map(Some),
            None => held.go_on(last, &facts).map(Some),
        }
    }

    /// The checkpoints, once they are held.
    pub fn into_held(self) -> Option<Checkpoints> {
        self.held
    }

    /// Where checkpoints go, and savepoints that are asked for.
    pub fn into_store(self, requests: SavepointRequests) -> Option<Box<dyn CheckpointStore>> {
        let (beside, places) = self.savepoints;
        self.held.map(|held| Box::new(SavedCheckpoints { held, requests, beside, places }) as Box<dyn CheckpointStore>)
    }
}

/// Whether streams had ended for good before they had a row, so that none could come after that, and nothing came out.
fn is_over_before_a_row(newest: &Manifest) -> Result<bool> {
    Ok(newest.coordinator.watermarks.contains(&EventTime::MAX) && has_read_nothing(&newest.coordinator)?)
}

/// The checkpoint of a savepoint, as a job goes on from it. The numbers of its checkpoints go on from those of the newest
/// one, so that no two are alike that a table may know of.
fn saved(savepoint: &Savepoint, newest: Option<&Manifest>, job: &str) -> Result<Manifest> {
    let mut saved = savepoint.manifest.clone();
    if saved.facts.job != job {
        return Err(Error::invalid(format!(
            "savepoint \"{}\" is one of job \"{}\", expected one of \"{job}\"",
            savepoint.path().display(),
            saved.facts.job
        )));
    }
    if let Some(newest) = newest {
        newest.check_same_generation(&saved)?;
        saved.coordinator.number = saved.coordinator.number.max(newest.coordinator.number);
    }
    Ok(saved)
}
