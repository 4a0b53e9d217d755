//! `query`: a SELECT over the project's streams and views, bounded.

use crate::args::QueryArgs;
use crate::run::{instant, job, on_interrupt};
use crate::{Outcome, show};
use arrow::array::RecordBatch;
use dataflow::{Batch, Encode, EventTime};
use engine::Control;
use project::{Begin, JobOptions, JsonEncode, Project, Rows};
use sql::Target;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Rows of a table that are shown when no limit is given and stdout is for people.
const SHOWN_MAX: usize = 40;

/// Runs a SELECT up to where its inputs end now, or until enough rows have come.
pub fn query(project: &Project, args: &QueryArgs) -> Outcome {
    let from = args.from.as_deref().map(instant).transpose()?;
    let to = args.to.as_deref().map(instant).transpose()?.unwrap_or(EventTime::MAX);
    let options = JobOptions { until_caught_up: true, begin: Begin::Refuse, from };
    let wired = project.job(&Target::Query(args.sql.clone()), &options)?;
    let rows = wired.rows.clone();
    let (job, _, _spill) = job(wired, args.workers.map(usize::from));
    let people = !args.json && !args.csv && args.out.is_none();
    let mut taken = Taken { rows, kept: Vec::new(), count: 0, limit: args.limit.unwrap_or(usize::MAX), to };
    let stopped = on_interrupt()?;
    let control = Arc::new(Control::default());
    engine::run(job, &control, &mut |_| {
        taken.take();
        if stopped.load(Ordering::Relaxed) || taken.count >= taken.limit {
            control.finish();
        }
    })?;
    taken.take();
    let mut batches: Vec<RecordBatch> = taken.sorted()?;
    if let Some(path) = &args.out {
        let rows = project.write_parquet(path, batches)?;
        eprintln!("wrote {} rows to {}", show::count(rows as i64), path.display());
    } else if args.json {
        print_json(&batches)?;
    } else if args.csv {
        print_csv(&batches)?;
    } else {
        let all: usize = batches.iter().map(RecordBatch::num_rows).sum();
        if people && args.limit.is_none() && all > SHOWN_MAX {
            batches = head(&batches, SHOWN_MAX);
        }
        print!("{}", show::table(&batches)?);
        eprintln!(
            "{} rows{}",
            show::count(all as i64),
            if all > SHOWN_MAX && args.limit.is_none() {
                ", the first of them shown; --json or --limit shows more"
            } else {
                ""
            }
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// The rows of a query so far.
struct Taken {
    rows: Rows,
    kept: Vec<Batch>,
    count: usize,
    limit: usize,
    to: EventTime,
}

impl Taken {
    fn take(&mut self) {
        for batch in self.rows.take() {
            let wanted = batch.times().iter().map(|&time| Some(EventTime(time) <= self.to)).collect();
            let Ok(batch) = batch.filter(&wanted) else { continue };
            self.count += batch.rows();
            self.kept.push(batch);
        }
    }

    /// All rows in (`_time`, `_ord`) order, at most as many as were asked for.
    fn sorted(self) -> dataflow::Result<Vec<RecordBatch>> {
        let Some(first) = self.kept.first() else { return Ok(Vec::new()) };
        let all = dataflow::concat(&first.schema(), &self.kept)?.sorted()?;
        Ok(vec![all.slice(0, all.rows().min(self.limit)).columns().clone()])
    }
}

fn head(batches: &[RecordBatch], rows: usize) -> Vec<RecordBatch> {
    let mut left = rows;
    let take = |batch: &RecordBatch| {
        let some = batch.slice(0, batch.num_rows().min(left));
        left -= some.num_rows();
        some
    };
    batches.iter().map(take).collect()
}

/// Prints rows as JSON lines. A reader that has gone away ends it quietly.
pub fn print_json(batches: &[RecordBatch]) -> dataflow::Result<()> {
    let mut out = std::io::stdout().lock();
    for batch in batches {
        for line in JsonEncode::new(batch.schema())?.encode(batch)? {
            if out.write_all(&line).and_then(|()| out.write_all(b"\n")).is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn print_csv(batches: &[RecordBatch]) -> dataflow::Result<()> {
    let quoted = |cell: &String| {
        if cell.contains([',', '"', '\n']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.clone() }
    };
    let mut out = std::io::stdout().lock();
    for (at, batch) in batches.iter().enumerate() {
        let cells = show::cells(batch)?;
        let header = batch.schema().fields().iter().map(|field| quoted(field.name())).collect::<Vec<_>>().join(",");
        let lines = (0..batch.num_rows())
            .map(|row| cells.iter().map(|column| quoted(&column[row])).collect::<Vec<_>>().join(","));
        for line in (at == 0).then_some(header).into_iter().chain(lines) {
            if writeln!(out, "{line}").is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}
