//! Files in memory, cut into row groups, that tell more or less of themselves; and work that waits until it is run.

use crate::StreamSpec;
use crate::placing::{ARRIVAL, CLOCK, MESSAGE_ID, PARTITION};
use arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use dataflow::{
    Background, BadRowPolicy, Bounds, Encode, Error, Late, Quiet, RecordBatches, Result, RowGroup, Span, TimedFile,
    TimedFiles,
};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;

pub const DELAY: i64 = 5;

/// Random numbers from a seed (splitmix64).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }

    pub fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    pub fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for index in (1..items.len()).rev() {
            items.swap(index, self.below(index + 1));
        }
    }
}

/// A row of a file: its id, its event time, and the clock of its partition where there is an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileRow {
    pub id: i64,
    pub at: Option<i64>,
    pub clock: Option<i64>,
}

pub fn row(id: i64, at: i64) -> FileRow {
    FileRow { id, at: Some(at), clock: None }
}

pub fn schema() -> SchemaRef {
    let instant = DataType::Timestamp(TimeUnit::Microsecond, None);
    Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true), Field::new("at", instant, true)]))
}

struct Ids;

impl Encode for Ids {
    fn encode(&self, rows: &RecordBatch) -> Result<Vec<Vec<u8>>> {
        let ids = rows.column(0).as_primitive::<arrow::datatypes::Int64Type>();
        Ok(ids.values().iter().map(|id| id.to_string().into_bytes()).collect())
    }
}

pub fn spec() -> StreamSpec {
    StreamSpec {
        name: "events".to_owned(),
        schema: schema(),
        time_column: 1,
        delay: Span(DELAY),
        quiet: Quiet::Never,
        late: Late::Aside,
        arrival: None,
        dedup_key: vec![],
        bad_rows: BadRowPolicy::DeadLetter,
        row_text: |_| Ok(Arc::new(Ids)),
    }
}

/// What files tell of their row groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Nothing,
    /// The bounds of whole files, and how many row groups they have, as a table's manifest.
    Files,
    /// The bounds and rows of each row group, as a folder's footers.
    Groups,
}

/// Files in memory that fail when they are told to, and that tell what was read of them.
pub struct MemoryFiles {
    rows: dataflow::MemoryFiles,
    /// What happens when a row group of this file is read.
    pub faults: Vec<(usize, Fault)>,
    /// Which row groups were opened, and on which thread they were read.
    pub opened: Arc<Mutex<Vec<(usize, usize, ThreadId)>>>,
    /// Row groups open now, and the most that were at once.
    pub open: Arc<Mutex<(usize, usize)>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Fails,
    Panics,
}

/// Counts a row group as open while it is read.
struct Open(Arc<Mutex<(usize, usize)>>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.lock().unwrap().0 -= 1;
    }
}

impl MemoryFiles {
    pub fn new(files: &[Vec<Vec<FileRow>>], archive: bool, told: Told) -> MemoryFiles {
        let schema = columns(&[], archive).schema();
        let file = |(index, file): (usize, &Vec<Vec<FileRow>>)| {
            let groups: Vec<RecordBatch> = file.iter().map(|rows| columns(rows, archive)).collect();
            (timed_file(&schema, index, &groups, told), groups)
        };
        let files = files.iter().enumerate().map(file).collect();
        let rows = dataflow::MemoryFiles::new("raw.events".to_owned(), schema.clone(), files);
        MemoryFiles { rows, faults: Vec::new(), opened: Arc::default(), open: Arc::default() }
    }
}

fn timed_file(schema: &SchemaRef, index: usize, groups: &[RecordBatch], told: Told) -> TimedFile {
    let all = concat_batches(schema, groups).unwrap();
    let rows = all.num_rows() as u64;
    let group = |group: &RecordBatch| RowGroup {
        rows: (told != Told::Files || groups.len() == 1).then_some(group.num_rows() as u64),
        bounds: if told == Told::Groups { bounds(group) } else { Vec::new() },
    };
    TimedFile {
        path: format!("{index}.parquet"),
        rows,
        bytes: rows * 8 + 4,
        bounds: if told == Told::Nothing { Vec::new() } else { bounds(&all) },
        groups: groups.iter().map(group).collect(),
        deletes: None,
    }
}

fn columns(rows: &[FileRow], archive: bool) -> RecordBatch {
    let times = |of: fn(&FileRow) -> Option<i64>| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from_iter(rows.iter().map(of)))
    };
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.id)))),
        ("at", times(|row| row.at)),
    ];
    if archive {
        let ids = StringArray::from_iter_values(rows.iter().map(|row| format!("0:{}:0", row.id)));
        columns.extend([
            (PARTITION, Arc::new(Int32Array::from(vec![0; rows.len()])) as ArrayRef),
            (MESSAGE_ID, Arc::new(ids)),
            (ARRIVAL, times(|row| Some(row.at.unwrap_or(0).max(row.clock.unwrap_or(0))))),
            (CLOCK, times(|row| row.clock)),
            (dataflow::ERROR_COLUMN, Arc::new(StringArray::from(vec![None::<&str>; rows.len()]))),
        ]);
    }
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

fn bounds(rows: &RecordBatch) -> Vec<(String, Bounds)> {
    let mut all = Vec::new();
    for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
        if let Some(times) = column.as_primitive_opt::<TimestampMicrosecondType>()
            && let (Some(min), Some(max)) = (times.iter().flatten().min(), times.iter().flatten().max())
        {
            all.push((field.name().clone(), Bounds { min, max, nulls: times.null_count() as u64 }));
        }
    }
    all
}

impl TimedFiles for MemoryFiles {
    fn name(&self) -> &str {
        self.rows.name()
    }

    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    fn files(&self) -> &[TimedFile] {
        self.rows.files()
    }

    fn property(&self, key: &str) -> Option<String> {
        self.rows.property(key)
    }

    fn open(&self, file: usize, groups: Range<usize>, columns: &[String], batch_rows: usize) -> Result<RecordBatches> {
        match self.faults.iter().find(|(faulty, _)| *faulty == file) {
            Some((_, Fault::Fails)) => return Err(Error::unavailable(format!("file {file} is not there"))),
            Some((_, Fault::Panics)) => panic!("file {file} is cursed"),
            None => {}
        }
        let thread = std::thread::current().id();
        self.opened.lock().unwrap().extend(groups.clone().map(|group| (file, group, thread)));
        let rows = self.rows.open(file, groups, columns, batch_rows)?;
        let open = Open(self.open.clone());
        let mut counts = self.open.lock().unwrap();
        *counts = (counts.0 + 1, counts.1.max(counts.0 + 1));
        Ok(Box::new(rows.inspect(move |_| {
            let _counted = &open;
        })))
    }
}

type Work = Box<dyn FnOnce() + Send>;

/// Keeps work until it is told to run some.
#[derive(Clone, Default)]
pub struct Later(Arc<Mutex<Vec<Work>>>);

impl Background for Later {
    fn run(&self, work: Work) {
        self.0.lock().unwrap().push(work);
    }
}

impl Later {
    /// Runs one piece of work; false when there is none.
    pub fn run_one(&self) -> bool {
        let work = {
            let mut all = self.0.lock().unwrap();
            if all.is_empty() { None } else { Some(all.remove(0)) }
        };
        work.map(|work| work()).is_some()
    }
}

/// A thread per piece of work.
pub struct Threads;

impl Background for Threads {
    fn run(&self, work: Work) {
        std::thread::spawn(work);
    }
}
