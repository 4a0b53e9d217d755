//! Files whose rows have an arrival: the same times as the time rule gives a log, however the rows are cut into files.

use super::files::{Random, Told};
use super::*;
use crate::StreamSpec;
use crate::history::ArrivedFiles;
use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit};
use dataflow::{BadRowPolicy, Bounds, Late, Quiet, RecordBatches, RowGroup, Span, TimedFile, TimedFiles};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::AtomicUsize;

const DAY: i64 = 86_400_000_000;

/// A row of a file.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Mail {
    id: i64,
    at: Option<i64>,
    came: Option<i64>,
    is_bad: bool,
}

fn spec(delay: i64, quiet: Quiet) -> StreamSpec {
    let instant = || DataType::Timestamp(TimeUnit::Microsecond, None);
    let fields = [("id", DataType::Int64), ("at", instant()), ("came", instant())];
    let schema = Arc::new(Schema::new(fields.map(|(name, of)| Field::new(name, of, true)).to_vec()));
    let (late, bad_rows) = (Late::Move, BadRowPolicy::Skip);
    StreamSpec { schema, delay: Span(delay), quiet, late, bad_rows, arrival: Some(2), ..super::files::spec() }
}

/// Files that count how often they are opened.
struct Counted {
    rows: dataflow::MemoryFiles,
    opened: Arc<AtomicUsize>,
}

impl TimedFiles for Counted {
    fn name(&self) -> &str {
        self.rows.name()
    }
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }
    fn files(&self) -> &[TimedFile] {
        self.rows.files()
    }
    fn property(&self, _: &str) -> Option<String> {
        None
    }
    fn open(&self, file: usize, groups: Range<usize>, columns: &[String], batch_rows: usize) -> Result<RecordBatches> {
        self.opened.fetch_add(1, Relaxed);
        self.rows.open(file, groups, columns, batch_rows)
    }
}

fn batch(mails: &[Mail]) -> RecordBatch {
    let times = |of: fn(&Mail) -> Option<i64>| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from_iter(mails.iter().map(of)))
    };
    let why = mails.iter().map(|mail| mail.is_bad.then_some("it is broken"));
    let columns: [(&str, ArrayRef); 4] = [
        ("id", Arc::new(Int64Array::from_iter_values(mails.iter().map(|mail| mail.id)))),
        ("at", times(|mail| mail.at)),
        ("came", times(|mail| mail.came)),
        (dataflow::ERROR_COLUMN, Arc::new(StringArray::from_iter(why))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

fn bounds(mails: &[Mail]) -> Vec<(String, Bounds)> {
    let of = |name: &str, of: fn(&Mail) -> Option<i64>| {
        let (min, max) = (mails.iter().filter_map(of).min()?, mails.iter().filter_map(of).max()?);
        let nulls = mails.iter().filter(|mail| of(mail).is_none()).count() as u64;
        Some((name.to_owned(), Bounds { min, max, nulls }))
    };
    [of("at", |mail| mail.at), of("came", |mail| mail.came)].into_iter().flatten().collect()
}

fn files(cut: &[Vec<Vec<Mail>>], told: Told) -> Counted {
    let file = |(index, groups): (usize, &Vec<Vec<Mail>>)| {
        let all = groups.concat();
        let group = |mails: &Vec<Mail>| RowGroup {
            rows: (told != Told::Files || groups.len() == 1).then_some(mails.len() as u64),
            bounds: if told == Told::Groups { bounds(mails) } else { Vec::new() },
        };
        let timed = TimedFile {
            path: format!("{index}.parquet"),
            rows: all.len() as u64,
            bytes: all.len() as u64 * 8 + 4,
            bounds: if told == Told::Nothing { Vec::new() } else { bounds(&all) },
            groups: groups.iter().map(group).collect(),
            deletes: None,
        };
        (timed, groups.iter().map(|mails| batch(mails)).collect())
    };
    let files = cut.iter().enumerate().map(file).collect();
    let rows = dataflow::MemoryFiles::new("mails".to_owned(), batch(&[]).schema(), files);
    Counted { rows, opened: Arc::default() }
}

/// Rows dealt to files and row groups, in some sequence.
fn cut(random: &mut Random, mails: &[Mail], is_in_order: bool) -> Vec<Vec<Vec<Mail>>> {
    let mut mails = mails.to_vec();
    if !is_in_order {
        random.shuffle(&mut mails);
    }
    let mut files = vec![vec![Vec::new()]];
    for mail in mails {
        if random.percent(10) {
            files.push(vec![Vec::new()]);
        } else if random.percent(10) {
            files.last_mut().unwrap().push(Vec::new());
        }
        files.last_mut().unwrap().last_mut().unwrap().push(mail);
    }
    random.shuffle(&mut files);
    files
}

/// A log whose arrivals rise, with rows that are late, from the future, nonsense, or bad.
fn log(random: &mut Random, rows: usize, delay: i64, quiet: i64, pauses: &[i64]) -> Vec<Mail> {
    let mut now = random.of(&[1_000, 10 * DAY]);
    (0..rows as i64)
        .map(|id| {
            now += random.of(pauses);
            let lag = random.of(&[0, 1, 5, delay / 2, delay, delay + 1, delay * 3, quiet + delay + 5, 100_000]);
            let at = match random.below(100) {
                0..4 => now + random.of(&[600_000, 3_600_000]),
                4..6 => now + 2 * DAY,
                _ => now - lag,
            };
            let at = (!random.percent(3)).then_some(at);
            Mail { id, at, came: (!random.percent(3)).then_some(now), is_bad: random.percent(3) }
        })
        .collect()
}

/// The time rule once more: `_time` and `_late` of each row that stays, of a log in the sequence of its arrivals.
fn expected(log: &[Mail], delay: i64, quiet: Option<i64>) -> Vec<(i64, i64, bool)> {
    let (mut clock, mut before) = (None::<i64>, 0);
    let mut rows = Vec::new();
    for mail in log {
        let Some(came) = mail.came else { continue };
        if let (Some(so_far), Some(quiet)) = (clock, quiet) {
            clock = Some(so_far.max((so_far + came - before - quiet).min(came - quiet)));
        }
        before = came;
        let Some(at) = mail.at.filter(|at| !mail.is_bad && *at <= came + DAY) else { continue };
        let open = clock.map_or(at, |clock| clock - delay);
        rows.push((mail.id, at.max(open), at < open));
        clock = Some(clock.map_or(at.min(came), |clock| clock.max(at.min(came))));
    }
    rows.sort_unstable();
    rows
}

fn opened(spec: &StreamSpec, files: Counted, dir: &Path, memory: usize, origin: &str) -> Arc<ArrivedFiles> {
    let room: (&Path, usize, &dyn Fn(u64)) = (dir, memory, &|_| ());
    Arc::new(ArrivedFiles::open_within(spec, Arc::new(files), origin, &dir.join("clocks"), room).unwrap())
}

/// All rows of shares that readers deal among themselves, with the counters.
fn read_all(spec: &StreamSpec, files: Arc<ArrivedFiles>, readers: u16) -> (Vec<(i64, i64, bool)>, crate::Counts) {
    let plan = Arc::new(HistoryPlan::new(spec, files).unwrap());
    let stats = Arc::new(StreamStats::new("mails", 1, 1));
    let mut rows = Vec::new();
    for reader in 0..readers {
        let mut history = History::new(plan.clone(), Arc::new(AtOnce), stats.clone(), room(1 << 16));
        history.add(plan.shares().into_iter().filter(|(share, _)| share % readers == reader).collect()).unwrap();
        let mut last = i64::MIN;
        while !history.is_finished() {
            if let Some(batch) = history.next(100, EventTime::MAX).unwrap() {
                let ids = batch.column(0).as_primitive::<Int64Type>();
                for row in 0..batch.rows() {
                    assert!(batch.time(row).0 >= last);
                    last = batch.time(row).0;
                    rows.push((ids.value(row), last, batch.is_late(row)));
                }
            }
            stats.count_removed(&history.take_removed().fates);
        }
    }
    rows.sort_unstable();
    (rows, stats.counts())
}

#[test]
fn rows_have_the_times_of_the_rule_however_they_are_cut_into_files() {
    let dir = tempfile::tempdir().unwrap();
    let (mut late, mut quarantined, mut bad) = (0, 0, 0);
    for seed in 0..400 {
        let mut random = Random(seed);
        let (delay, quiet) = (random.of(&[0, 10, 2_000]), random.of(&[1, 100, 1_000]));
        let pauses = [1, 5, 20, 100, quiet / 2 + 1, quiet + 1, quiet * 3, 60_000];
        let rows = random.of(&[5, 20, 200]);
        let log = log(&mut random, rows, delay, quiet, &pauses);
        let quiet = (!random.percent(20)).then_some(quiet);
        let spec = spec(delay, quiet.map_or(Quiet::Never, |quiet| Quiet::After(Span(quiet))));
        let told = random.of(&[Told::Nothing, Told::Files, Told::Groups]);
        let is_in_order = random.percent(50);
        let files = files(&cut(&mut random, &log, is_in_order), told);
        let memory = random.of(&[1, 1 << 10, 1 << 20]);
        let readers = random.of(&[1, 2, 3, 4]);
        let (rows, counts) = read_all(&spec, opened(&spec, files, dir.path(), memory, &seed.to_string()), readers);
        let expected = expected(&log, delay, quiet);
        assert_eq!(rows, expected, "seed {seed}");
        assert_eq!(counts.late_moved as usize, expected.iter().filter(|row| row.2).count(), "seed {seed}");
        assert_eq!(counts.bad + counts.quarantined + expected.len() as u64, log.len() as u64, "seed {seed}");
        (late, quarantined, bad) = (late + counts.late_moved, quarantined + counts.quarantined, bad + counts.bad);
    }
    assert!(late > 1_000 && quarantined > 100 && bad > 1_000, "{late} late, {quarantined} quarantined, {bad} bad");
}

#[test]
fn rows_that_arrive_at_once_have_the_same_times_however_they_are_cut() {
    let dir = tempfile::tempdir().unwrap();
    let mut late = 0;
    for seed in 0..100 {
        let mut random = Random(seed);
        let spec = spec(10, Quiet::After(Span(100)));
        let log = log(&mut random, 200, 10, 100, &[0, 0, 0, 5, 200]);
        let mut readings = Vec::new();
        for reading in 0..3 {
            let files = files(&cut(&mut random, &log, false), Told::Groups);
            let origin = format!("{seed}.{reading}");
            readings.push(read_all(&spec, opened(&spec, files, dir.path(), 1 << 10, &origin), 2).0);
        }
        assert!(readings.windows(2).all(|pair| pair[0] == pair[1]), "seed {seed}");
        late += readings[0].iter().filter(|row| row.2).count();
    }
    assert!(late > 1_000, "{late} late");
}

#[test]
fn clocks_are_kept_until_something_changes() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random(1);
    let log = log(&mut random, 500, 10, 100, &[1, 5, 200]);
    let whole = [vec![log.clone()]];
    let reads = |spec: &StreamSpec, cut: &[Vec<Vec<Mail>>], origin: &str| {
        let files = files(cut, Told::Groups);
        let counter = files.opened.clone();
        let arrived = opened(spec, files, dir.path(), 1 << 20, origin);
        let passes = counter.load(Relaxed);
        (passes, read_all(spec, arrived, 1).0)
    };
    let of = |quiet| spec(10, Quiet::After(Span(quiet)));
    let (passes, rows) = reads(&of(100), &whole, "a");
    assert_eq!((passes, &rows), (1, &expected(&log, 10, Some(100))));
    assert_eq!(reads(&of(100), &whole, "a"), (0, rows));
    // Another delay moves rows elsewhere by the same clocks.
    assert_eq!(reads(&spec(0, Quiet::After(Span(100))), &whole, "a"), (0, expected(&log, 0, Some(100))));
    assert_eq!(reads(&of(100), &whole, "changed").0, 1);
    assert_eq!(reads(&of(50), &whole, "changed"), (1, expected(&log, 10, Some(50))));
    let two = [vec![log[..200].to_vec()], vec![log[200..].to_vec()]];
    assert_eq!(reads(&of(50), &two, "changed"), (2, expected(&log, 10, Some(50))));
    std::fs::write(dir.path().join("clocks"), "nothing of ours").unwrap();
    assert_eq!(reads(&of(50), &two, "changed").0, 2);
    assert_eq!(reads(&of(50), &two, "changed").0, 0);
}
