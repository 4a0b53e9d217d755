//! Tables, and what is done to them, as text and as JSON.

use crate::show;
use dataflow::{EventTime, Position};
use project::{CompactPlan, CompactSummary, ExpirePlan, FileCounts, OrphanPlan, SnapshotDescription, TableDescription};
use seam::Frontier;
use serde_json::{Value, json};

/// What jobs keep in a table for themselves, and what of it is said by people.
const OWN: &str = "riverrun.";
const OWN_SHOWN: &str = "riverrun.history.";
/// So many characters are shown of the value of a property.
const VALUE_MAX: usize = 200;

fn bytes(bytes: u64) -> String {
    show::bytes(usize::try_from(bytes).unwrap_or(usize::MAX))
}

fn count(number: usize, one: &str) -> String {
    show::counted(i64::try_from(number).unwrap_or(i64::MAX), one)
}

fn at(ms: i64) -> EventTime {
    show::to_the_second(EventTime(ms.saturating_mul(1000)))
}

/// A table, for people.
pub fn described(table: &TableDescription) -> String {
    let mut lines = vec![
        format!("table {}, version {} of the format", table.name, table.format_version),
        format!("  location  {}", table.location),
        format!("  metadata  {}", table.metadata_file),
        String::new(),
        "columns".to_owned(),
    ];
    let width = table.columns.iter().map(|column| column.name.chars().count()).max().unwrap_or(0);
    lines.extend(table.columns.iter().map(|column| {
        let required = if column.is_required { " not null" } else { "" };
        format!("  {:width$}  {}{required}", column.name, column.data_type)
    }));
    let list = |parts: &[String], none: &str| if parts.is_empty() { none.to_owned() } else { parts.join(", ") };
    lines.push(format!("partitioned by  {}", list(&table.partition, "nothing")));
    let earlier = table.earlier_partitions.iter().map(|spec| if spec.is_empty() { "nothing" } else { spec });
    lines.extend(earlier.map(|spec| format!("  and by {spec} before")));
    lines.push(format!("ordered by      {}", list(&table.order, "nothing")));
    lines.push(String::new());
    lines.extend(files(&table.files, table.not_compacted.as_deref()));
    lines.push(String::new());
    lines.push(format!("snapshots  {}", table.snapshots));
    let ends = [("current", &table.current), ("oldest", &table.oldest)];
    lines.extend(ends.iter().filter_map(|(what, snapshot)| {
        let SnapshotDescription { id, at_ms, operation, writer } = snapshot.as_ref()?;
        Some(format!("  {what:8} {id} of {}, {operation} by {writer}", at(*at_ms)))
    }));
    lines
        .extend(table.writers.iter().map(|(writer, number)| format!("  by {writer}: {}", show::count(*number as i64))));
    if !table.references.is_empty() || !table.held.is_empty() {
        lines.push("held by".to_owned());
    }
    lines.extend(table.references.iter().map(|one| {
        let kind = if one.is_branch { "branch" } else { "tag" };
        let when = one.at_ms.map(|ms| format!(" of {}", at(ms))).unwrap_or_default();
        let job = one.name.strip_prefix("riverrun-").map(|job| format!(", the history that job {job} reads"));
        format!("  {kind} {}: snapshot {}{when}{}", one.name, one.snapshot, job.unwrap_or_default())
    }));
    lines.extend(
        table.held.iter().map(|(snapshot, who)| format!("  {who}: snapshot {snapshot}, which it reads as history")),
    );
    lines.extend(table.frontier.as_deref().into_iter().flat_map(frontier));
    lines.push("properties".to_owned());
    let is_shown = |key: &str| !key.starts_with(OWN) || key.starts_with(OWN_SHOWN);
    let shown = table.properties.iter().filter(|(key, _)| is_shown(key));
    lines.extend(shown.map(|(key, value)| match value.char_indices().nth(VALUE_MAX) {
        Some((end, _)) => format!("  {key} = {}..", &value[..end]),
        None => format!("  {key} = {value}"),
    }));
    lines.join("\n") + "\n"
}

fn files(files: &FileCounts, not_compacted: Option<&str>) -> Vec<String> {
    let mut lines = vec![format!(
        "data files  {}, {}, {}, in {} and {}",
        show::count(files.data_files as i64),
        bytes(files.bytes),
        show::counted(i64::try_from(files.rows).unwrap_or(i64::MAX), "row"),
        count(files.partitions, "partition"),
        count(files.manifests, "manifest")
    )];
    let kinds = [
        (files.position_deletes, "by position"),
        (files.vectors, "deletion vectors"),
        (files.equality_deletes, "by value"),
    ];
    let kinds: Vec<String> =
        kinds.iter().filter(|(number, _)| *number > 0).map(|(number, kind)| format!("{number} {kind}")).collect();
    if !kinds.is_empty() {
        lines.push(format!(
            "deletes     {}, {}, which whoever reads {} has to read as well; the rows above are with those that they \
             delete",
            kinds.join(", "),
            bytes(files.delete_bytes),
            count(files.files_with_deletes, "file")
        ));
    }
    lines.push(format!(
        "small       {} of less than three quarters of {}; {}",
        show::count(files.small_files as i64),
        bytes(files.target_bytes),
        match files.compactable {
            _ if not_compacted.is_some() => format!("not compacted here: {}", not_compacted.unwrap_or_default()),
            0 => "compacting would change nothing".to_owned(),
            files_before => format!("compacting would make {} of {files_before}", files.compacted),
        }
    ));
    lines
}

/// How far an archive holds its topic.
fn frontier(text: &str) -> Vec<String> {
    let Ok(frontier) = Frontier::parse(text) else { return vec!["frontier  cannot be read".to_owned()] };
    let mut lines = vec![format!("archive of topic {}, up to", frontier.topic)];
    lines.extend(frontier.partitions.iter().enumerate().map(|(number, partition)| match partition {
        Some(last) => {
            let arrived = show::to_the_second(EventTime(last.arrival.0));
            let Position { ledger, entry, batch_index } = last.position;
            format!("  partition {number}: message {ledger}:{entry}:{batch_index}, which came at {arrived}")
        }
        None => format!("  partition {number}: nothing"),
    }));
    lines
}

/// A table as JSON.
pub fn description_json(table: &TableDescription) -> Value {
    let snapshot = |snapshot: &Option<SnapshotDescription>| {
        snapshot
            .as_ref()
            .map(|one| json!({ "id": one.id, "at_ms": one.at_ms, "operation": one.operation, "by": one.writer }))
    };
    let columns: Vec<Value> = table
        .columns
        .iter()
        .map(|one| json!({ "name": one.name, "id": one.id, "type": one.data_type, "required": one.is_required }))
        .collect();
    let references: Vec<Value> = table
        .references
        .iter()
        .map(|one| {
            let kind = if one.is_branch { "branch" } else { "tag" };
            json!({ "name": one.name, "kind": kind, "snapshot": one.snapshot, "at_ms": one.at_ms })
        })
        .collect();
    let writers: Vec<Value> =
        table.writers.iter().map(|(by, snapshots)| json!({ "by": by, "snapshots": snapshots })).collect();
    let files = &table.files;
    json!({
        "table": table.name,
        "format_version": table.format_version,
        "uuid": table.uuid,
        "location": table.location,
        "metadata_file": table.metadata_file,
        "columns": columns,
        "partition": table.partition,
        "earlier_partitions": table.earlier_partitions,
        "order": table.order,
        "snapshots": table.snapshots,
        "oldest": snapshot(&table.oldest),
        "current": snapshot(&table.current),
        "writers": writers,
        "references": references,
        "held": table.held.iter().map(|(id, who)| json!({ "snapshot": id, "by": who })).collect::<Vec<Value>>(),
        "files": {
            "data_files": files.data_files, "bytes": files.bytes, "rows": files.rows, "partitions": files.partitions,
            "manifests": files.manifests, "position_deletes": files.position_deletes, "vectors": files.vectors,
            "equality_deletes": files.equality_deletes, "delete_bytes": files.delete_bytes,
            "files_with_deletes": files.files_with_deletes, "target_bytes": files.target_bytes,
            "small_files": files.small_files, "compactable": files.compactable, "compacted": files.compacted,
            "not_compacted_because": table.not_compacted,
        },
        "frontier": table.frontier.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok()),
        "properties": table.properties,
    })
}

/// The plan of a compaction, for people.
pub fn compact(table: &str, plan: &CompactPlan) -> String {
    if plan.groups == 0 {
        return format!("table {table}: {}\n", count(plan.files_total, "data file"));
    }
    let deletes = match plan.files_with_deletes {
        0 => String::new(),
        files => format!("  rows are deleted from {} of them, and are left out\n", count(files, "file")),
    };
    format!(
        "table {table}: {} of {} written anew, {}, {}\n  they become about {} of up to {}\n{deletes}  {} more on the \
         disk until the snapshots expire that name the old ones\n",
        show::count(plan.files as i64),
        count(plan.files_total, "data file"),
        bytes(plan.bytes),
        show::counted(i64::try_from(plan.rows).unwrap_or(i64::MAX), "row"),
        plan.files_after,
        bytes(plan.target_bytes),
        bytes(plan.bytes)
    )
}

/// The plan of a compaction as JSON.
pub fn compact_json(table: &str, plan: &CompactPlan) -> Value {
    json!({
        "table": table, "applied": false, "files": plan.files, "bytes": plan.bytes, "rows": plan.rows,
        "groups": plan.groups, "files_after": plan.files_after, "files_with_deletes": plan.files_with_deletes,
        "files_total": plan.files_total, "deletes_total": plan.deletes_total, "target_bytes": plan.target_bytes,
    })
}

/// What a compaction has done, for people.
pub fn compacted(table: &str, done: &CompactSummary) -> String {
    let mut text = match done.files_before {
        0 => format!("table {table}: no file was worth it\n"),
        _ => format!(
            "table {table}: {}, {}, {} became {}, {}, {}\n",
            count(done.files_before, "file"),
            show::counted(i64::try_from(done.rows_before).unwrap_or(i64::MAX), "row"),
            bytes(done.bytes_before),
            count(done.files_after, "file"),
            show::counted(i64::try_from(done.rows_after).unwrap_or(i64::MAX), "row"),
            bytes(done.bytes_after)
        ),
    };
    if done.deletes > 0 {
        text += &format!("  {} applied, and no longer of the table\n", count(done.deletes, "delete file"));
    }
    if done.given_up > 0 {
        text += &format!(
            "  {} of files left as they are: others changed them while they were written; run it again\n",
            count(done.given_up, "group")
        );
    }
    if done.is_stopped {
        text += "  stopped before its end; run it again for the rest\n";
    }
    text
}

/// What a compaction has done as JSON.
pub fn compacted_json(table: &str, done: &CompactSummary) -> Value {
    json!({
        "table": table, "applied": true, "files_before": done.files_before, "bytes_before": done.bytes_before,
        "rows_before": done.rows_before, "files_after": done.files_after, "bytes_after": done.bytes_after,
        "rows_after": done.rows_after, "deletes": done.deletes, "snapshots": done.snapshots,
        "given_up": done.given_up, "stopped": done.is_stopped,
    })
}

/// Some lines, and how many more there are.
fn some(lines: impl ExactSizeIterator<Item = String>, shown: usize) -> String {
    let more = lines.len().saturating_sub(shown);
    let mut text: String = lines.take(shown).map(|line| format!("  {line}\n")).collect();
    if more > 0 {
        text += &format!("  and {} more\n", show::count(more as i64));
    }
    text
}

/// The plan of an expiry, for people.
pub fn expiry(table: &str, plan: &ExpirePlan, shown: usize) -> String {
    let size = plan.data_files.iter().map(|(_, bytes)| bytes).sum();
    let mut text = format!(
        "table {table}: {} of {} would go, with {}{} that describe them\n",
        show::count(plan.snapshots.len() as i64),
        count(plan.snapshots_total, "snapshot"),
        match plan.data_files.len() {
            0 => String::new(),
            files => format!("{} of {} and ", count(files, "file"), bytes(size)),
        },
        count(plan.metadata_files.len(), "file")
    );
    text += &some(plan.snapshots.iter().map(|(id, ms)| format!("{id} of {}", at(*ms))), shown);
    if !plan.held.is_empty() {
        text += "held, and stays\n";
        text += &some(plan.held.iter().map(|(id, who)| format!("{id} by {who}")), shown);
    }
    text
}

/// The plan of an expiry as JSON.
pub fn expiry_json(table: &str, plan: &ExpirePlan) -> Value {
    let snapshots: Vec<Value> = plan.snapshots.iter().map(|(id, ms)| json!({ "id": id, "at_ms": ms })).collect();
    let held: Vec<Value> = plan.held.iter().map(|(id, who)| json!({ "id": id, "by": who })).collect();
    let data: Vec<&str> = plan.data_files.iter().map(|(file, _)| file.as_str()).collect();
    json!({
        "table": table, "applied": false, "snapshots_total": plan.snapshots_total, "snapshots": snapshots, "held": held,
        "data_files": data, "bytes": plan.data_files.iter().map(|(_, bytes)| bytes).sum::<u64>(),
        "metadata_files": plan.metadata_files,
    })
}

/// The plan of a sweep, for people.
pub fn orphans(table: &str, plan: &OrphanPlan, shown: usize) -> String {
    let size = plan.files.iter().chain(&plan.beside).map(|(_, bytes)| bytes).sum();
    let all = plan.files.iter().chain(&plan.beside).map(|(file, bytes)| (file.clone(), *bytes)).collect::<Vec<_>>();
    let mut text = format!(
        "table {table}: {} of {} below its location named by nothing, {}\n",
        show::count(plan.files.len() as i64),
        count(plan.listed, "file"),
        bytes(size)
    );
    if !plan.beside.is_empty() {
        text += &format!("  and {} of this machine, left on the way to a store\n", count(plan.beside.len(), "file"));
    }
    text += &some(all.iter().map(|(file, size)| format!("{file} ({})", bytes(*size))), shown);
    let stays = [
        (plan.young, "younger"),
        (plan.prepared, "prepared by a checkpoint or a savepoint"),
        (plan.unknown_jobs, "of jobs whose checkpoints are not here"),
    ];
    for (number, why) in stays.iter().filter(|(number, _)| *number > 0) {
        text += &format!("  {} named by nothing either stay: {why}\n", show::count(*number as i64));
    }
    text
}

/// The plan of a sweep as JSON.
pub fn orphans_json(table: &str, plan: &OrphanPlan) -> Value {
    let names = |files: &[(String, u64)]| files.iter().map(|(file, _)| file.clone()).collect::<Vec<_>>();
    json!({
        "table": table, "applied": false, "files": names(&plan.files), "beside": names(&plan.beside),
        "bytes": plan.files.iter().chain(&plan.beside).map(|(_, bytes)| bytes).sum::<u64>(), "listed": plan.listed,
        "young": plan.young, "prepared": plan.prepared, "unknown_jobs": plan.unknown_jobs,
    })
}
