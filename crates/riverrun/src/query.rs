//! `query`: a SELECT over the project's streams, views and tables, bounded. Rows are printed as they come.

use crate::args::QueryArgs;
use crate::bad_rows::{Command, LeftOut};
use crate::engine_job::engine_job;
use crate::outcome::Outcome;
use crate::progress::Spinner;
use crate::run::instant;
use crate::signals::Stop;
use crate::{print, show, width};
use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use dataflow::{Batch, Encode, Error, EventTime, Fate, RecordBatches, Result};
use engine::{Control, JobReport};
use project::{Begin, JobOptions, JsonEncode, Project, Rows, StopCheck, Wired};
use seam::StreamStats;
use sql::{QueryPlan, Target};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Rows of a table that are shown when no limit is given and stdout is for people.
const SHOWN_MAX: usize = 40;
/// Rows whose cells are aligned with each other; those that come after have a header of their own.
const TABLE_ROWS: usize = 1_000;
/// Bytes of rows of a stream that may wait to be taken.
const UNTAKEN_BYTES: usize = 32 << 20;

/// Runs a SELECT up to where its inputs end now, or until enough rows have come.
pub fn query(project: &Project, args: &QueryArgs) -> Outcome {
    let from = args.from.as_deref().map(instant).transpose()?;
    let to = args.to.as_deref().map(instant).transpose()?.unwrap_or(EventTime::MAX);
    let out = args.out.as_deref().map(|path| project.query_out(path)).transpose()?;
    let target = Target::Query(args.sql.clone());
    // Until the end: rows are printed above it.
    let moving = Spinner::start("query");
    moving.show_arrivals(project);
    let checked = project.check(&target)?;
    let planned = checked.query.clone().ok_or_else(|| Error::internal("a query has no plan"))?;
    let planned = match args.limit {
        Some(limit) => planned.at_most(limit),
        None => planned,
    };
    let stop = Stop::listen()?;
    let asking = Asking { project, args, out, planned: &planned, stop: &stop };
    let answered = match checked.outputs.is_empty() {
        true => of_tables(&asking)?,
        false => {
            let options = JobOptions { until_caught_up: true, begin: Begin::Collect, from, ..JobOptions::default() };
            let wired = project.job_of(&checked, &options)?;
            of_streams(&asking, wired, to)?
        }
    };
    match answered {
        Err(error) if stop.is_asked() => {
            print::note(format_args!("{}", error.chain()));
            Ok(stop.exit_code())
        }
        answered => Ok(answered?.told(&asking)),
    }
}

/// The answer of a query that reads tables alone.
fn of_tables(asking: &Asking) -> Result<Result<Answered>> {
    if asking.args.from.is_some() || asking.args.to.is_some() {
        return Err(Error::invalid(
            "--from and --to leave out rows of streams by their time, and this query reads tables alone: use WHERE",
        ));
    }
    let spill = asking.project.spill_folder();
    let rows = asking.project.answer(asking.planned, Vec::new(), spill.path(), &asking.stop_check())?;
    Ok(asking.take(rows))
}

/// The answer of a query over what streams give to it: the job runs beside it.
fn of_streams(asking: &Asking, wired: Wired, to: EventTime) -> Result<Result<Answered>> {
    let ends_early = asking.planned.limit().is_some();
    let streams = Streams { rows: wired.collected.clone(), stats: wired.stats.clone(), to, ends_early };
    let (job, spill) = engine_job(wired, asking.args.workers.map(usize::from))?;
    let is_done = AtomicBool::new(false);
    Ok(std::thread::scope(|scope| {
        let answer = scope.spawn(|| {
            let rows = asking.project.answer(asking.planned, streams.inputs(), spill.path(), &asking.stop_check());
            let taken = rows.and_then(|rows| asking.take(rows));
            is_done.store(true, Ordering::SeqCst);
            streams.close();
            taken
        });
        let ended = streams.run(asking.project, job, (asking.stop, &is_done));
        let answer = answer.join().unwrap_or_else(|_| Err(Error::internal("the query ended without a word")));
        ended.and(answer)
    }))
}

/// What is asked, and how the answer is shown.
struct Asking<'a> {
    project: &'a Project,
    args: &'a QueryArgs,
    // The file that rows are written to.
    out: Option<PathBuf>,
    planned: &'a QueryPlan,
    stop: &'a Stop,
}

fn stopped() -> Error {
    Error::unavailable("stopped before the end: more rows may come")
}

/// How many rows have come.
struct Answered {
    rows: usize,
}

impl Asking<'_> {
    /// Ends the answer when the command is asked to stop.
    fn stop_check(&self) -> StopCheck {
        let stop = self.stop.clone();
        StopCheck::new(move || if stop.is_asked() { Err(stopped()) } else { Ok(()) })
    }

    /// Takes the rows of the answer to where they are wanted.
    fn take(&self, rows: RecordBatches) -> Result<Answered> {
        if let Some(path) = &self.out {
            let schema = self.planned.plan.schema()?;
            let rows = self.project.write_parquet(path, schema, rows)?;
            return Ok(Answered { rows: usize::try_from(rows).unwrap_or(usize::MAX) });
        }
        let mut print = match (self.args.json, self.args.csv) {
            (true, _) => Print::Json,
            (_, true) => Print::Csv { header: true },
            _ => Print::Table { block: Vec::new(), rows: 0, left: self.planned.limit().unwrap_or(SHOWN_MAX) },
        };
        let mut count = 0;
        for rows in rows {
            let rows = rows?;
            count += rows.num_rows();
            if rows.num_rows() > 0 && !print.rows(rows)? {
                break;
            }
        }
        if count == 0 {
            // The names of the columns are an answer too.
            print.rows(RecordBatch::new_empty(self.planned.plan.schema()?))?;
        }
        print.finish()?;
        Ok(Answered { rows: count })
    }
}

impl Answered {
    /// Says what came.
    fn told(&self, asked: &Asking) -> ExitCode {
        let rows = show::counted(self.rows as i64, "row");
        match &asked.args.out {
            Some(path) => print::note(format_args!("wrote {rows} to {}", Path::display(path))),
            None if asked.args.json || asked.args.csv => {}
            None => {
                let more = self.rows > SHOWN_MAX && asked.planned.limit().is_none();
                let hint = if more { ", the first of them shown; --json or --limit shows more" } else { "" };
                print::note(format_args!("{rows}{hint}"));
            }
        }
        asked.stop.exit_code()
    }
}

/// What streams give to the query.
struct Streams {
    /// By output of the job.
    rows: Vec<Rows>,
    stats: Vec<Arc<StreamStats>>,
    to: EventTime,
    // Whether a number of rows suffices.
    ends_early: bool,
}

impl Streams {
    /// The rows of each output, as they come.
    fn inputs(&self) -> Vec<RecordBatches> {
        let to = self.to;
        let until = move |batch: Result<Batch>| {
            let batch = batch?;
            let wanted = batch.times().iter().map(|&time| Some(EventTime(time) <= to)).collect();
            Ok(batch.filter(&wanted)?.columns().clone())
        };
        let input = |rows: &Rows| -> RecordBatches {
            rows.keep_at_most(UNTAKEN_BYTES);
            Box::new(rows.batches().map(until))
        };
        self.rows.iter().map(input).collect()
    }

    fn close(&self) {
        self.rows.iter().for_each(Rows::close);
    }

    /// Runs the job to its end, or until the answer is complete.
    fn run(&self, project: &Project, job: engine::Job, (stop, is_done): (&Stop, &AtomicBool)) -> Result<()> {
        let control = Arc::new(Control::default());
        let ended = engine::run(job, &control, &mut |_| {
            if stop.is_asked() {
                self.rows.iter().for_each(|rows| rows.fail(stopped()));
            }
            if stop.is_asked() || is_done.load(Ordering::SeqCst) {
                control.finish();
            }
        });
        match ended {
            Ok(ended) => {
                self.rows.iter().for_each(Rows::end);
                self.tell_bad(project, &ended);
                Ok(())
            }
            Err(error) => {
                self.rows.iter().for_each(|rows| rows.fail(Error::unavailable("the job of the query failed")));
                Err(error)
            }
        }
    }

    /// Says how many rows readers and steps left out.
    fn tell_bad(&self, project: &Project, ended: &JobReport) {
        let nodes = ended.status.nodes();
        let left_out = LeftOut::of(&self.stats, &ended.status);
        // The query ends early where it has rows enough: what was read by then is another count each time.
        let at_least = if self.ends_early { "at least " } else { "" };
        if left_out.count > 0 {
            let rows = show::counted(left_out.count, "bad row");
            print::note_text(&show::sentence(&format!(
                "{at_least}{rows} left out, as ON BAD ROW of their streams says"
            )));
            print::note_text(&left_out.text(project, Command::Query));
        }
        let held: i64 = nodes.iter().map(|node| node.fates.of(Fate::Held)).sum();
        if held > 0 && !self.ends_early {
            let rows = show::counted(held, "row");
            let why = "the watermark has not reached their time, which lies ahead of all that has happened";
            print::note(format_args!("{rows} held, and not in the answer: {why}"));
        }
    }
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
}

impl Print {
    /// Prints rows; whether there is still someone who reads them.
    fn rows(&mut self, batch: RecordBatch) -> Result<bool> {
        match self {
            Print::Table { block, rows, left } => {
                let batch = batch.slice(0, batch.num_rows().min(*left));
                *left -= batch.num_rows();
                *rows += batch.num_rows();
                block.push(batch);
                if *rows >= TABLE_ROWS { self.finish() } else { Ok(true) }
            }
            Print::Json => print_json(&[batch]),
            Print::Csv { header } => print_csv(&batch, std::mem::take(header)),
        }
    }

    /// Prints what is left of a table; whether there is still someone who reads it.
    fn finish(&mut self) -> Result<bool> {
        let Print::Table { block, rows, .. } = self else { return Ok(true) };
        *rows = 0;
        let text = show::table(&std::mem::take(block), width::of_stdout())?;
        print::data(&text)
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
    // What is not quoted and empty is NULL.
    let quoted = |cell: &str| match cell.is_empty() || cell.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell.to_owned(),
    };
    let texts =
        batch.columns().iter().map(|column| values::texts(column)).collect::<std::result::Result<Vec<_>, _>>()?;
    let cells: Vec<_> = texts.iter().map(|texts| texts.as_string::<i32>()).collect();
    let cell = |column: &&StringArray, row: usize| match column.is_null(row) {
        true => String::new(),
        false => quoted(column.value(row)),
    };
    let names = batch.schema().fields().iter().map(|field| quoted(field.name())).collect::<Vec<_>>().join(",");
    let line = |row: usize| cells.iter().map(|column| cell(column, row)).collect::<Vec<_>>().join(",");
    let lines = (0..batch.num_rows()).map(line);
    let text: String = header.then_some(names).into_iter().chain(lines).map(|line| line + "\n").collect();
    print::data(&text)
}
