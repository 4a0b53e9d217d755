//! Makes prepared files part of a table, each exactly once.

use crate::commit_record::{CommitRecord, TOKENS};
use crate::failure;
use crate::files::{MARK, frontier_of};
use crate::name::TableName;
use crate::object_files::is_local;
use crate::storage::path_of;
use crate::table::missing_columns;
use crate::table_catalog::TableCatalog;
use arrow::datatypes::Schema;
use dataflow::{Committable, Error, ErrorKind, Result};
use iceberg::TableIdent;
use iceberg::spec::{
    DataFile, FormatVersion, TableMetadata, deserialize_data_file_from_json, serialize_data_file_to_json,
};
use iceberg::table::Table;
use iceberg::transaction::{AddColumn, ApplyTransactionAction, Transaction};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::PathBuf;
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

/// The path of a file, in the description of it.
const PATH: &str = "file_path";
/// The version of the byte form of [`PreparedFiles`].
const VERSION: u32 = 2;

/// Files that are durable and not yet part of a table. The token shows later whether they have become part of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PreparedFiles {
    version: u32,
    table_uuid: Uuid,
    partition_spec: i32,
    token: String,
    // That of the writer's job, for people and for the summary of the snapshot. Version 1 has none, as an archive has none.
    #[serde(default)]
    checkpoint: Option<u64>,
    // One description per file, in Iceberg's own JSON form.
    files: Vec<String>,
}

impl PreparedFiles {
    /// Files for a table, under a new token.
    pub fn new(metadata: &TableMetadata, files: Vec<DataFile>, checkpoint: Option<u64>) -> Result<PreparedFiles> {
        let told = |file| serialize_data_file_to_json(file, metadata.default_partition_type(), FormatVersion::V2);
        let files = files.into_iter().map(told).collect::<iceberg::Result<Vec<_>>>();
        Ok(PreparedFiles {
            version: VERSION,
            table_uuid: metadata.uuid(),
            partition_spec: metadata.default_partition_spec_id(),
            token: Uuid::new_v4().to_string(),
            checkpoint,
            files: files.map_err(|error| failure::iceberg("a data file cannot be described", error))?,
        })
    }

    /// The bytes that go into a checkpoint.
    pub fn to_committable(&self) -> Result<Committable> {
        let bytes = serde_json::to_vec(self);
        bytes.map(Committable).map_err(|error| Error::internal("a committable cannot be written").with_source(error))
    }

    pub fn from_committable(table: &TableName, committable: &Committable) -> Result<PreparedFiles> {
        let wrong = |what: String| Error::corrupt(format!("table \"{table}\": a committable {what}"));
        let prepared: PreparedFiles = serde_json::from_slice(&committable.0)
            .map_err(|error| wrong("cannot be read".to_owned()).with_source(error))?;
        match prepared.version {
            1 | VERSION => Ok(prepared),
            version => Err(wrong(format!("has version {version}, expected 1 or {VERSION}"))),
        }
    }

    /// The table that they were written for.
    pub fn table_uuid(&self) -> Uuid {
        self.table_uuid
    }

    /// What shows whether they have become part of it.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Where those of the files lie that are on a disk of this machine.
    pub fn paths(&self, table: &TableName) -> Result<Vec<PathBuf>> {
        let locations = self.files.iter().map(|file| location(table, &parsed(table, file)?));
        let locations = locations.collect::<Result<Vec<_>>>()?;
        Ok(locations.iter().filter(|location| is_local(location)).map(|location| path_of(location)).collect())
    }

    /// The same files at other places, under the same token.
    pub fn at(&self, table: &TableName, place: &mut dyn FnMut(&str) -> Result<String>) -> Result<PreparedFiles> {
        let mut moved = self.clone();
        for file in &mut moved.files {
            let mut description = parsed(table, file)?;
            description[PATH] = place(&location(table, &description)?)?.into();
            *file = description.to_string();
        }
        Ok(moved)
    }

    /// The files, if the table is the one that they were written for.
    pub fn data_files(&self, table: &TableName, metadata: &TableMetadata) -> Result<Vec<DataFile>> {
        if self.table_uuid != metadata.uuid() {
            return Err(made_again(table));
        }
        let spec = metadata.partition_spec_by_id(self.partition_spec).ok_or_else(|| {
            Error::corrupt(format!("table \"{table}\" has no partition spec {}", self.partition_spec))
        })?;
        let wrong = |error| failure::iceberg(format!("table \"{table}\": a prepared file cannot be read"), error);
        let partition = spec.partition_type(metadata.current_schema()).map_err(wrong)?;
        let read = |file: &String| {
            deserialize_data_file_from_json(file, self.partition_spec, &partition, metadata.current_schema())
        };
        self.files.iter().map(read).collect::<iceberg::Result<Vec<_>>>().map_err(wrong)
    }
}

/// The description of a file, in Iceberg's own JSON form.
fn parsed(table: &TableName, file: &str) -> Result<serde_json::Value> {
    let wrong = || Error::corrupt(format!("table \"{table}\": a committable describes a file in no JSON"));
    serde_json::from_str(file).map_err(|error| wrong().with_source(error))
}

fn location(table: &TableName, description: &serde_json::Value) -> Result<String> {
    let wrong = || Error::corrupt(format!("table \"{table}\": a committable describes a file without a path"));
    description[PATH].as_str().map(str::to_owned).ok_or_else(wrong)
}

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

/// A table that is another one than that of a writer.
pub fn made_again(table: &TableName) -> Error {
    Error::invalid(format!(
        "table \"{table}\" is another one by now than that for which rows were prepared: a run with --fresh has taken its \
         place, or somebody has made it again; nothing of this commit was written. Stop the other run, and start this \
         one with --fresh"
    ))
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
    pub async fn commit(&self, change: TableChange<'_>) -> Result<()> {
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
        let tokens: Vec<String> = change.prepared.iter().map(|prepared| prepared.token.clone()).collect();
        let ident = self.table.ident();
        let mut conflict = None;
        for attempt in 0..ATTEMPTS_MAX {
            wait(attempt).await;
            let base = self.catalog.as_catalog().load_table(&ident).await.map_err(|error| self.failed(error))?;
            let record = CommitRecord::of(&self.table, base.metadata(), &self.fence.sink)?;
            record.check_line(&self.table, base.metadata())?;
            let there = record.tokens_in(base.metadata(), &tokens);
            if !tokens.is_empty() && there.len() == tokens.len() {
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
        let missing = change.prepared.iter().filter(|prepared| !there.contains(&prepared.token));
        let missing: Vec<&PreparedFiles> = missing.collect();
        for prepared in &missing {
            files.extend(prepared.data_files(&self.table, base.metadata())?);
        }
        let mut summary: HashMap<String, String> = change.properties.iter().cloned().collect();
        let transaction = Transaction::new(base);
        let mut update = transaction.update_table_properties();
        for (key, value) in change.properties {
            update = update.set(key.clone(), value.clone());
        }
        if !missing.is_empty() {
            let tokens: Vec<&str> = missing.iter().map(|prepared| prepared.token.as_str()).collect();
            summary.insert(TOKENS.to_owned(), tokens.join(","));
            let checkpoint = change.prepared.iter().filter_map(|prepared| prepared.checkpoint).max();
            if let Some(checkpoint) = checkpoint {
                summary.insert(CHECKPOINT.to_owned(), checkpoint.to_string());
                summary.insert(EPOCH.to_owned(), self.fence.epoch.to_string());
            }
            let all = change.prepared.iter().map(|prepared| prepared.token.clone()).collect();
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
        let pinned = self.catalog.pinned(base);
        Ok(match commit {
            Ok(transaction) => transaction.commit(pinned.as_catalog()).await.map(drop),
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
        match transaction.commit(catalog.pinned(&base).as_catalog()).await {
            Ok(_) => return Ok(gives),
            Err(error) if error.kind() == iceberg::ErrorKind::CatalogCommitConflicts => conflict = Some(error),
            // Whether it was changed is not known: the next attempt goes by what is found then.
            Err(error) if unknown < UNKNOWN_MAX && failure::is_unavailable(&error) => unknown += 1,
            Err(error) => return Err(failed(table, error)),
        }
    }
    let last = conflict.map(|error| error.message().to_owned()).unwrap_or_default();
    Err(too_many_changes(table).with_source(last))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{TableOptions, creation};
    use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
    use iceberg::spec::TableMetadataBuilder;

    /// The table that the samples were prepared for.
    fn metadata(uuid: Uuid) -> TableMetadata {
        let types = [
            ("long", DataType::Int64),
            ("int", DataType::Int32),
            ("double", DataType::Float64),
            ("float", DataType::Float32),
            ("flag", DataType::Boolean),
            ("text", DataType::Utf8),
            ("at", DataType::Timestamp(TimeUnit::Microsecond, None)),
            ("bytes", DataType::Binary),
            ("date", DataType::Date32),
        ];
        let fields: Vec<Field> = types.into_iter().map(|(name, of)| Field::new(name, of, true)).collect();
        let options = TableOptions { partition_day: Some("at".to_owned()), ..TableOptions::default() };
        let name = TableName::parse("lake.t").unwrap();
        let creation =
            creation(&name, Some("file:///warehouse/lake/t".to_owned()), &Schema::new(fields), &options).unwrap();
        TableMetadataBuilder::from_table_creation(creation).unwrap().assign_uuid(uuid).build().unwrap().metadata
    }

    #[test]
    fn committables_of_every_version_are_read() {
        read_sample(include_bytes!("../tests/samples/committable-1.json"), None);
        read_sample(include_bytes!("../tests/samples/committable-2.json"), Some(7));
    }

    fn read_sample(sample: &[u8], checkpoint: Option<u64>) {
        let name = TableName::parse("lake.t").unwrap();
        let prepared = PreparedFiles::from_committable(&name, &Committable(sample.to_vec())).unwrap();
        assert_eq!(prepared.checkpoint, checkpoint);
        let metadata = metadata(prepared.table_uuid);
        let files = prepared.data_files(&name, &metadata).unwrap();
        assert_eq!(files.iter().map(DataFile::record_count).collect::<Vec<_>>(), [1, 2]);
        assert!(files.iter().all(|file| file.file_path().starts_with("file:///warehouse/lake/t/data/at_day=")));
        assert_eq!(files[1].upper_bounds()[&1], iceberg::spec::Datum::long(2));
        let moved = prepared.at(&name, &mut |path| Ok(path.replace("/data/", "/data/copied-"))).unwrap();
        let (paths, moved_paths) = (prepared.paths(&name).unwrap(), moved.paths(&name).unwrap());
        for (file, (path, moved)) in files.iter().zip(paths.iter().zip(&moved_paths)) {
            assert_eq!(path_of(file.file_path()), *path);
            assert_eq!(path.to_str().unwrap().replace("/data/", "/data/copied-"), moved.to_str().unwrap());
        }
        let moved_files = moved.data_files(&name, &metadata).unwrap();
        assert_eq!((moved.token(), moved_files[1].upper_bounds()), (prepared.token(), files[1].upper_bounds()));
        let again = PreparedFiles::new(&metadata, files.clone(), checkpoint).unwrap();
        assert_eq!(again.data_files(&name, &metadata).unwrap(), files);
    }
}
