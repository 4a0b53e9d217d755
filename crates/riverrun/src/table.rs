//! `table`: what a table holds, and how it is kept in order. A plan is shown; `--apply` carries it out.

use crate::outcome::Outcome;
use crate::signals::Stop;
use crate::table_args::{CompactArgs, ExpireArgs, OrphansArgs, TableCommand};
use crate::table_text::{self, described, description_json};
use crate::{print, show};
use dataflow::Error;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use project::{ExpireOptions, KeptTable, OrphanOptions, Project};
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;

/// What was current within this time may be read by a query that runs now.
const READERS: Duration = Duration::from_secs(3600);
/// What is younger than this may be committed in a moment, whoever writes it.
const ORPHAN_AGE_MIN: Duration = Duration::from_secs(6 * 3600);
/// So many files or snapshots of a plan are shown.
const SHOWN: usize = 10;

/// Carries out a command on a table.
pub fn table(project: &Project, command: &TableCommand) -> Outcome {
    match command {
        TableCommand::Describe { table, json } => {
            let description = project.kept_table(table, None)?.describe()?;
            match json {
                true => print::line(&description_json(&description).to_string()).map(drop)?,
                false => print::data(&print::for_terminal(described(&description))).map(drop)?,
            }
            Ok(ExitCode::SUCCESS)
        }
        TableCommand::Compact(args) => compact(project, args),
        TableCommand::Expire(args) => expire(project, args),
        TableCommand::Orphans(args) => orphans(project, args),
    }
}

/// What would change a table is for those alone who write it.
fn changing(apply: bool) -> Option<&'static str> {
    apply.then_some("riverrun table --apply changes")
}

/// A bar over what is done.
fn bar(doing: &str, unit: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    let style = format!("{{spinner}} {doing} [{{wide_bar}}] {{human_pos}}/{{human_len}} {unit}");
    let style = ProgressStyle::with_template(&style).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.progress_chars("=> "));
    print::moving(Some(&bar));
    bar
}

fn end(bar: &ProgressBar) {
    bar.finish_and_clear();
    print::moving(None);
}

/// Shows a plan: as JSON, or as text and how it is carried out, if there is something to do.
fn show_plan(
    table: &KeptTable<'_>,
    (is_json, as_json, text): (bool, serde_json::Value, String),
    is_something: bool,
) -> Outcome {
    if is_json {
        print::line(&as_json.to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    let how = match (is_something, table.is_refused()) {
        (true, false) => "the same command with --apply carries it out\n".to_owned(),
        (true, true) => {
            "the same command with --apply and without --as carries it out: others read the table\n".to_owned()
        }
        (false, _) => format!("nothing is to be done for table {}\n", table.name()),
    };
    print::data(&print::for_terminal(format!("{text}{how}")))?;
    Ok(ExitCode::SUCCESS)
}

/// Tells what was done: as JSON on stdout, or as text for people.
fn tell(is_json: bool, as_json: serde_json::Value, text: &str) -> Outcome<()> {
    match is_json {
        true => print::line(&as_json.to_string()).map(drop)?,
        false => print::note_text(text),
    }
    Ok(())
}

fn compact(project: &Project, args: &CompactArgs) -> Outcome {
    let table = project.kept_table(&args.table, changing(args.apply))?;
    if !args.apply {
        let plan = table.plan_compaction()?;
        let shown =
            (args.json, table_text::compact_json(table.name(), &plan), table_text::compact(table.name(), &plan));
        return show_plan(&table, shown, plan.groups > 0);
    }
    let (stop, bar) = (Stop::listen()?, bar("compact", "rows"));
    let done = table.compact(&mut |progress| {
        bar.set_length(progress.rows_total);
        bar.set_position(progress.rows);
        !stop.is_asked()
    });
    end(&bar);
    let done = done?;
    tell(args.json, table_text::compacted_json(table.name(), &done), &table_text::compacted(table.name(), &done))?;
    Ok(if done.is_stopped { stop.exit_code() } else { ExitCode::SUCCESS })
}

fn expire(project: &Project, args: &ExpireArgs) -> Outcome {
    let options = ExpireOptions {
        older_than: args.older_than.map(|age| age.0),
        keep: args.keep.and_then(|keep| usize::try_from(keep).ok()),
        readers: if args.nobody_reads { Duration::ZERO } else { READERS },
    };
    let table = project.kept_table(&args.table, changing(args.apply))?;
    if !args.apply {
        let plan = table.plan_expiry(options)?;
        let text = table_text::expiry(table.name(), &plan, SHOWN);
        let shown = (args.json, table_text::expiry_json(table.name(), &plan), text);
        return show_plan(&table, shown, !plan.snapshots.is_empty());
    }
    let bar = bar("expire", "files");
    let done = table.expire(options, &mut |at, all| {
        bar.set_length(all);
        bar.set_position(at);
    });
    end(&bar);
    let done = done?;
    let as_json = json!({
        "table": table.name(), "snapshots": done.snapshots, "files": done.files, "bytes": done.bytes,
        "files_left": done.files_left,
    });
    let text = format!(
        "table {}: {} gone, and {}{}{}\n",
        table.name(),
        show::counted(done.snapshots as i64, "snapshot"),
        show::counted(done.files as i64, "file"),
        // Of those that describe a table nobody has the bytes.
        match done.bytes {
            0 => String::new(),
            bytes => format!(", {} of rows", show::bytes(usize::try_from(bytes).unwrap_or(usize::MAX))),
        },
        left(done.files_left)
    );
    tell(args.json, as_json, &text)?;
    Ok(ExitCode::SUCCESS)
}

fn orphans(project: &Project, args: &OrphansArgs) -> Outcome {
    if args.older_than.0 < ORPHAN_AGE_MIN {
        return Err(Error::invalid(
            "--older-than is less than 6h: jobs and other engines may be about to commit what they have written so \
             recently; name a longer time",
        )
        .into());
    }
    let table = project.kept_table(&args.table, changing(args.apply))?;
    let plan = table.plan_orphans(OrphanOptions { older_than: args.older_than.0 })?;
    if !args.apply {
        let text = table_text::orphans(table.name(), &plan, SHOWN);
        let shown = (args.json, table_text::orphans_json(table.name(), &plan), text);
        let is_something = !plan.files.is_empty() || !plan.beside.is_empty();
        return show_plan(&table, shown, is_something);
    }
    let bar = bar("orphans", "files");
    let done = table.delete_orphans(&plan, &mut |at, all| {
        bar.set_length(all);
        bar.set_position(at);
    });
    end(&bar);
    let done = done?;
    let as_json = json!({
        "table": table.name(), "files": done.files, "bytes": done.bytes, "files_left": done.files_left,
    });
    let text = format!(
        "table {}: {} deleted, {}{}\n",
        table.name(),
        show::counted(done.files as i64, "file"),
        show::bytes(usize::try_from(done.bytes).unwrap_or(usize::MAX)),
        left(done.files_left)
    );
    tell(args.json, as_json, &text)?;
    Ok(ExitCode::SUCCESS)
}

/// What is said of files that could not be deleted.
fn left(files: usize) -> String {
    match files {
        0 => String::new(),
        files => format!(
            "; {} could not be deleted, and `riverrun table orphans` finds what is left",
            show::counted(files as i64, "file")
        ),
    }
}
