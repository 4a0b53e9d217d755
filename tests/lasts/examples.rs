//! The examples under `kill -9` at random moments: the flights, whose live half comes while the job runs, and the project
//! that `riverrun init` makes, which reads a file.

use crate::kills::RUN;
use crate::outputs::published;
use arrow::array::{Array, AsArray};
use arrow::datatypes::TimestampMicrosecondType;
use arrow::record_batch::RecordBatchReader;
use dataflow::EventTime;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use project::Project;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use tests::machine::{Machine, SECOND, pause};
use tests::{Chance, Program, all_rows, copy_example, table_rows, told};

/// How often the job of a trial is killed.
const KILLS: usize = 8;
/// So many of a thousand rows of the flights are there: the last of the history and the first of what comes after it.
const PERMILLE: usize = 40;

/// The streams of the flights, and over how many partitions they are spread.
const STREAMS: [(&str, u32); 3] = [("departures", 1), ("arrivals", 2), ("weather", 1)];

struct Example {
    folder: tempfile::TempDir,
    chance: Chance,
    what: String,
    table: &'static str,
    log: &'static str,
    /// Whether its job goes on for ever.
    is_live: bool,
    /// A run is killed within this time, which is about as long as one takes that nobody disturbs.
    life: i64,
}

impl Example {
    fn start(&self, arguments: &[&str]) -> Program {
        Program::start(self.folder.path(), arguments)
    }

    /// Something that is to succeed.
    fn succeeds(&self, arguments: &[&str]) {
        let ended = self.start(arguments).ended(RUN).expect("it ends");
        assert_eq!(ended.code, Some(0), "{}: {arguments:?}: {}", self.what, ended.told);
    }

    fn write_settings(&self, name: &str) {
        let environment = |name| {
            format!("[env.{name}]\nhistory = {{ warehouse = \"{name}\" }}\nlive = {{ topics = \"topics-{name}\" }}\n")
        };
        // The oracle reads the topics of the job, and writes its actions there too.
        let environments = environment("dev") + &environment("oracle").replace("topics-oracle", "topics-dev");
        let project = format!(
            "[project]\nname = \"{name}\"\ncommit_every = \"300ms\"\ncheckpoint_every = \"100ms\"\n{environments}"
        );
        std::fs::write(self.folder.path().join("riverrun.toml"), project).unwrap();
    }

    fn publish(&self, stream: (&str, u32), half: &str) {
        let (stream, partitions) = (stream.0, stream.1.to_string());
        let file = self.folder.path().join(format!("{half}-{stream}.parquet"));
        self.succeeds(&["publish", stream, &file.to_string_lossy(), "--partitions", &partitions]);
    }

    /// Kills a job at a random moment; whether it ran at that moment.
    fn is_killed(&mut self, arguments: &[&str]) -> bool {
        let workers = (1 + self.chance.below(4)).to_string();
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--workers", &workers]).collect();
        let mut running = self.start(&arguments);
        pause(self.chance.between(0, self.life));
        running.signal("KILL");
        let ended = running.ended(RUN).expect("it ends");
        let is_killed = ended.code.is_none();
        assert!(is_killed || ended.code == Some(0), "{}: the job ended by itself: {}", self.what, ended.told);
        is_killed
    }

    fn project(&self, environment: &str) -> Project {
        Project::open(self.folder.path(), environment, Arc::new(Machine)).map_err(told).unwrap()
    }

    /// Runs the job to its end, and compares what came out with what a run gives that nobody disturbed.
    fn compare(&self) {
        self.succeeds(&["run", "--until-caught-up"]);
        let dev = self.project("dev");
        let newest = checkpoint::look(&dev.checkpoints_path(None)).unwrap().expect("there are checkpoints");
        let published = actions(&dev);
        self.succeeds(&["run", "--until-caught-up", "--env", "oracle", "--fresh"]);
        let oracle = self.project("oracle");
        let rows = |project: &Project| table_rows(&project.warehouse().unwrap(), self.table);
        assert!(!rows(&oracle).is_empty(), "{}: {} has rows", self.what, self.table);
        assert_eq!(rows(&dev), rows(&oracle), "{}: {}", self.what, self.table);
        let (found, wanted) = (decided(&dev, self.log), decided(&oracle, self.log));
        assert!(found == wanted, "{}: {} has {} rows, expected {}", self.what, self.log, found.len(), wanted.len());
        let is_taken = |row: &&Decided| row.is_taken && EventTime(row.time) > newest.facts.start;
        let mut taken: Vec<&str> = wanted.iter().filter(is_taken).map(|row| row.id.as_str()).collect();
        taken.sort_unstable();
        assert_eq!(published, taken, "{}: actions", self.what);
        let written = |output: &str| {
            let of_output = newest.rows.steps.iter().find(|(step, _)| *step == format!("into {output}"));
            of_output.map_or(0, |(_, fates)| fates.of(dataflow::Fate::Out)) as usize
        };
        assert_eq!(written(self.table), rows(&dev).len(), "{}: {}", self.what, self.table);
        assert_eq!(written(self.log), found.len(), "{}: {}", self.what, self.log);
        assert_eq!(written("actions"), published.len(), "{}: actions", self.what);
    }
}

/// Of a row of a decision's log what does not depend on where outputs begin.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Decided {
    id: String,
    time: i64,
    is_taken: bool,
}

fn decided(project: &Project, log: &str) -> Vec<Decided> {
    let mut rows = Vec::new();
    for batch in all_rows(&project.warehouse().unwrap(), log) {
        let column = |name: &str| batch.column_by_name(name).unwrap();
        let (ids, taken) = (column("decision_id").as_string::<i32>(), column("action"));
        let times = column("time").as_primitive::<TimestampMicrosecondType>();
        rows.extend((0..batch.num_rows()).map(|row| Decided {
            id: ids.value(row).to_owned(),
            time: times.value(row),
            is_taken: taken.is_valid(row),
        }));
    }
    rows.sort_unstable();
    rows
}

/// The ids of the decisions on the topic of actions.
fn actions(project: &Project) -> Vec<String> {
    let mut ids: Vec<String> = published(project).into_values().flatten().collect();
    ids.sort_unstable();
    ids
}

/// Copies so many rows of a file, from its end or its beginning.
fn cut(from: &Path, to: &Path, is_end: bool) {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(from).unwrap()).unwrap();
    let rows = builder.metadata().file_metadata().num_rows() as usize;
    let taken = rows * PERMILLE / 1000;
    let offset = if is_end { rows - taken } else { 0 };
    let reader = builder.with_offset(offset).with_limit(taken).build().unwrap();
    let mut writer = ArrowWriter::try_new(File::create(to).unwrap(), reader.schema(), None).unwrap();
    for rows in reader {
        writer.write(&rows.unwrap()).unwrap();
    }
    writer.close().unwrap();
}

fn flights(seed: u64) -> Example {
    let folder = tempfile::tempdir().unwrap();
    copy_example(&tests::root().join("examples/flights"), folder.path());
    let (table, log) = ("lake.flights_training", "delay_watch__log");
    let what = format!("flights, seed {seed}");
    let mut example = Example { folder, chance: Chance::new(seed), what, table, log, is_live: true, life: 2 * SECOND };
    example.write_settings("flights");
    for stream in STREAMS {
        for half in ["history", "live"] {
            let from = example.folder.path().join(format!("data/{}/{half}.parquet", stream.0));
            cut(&from, &example.folder.path().join(format!("{half}-{}.parquet", stream.0)), half == "history");
        }
        example.publish(stream, "history");
    }
    while example.chance.permille(500) {
        example.is_killed(&["run", "archive"]);
    }
    example.succeeds(&["run", "archive", "--until-caught-up"]);
    example
}

fn template(seed: u64) -> Example {
    let folder = tempfile::tempdir().unwrap();
    copy_example(&tests::root().join("crates/riverrun/template"), folder.path());
    let (table, log) = ("lake.sender_features", "dm_spam__log");
    let what = format!("template, seed {seed}");
    let example = Example { folder, chance: Chance::new(seed), what, table, log, is_live: false, life: SECOND / 5 };
    example.write_settings("demo");
    example
}

/// Gives how often the job was killed.
fn trial(mut example: Example) -> usize {
    let mut kills = 0;
    // A job over files comes to its end.
    let mut is_over = false;
    while kills < KILLS && !is_over {
        let is_killed = example.is_killed(&["run"]);
        kills += usize::from(is_killed);
        is_over = !is_killed;
        if example.is_live && kills <= STREAMS.len() && kills > 0 {
            example.publish(STREAMS[kills - 1], "live");
        }
    }
    example.compare();
    kills
}

#[test]
fn examples_give_each_row_once_whenever_they_are_killed() {
    let trials = std::env::var("LASTS_KILLS").map_or(1, |seeds| seeds.parse().unwrap());
    let first = std::env::var("LASTS_FIRST").map_or(0, |seed| seed.parse().unwrap());
    let kills = (first..first + trials).map(|seed| trial(flights(seed)) + trial(template(seed)));
    println!("{} kills", kills.sum::<usize>());
}
