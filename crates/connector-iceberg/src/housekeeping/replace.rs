//! Lets files take the places of others in a table, in one snapshot that changes no row.
//!
//! ```text
//! base: are all files still there, and do the same deletes apply? -> no: the plan is made anew
//! manifests without what goes + one with what comes, under the number of the snapshot that was read
//!   -> swap of this very base -> taken by another: again on the next one
//! ```
//!
//! What is written anew keeps the sequence number of the snapshot that was read, so that a delete by value which was
//! committed meanwhile applies to it as it did to what it replaces.

use super::content::{Content, KnownManifests, ReadManifest};
use super::plan::{applied, delete_index, unneeded};
use super::replace_summary::summary;
use super::snapshot_writer::{DescribingFiles, Removed, SnapshotWriter, batches};
use crate::delete_index::DeleteIndex;
use crate::failure;
use crate::live_files::LiveFile;
use crate::name::TableName;
use crate::prepared_files::made_again;
use crate::table_catalog::TableCatalog;
use dataflow::{Clock, Error, Result};
use iceberg::spec::{DataFile, MAIN_BRANCH, Snapshot, SnapshotReference, SnapshotRetention};
use iceberg::table::Table;
use iceberg::{ErrorKind, TableUpdate};
use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use uuid::Uuid;

/// How often a swap is tried when others change the table at the same time.
const ATTEMPTS_MAX: u32 = 40;
/// How often it is tried again when nobody knows whether it was made.
const UNKNOWN_MAX: usize = 3;
/// In the summary of a snapshot: which attempt has made it.
const ATTEMPT: &str = "riverrun.attempt";
/// The longest wait between two attempts.
const WAIT_MS_MAX: u64 = 400;

/// Files that were written anew.
pub struct Rewritten {
    /// The files that go.
    pub inputs: Vec<LiveFile>,
    /// What deleted rows of each of them when they were read.
    pub applied: Vec<Vec<(String, i64)>>,
    /// The files that come.
    pub outputs: Vec<DataFile>,
}

/// What has come of replacing files.
pub struct Replaced {
    /// Which of those that were given are in the table now. The files of the others have changed since they were read.
    pub done: Vec<bool>,
    /// How many delete files have gone, since they apply to nothing any more.
    pub deletes: usize,
    /// Whether a swap was sent of which nobody knows what has become: what it named must not be deleted.
    pub is_unknown: bool,
}

/// Files of compactions that nothing names are orphans after a day: none is put in place that was begun longer ago than this.
const OUTPUTS_MS_MAX: i64 = 12 * 3_600_000;

/// Replaces files of a table.
pub struct Replacer<'a> {
    /// Its catalog.
    pub catalog: &'a TableCatalog,
    /// Its name.
    pub table: &'a TableName,
    /// The table that was read; another one of its name is refused.
    pub uuid: Uuid,
    /// The sequence number of the snapshot that was read.
    pub sequence: i64,
    /// What stamps the snapshot.
    pub clock: &'a dyn Clock,
    /// When the first of what was written anew was begun, in milliseconds since 1970.
    pub written_since_ms: i64,
    /// Whether a swap was sent. Until then nobody knows of what was written anew.
    pub has_sent: &'a Cell<bool>,
}

/// A swap that was sent. An answer which refuses it may be that to a repetition of a request that was carried out, so that
/// only the table says what has become of it.
struct Sent {
    // Tells it from the other attempts, which make a snapshot of the same number.
    attempt: String,
    base: Option<i64>,
    list: String,
    done: Vec<bool>,
    deletes: usize,
}

impl Replacer<'_> {
    /// Replaces as much as is still as it was read.
    pub async fn replace(&self, rewritten: &[Rewritten], known: &mut KnownManifests) -> Result<Replaced> {
        let (mut sent, mut unknown) = (Vec::<Sent>::new(), 0);
        let mut files = DescribingFiles::default();
        for attempt in 0..ATTEMPTS_MAX {
            wait(attempt).await;
            let base = self.catalog.find(self.table).await.map_err(|error| self.failed(error))?;
            let base = base.filter(|base| base.metadata().uuid() == self.uuid);
            let base = base.ok_or_else(|| made_again(self.table))?;
            if let Some(own) = base.metadata().snapshot_by_id(files.snapshot(&base)) {
                let attempt = own.summary().additional_properties.get(ATTEMPT);
                let made = sent.iter().find(|sent| Some(&sent.attempt) == attempt);
                let made = made.ok_or_else(|| self.failed(unexpected()))?;
                return Ok(Replaced { done: made.done.clone(), deletes: made.deletes, is_unknown: false });
            }
            let content = match Content::load(self.table, &base, base.metadata().current_snapshot(), known).await {
                // It may have expired while it was read.
                Err(error) if error.kind() == dataflow::ErrorKind::Corrupt && self.has_moved_on(&base).await => {
                    continue;
                }
                loaded => loaded?,
            };
            let index = delete_index(self.table, base.metadata(), content.deletes.clone())?;
            let done = self.still_fit(&content, &index, rewritten)?;
            // A repetition that is still on its way is refused where the table has moved on since it was sent.
            let now = base.metadata().current_snapshot_id();
            // What it named is still there where its snapshot has expired since.
            let outputs = || rewritten.iter().flat_map(|one| &one.outputs).map(DataFile::file_path);
            let live: HashSet<&str> = content.data.iter().map(|live| live.file.file_path()).collect();
            let was_made = !sent.is_empty() && outputs().any(|output| live.contains(output));
            let is_unknown = was_made || unknown > 0 || sent.iter().any(|sent| sent.base == now);
            if !done.contains(&true) {
                if !is_unknown {
                    discard(&base, &sent, None, &mut files).await;
                }
                return Ok(Replaced { done, deletes: 0, is_unknown });
            }
            let fitting = rewritten.iter().zip(&done).filter(|(_, fits)| **fits).map(|(one, _)| one);
            let fitting: Vec<&Rewritten> = fitting.collect();
            let attempt = Uuid::new_v4().to_string();
            let (snapshot, deletes) =
                self.snapshot(&base, (&content, &index), (&fitting, &attempt), &mut files).await?;
            let now_ms = self.clock.now().0 / 1000;
            if now_ms.saturating_sub(self.written_since_ms) > OUTPUTS_MS_MAX {
                // Nobody named them for so long that they may have been deleted: what is in them is written anew.
                return Ok(Replaced { done: vec![false; rewritten.len()], deletes: 0, is_unknown });
            }
            if files.are_old(now_ms) {
                continue;
            }
            let list = snapshot.manifest_list().to_owned();
            self.has_sent.set(true);
            sent.push(Sent { attempt, base: now, list: list.clone(), done: done.clone(), deletes });
            match self.catalog.change(&base, updates(snapshot)).await {
                Ok(_) => {
                    if unknown == 0 {
                        discard(&base, &sent, Some(&list), &mut files).await;
                    }
                    return Ok(Replaced { done, deletes, is_unknown: unknown > 0 });
                }
                // The next attempt goes by what is found then.
                Err(error) if error.kind() == ErrorKind::CatalogCommitConflicts => {}
                Err(error) if unknown < UNKNOWN_MAX && failure::is_unavailable(&error) => unknown += 1,
                Err(error) => return Err(self.failed(error)),
            }
        }
        Err(Error::unavailable(format!(
            "table \"{}\": {ATTEMPTS_MAX} attempts to change it met changes by others; nothing of this was written: try \
             again when less is committed to it",
            self.table
        )))
    }

    /// Whether the table has another snapshot than a base by now.
    async fn has_moved_on(&self, base: &Table) -> bool {
        let now = self.catalog.find(self.table).await.ok().flatten();
        now.is_some_and(|now| now.metadata().current_snapshot_id() != base.metadata().current_snapshot_id())
    }

    fn failed(&self, error: iceberg::Error) -> Error {
        failure::iceberg(format!("table \"{}\" cannot be changed", self.table), error)
    }

    /// Which of them are as they were read.
    fn still_fit(&self, content: &Content, index: &DeleteIndex, rewritten: &[Rewritten]) -> Result<Vec<bool>> {
        let live: HashMap<&str, &LiveFile> = content.data.iter().map(|live| (live.file.file_path(), live)).collect();
        let fits = |one: &Rewritten| {
            for (input, was) in one.inputs.iter().zip(&one.applied) {
                let Some(now) = live.get(input.file.file_path()).filter(|now| now.sequence == input.sequence) else {
                    return Ok(false);
                };
                if applied(index, now, self.sequence)? != *was {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        rewritten.iter().map(fits).collect()
    }

    /// Writes what describes a snapshot on a base; gives it, and how many delete files go with it.
    async fn snapshot(
        &self,
        base: &Table,
        (content, index): (&Content, &DeleteIndex),
        (rewritten, attempt): (&[&Rewritten], &str),
        files: &mut DescribingFiles,
    ) -> Result<(Snapshot, usize)> {
        let inputs = || rewritten.iter().flat_map(|one| &one.inputs);
        let gone: HashSet<&str> = inputs().map(|input| input.file.file_path()).collect();
        let of = |one: &Rewritten| {
            let (spec, sequence) = (one.inputs[0].spec, self.sequence);
            one.outputs.iter().map(move |file| LiveFile { file: file.clone(), spec, sequence }).collect::<Vec<_>>()
        };
        let new: Vec<LiveFile> = rewritten.iter().flat_map(|one| of(one)).collect();
        let stays = content.data.iter().filter(|live| !gone.contains(live.file.file_path()));
        let dropped = unneeded(index, content.deletes.len(), stays.chain(&new))?;
        let dropped: Vec<&DataFile> = dropped.into_iter().map(|at| &index.delete(at).file).collect();
        let removed = Removed::new(gone, &dropped);

        let wrong = |error| failure::iceberg(format!("table \"{}\": a manifest cannot be written", self.table), error);
        let mut writer = SnapshotWriter::begin(base, files, self.clock.now().0 / 1000);
        let mut manifests = writer.added(content, &new, self.sequence).await.map_err(wrong)?;
        let (changed, same): (Vec<&ReadManifest>, Vec<&ReadManifest>) =
            content.manifests.iter().partition(|manifest| removed.is_in(manifest));
        for batch in batches(&changed, base.metadata().format_version()) {
            manifests.push(writer.without(&batch, &removed).await.map_err(wrong)?);
        }
        manifests.extend(same.into_iter().map(|manifest| manifest.file.clone()));
        let mut summary = summary(content, &inputs().collect::<Vec<_>>(), &new, &dropped);
        summary.additional_properties.insert(ATTEMPT.to_owned(), attempt.to_owned());
        let snapshot = writer.finish(manifests, summary, self.clock).await.map_err(wrong)?;
        Ok((snapshot, dropped.len()))
    }
}

/// A snapshot of the number that is ours, which none of our attempts has made.
fn unexpected() -> iceberg::Error {
    iceberg::Error::new(ErrorKind::Unexpected, "another snapshot has the number of the one that was about to be added")
}

/// Deletes what describes attempts that came to nothing; with a list what it does not name. Nobody knows of these files, so
/// one that stays costs space and nothing else.
async fn discard(base: &Table, sent: &[Sent], list: Option<&str>, files: &mut DescribingFiles) {
    for sent in sent.iter().filter(|sent| Some(sent.list.as_str()) != list) {
        let _ = base.file_io().delete(&sent.list).await;
    }
    files.discard(base, list).await;
}

/// A snapshot that becomes the current one.
fn updates(snapshot: Snapshot) -> Vec<TableUpdate> {
    let reference = SnapshotReference::new(snapshot.snapshot_id(), SnapshotRetention::branch(None, None, None));
    vec![
        TableUpdate::AddSnapshot { snapshot },
        TableUpdate::SetSnapshotRef { ref_name: MAIN_BRANCH.to_owned(), reference },
    ]
}

/// Waits longer with every attempt, and never as long as others do.
async fn wait(attempt: u32) {
    if attempt > 0 {
        let bound = (5u64 << attempt.min(10)).min(WAIT_MS_MAX);
        let chance = Uuid::new_v4().as_u64_pair().1;
        tokio::time::sleep(Duration::from_millis(1 + chance % bound)).await;
    }
}
