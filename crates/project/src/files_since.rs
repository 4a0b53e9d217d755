//! History from an instant on: files that end before everything that an output looks back to are not read.

use arrow::datatypes::SchemaRef;
use dataflow::{EventTime, RecordBatches, Result, Span, TimedFile, TimedFiles};
use seam::StreamSpec;
use std::ops::Range;
use std::sync::Arc;

/// The column of an archive that holds the partition's clock.
const CLOCK: &str = "_clock";

/// The files of a history that hold rows after an instant.
pub struct FilesSince {
    inner: Arc<dyn TimedFiles>,
    files: Vec<TimedFile>,
    // The index of each kept file among all of them.
    places: Vec<usize>,
    // How many rows the others have.
    left_out: u64,
}

impl FilesSince {
    /// Keeps the files that may hold a row with `_time` at or after an instant. A late row of an archive was moved up
    /// to its partition's clock less the delay, so that bound counts too. A file without bounds is kept.
    pub fn new(inner: Arc<dyn TimedFiles>, spec: &StreamSpec, from: EventTime) -> FilesSince {
        let kept = |file: &TimedFile| {
            let greatest = |name: &str, less: Span| {
                let bounds = file.bounds.iter().find(|(column, _)| column == name);
                bounds.map(|(_, bounds)| EventTime(bounds.max).minus(less))
            };
            let archived = inner.schema().index_of(CLOCK).is_ok();
            let clock = if archived { greatest(CLOCK, spec.delay).unwrap_or(EventTime::MAX) } else { EventTime::MIN };
            greatest(spec.time_name(), Span::ZERO).is_none_or(|time| time.max(clock) >= from)
        };
        let all = inner.files().iter().map(|file| file.rows).sum::<u64>();
        let (places, files): (_, Vec<TimedFile>) =
            inner.files().iter().cloned().enumerate().filter(|(_, file)| kept(file)).unzip();
        let left_out = all.saturating_sub(files.iter().map(|file| file.rows).sum());
        FilesSince { inner, files, places, left_out }
    }

    /// How many rows the files have that are left out.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}

impl TimedFiles for FilesSince {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn schema(&self) -> SchemaRef {
        self.inner.schema()
    }

    fn files(&self) -> &[TimedFile] {
        &self.files
    }

    fn property(&self, key: &str) -> Option<String> {
        self.inner.property(key)
    }

    fn open(&self, file: usize, groups: Range<usize>, columns: &[String], batch_rows: usize) -> Result<RecordBatches> {
        self.inner.open(self.places[file], groups, columns, batch_rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
    use dataflow::{BadRowPolicy, Bounds, Late, Quiet};

    struct FileList(SchemaRef, Vec<TimedFile>);

    impl TimedFiles for FileList {
        fn name(&self) -> &str {
            "listed"
        }
        fn schema(&self) -> SchemaRef {
            self.0.clone()
        }
        fn files(&self) -> &[TimedFile] {
            &self.1
        }
        fn property(&self, _: &str) -> Option<String> {
            None
        }
        fn open(&self, file: usize, _: Range<usize>, _: &[String], _: usize) -> Result<RecordBatches> {
            Err(dataflow::Error::internal(self.1[file].path.clone()))
        }
    }

    #[test]
    fn files_before_the_instant_are_left_out_unless_late_rows_moved_up() {
        let instant = DataType::Timestamp(TimeUnit::Microsecond, None);
        let schema =
            Arc::new(Schema::new(vec![Field::new("at", instant.clone(), true), Field::new(CLOCK, instant, true)]));
        let spec = StreamSpec {
            name: "s".into(),
            schema: schema.clone(),
            time_column: 0,
            delay: Span(10),
            quiet: Quiet::Never,
            late: Late::Move,
            arrival: None,
            dedup_key: vec![],
            bad_rows: BadRowPolicy::Fail,
            row_text: crate::dead_letter::row_text,
        };
        let file = |path: &str, bounds: &[(&str, i64)]| {
            let bounds = bounds.iter().map(|(name, max)| (name.to_string(), Bounds { min: 0, max: *max, nulls: 0 }));
            TimedFile::of_one_group(path.into(), 1, 1, bounds.collect())
        };
        let files = vec![
            file("old", &[("at", 50), (CLOCK, 105)]),
            file("late", &[("at", 50), (CLOCK, 110)]),
            file("new", &[("at", 100), (CLOCK, 60)]),
            file("unknown", &[]),
        ];
        let since = FilesSince::new(Arc::new(FileList(schema, files)), &spec, EventTime(100));
        assert_eq!(since.files().iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["late", "new", "unknown"]);
        assert_eq!(since.left_out(), 1);
        assert_eq!(since.open(1, 0..1, &[], 1).err().map(|error| error.to_string()), Some("new".to_owned()));
    }
}
