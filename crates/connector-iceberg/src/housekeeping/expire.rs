//! Snapshots that nobody needs leave a table, and the files go that they alone named.

use super::holds::TableHolds;
use super::listing::delete_all;
use super::named_files::{NamedFiles, statistics};
use crate::failure;
use crate::manifest_file::read_manifest;
use crate::name::TableName;
use crate::prepared_files::made_again;
use crate::table_catalog::TableCatalog;
use crate::unknown_types::check_changeable;
use crate::upkeep::{AGE_MS_MAX, AGE_MS_MAX_DEFAULT, COLLECT, SNAPSHOTS_MAX, SNAPSHOTS_MIN, SNAPSHOTS_MIN_DEFAULT};
use crate::upkeep::{ancestors, keeps_all, references, statistics_of_gone, telling};
use crate::warehouse::Warehouse;
use dataflow::{Error, Result};
use iceberg::TableUpdate;
use iceberg::spec::{SnapshotRef, TableMetadata};
use iceberg::table::Table;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use uuid::Uuid;

/// How often a plan is made anew when others change the table at the same time.
const ATTEMPTS_MAX: u32 = 40;
/// The longest wait between two attempts.
const WAIT_MS_MAX: u64 = 200;

/// Which snapshots leave.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExpireOptions {
    /// Those that are older; by the properties of the table if left out.
    pub older_than: Option<Duration>,
    /// So many of the newest stay, however old they are, and no more than that unless they are younger; by the properties of
    /// the table if left out.
    pub keep: Option<usize>,
    /// What was current within this time stays in any case: somebody may be reading it.
    pub readers: Duration,
}

/// What would leave a table as it is now.
#[derive(Clone, Debug, Default)]
pub struct ExpirePlan {
    /// How many snapshots there are.
    pub snapshots_total: usize,
    /// The snapshots that leave, with when they were made in milliseconds since 1970, the oldest first.
    pub snapshots: Vec<(i64, i64)>,
    /// Those that are old enough and stay, each with who holds it.
    pub held: Vec<(i64, String)>,
    /// Manifests and lists that go.
    pub metadata_files: Vec<String>,
    /// Files of rows and of deletes that go, each with its bytes.
    pub data_files: Vec<(String, u64)>,
}

/// What has left.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExpireSummary {
    /// Snapshots.
    pub snapshots: usize,
    /// Files that are deleted, and their bytes as far as they were known.
    pub files: usize,
    pub bytes: u64,
    /// Files that could not be deleted: they cost space and nothing else, and are orphans now.
    pub files_left: usize,
}

impl Warehouse {
    /// Which snapshots would leave a table now, and which files with them. A table whose property `gc.enabled` is false is
    /// refused.
    pub fn plan_expiry(
        &self,
        table: &str,
        options: ExpireOptions,
        holds: &TableHolds,
        now_ms: i64,
    ) -> Result<ExpirePlan> {
        let name = TableName::parse(table)?;
        let base = self.load(&name)?;
        self.runtime().block_on(Search::new(&name, holds).plan(&base, options, now_ms))
    }

    /// Lets snapshots leave, and deletes the files that they alone named. Nothing is deleted before it is known that they
    /// have left; a kill in between leaves orphans.
    pub fn expire(
        &self,
        table: &str,
        options: ExpireOptions,
        holds: &TableHolds,
        now_ms: i64,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<ExpireSummary> {
        let name = TableName::parse(table)?;
        let expiry = Expiry { name: &name, catalog: self.tables_catalog(), options, holds, now_ms };
        self.runtime().block_on(expiry.run(progress))
    }
}

struct Expiry<'a> {
    name: &'a TableName,
    catalog: &'a TableCatalog,
    options: ExpireOptions,
    holds: &'a TableHolds,
    now_ms: i64,
}

impl Expiry<'_> {
    async fn run(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<ExpireSummary> {
        let failed = |error| failure::iceberg(format!("snapshots of table \"{}\" cannot expire", self.name), error);
        let mut base = self.base().await?;
        let uuid = base.metadata().uuid();
        let mut search = Search::new(self.name, self.holds);
        let mut plan = search.plan(&base, self.options, self.now_ms).await?;
        for _ in 0..ATTEMPTS_MAX {
            let is_there = |(id, _): &&(i64, i64)| base.metadata().snapshot_by_id(*id).is_some();
            let ids: Vec<i64> = plan.snapshots.iter().filter(is_there).map(|(id, _)| *id).collect();
            if ids.is_empty() {
                // They have left, by this or with a commit of somebody else.
                return Ok(self.delete(&base, plan, progress).await);
            }
            match self.catalog.change(&base, updates(base.metadata(), ids)).await {
                Ok(_) => return Ok(self.delete(&base, plan, progress).await),
                Err(error) if error.kind() == iceberg::ErrorKind::CatalogCommitConflicts => {}
                // What has become of it shows in the table.
                Err(error) if failure::is_unavailable(&error) => {}
                Err(error) => return Err(failed(error)),
            }
            tokio::time::sleep(Duration::from_millis(1 + Uuid::new_v4().as_u64_pair().1 % WAIT_MS_MAX)).await;
            base = self.base().await?;
            if base.metadata().uuid() != uuid {
                return Err(made_again(self.name));
            }
            search.look_again(&base, self.options, self.now_ms, &mut plan).await?;
        }
        Err(Error::unavailable(format!(
            "table \"{}\": {ATTEMPTS_MAX} attempts to let snapshots expire met changes by others or no answer; no file was \
             deleted: try again",
            self.name
        )))
    }

    async fn base(&self) -> Result<Table> {
        let found = self.catalog.find(self.name).await;
        let found =
            found.map_err(|error| failure::iceberg(format!("table \"{}\" cannot be loaded", self.name), error))?;
        found.ok_or_else(|| Error::invalid(format!("there is no table \"{}\"", self.name)))
    }

    /// Deletes the files of a plan: those that name others first, so that nothing that is there names what is gone.
    async fn delete(&self, base: &Table, plan: ExpirePlan, progress: &mut dyn FnMut(u64, u64)) -> ExpireSummary {
        let files = plan.metadata_files.into_iter().map(|file| (file, 0)).chain(plan.data_files);
        let files: Vec<(String, u64)> = files.collect();
        let total = files.len() as u64;
        let deleted = delete_all(base.file_io(), &files, &mut |done| progress(done, total)).await;
        ExpireSummary {
            snapshots: plan.snapshots.len(),
            files: deleted.files,
            bytes: deleted.bytes,
            files_left: deleted.left,
        }
    }
}

/// What lets snapshots leave, and statistics with them.
fn updates(metadata: &TableMetadata, ids: Vec<i64>) -> Vec<TableUpdate> {
    let mut updates = statistics_of_gone(metadata, &ids);
    updates.push(TableUpdate::RemoveSnapshots { snapshot_ids: ids });
    updates
}

/// Finds what may leave, and what is named by the rest.
struct Search<'a> {
    name: &'a TableName,
    holds: &'a TableHolds,
    named: NamedFiles,
    // Snapshots and manifests whose files are among those that are named.
    added: HashSet<i64>,
    read: HashSet<String>,
}

impl<'a> Search<'a> {
    fn new(name: &'a TableName, holds: &'a TableHolds) -> Search<'a> {
        Search { name, holds, named: NamedFiles::default(), added: HashSet::new(), read: HashSet::new() }
    }

    /// Adds what all snapshots name but some.
    async fn add_named(&mut self, table: &Table, without: &HashSet<i64>) -> Result<()> {
        // Statistics of snapshots that have left before are not of the table either.
        let of_gone = statistics(table.metadata()).map(|(id, _)| id);
        let of_gone = of_gone.filter(|id| table.metadata().snapshot_by_id(*id).is_none());
        self.named.add_metadata(table, &of_gone.chain(without.iter().copied()).collect());
        for snapshot in table.metadata().snapshots() {
            let id = snapshot.snapshot_id();
            if !without.contains(&id) && self.added.insert(id) {
                self.named.add_snapshot(self.name, table, snapshot, &mut self.read).await?;
            }
        }
        Ok(())
    }

    /// Takes out of a plan what may not leave any more, as the table is now.
    async fn look_again(
        &mut self,
        table: &Table,
        options: ExpireOptions,
        now_ms: i64,
        plan: &mut ExpirePlan,
    ) -> Result<()> {
        let may_leave: HashSet<i64> =
            leaving(table.metadata(), options, self.holds, now_ms)?.snapshots.into_iter().map(|(id, _)| id).collect();
        plan.snapshots.retain(|(id, _)| may_leave.contains(id) || table.metadata().snapshot_by_id(*id).is_none());
        self.add_named(table, &plan.snapshots.iter().map(|(id, _)| *id).collect()).await?;
        plan.data_files.retain(|(file, _)| !self.named.has(file));
        plan.metadata_files.retain(|file| !self.named.has(file));
        Ok(())
    }

    async fn plan(&mut self, table: &Table, options: ExpireOptions, now_ms: i64) -> Result<ExpirePlan> {
        let (name, metadata) = (self.name, table.metadata());
        check_changeable(name, metadata).map_err(|error| failure::iceberg("no snapshot expires", error))?;
        if keeps_all(metadata) {
            return Err(Error::invalid(format!(
                "table \"{name}\" has {COLLECT} = false: its files may be those of others as well, and nothing of it \
                 expires"
            )));
        }
        let mut plan = leaving(metadata, options, self.holds, now_ms)?;
        if plan.snapshots.is_empty() {
            return Ok(plan);
        }
        let leaves: HashSet<i64> = plan.snapshots.iter().map(|(id, _)| *id).collect();
        self.add_named(table, &leaves).await?;
        let mut seen = HashSet::new();
        for snapshot in metadata.snapshots().filter(|snapshot| leaves.contains(&snapshot.snapshot_id())) {
            self.add_leaving(table, snapshot, &mut seen, &mut plan).await?;
        }
        let is_gone = |id: &i64| leaves.contains(id) || metadata.snapshot_by_id(*id).is_none();
        for (_, path) in statistics(metadata).filter(|(snapshot, path)| is_gone(snapshot) && !self.named.has(path)) {
            plan.metadata_files.push(path.to_owned());
        }
        // A list names manifests, so it goes before them.
        plan.metadata_files.reverse();
        Ok(plan)
    }

    /// Adds what a snapshot that leaves names, and nothing that stays does.
    async fn add_leaving(
        &self,
        table: &Table,
        snapshot: &SnapshotRef,
        seen: &mut HashSet<String>,
        plan: &mut ExpirePlan,
    ) -> Result<()> {
        let wrong =
            |what: &str, error| failure::iceberg(format!("table \"{}\": {what} cannot be read", self.name), error);
        let list = table.manifest_list_reader(snapshot).load().await;
        let list = list.map_err(|error| wrong(&format!("manifest list \"{}\"", snapshot.manifest_list()), error))?;
        for file in list.entries() {
            // What stays names it, and so all that is alive in it; or it was read for another snapshot.
            if self.read.contains(&file.manifest_path) || !seen.insert(file.manifest_path.clone()) {
                continue;
            }
            let manifest = read_manifest(table, file).await;
            let manifest = manifest.map_err(|error| wrong(&format!("manifest \"{}\"", file.manifest_path), error))?;
            for entry in manifest.entries().iter().filter(|entry| entry.is_alive()) {
                let path = entry.file_path();
                if !self.named.has(path) && !prepared(self.holds, path) && seen.insert(path.to_owned()) {
                    plan.data_files.push((path.to_owned(), entry.data_file().file_size_in_bytes()));
                }
            }
            if !self.named.has(&file.manifest_path) {
                plan.metadata_files.push(file.manifest_path.clone());
            }
        }
        if !self.named.has(snapshot.manifest_list()) && seen.insert(snapshot.manifest_list().to_owned()) {
            plan.metadata_files.push(snapshot.manifest_list().to_owned());
        }
        Ok(())
    }
}

/// A file that a savepoint goes on with may have been committed, and have left since.
fn prepared(holds: &TableHolds, path: &str) -> bool {
    holds.prepared.contains(path)
}

/// Who holds a snapshot that was the current one a short while ago.
const READERS: &str = "those who may read it yet, since it was current within the last hour; --nobody-reads lets it go";

/// Which snapshots leave, by what is asked for and by who holds them.
fn leaving(metadata: &TableMetadata, options: ExpireOptions, holds: &TableHolds, now_ms: i64) -> Result<ExpirePlan> {
    let mut plan = ExpirePlan { snapshots_total: metadata.snapshots().len(), ..ExpirePlan::default() };
    let Some(current) = metadata.current_snapshot_id() else { return Ok(plan) };
    let line = ancestors(metadata, current);
    let number = |key: &str| metadata.properties().get(key).and_then(|value| value.parse::<i64>().ok());
    let count = |key: &str| number(key).and_then(|count| usize::try_from(count).ok());
    let ms = |length: Duration| i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
    let age = options.older_than.map(ms);
    let (keep, age, most) = match (options.keep, age) {
        (Some(keep), None) => (keep.max(1), i64::MAX, keep.max(1)),
        (keep, Some(age)) => (keep.unwrap_or(1).max(1), age, usize::MAX),
        (None, None) => (
            count(SNAPSHOTS_MIN).unwrap_or(SNAPSHOTS_MIN_DEFAULT).max(1),
            number(AGE_MS_MAX).unwrap_or(AGE_MS_MAX_DEFAULT),
            count(SNAPSHOTS_MAX).unwrap_or(usize::MAX),
        ),
    };
    let old = now_ms.saturating_sub(age);
    // Of those that nothing goes back to, as of a line that has lost its middle, age alone counts.
    let loose = match options.older_than {
        None if options.keep.is_some() => line.get(keep - 1).map_or(i64::MIN, |last| last.timestamp_ms()),
        _ => old,
    };
    let unread = now_ms.saturating_sub(ms(options.readers));
    // When a snapshot stopped being the current one, also of a line that has lost its middle.
    let mut until: HashMap<i64, i64> = HashMap::new();
    for next in metadata.snapshots() {
        if let Some(was) = next.parent_snapshot_id() {
            let at = until.entry(was).or_insert(i64::MIN);
            *at = (*at).max(next.timestamp_ms());
        }
    }
    // Also one that the table was set back from.
    for pair in metadata.history().windows(2) {
        let at = until.entry(pair[0].snapshot_id).or_insert(i64::MIN);
        *at = (*at).max(pair[1].timestamp_ms);
    }
    let places: HashMap<i64, usize> = line.iter().enumerate().map(|(at, one)| (one.snapshot_id(), at)).collect();
    let may_leave = |snapshot: &&SnapshotRef| {
        let id = snapshot.snapshot_id();
        match places.get(&id) {
            Some(&at) => at >= keep && (at >= most.max(keep) || snapshot.timestamp_ms() < old),
            None => snapshot.timestamp_ms() < loose,
        }
    };
    let is_read = |snapshot: &SnapshotRef| {
        until.get(&snapshot.snapshot_id()).copied().unwrap_or(snapshot.timestamp_ms()) > unread
    };
    let mut held: HashMap<i64, String> = telling(metadata)
        .into_iter()
        .map(|id| (id, "a job, which sees by it what has become of the table".to_owned()))
        .collect();
    held.extend(holds.snapshots.iter().cloned());
    let references =
        references(metadata).map_err(|error| failure::iceberg("the tags of a table cannot be read", error));
    for reference in references? {
        let of_reference = match reference.is_branch {
            true => ancestors(metadata, reference.snapshot).iter().map(|one| one.snapshot_id()).collect(),
            false => vec![reference.snapshot],
        };
        if !reference.is_main() {
            let who = format!("{} {}", if reference.is_branch { "branch" } else { "tag" }, reference.name);
            of_reference.into_iter().for_each(|id| drop(held.insert(id, who.clone())));
        }
    }
    let mut candidates: Vec<&SnapshotRef> = metadata.snapshots().filter(may_leave).collect();
    candidates.sort_by_key(|snapshot| (snapshot.timestamp_ms(), snapshot.sequence_number()));
    for snapshot in candidates {
        match held.get(&snapshot.snapshot_id()) {
            Some(who) => plan.held.push((snapshot.snapshot_id(), who.clone())),
            None if is_read(snapshot) => plan.held.push((snapshot.snapshot_id(), READERS.to_owned())),
            None => plan.snapshots.push((snapshot.snapshot_id(), snapshot.timestamp_ms())),
        }
    }
    Ok(plan)
}
