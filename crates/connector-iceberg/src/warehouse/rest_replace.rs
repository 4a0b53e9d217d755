//! New tables that take the places of old ones in a REST catalog, which can give a table another name.
//!
//! ```text
//! plays (old)               plays__riverrun_new (new)
//!   old: riverrun.replaced-by = uuid of the new one        from here on it is decided
//! plays__riverrun_old_UUID  plays__riverrun_new            for a moment there is no table of the name
//! plays__riverrun_old_UUID  plays (new)
//! an hour later             plays (new)
//! ```
//!
//! Each step is taken by what is there, so that it does not matter how often it is tried, nor who goes on with it: where a
//! run is killed between two steps, whoever claims the table next takes those that are left.

use crate::failure;
use crate::generations::{KEPT, TAKES_PLACE_OF};
use crate::name::TableName;
use crate::rest::{RestCatalog, new_name, old_name};
use crate::upkeep::keeps_all;
use dataflow::{Error, ErrorKind, Result};
use iceberg::TableUpdate;
use iceberg::spec::TableMetadata;
use iceberg::table::Table;
use std::collections::HashMap;
use std::time::Duration;
use uuid::Uuid;

/// The property of an old table that names the one which takes its place.
const REPLACED_BY: &str = "riverrun.replaced-by";
/// The property of an old table that says when that was decided.
const REPLACED_AT_MS: &str = "riverrun.replaced-at-ms";
/// A table that was to give way longer ago is told so again before it does.
const DECIDED_MS: i64 = 60_000;

/// So many steps are taken for a table, most of them again since others changed it at the same time.
const STEPS_MAX: u32 = 40;
/// How often the catalog may not answer meanwhile.
const FAILURES_MAX: u32 = 5;
const PAUSE: Duration = Duration::from_millis(100);
/// So long is waited at most before a step that another change has come before is taken again.
const CONFLICT_PAUSE_MS_MAX: u64 = 500;
/// So many replaced tables are looked for that are not gone yet.
const REPLACED_MAX: usize = 100;

/// A catalog, and the view of it that has the tables which are to take the place of others.
pub struct Places<'a> {
    pub catalog: &'a RestCatalog,
    pub staged: &'a RestCatalog,
}

/// What a table is replaced by, and the check that it is still the one that may be replaced.
pub struct NewTable<'a> {
    pub uuid: Uuid,
    pub now_ms: i64,
    pub check_old: &'a dyn Fn(&TableMetadata) -> Result<()>,
}

/// What has become of a step.
enum Step {
    Taken,
    /// Another change came before it.
    Overtaken,
    /// None is left.
    Last,
}

impl Places<'_> {
    /// Lets the staged table of a name take the place of the one that is there.
    pub async fn replace(&self, name: &TableName, new: &NewTable<'_>) -> Result<()> {
        let (mut failures, mut conflicts) = (0, 0);
        for _ in 0..STEPS_MAX {
            match self.step(name, new).await {
                Ok(Step::Last) => return Ok(()),
                Ok(Step::Taken) => {}
                Ok(Step::Overtaken) => {
                    pause_after_conflict(conflicts).await;
                    conflicts += 1;
                }
                Err(error) if error.kind() == ErrorKind::Unavailable && failures < FAILURES_MAX => {
                    tokio::time::sleep(PAUSE * (1 << failures)).await;
                    failures += 1;
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::unavailable(format!(
            "table \"{name}\": {STEPS_MAX} attempts to put a new table in place met changes by others; stop some of them"
        )))
    }

    /// Takes the next step.
    async fn step(&self, name: &TableName, new: &NewTable<'_>) -> Result<Step> {
        let Some(current) = self.find(self.catalog, name).await? else {
            return self.put_in_place(name, new.uuid).await.map(|()| Step::Taken);
        };
        let metadata = current.metadata();
        if metadata.uuid() == new.uuid {
            return Ok(Step::Last);
        }
        (new.check_old)(metadata)?;
        self.staged_with(name, new.uuid).await?;
        let told_at =
            metadata.properties().get(REPLACED_AT_MS).and_then(|at| at.parse::<i64>().ok()).unwrap_or(i64::MIN);
        // A run that was killed over it may have decided it long ago, and readers have their hour from now on.
        let is_decided = told_at >= new.now_ms.saturating_sub(DECIDED_MS)
            && metadata.properties().get(REPLACED_BY) == Some(&new.uuid.to_string());
        if !is_decided {
            let decided = [(REPLACED_BY, new.uuid.to_string()), (REPLACED_AT_MS, new.now_ms.to_string())];
            let updates = HashMap::from(decided.map(|(key, value)| (key.to_owned(), value)));
            let changed = self.catalog.change(&current, vec![TableUpdate::SetProperties { updates }]).await;
            return match changed {
                Ok(_) => Ok(Step::Taken),
                // Others may commit to the old table without end, and each look at it finds the next change.
                Err(error) if error.kind() == iceberg::ErrorKind::CatalogCommitConflicts => Ok(Step::Overtaken),
                Err(error) => Err(told(name, error)),
            };
        }
        let renamed = self.catalog.rename(name, &old_name(name, metadata.uuid())).await;
        renamed.map(|()| Step::Taken).map_err(|error| told(name, error))
    }

    /// Gives the new table its name. Where the catalog does not permit that, the old one has its name again.
    async fn put_in_place(&self, name: &TableName, new: Uuid) -> Result<()> {
        let staged = self.staged_with(name, new).await?;
        let renamed = self.catalog.rename(&new_name(name), name).await.map_err(|error| told(name, error));
        if let (Err(error), Some(old)) = (&renamed, uuid_in(&staged, TAKES_PLACE_OF))
            && error.kind() != ErrorKind::Unavailable
        {
            // The error that is told is the one that a person has to see to.
            let _ = self.catalog.rename(&old_name(name, old), name).await;
        }
        renamed
    }

    /// Takes the last step of a run that was killed before it.
    pub async fn finish(&self, name: &TableName) -> Result<()> {
        if self.find(self.catalog, name).await?.is_some() {
            return Ok(());
        }
        let Some(staged) = self.find(self.staged, name).await? else { return Ok(()) };
        // Without the one that has given way it was not decided, and somebody has dropped the table.
        let Some(old) = self.given_way(name, &staged).await? else { return Ok(()) };
        let new = staged.metadata().uuid();
        if uuid_in(&old, REPLACED_BY) != Some(new) {
            return Ok(());
        }
        let check_old = &|_: &TableMetadata| Err(crate::prepared_files::made_again(name));
        self.replace(name, &NewTable { uuid: new, now_ms: 0, check_old }).await
    }

    /// Gives up the staged table of a name with its files, or only the one with a uuid. One that takes its place at this
    /// moment stays.
    pub async fn discard(&self, name: &TableName, only: Option<Uuid>) -> Result<()> {
        let Some(staged) = self.find(self.staged, name).await? else { return Ok(()) };
        let is_other = only.is_some_and(|uuid| staged.metadata().uuid() != uuid);
        if is_other || self.find(self.catalog, name).await?.is_none() {
            return Ok(());
        }
        self.catalog.drop_with_files(&new_name(name), true).await.map_err(|error| told(name, error))
    }

    /// Drops tables that had this name and gave way over an hour before, with their files.
    pub async fn collect(&self, name: &TableName, now_ms: i64) -> Result<()> {
        let (mut replaced, mut next) = (Vec::new(), self.find(self.catalog, name).await?);
        while let Some(table) = next.take()
            && replaced.len() < REPLACED_MAX
        {
            next = self.given_way(name, &table).await?;
            replaced.extend(next.clone());
        }
        let kept_ms = i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX);
        // The oldest goes first: the others name it.
        for table in replaced.iter().rev() {
            let since = table.metadata().properties().get(REPLACED_AT_MS).and_then(|since| since.parse::<i64>().ok());
            if since.is_none_or(|since| now_ms.saturating_sub(since) <= kept_ms) {
                break;
            }
            let held = old_name(name, table.metadata().uuid());
            self.catalog
                .drop_with_files(&held, !keeps_all(table.metadata()))
                .await
                .map_err(|error| told(name, error))?;
        }
        Ok(())
    }

    /// The table whose place another one takes or has taken, while it is there.
    async fn given_way(&self, name: &TableName, table: &Table) -> Result<Option<Table>> {
        match uuid_in(table, TAKES_PLACE_OF) {
            Some(old) => self.find(self.catalog, &old_name(name, old)).await,
            None => Ok(None),
        }
    }

    async fn staged_with(&self, name: &TableName, uuid: Uuid) -> Result<Table> {
        let staged = self.find(self.staged, name).await?.filter(|staged| staged.metadata().uuid() == uuid);
        staged.ok_or_else(|| {
            Error::invalid(format!(
                "table \"{name}\": the new one is gone, since another run has begun one or somebody has dropped \"{}\"",
                new_name(name)
            ))
        })
    }

    async fn find(&self, catalog: &RestCatalog, name: &TableName) -> Result<Option<Table>> {
        let found = catalog.find(name).await;
        found.map_err(|error| failure::iceberg(format!("table \"{name}\" cannot be loaded"), error))
    }
}

/// Waits longer with every conflict, and never as long as others do.
async fn pause_after_conflict(conflicts: u32) {
    let bound = (5u64 << conflicts.min(10)).min(CONFLICT_PAUSE_MS_MAX);
    let chance = Uuid::new_v4().as_u64_pair().1;
    tokio::time::sleep(Duration::from_millis(1 + chance % bound)).await;
}

fn uuid_in(table: &Table, property: &str) -> Option<Uuid> {
    table.metadata().properties().get(property).and_then(|uuid| Uuid::try_parse(uuid).ok())
}

fn told(name: &TableName, error: iceberg::Error) -> Error {
    failure::iceberg(format!("table \"{name}\": no new table can take its place"), error)
}
