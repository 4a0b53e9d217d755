//! Makes prepared files part of a table, each exactly once.

use crate::commit_record::{CommitRecord, TOKENS};
use crate::failure;
use crate::frontier::{MARK, frontier_of};
use crate::name::TableName;
use crate::prepared_files::{PreparedFiles, made_again};
use crate::required::check_written;
use crate::table::missing_columns;
use crate::table_catalog::TableCatalog;
use arrow::datatypes::Schema;
use dataflow::{Error, ErrorKind, Result};
use iceberg::TableIdent;
use iceberg::spec::TableMetadata;
use iceberg::table::Table;
use iceberg::transaction::{AddColumn, ApplyTransactionAction, Transaction};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// The last checkpoint of a commit, and the epoch of the writer that counts its checkpoints, in the summary.
const CHECKPOINT: &str = "riverrun.checkpoint";
const EPOCH: &str = "riverrun.epoch";
/// How often a commit is tried when others change the table at the same time.
const ATTEMPTS_MAX: u32 = 40;
/// How often a change is tried again of which nobody knows whether it was made.
const UNKNOWN_MAX: u32 = 3;
/// The longest wait between two attempts.
const WAIT_MS_MAX: u64 = 400;
/// The first and the longest wait between two tries while an outside system does not answer.
const RETRY_MS: u64 = 100;
const RETRY_MS_MAX: u64 = 10_000;
/// How often it is looked whether somebody still waits.
const LOOK: Duration = Duration::from_millis(50);

/// The right to write a table: the sink, its epoch, and the table on which the epoch was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    pub sink: String,
    pub epoch: u64,
    pub table_uuid: Uuid,
}

impl Fence {
    /// The property of a table that holds the epoch of a sink.
    pub fn property(sink: &str) -> String {
        format!("riverrun.epoch.{sink}")
    }

    /// The epoch of a sink that a table knows; 0 when it knows none.
    pub fn epoch_in(table: &TableName, metadata: &TableMetadata, sink: &str) -> Result<u64> {
        let key = Fence::property(sink);
        let Some(text) = metadata.properties().get(&key) else { return Ok(0) };
        text.parse().map_err(|_| {
            Error::corrupt(format!("table \"{table}\": its property {key} is \"{text}\", expected a whole number"))
        })
    }

    /// Refuses a table on which a younger writer has taken over, or that is another one by now.
    pub fn check(&self, table: &TableName, metadata: &TableMetadata) -> Result<()> {
        if metadata.uuid() != self.table_uuid {
            return Err(made_again(table));
        }
        let (found, ours) = (Fence::epoch_in(table, metadata, &self.sink)?, self.epoch);
        if found == ours {
            return Ok(());
        }
        if found > ours {
            return Err(Error::invalid(format!(
                "fenced: epoch {found} of sink \"{}\" has taken over table \"{table}\", which this process holds \
                 with epoch {ours}; nothing of this commit was written: stop one of the two",
                self.sink
            )));
        }
        Err(Error::invalid(format!(
            "table \"{table}\": its property {} says {found}, and this process has taken epoch {ours}; the table was \
             set back while it was written: start again",
            Fence::property(&self.sink)
        )))
    }
}

/// What one commit changes, and what has to hold on the table that it changes.
#[derive(Clone, Copy, Default)]
pub struct TableChange<'a> {
    /// Files that are added, all in one snapshot.
    pub prepared: &'a [PreparedFiles],
    /// Properties of the table and of the snapshot's summary.
    pub properties: &'a [(String, String)],
    /// The frontier from which the commit continues, if it moves the frontier; a table that never had one has none.
    pub from_frontier: Option<Option<&'a str>>,
}

impl TableChange<'_> {
    /// Whether a table has all properties of a change. One that adds no files has no token, and is over then.
    fn is_in(&self, metadata: &TableMetadata) -> bool {
        self.properties.iter().all(|(key, value)| metadata.properties().get(key) == Some(value))
    }
}

/// Commits to one table of a catalog.
pub struct TableCommitter {
    pub catalog: TableCatalog,
    pub table: TableName,
    /// What is checked on the very base that a commit swaps.
    pub fence: Fence,
    /// How long an outside system may not answer.
    pub patience: Duration,
    /// Attends to it while it waits.
    pub wait: Arc<dyn CommitWait>,
}

/// Attends to a commit that waits for a catalog or a disk.
pub trait CommitWait: Send + Sync {
    /// Takes a line for people about what the commit waits for.
    fn tell(&self, line: &str);

    /// Whether nobody wants to wait any longer. The last attempt is made then.
    fn is_over(&self) -> bool;
}

impl TableCommitter {
    /// Adds to the table what is not in it yet. Returns when that is durable, also when it was so before.
    ///
    /// While the catalog or the disk does not answer, the commit is tried again for as long as patience lasts. The files
    /// stay in any case.
    ///
    /// Others may have changed the partitions of the table while rows were written. What is of one spec is one commit then,
    /// the oldest first.
    pub async fn commit(&self, change: TableChange<'_>) -> Result<()> {
        let parts: Vec<&[PreparedFiles]> =
            change.prepared.chunk_by(|one, next| one.partition_spec() == next.partition_spec()).collect();
        if parts.len() < 2 {
            return self.commit_one(change).await;
        }
        if change.from_frontier.is_some() {
            return Err(Error::internal(format!("an archive commits files of two kinds to table \"{}\"", self.table)));
        }
        for prepared in parts {
            self.commit_one(TableChange { prepared, ..change }).await?;
        }
        Ok(())
    }

    async fn commit_one(&self, change: TableChange<'_>) -> Result<()> {
        let began = tokio::time::Instant::now();
        for attempt in 0.. {
            let error = match self.commit_now(change).await {
                Err(error) if error.kind() == ErrorKind::Unavailable && !self.patience.is_zero() => error,
                other => return other,
            };
            let (pause, waited) = (RETRY_MS_MAX.min(RETRY_MS << attempt.min(8)), began.elapsed());
            let pause = Duration::from_millis(pause);
            if waited + pause >= self.patience || self.wait.is_over() {
                return Err(error.context(format!(
                    "table \"{}\" could not be committed to for {} s; its files are kept, and the next run of the \
                     job finds out whether the table has them",
                    self.table,
                    waited.as_secs()
                )));
            }
            let told =
                format!("table \"{}\": waiting for {} s to commit: {}", self.table, waited.as_secs(), error.chain());
            self.wait.tell(&told);
            self.pause(pause).await;
        }
        Err(Error::internal("a commit has no end"))
    }

    /// Waits until the next attempt, or until nobody wants to wait.
    async fn pause(&self, pause: Duration) {
        let end = tokio::time::Instant::now() + pause;
        while tokio::time::Instant::now() < end && !self.wait.is_over() {
            tokio::time::sleep_until(end.min(tokio::time::Instant::now() + LOOK)).await;
        }
    }

    async fn commit_now(&self, change: TableChange<'_>) -> Result<()> {
        let tokens: Vec<String> = change.prepared.iter().map(|prepared| prepared.token().to_owned()).collect();
        let ident = self.table.ident();
        let mut conflict = None;
        for attempt in 0..ATTEMPTS_MAX {
            wait(attempt).await;
            let base = self.catalog.as_catalog().load_table(&ident).await.map_err(|error| self.failed(error))?;
            let record = CommitRecord::of(&self.table, base.metadata(), &self.fence.sink)?;
            record.check_line(&self.table, base.metadata())?;
            let there = record.tokens_in(base.metadata(), &tokens);
            if there.len() == tokens.len() && (!tokens.is_empty() || change.is_in(base.metadata())) {
                return Ok(());
            }
            self.check(base.metadata(), change)?;
            let error = match self.attempt(&base, change, (record, &there)).await? {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            match error.kind() {
                iceberg::ErrorKind::CatalogCommitConflicts => conflict = Some(error),
                // The outcome may be unknown: only the table itself can show it.
                _ if self.has_all(&ident, &tokens).await => return Ok(()),
                _ if failure::is_corrupt(&error) && has_moved_on(&self.catalog, &base).await => conflict = Some(error),
                _ => return Err(self.failed(error)),
            }
        }
        let last = conflict.map(|error| error.message().to_owned()).unwrap_or_default();
        Err(too_many_changes(&self.table).with_source(last))
    }

    /// Checks what has to hold on a base.
    fn check(&self, metadata: &TableMetadata, change: TableChange<'_>) -> Result<()> {
        self.fence.check(&self.table, metadata)?;
        let Some(expected) = change.from_frontier else { return Ok(()) };
        let found = frontier_of(&self.table, metadata)?;
        if found.as_deref() == expected {
            return Ok(());
        }
        let shown = |frontier: Option<&str>| frontier.unwrap_or("none").to_owned();
        Err(Error::invalid(format!(
            "table \"{}\": its frontier is {}, and this commit goes on from {}; another archive job has written: \
             nothing of this commit was written, start again",
            self.table,
            shown(found.as_deref()),
            shown(expected)
        )))
    }

    /// One attempt on a base; an outer error is not one of the attempt, but of what was to be committed.
    async fn attempt(
        &self,
        base: &Table,
        change: TableChange<'_>,
        (record, there): (CommitRecord, &[String]),
    ) -> Result<iceberg::Result<()>> {
        let mut files = Vec::new();
        let missing = change.prepared.iter().filter(|prepared| !there.iter().any(|token| token == prepared.token()));
        let missing: Vec<&PreparedFiles> = missing.collect();
        for prepared in &missing {
            prepared.fields().map_or(Ok(()), |fields| check_written(&self.table, base.metadata(), fields))?;
            files.extend(prepared.data_files(&self.table, base.metadata())?);
        }
        let mut summary: HashMap<String, String> = change.properties.iter().cloned().collect();
        let transaction = Transaction::new(base);
        let mut update = transaction.update_table_properties();
        for (key, value) in change.properties {
            update = update.set(key.clone(), value.clone());
        }
        if !missing.is_empty() {
            let tokens: Vec<&str> = missing.iter().map(|prepared| prepared.token()).collect();
            summary.insert(TOKENS.to_owned(), tokens.join(","));
            let checkpoint = change.prepared.iter().filter_map(PreparedFiles::checkpoint).max();
            if let Some(checkpoint) = checkpoint {
                summary.insert(CHECKPOINT.to_owned(), checkpoint.to_string());
                summary.insert(EPOCH.to_owned(), self.fence.epoch.to_string());
            }
            let all = change.prepared.iter().map(|prepared| prepared.token().to_owned()).collect();
            let record = record.followed_by(self.fence.epoch, checkpoint, all);
            update = update.set(CommitRecord::property(&self.fence.sink), record.to_text()?);
        }
        let append = transaction
            .fast_append()
            // Names of files are made once, and tokens keep one from being added twice.
            .with_check_duplicate(false)
            .set_snapshot_properties(summary)
            .add_data_files(files);
        let commit = append.apply(transaction).and_then(|transaction| update.apply(transaction));
        // The tokens were looked for on this base, so this base it must be that is swapped.
        let pinned = self.catalog.pinned(base, missing.first().map(|prepared| prepared.partition_spec()));
        Ok(match commit.and_then(|transaction| Ok((transaction, pinned?))) {
            Ok((transaction, pinned)) => transaction.commit(pinned.as_catalog()).await.map(drop),
            Err(error) => Err(error),
        })
    }

    async fn has_all(&self, ident: &TableIdent, tokens: &[String]) -> bool {
        let Ok(table) = self.catalog.as_catalog().load_table(ident).await else { return false };
        let record = CommitRecord::of(&self.table, table.metadata(), &self.fence.sink);
        let has_all = |record: CommitRecord| record.tokens_in(table.metadata(), tokens).len() == tokens.len();
        !tokens.is_empty() && record.is_ok_and(has_all)
    }

    fn failed(&self, error: iceberg::Error) -> Error {
        failed(&self.table, error)
    }
}

fn failed(table: &TableName, error: iceberg::Error) -> Error {
    match error.kind() {
        iceberg::ErrorKind::TableNotFound => Error::new(ErrorKind::Invalid, format!("there is no table \"{table}\"")),
        _ => failure::iceberg(format!("table \"{table}\" cannot be committed to"), error),
    }
}

/// Takes the next epoch of a sink on a table: from then on, no writer with an older one commits.
pub async fn take_epoch(catalog: &TableCatalog, table: &TableName, sink: &str) -> Result<Fence> {
    let next = |metadata: &TableMetadata| {
        let epoch = Fence::epoch_in(table, metadata, sink)? + 1;
        let fence = Fence { sink: sink.to_owned(), epoch, table_uuid: metadata.uuid() };
        Ok((Some((Fence::property(sink), epoch.to_string())), fence))
    };
    set_property(catalog, table, next).await
}

/// Lets a table without rows say that nothing of a sink was committed to it: a job that begins knows of no commit.
pub async fn forget_commits(catalog: &TableCatalog, table: &TableName, fence: &Fence) -> Result<()> {
    let next = |metadata: &TableMetadata| {
        fence.check(table, metadata)?;
        let record = CommitRecord::of(table, metadata, &fence.sink)?;
        if record.tokens.is_empty() {
            return Ok((None, ()));
        }
        let record = record.followed_by(fence.epoch, None, Vec::new()).to_text()?;
        Ok((Some((CommitRecord::property(&fence.sink), record)), ()))
    };
    set_property(catalog, table, next).await
}

/// Gives a table the columns that it lacks; its rows have NULL in them.
pub async fn add_columns(catalog: &TableCatalog, table: &TableName, fence: &Fence, schema: &Schema) -> Result<()> {
    let next = |base: &Table| {
        fence.check(table, base.metadata())?;
        let missing = missing_columns(table, schema, base.metadata().current_schema())?;
        if missing.is_empty() {
            return Ok((None, ()));
        }
        let transaction = Transaction::new(base);
        let update = missing
            .into_iter()
            .fold(transaction.update_schema(), |update, (name, of)| update.add_column(AddColumn::optional(name, of)));
        Ok((Some(update.apply(transaction).map_err(|error| failed(table, error))?), ()))
    };
    change(catalog, table, next).await
}

/// Sets a property alone, without a snapshot, to what follows from the base; nothing where nothing does.
async fn set_property<T>(
    catalog: &TableCatalog,
    table: &TableName,
    next: impl Fn(&TableMetadata) -> Result<(Option<(String, String)>, T)>,
) -> Result<T> {
    let next = |base: &Table| {
        let (property, gives) = next(base.metadata())?;
        let Some((key, value)) = property else { return Ok((None, gives)) };
        let transaction = Transaction::new(base);
        let update = transaction.update_table_properties().set(key.clone(), value.clone());
        let mut changed = update.apply(transaction).map_err(|error| failed(table, error))?;
        if catalog.pins_snapshots_only() {
            // Those who swap an older state have to be refused, and a change of properties alone would not do that.
            let summary = HashMap::from([(MARK.to_owned(), key), (EPOCH.to_owned(), value)]);
            let mark = changed.fast_append().with_check_duplicate(false).set_snapshot_properties(summary);
            changed = mark.apply(changed).map_err(|error| failed(table, error))?;
        }
        Ok((Some(changed), gives))
    };
    change(catalog, table, next).await
}

/// Changes a table by the same swap that commits go through, to what follows from the base; nothing where nothing does.
async fn change<T>(
    catalog: &TableCatalog,
    table: &TableName,
    next: impl Fn(&Table) -> Result<(Option<Transaction>, T)>,
) -> Result<T> {
    let (mut conflict, mut unknown) = (None, 0);
    for attempt in 0..ATTEMPTS_MAX {
        wait(attempt).await;
        let base = catalog.as_catalog().load_table(&table.ident()).await.map_err(|error| failed(table, error))?;
        let (transaction, gives) = next(&base)?;
        let Some(transaction) = transaction else { return Ok(gives) };
        let pinned = catalog.pinned(&base, None).map_err(|error| failed(table, error))?;
        match transaction.commit(pinned.as_catalog()).await {
            Ok(_) => return Ok(gives),
            Err(error) if error.kind() == iceberg::ErrorKind::CatalogCommitConflicts => conflict = Some(error),
            Err(error) if failure::is_corrupt(&error) && has_moved_on(catalog, &base).await => conflict = Some(error),
            // Whether it was changed is not known: the next attempt goes by what is found then.
            Err(error) if unknown < UNKNOWN_MAX && failure::is_unavailable(&error) => unknown += 1,
            Err(error) => return Err(failed(table, error)),
        }
    }
    let last = conflict.map(|error| error.message().to_owned()).unwrap_or_default();
    Err(too_many_changes(table).with_source(last))
}

/// Whether a table has another snapshot than a base by now: what described that one may be gone, if it has expired since.
async fn has_moved_on(catalog: &TableCatalog, base: &Table) -> bool {
    let now = catalog.as_catalog().load_table(base.identifier()).await;
    now.is_ok_and(|now| now.metadata().current_snapshot_id() != base.metadata().current_snapshot_id())
}

fn too_many_changes(table: &TableName) -> Error {
    Error::unavailable(format!(
        "table \"{table}\": {ATTEMPTS_MAX} attempts to change it met changes by others; stop some of them"
    ))
}

/// Waits longer with every attempt, and never as long as others do.
async fn wait(attempt: u32) {
    if attempt > 0 {
        let bound = (5u64 << attempt.min(10)).min(WAIT_MS_MAX);
        let chance = Uuid::new_v4().as_u64_pair().1;
        tokio::time::sleep(Duration::from_millis(1 + chance % bound)).await;
    }
}
