//! `query`: a SELECT over the project's streams and views, bounded. Rows are printed as they come.

use crate::args::QueryArgs;
use crate::outcome::Outcome;
use crate::progress::Spinner;
use crate::run::{engine_job, instant};
use crate::signals::Stop;
use crate::{print, show};
use arrow::array::RecordBatch;
use dataflow::{Batch, Encode, Error, EventTime, Fate, Result};
use engine::{Control, JobReport};
use project::{Begin, JobOptions, JsonEncode, Project, Rows};
use seam::StreamStats;
use sql::Target;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

/// Rows of a table that are shown when no limit is given and stdout is for people.
const SHOWN_MAX: usize = 40;
/// Rows whose cells are aligned with each other; those that come after have a header of their own.
const TABLE_ROWS: usize = 1_000;
/// Bytes of rows that may wait to be printed.
const UNPRINTED_BYTES: usize = 32 << 20;
/// Batches that may wait to be written to a file.
const UNWRITTEN_BATCHES: usize = 16;

/// Runs a SELECT up to where its inputs end now, or until enough rows have come.
pub fn query(project: &Project, args: &QueryArgs) -> Outcome {
    let from = args.from.as_deref().map(instant).transpose()?;
    let to = args.to.as_deref().map(instant).transpose()?.unwrap_or(EventTime::MAX);
    let options = JobOptions { until_caught_up: true, begin: Begin::Refuse, from };
    let target = Target::Query(args.sql.clone());
    // Until the end: rows are printed above it.
    let _moving = Spinner::start("query");
    let checked = project.check(&target)?;
    let of_sql = checked.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
    // The lesser of --limit and the LIMIT of the SELECT.
    let least = args.limit.into_iter().chain(of_sql).min();
    let wired = project.job(&target, &options)?;
    let rows = wired.rows.clone();
    rows.keep_at_most(UNPRINTED_BYTES);
    let stats = wired.stats.clone();
    let (job, _spill) = engine_job(wired, args.workers.map(usize::from))?;
    let limit = least.unwrap_or(usize::MAX);
    let stop = Stop::listen()?;
    let planned = checked.outputs.first().map(|output| output.schema.clone());
    let planned = planned.ok_or_else(|| Error::internal("a query has no output"))?;
    if let Some(path) = &args.out {
        let written = std::thread::scope(|scope| {
            let (send, batches) = sync_channel(UNWRITTEN_BATCHES);
            let writer = scope.spawn(move || project.write_parquet(path, planned, Box::new(batches.into_iter())));
            let mut taken = Taken { rows, stats, count: 0, limit, to, print: Print::File(send.clone()) };
            let early = || Error::unavailable(format!("stopped before the end: {} was not written", path.display()));
            let ran = taken.run(job, &stop);
            if let Err(error) = ran.and_then(|()| if stop.is_asked() { Err(early()) } else { Ok(()) }) {
                // What was written of the file so far goes with the error.
                let _ = send.send(Err(error));
            }
            drop((send, taken));
            writer.join().unwrap_or_else(|_| Err(Error::internal("the writer of the file ended without a word")))
        });
        return match written {
            Err(error) if stop.is_asked() => {
                print::note(format_args!("{}", error.chain()));
                Ok(stop.exit_code())
            }
            written => Ok(told(written?, path)),
        };
    }
    let print = match (args.json, args.csv) {
        (true, _) => Print::Json,
        (_, true) => Print::Csv { header: true },
        _ => Print::Table { block: Vec::new(), rows: 0, left: least.unwrap_or(SHOWN_MAX) },
    };
    let people = matches!(print, Print::Table { .. });
    let mut taken = Taken { rows, stats, count: 0, limit, to, print };
    taken.run(job, &stop)?;
    if taken.count == 0 {
        // The names of the columns are an answer too.
        taken.print.rows(RecordBatch::new_empty(planned))?;
    }
    taken.print.finish()?;
    if people {
        let more = taken.count > SHOWN_MAX && least.is_none();
        let hint = if more { ", the first of them shown; --json or --limit shows more" } else { "" };
        print::note(format_args!("{}{hint}", show::counted(taken.count as i64, "row")));
    }
    if let Some(by) = stop.name() {
        print::note(format_args!("stopped by {by} before the end: more rows may come"));
    }
    Ok(stop.exit_code())
}

fn told(rows: u64, path: &Path) -> ExitCode {
    print::note(format_args!("wrote {} to {}", show::counted(rows as i64, "row"), path.display()));
    ExitCode::SUCCESS
}

/// The rows of a query as they come.
struct Taken {
    rows: Rows,
    stats: Vec<Arc<StreamStats>>,
    count: usize,
    limit: usize,
    to: EventTime,
    print: Print,
}

/// Where rows go.
enum Print {
    /// A table for people, in blocks; so many rows are still to be shown.
    Table {
        block: Vec<RecordBatch>,
        rows: usize,
        left: usize,
    },
    Json,
    Csv {
        header: bool,
    },
    File(SyncSender<Result<RecordBatch>>),
    /// Whoever read them has gone.
    Nowhere,
}

impl Taken {
    /// Runs the job to its end, or until enough rows have come.
    fn run(&mut self, job: engine::Job, stop: &Stop) -> Result<()> {
        let control = Arc::new(Control::default());
        let mut failed = Ok(());
        let ended = engine::run(job, &control, &mut |_| {
            if failed.is_ok() {
                failed = self.take();
            }
            let enough = self.count >= self.limit || matches!(self.print, Print::Nowhere);
            if stop.is_asked() || enough || failed.is_err() {
                // The writer of the job waits for room, and is to see the end.
                self.rows.take();
                control.finish();
            }
        })?;
        failed.and_then(|()| self.take())?;
        let bad = self.bad(&ended);
        if bad > 0 {
            print::note(format_args!(
                "{} left out, as ON BAD ROW of their streams says",
                show::counted(bad, "bad row")
            ));
        }
        Ok(())
    }

    /// The rows that readers and steps left out.
    fn bad(&self, ended: &JobReport) -> i64 {
        let nodes = ended.status.nodes();
        let of_steps = nodes.iter().map(|node| node.fates.of(Fate::Bad) + node.fates.of(Fate::DeadLettered));
        let of_readers = self.stats.iter().map(|stream| stream.counts());
        let of_readers = of_readers.map(|counts| (counts.bad + counts.quarantined + counts.dead_lettered) as i64);
        of_steps.chain(of_readers).sum()
    }

    fn take(&mut self) -> Result<()> {
        for batch in self.rows.take() {
            let wanted = batch.times().iter().map(|&time| Some(EventTime(time) <= self.to)).collect();
            let batch: Batch = batch.filter(&wanted)?;
            let batch = batch.slice(0, batch.rows().min(self.limit - self.count));
            self.count += batch.rows();
            if batch.rows() > 0 {
                self.print.rows(batch.columns().clone())?;
            }
        }
        Ok(())
    }
}

impl Print {
    fn rows(&mut self, batch: RecordBatch) -> Result<()> {
        let gone = match self {
            Print::Table { block, rows, left } => {
                let batch = batch.slice(0, batch.num_rows().min(*left));
                *left -= batch.num_rows();
                *rows += batch.num_rows();
                block.push(batch);
                if *rows >= TABLE_ROWS { self.finish()? } else { false }
            }
            Print::Json => !print_json(&[batch])?,
            Print::Csv { header } => !print_csv(&batch, std::mem::take(header))?,
            // A file that cannot be written ends its writer, whose error is the one to tell.
            Print::File(file) => file.send(Ok(batch)).is_err(),
            Print::Nowhere => false,
        };
        if gone {
            *self = Print::Nowhere;
        }
        Ok(())
    }

    /// Prints what is left of a table; whether its reader has gone.
    fn finish(&mut self) -> Result<bool> {
        let Print::Table { block, rows, .. } = self else { return Ok(false) };
        *rows = 0;
        let text = show::table(&std::mem::take(block))?;
        print::data(&text).map(|is_read| !is_read)
    }
}

/// Prints rows as JSON lines. False when the reader has gone away.
pub fn print_json(batches: &[RecordBatch]) -> Result<bool> {
    for batch in batches {
        let mut text = String::new();
        for line in JsonEncode::new(batch.schema())?.encode(batch)? {
            text.push_str(&String::from_utf8_lossy(&line));
            text.push('\n');
        }
        if !print::data(&text)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Prints rows as CSV. False when the reader has gone away.
fn print_csv(batch: &RecordBatch, header: bool) -> Result<bool> {
    let quoted = |cell: &String| {
        if cell.contains([',', '"', '\n']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.clone() }
    };
    let cells = show::cells(batch)?;
    let names = batch.schema().fields().iter().map(|field| quoted(field.name())).collect::<Vec<_>>().join(",");
    let line = |row: usize| cells.iter().map(|column| quoted(&column[row])).collect::<Vec<_>>().join(",");
    let lines = (0..batch.num_rows()).map(line);
    let text: String = header.then_some(names).into_iter().chain(lines).map(|line| line + "\n").collect();
    print::data(&text)
}
