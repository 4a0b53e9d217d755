//! Housekeeping of tables: which table is meant, and what jobs of the project need of it.

use crate::checkpoint_places::OF_ONES_OWN;
use crate::duration::duration;
use crate::failure::Failure;
use crate::open::Project;
use checkpoint::{Manifest, Place};
use connector_iceberg::{
    CompactOptions, CompactPlan, CompactProgress, CompactSummary, ExpireOptions, ExpirePlan, ExpireSummary,
    OrphanOptions, OrphanPlan, OrphanSummary, TableClaim, TableDescription, TableHolds, Warehouse,
};
use dataflow::{Error, Output, OutputState, Result};
use sql::near_or_all;
use std::str::FromStr;
use std::time::Duration;

/// The sink of archives. They prepare nothing that a later run would commit.
const ARCHIVE: &str = "archive";
/// What is looked for in a table while a job runs: fewer small files are not worth their being written again.
const FILES_MIN_BESIDE: usize = 8;

/// An age, as a command line has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Age(pub Duration);

impl FromStr for Age {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let most = Duration::from_secs(100 * 365 * 86_400);
        duration(text, Duration::ZERO..=most, "a number and a unit, such as 12h or 7d").map(Age)
    }
}

/// A table of the project, or of others in the same place, that is to be kept in order.
pub struct KeptTable<'p> {
    project: &'p Project,
    warehouse: Warehouse,
    name: String,
    is_refused: bool,
}

/// What checkpoints and savepoints hold of a table: what must not be let go, and by sink what each has of its output.
type Gathered<'h> = (&'h mut TableHolds, &'h mut Vec<(String, OutputState)>);

impl Project {
    /// The table of a name. With `--as` that of one's own, if the project writes it; `doing` says what would change a table,
    /// which is refused of one that others read.
    pub fn kept_table(&self, table: &str, doing: Option<&str>) -> Result<KeptTable<'_>> {
        let own = self.own_table(table);
        let is_own = own.is_some()
            || self.person().is_some_and(|person| {
                table.rsplit('.').next().is_some_and(|name| name.starts_with(&format!("{person}_")))
            });
        if let Some(doing) = doing.filter(|_| !is_own) {
            self.refuse_as(doing)?;
        }
        let name = own.unwrap_or(table).to_owned();
        let there = self.warehouse_if_there()?;
        if let Some(warehouse) = &there
            && warehouse.exists(&name)?
        {
            let is_refused = self.person().is_some() && !is_own;
            return Ok(KeptTable { project: self, warehouse: warehouse.clone(), name, is_refused });
        }
        if let (Some(person), Some(_)) = (self.person(), own) {
            return Err(Error::invalid(format!(
                "there is no table \"{name}\" in {}: {person} has not written it yet; `riverrun run --as {person}` does, and \
                 without --as the command is of \"{table}\"",
                self.tables_place()
            )));
        }
        let tables = there.map(|warehouse| warehouse.tables()).transpose()?.unwrap_or_default();
        Err(Error::invalid(format!(
            "there is no table \"{name}\" in {}; {}",
            self.tables_place(),
            near_or_all(&name, tables.iter().map(String::as_str), "its tables are", "it has no table yet")
        )))
    }

    /// What checkpoints and savepoints of all jobs of the environment need of a table, whoever runs them.
    fn table_holds(&self, table: &str) -> Result<TableHolds> {
        let mut holds = TableHolds { sinks: vec![ARCHIVE.to_owned()], ..TableHolds::default() };
        let mut states = Vec::new();
        self.gather_holds(&self.checkpoints_of_all()?, table, (&mut holds, &mut states), 0)?;
        // Checkpoints of a job that has gone on elsewhere do not say what it has prepared.
        if let Some(warehouse) = self.warehouse_if_there()? {
            holds.sinks.extend(warehouse.sinks_in_step(table, &states)?);
        }
        Ok(holds)
    }

    /// Looks through a place with checkpoints of jobs, savepoints, and those of people who run jobs under names of their
    /// own.
    fn gather_holds(&self, place: &Place, table: &str, (holds, states): Gathered<'_>, depth: usize) -> Result<()> {
        for inner in place.folders()? {
            match inner.name() {
                "savepoints" => {
                    for saved in &inner.folders()?.iter().map(Place::folders).collect::<Result<Vec<_>>>()?.concat() {
                        let place = format!("savepoint \"{saved}\"");
                        // One that is being made, or was left half by a kill, has no manifest yet, and holds nothing.
                        for manifest in checkpoint::look_at_all(saved)? {
                            self.add_holds(&place, &manifest, table, (&mut *holds, &mut *states))?;
                        }
                    }
                }
                name if name.starts_with(OF_ONES_OWN) && depth == 0 => {
                    self.gather_holds(&inner, table, (&mut *holds, &mut *states), depth + 1)?
                }
                _ => {
                    for manifest in checkpoint::look_at_all(&inner)? {
                        let place = format!("checkpoint {} in \"{inner}\"", manifest.coordinator.number);
                        self.add_holds(&place, &manifest, table, (&mut *holds, &mut *states))?;
                    }
                }
            }
        }
        Ok(())
    }

    fn add_holds(&self, place: &str, manifest: &Manifest, table: &str, (holds, states): Gathered<'_>) -> Result<()> {
        // Numbers of snapshots are drawn from so many that no two tables have one in common.
        let snapshots = manifest.facts.histories.iter().filter_map(|(_, snapshot)| snapshot.parse().ok());
        for snapshot in snapshots {
            let hold: (i64, String) = (snapshot, place.to_owned());
            // Two streams may read one table.
            if !holds.snapshots.contains(&hold) {
                holds.snapshots.push(hold);
            }
        }
        for output in &manifest.outputs {
            let name = output.output.strip_prefix("into ").unwrap_or(&output.output);
            if name == table {
                states.push((format!("{}.{name}", self.name()), output.clone()));
            }
            holds.prepared.extend(TableClaim::pending_locations(table, &output.pending)?);
        }
        Ok(())
    }

    /// Compacts the tables that a job writes, or that archives do, those that are there; gives what was done to each. What
    /// fails for one is no reason not to look at the others.
    pub fn compact_outputs(
        &self,
        job: Option<&str>,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Vec<(String, Result<CompactSummary>)>, Failure> {
        let Some(warehouse) = self.warehouse_if_there()? else { return Ok(Vec::new()) };
        let tables: Vec<String> = match job {
            Some("archive") => self.archived_tables(),
            _ => {
                let outputs = self.check(&self.job_target(job)?)?.outputs;
                let table = |output: &Output| match output {
                    Output::Table(table) => Some(table.clone()),
                    _ => None,
                };
                outputs.iter().filter_map(|spec| table(&spec.output)).collect()
            }
        };
        let options = CompactOptions { files_min: FILES_MIN_BESIDE };
        let mut done = Vec::new();
        for table in tables {
            if go_on() && warehouse.exists(&table)? {
                let compacted = warehouse.compact(&table, options, &*self.clock, &mut |_| go_on());
                done.push((table, compacted));
            }
        }
        Ok(done)
    }

    fn archived_tables(&self) -> Vec<String> {
        let archives = self.statements.archives();
        let tables = self.statements.history_tables().into_iter();
        tables.filter(|(_, stream)| archives.contains(stream)).map(|(table, _)| table).collect()
    }
}

impl KeptTable<'_> {
    /// Whether nothing may be changed in it: others read it, and one writes under names of one's own.
    pub fn is_refused(&self) -> bool {
        self.is_refused
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is, what lies in it, and which checkpoints and savepoints read it.
    pub fn describe(&self) -> Result<TableDescription> {
        self.warehouse.describe(&self.name, &self.holds()?)
    }

    /// What a compaction would do now.
    pub fn plan_compaction(&self) -> Result<CompactPlan> {
        self.warehouse.plan_compaction(&self.name, CompactOptions::default())
    }

    /// Writes small files and those with deleted rows anew.
    pub fn compact(&self, progress: &mut dyn FnMut(CompactProgress) -> bool) -> Result<CompactSummary> {
        self.warehouse.compact(&self.name, CompactOptions::default(), &*self.project.clock, progress)
    }

    /// Which snapshots would leave now.
    pub fn plan_expiry(&self, options: ExpireOptions) -> Result<ExpirePlan> {
        self.warehouse.plan_expiry(&self.name, options, &self.holds()?, self.now_ms())
    }

    /// Lets snapshots leave that nobody needs.
    pub fn expire(&self, options: ExpireOptions, progress: &mut dyn FnMut(u64, u64)) -> Result<ExpireSummary> {
        self.warehouse.expire(&self.name, options, &self.holds()?, self.now_ms(), progress)
    }

    /// Which files nothing names and nobody needs.
    pub fn plan_orphans(&self, options: OrphanOptions) -> Result<OrphanPlan> {
        self.warehouse.plan_orphans(&self.name, options, &self.holds()?, self.now_ms())
    }

    /// Deletes the files of a plan that was made just now.
    pub fn delete_orphans(&self, plan: &OrphanPlan, progress: &mut dyn FnMut(u64, u64)) -> Result<OrphanSummary> {
        self.warehouse.delete_orphans(&self.name, plan, progress)
    }

    fn holds(&self) -> Result<TableHolds> {
        self.project.table_holds(&self.name)
    }

    fn now_ms(&self) -> i64 {
        self.project.clock.now().0.div_euclid(1000)
    }
}
