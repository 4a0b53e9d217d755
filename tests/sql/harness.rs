//! A file's statements and queries, run on one host.

use crate::oracle::Asked;
use crate::place::{Place, wrong};
use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use dataflow::{Error, Output, RecordBatches, Result, Span};
use project::{Begin, JobOptions, Rows, Wired};
use sql::{Rule, Target};
use sqllogictest::{DB, DBOutput, DefaultColumnType};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tests::{RowCounts, Running};

/// How jobs run.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    /// How many workers share the work.
    pub workers: usize,
    /// Whether ARCHIVE copies; else everything stays on topics.
    pub archives: bool,
    /// Who steps the workers.
    pub by: By,
}

/// Who steps workers, and so chooses what happens next and where batches are cut.
#[derive(Clone, Copy, Debug)]
pub enum By {
    /// The driver, by a seed.
    Seed(u64),
    /// Threads, as users have them: jobs that end by themselves. Those that go on are the driver's, since nothing says
    /// when threads have done what can be done at a virtual time.
    Threads,
    /// The driver, by a seed that also says when jobs that end by themselves are killed, and with how many workers they go
    /// on.
    Kills(u64),
}

impl By {
    fn seed(self) -> u64 {
        match self {
            By::Seed(seed) | By::Kills(seed) => seed,
            By::Threads => 0,
        }
    }
}

/// A project, its jobs, and what DuckDB is to be asked.
pub struct Bench {
    host: Host,
    place: Place,
    jobs: BTreeMap<String, (Running, Rows)>,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// The rules that make plans better.
    rules: Vec<Rule>,
    counted: Arc<Mutex<Vec<RowCounts>>>,
}

/// An error as the runner wants it.
#[derive(Debug)]
pub struct Told(Error);

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.chain())
    }
}

impl std::error::Error for Told {}

type Answer = DBOutput<DefaultColumnType>;

impl DB for Bench {
    type Error = Told;
    type ColumnType = DefaultColumnType;

    fn run(&mut self, sql: &str) -> Result<Answer, Told> {
        self.execute(sql.trim().trim_end_matches(';')).map_err(Told)
    }

    fn engine_name(&self) -> &str {
        "riverrun"
    }
}

impl Bench {
    /// An empty project on a host.
    pub fn new(host: Host, asked: Arc<Mutex<Vec<Asked>>>) -> Bench {
        Bench {
            host,
            place: Place::new(),
            jobs: BTreeMap::new(),
            asked,
            rules: Rule::ALL.to_vec(),
            counted: Arc::default(),
        }
    }

    /// The same with some of the rules; what becomes of rows is counted after each query, in the order of the file.
    pub fn with_rules(self, rules: &[Rule], counted: Arc<Mutex<Vec<RowCounts>>>) -> Bench {
        Bench { rules: rules.to_vec(), counted, ..self }
    }

    fn wired(&self, target: &Target, options: &JobOptions) -> Result<Wired> {
        let project = self.place.open()?;
        let checked = project.check_with(target, &self.rules).map_err(wrong)?;
        project.job_of(&checked, options).map_err(wrong)
    }

    fn count(&self, running: &Running) {
        self.counted.lock().expect("no other thread fails").push(running.row_counts());
    }

    fn execute(&mut self, sql: &str) -> Result<Answer> {
        let words: Vec<&str> = sql.split_whitespace().collect();
        match words[..] {
            ["CREATE", kind, ..] => {
                self.place.add(sql)?;
                if kind == "STREAM" || kind == "VIEW" {
                    self.ask(Asked::Create(sql.to_owned()));
                }
            }
            ["PARTITIONS", topic, count] => {
                self.place.topics()?.topic_or_create(topic, number(count)? as u32)?;
            }
            ["INSERT", "INTO", stream, "PARTITION", partition, ..] => {
                self.insert(stream, number(partition)? as u32, after(sql, partition))?;
            }
            ["INSERT", "INTO", stream, ..] => self.insert(stream, 0, after(sql, stream))?,
            ["PUT", topic, ..] => {
                let payload = after(sql, topic).trim().trim_matches('\'').as_bytes().to_vec();
                self.place.put(topic, 0, &[payload])?;
            }
            ["ADVANCE", count, unit] => self.place.advance(span(number(count)?, unit)?),
            ["ARCHIVE", _] => self.archive(sql)?,
            ["TAKE", ..] => return self.take(after(sql, "TAKE")),
            ["SELECT" | "FROM" | "WITH" | "(SELECT", ..] => return self.select(sql),
            _ => return Err(Error::invalid(format!("no statement of such files begins like {sql:?}"))),
        }
        Ok(DBOutput::StatementComplete(0))
    }

    fn ask(&self, asked: Asked) {
        self.asked.lock().expect("no other thread fails").push(asked);
    }

    fn insert(&mut self, stream: &str, partition: u32, rows: &str) -> Result<()> {
        let (topic, payloads) = self.place.payloads(stream, rows)?;
        self.ask(Asked::Rows(format!("INSERT INTO {stream} {rows}")));
        self.place.put(&topic, partition, &payloads)
    }

    /// Jobs start anew after this, over the archive or over the topic alone.
    fn archive(&mut self, sql: &str) -> Result<()> {
        if !self.place.has(sql) {
            self.place.add(sql)?;
        }
        self.jobs.clear();
        if self.host.archives { self.place.archive() } else { Ok(()) }
    }

    fn select(&mut self, sql: &str) -> Result<Answer> {
        let target = Target::Query(sql.to_owned());
        let project = self.place.open()?;
        let checked = project.check_with(&target, &self.rules).map_err(wrong)?;
        let query = checked.query.clone().ok_or_else(|| Error::internal("a query has no plan"))?;
        let ended = if checked.outputs.is_empty() { Vec::new() } else { self.ended(&target, self.host.by)? };
        let stream = |rows: &Rows| -> RecordBatches {
            let batches: Vec<_> = rows.take().iter().map(|batch| Ok(batch.columns().clone())).collect();
            Box::new(batches.into_iter())
        };
        let spill = project.spill_folder();
        let answer =
            project.answer(&query, ended.iter().map(stream).collect(), spill.path(), &project::StopCheck::never())?;
        let rows = cells_of(&answer.collect::<Result<Vec<_>>>()?)?;
        self.ask(Asked::Select(sql.to_owned(), rows.rows.clone()));
        Ok(rows.answer())
    }

    /// The rows of each output where the inputs end.
    fn ended(&self, target: &Target, by: By) -> Result<Vec<Rows>> {
        let options = JobOptions { until_caught_up: true, begin: Begin::Collect, from: None, ..JobOptions::default() };
        let wired = |earlier| self.wired(target, &JobOptions { earlier, ..options.clone() });
        match by {
            By::Threads => tests::run_on_threads(wired(None)?, self.host.workers),
            By::Kills(seed) => tests::run_with_kills(&wired, seed),
            By::Seed(seed) => {
                let ran = Running::new(wired(None)?, self.host.workers, seed).run_to_end()?;
                self.count(&ran);
                Ok(ran.collected)
            }
        }
    }

    /// Runs what is taken to where the inputs end, on threads and in the driver.
    fn threads_agree(&self, target: &Target) -> Result<()> {
        let ours = self.ended(target, By::Threads)?;
        for (ours, theirs) in ours.iter().zip(self.ended(target, By::Seed(0))?) {
            let (ours, theirs) = (cells(ours, None)?.rows, cells(&theirs, None)?.rows);
            if ours != theirs {
                return Err(Error::internal(format!("on threads {target:?} gives {ours:?}, in the driver {theirs:?}")));
            }
        }
        Ok(())
    }

    fn take(&mut self, what: &str) -> Result<Answer> {
        let (columns, name) = match what.split_once(" FROM ") {
            Some((columns, name)) => (Some(columns), name.trim()),
            None => (None, what.trim()),
        };
        if matches!(self.host.by, By::Threads) {
            self.threads_agree(&target(name.split_once(" BESIDE ").map_or(name, |(_, view)| view)))?;
        }
        if !self.jobs.contains_key(name) {
            let (output, view) = name.split_once(" BESIDE ").unwrap_or((name, name));
            let job = self.start(output, view)?;
            self.jobs.insert(name.to_owned(), job);
        }
        let job = self.jobs.get_mut(name);
        let (running, rows) = job.ok_or_else(|| Error::internal("the job was just started"))?;
        running.settle()?;
        let answer = cells(rows, columns)?.answer();
        if let Some((running, _)) = self.jobs.get(name) {
            self.count(running);
        }
        Ok(answer)
    }

    /// Starts a job that goes on, for a view or for the log of a decision, and looks at one of its outputs.
    fn start(&self, name: &str, view: &str) -> Result<(Running, Rows)> {
        let target = target(view);
        let options = JobOptions { until_caught_up: false, begin: Begin::Collect, from: None, ..JobOptions::default() };
        let wired = self.wired(&target, &options)?;
        let at = wired.sinks.iter().position(|sink| match &sink.output {
            Output::Table(table) | Output::Topic(table) => table == name,
            Output::Query(_) => true,
        });
        let at = at.ok_or_else(|| Error::invalid(format!("the project gives out no {name}")))?;
        let rows = wired.collected[at].clone();
        Ok((Running::new(wired, self.host.workers, self.host.by.seed()), rows))
    }
}

/// What gives out a view, a decision or the log of one.
fn target(name: &str) -> Target {
    match name.strip_suffix("__log") {
        Some(decision) => Target::Outputs(vec![decision.to_owned()]),
        None => Target::Collect(vec![name.to_owned()]),
    }
}

/// What of a statement stands after a word.
fn after<'a>(sql: &'a str, word: &str) -> &'a str {
    sql.split_once(word).map_or("", |(_, rest)| rest.trim_start())
}

fn number(text: &str) -> Result<i64> {
    text.parse().map_err(|_| Error::invalid(format!("{text:?} is no number")))
}

fn span(count: i64, unit: &str) -> Result<Span> {
    match unit.trim_end_matches('S') {
        "SECOND" => Ok(Span::seconds(count)),
        "MINUTE" => Ok(Span::seconds(count * 60)),
        "HOUR" => Ok(Span::seconds(count * 3600)),
        _ => Err(Error::invalid(format!("{unit:?} is no unit, expected SECONDS, MINUTES or HOURS"))),
    }
}

/// Rows as text.
struct Cells {
    types: Vec<DefaultColumnType>,
    rows: Vec<Vec<String>>,
}

impl Cells {
    fn answer(self) -> Answer {
        DBOutput::Rows { types: self.types, rows: self.rows }
    }
}

/// The rows that have come since the last call, in (`_time`, `_ord`) order, with the named columns.
fn cells(rows: &Rows, columns: Option<&str>) -> Result<Cells> {
    let batches = rows.take();
    let Some(first) = batches.first() else { return Ok(Cells { types: vec![], rows: vec![] }) };
    let all = dataflow::concat(&first.schema(), &batches)?.sorted()?.columns().clone();
    let all = match columns {
        None => all,
        Some(names) => {
            let index = |name: &str| {
                let found = all.schema().index_of(name.trim());
                found.map_err(|_| Error::invalid(format!("no column is named {name:?}")))
            };
            all.project(&names.split(',').map(index).collect::<Result<Vec<_>>>()?)?
        }
    };
    cells_of(&[all])
}

fn cells_of(batches: &[RecordBatch]) -> Result<Cells> {
    let fields = batches.first().map(|first| first.schema().fields().clone()).unwrap_or_default();
    let types = fields.iter().map(|field| column_type(field.data_type())).collect();
    let rows = batches.iter().map(texts).collect::<Result<Vec<_>>>()?.concat();
    Ok(Cells { types, rows })
}

fn column_type(data_type: &DataType) -> DefaultColumnType {
    match data_type {
        found if found.is_integer() => DefaultColumnType::Integer,
        found if found.is_floating() => DefaultColumnType::FloatingPoint,
        _ => DefaultColumnType::Text,
    }
}

fn texts(batch: &RecordBatch) -> Result<Vec<Vec<String>>> {
    let options = FormatOptions::default().with_null("NULL").with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"));
    let formatters: Vec<_> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options))
        .collect::<std::result::Result<_, _>>()?;
    let cell = |text: String| if text.is_empty() { "(empty)".to_owned() } else { text };
    let row = |row| formatters.iter().map(|formatter| cell(formatter.value(row).to_string())).collect();
    Ok((0..batch.num_rows()).map(row).collect())
}
