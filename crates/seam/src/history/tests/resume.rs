//! Shares that are taken up again, by as many readers as there happen to be.

use super::*;
use crate::StreamSpec;
use crate::placing::Removed;
use dataflow::{Background, BadRowPolicy, Late, TimedFiles};
use std::path::Path;

/// What a run gives out: ids of rows, names of what left at other ports, and how many rows were counted as removed.
#[derive(Default)]
struct Given {
    ids: Vec<i64>,
    aside: Vec<String>,
    removed: i64,
}

/// Random files: overlapping or not, with ties, whole rows twice, rows without a time, and late ones in an archive.
fn random_files(random: &mut Random, archive: bool) -> Vec<Vec<Vec<FileRow>>> {
    let spread = random.of(&[3, 40, 100_000]);
    let (in_order, bad, all_alike) = (random.percent(40), random.of(&[0, 0, 5]), random.percent(10));
    let (mut files, mut id, mut from) = (Vec::new(), 0, 0);
    let mut all: Vec<FileRow> = Vec::new();
    for _ in 0..random.below(9) {
        let mut file = Vec::new();
        for _ in 0..1 + random.below(12) {
            let mut group = Vec::new();
            for _ in 0..random.of(&[0, 1, 30, 30, 30]) {
                let at = from + random.below(spread) as i64;
                let mut made = FileRow { id, at: Some(at).filter(|_| !random.percent(bad)), clock: None };
                if archive {
                    made.clock = Some(at + random.below(2 * DELAY as usize) as i64).filter(|_| random.percent(90));
                } else if !all.is_empty() && (all_alike || random.percent(10)) {
                    made = if all_alike { all[0] } else { all[random.below(all.len())] };
                }
                id += 1;
                group.push(made);
            }
            if random.percent(50) {
                group.sort_by_key(|row| row.at);
            }
            all.extend(&group);
            file.push(group);
            from += if in_order { spread as i64 } else { 0 };
        }
        files.push(file);
    }
    files
}

/// What the rule says that files give: the ids in the order of their times, and what leaves at other ports.
fn expected(files: &[Vec<Vec<FileRow>>], archive: bool, named: impl Fn(usize, usize, usize) -> String) -> Given {
    let (mut rows, mut aside) = (Vec::new(), Vec::new());
    for (file, groups) in files.iter().enumerate() {
        let mut before = 0;
        for (group, all) in groups.iter().enumerate() {
            for (index, row) in all.iter().enumerate() {
                let open = row.clock.filter(|_| archive).map(|clock| clock - DELAY);
                match row.at {
                    None if archive => aside.push(format!("partition 0, message 0:{}:0", row.id)),
                    None if group == 0 => aside.push(named(file, 0, index)),
                    None => aside.push(named(file, group, before + index)),
                    Some(at) if open.is_some_and(|open| at < open) => aside.push(format!("late {}", row.id)),
                    Some(at) => rows.push((at, row.id)),
                }
            }
            before += all.len();
        }
    }
    rows.sort_unstable();
    aside.sort_unstable();
    Given { ids: rows.into_iter().map(|(_, id)| id).collect(), removed: aside.len() as i64, aside }
}

/// A reader of some shares, and what it must keep to.
struct Checked {
    history: History,
    last: Option<Place>,
    watermark: EventTime,
}

impl Checked {
    fn add(&mut self, shares: Vec<(u16, SharePosition)>) {
        self.history.add(shares).unwrap();
        (self.last, self.watermark) = (None, EventTime::MIN);
    }

    fn poll(&mut self, random: &mut Random, given: &mut Given) {
        let ceiling = match random.percent(30) {
            true => EventTime(self.watermark.0.saturating_add(random.below(50) as i64)),
            false => EventTime::MAX,
        };
        let batch = self.history.next(1 + random.below(40), ceiling).unwrap();
        let Removed { ports: aside, fates } = self.history.take_removed();
        given.removed += fates.sum();
        for batch in batch.iter().chain(aside.iter().map(|(_, batch)| batch)) {
            let early = batch.times().iter().find(|&&time| time <= self.watermark.0);
            assert_eq!(early, None, "a row comes behind the watermark {}", self.watermark);
        }
        if let Some(batch) = &batch {
            for row in 0..batch.rows() {
                let place = (batch.time(row), batch.order(row));
                assert!(Some(place) >= self.last && place.0 <= ceiling, "{place:?} after {:?}, {ceiling}", self.last);
                self.last = Some(place);
            }
            given.ids.extend(ids_of(batch));
        }
        given.aside.extend(names_of(aside));
        let watermark = self.history.watermark();
        assert!(watermark >= self.watermark, "the watermark {} goes back to {watermark}", self.watermark);
        self.watermark = watermark;
    }
}

/// Reads in phases: each deals all shares to some readers, reads a random part, and hands the positions on as bytes.
fn read_in_phases(random: &mut Random, plan: &Arc<HistoryPlan>) -> Given {
    let (mut given, later) = (Given::default(), Later::default());
    let mut shares = plan.shares();
    let steps = random.of(&[6, 60]);
    for phase in (0..random.of(&[1, 2, 4, 10])).rev() {
        let count = random.of(&[1, 2, 3, 5]);
        let background: Arc<dyn Background> =
            if random.percent(50) { Arc::new(AtOnce) } else { Arc::new(later.clone()) };
        let room = HistoryRoom { readers: count, ..room(random.of(&[1 << 12, 1 << 16, 1 << 24])) };
        let stats = Arc::new(StreamStats::new("events", 1, 1));
        let new = |_| History::new(plan.clone(), background.clone(), stats.clone(), room.clone());
        let new = |reader| Checked { history: new(reader), last: None, watermark: EventTime::MIN };
        let mut readers: Vec<Checked> = (0..count).map(new).collect();
        random.shuffle(&mut shares);
        let mut kept = Vec::new();
        for (share, position) in std::mem::take(&mut shares) {
            // Some come only when the others have been read for a while.
            if random.percent(5) {
                kept.push((random.below(count), share, position));
            } else {
                readers[random.below(count)].add(vec![(share, position)]);
            }
        }
        for step in 0.. {
            if step == 10 {
                kept.drain(..).for_each(|(reader, share, position)| readers[reader].add(vec![(share, position)]));
            }
            let is_over = kept.is_empty() && readers.iter().all(|reader| reader.history.is_finished());
            if is_over || (phase > 0 && random.below(steps) == 0) {
                break;
            }
            let reader = random.below(count);
            readers[reader].poll(random, &mut given);
            if random.percent(70) {
                later.run_one();
            }
        }
        shares = kept.into_iter().map(|(_, share, position)| (share, position)).collect();
        let positions = readers.iter().flat_map(|reader| reader.history.positions());
        shares.extend(positions.map(|(share, at)| (share, SharePosition::parse(share, &at.to_bytes()).unwrap())));
        shares.sort_by_key(|(share, _)| *share);
        assert!(shares.iter().map(|(share, _)| *share).eq(plan.shares().iter().map(|(share, _)| *share)));
    }
    given.ids.sort_unstable();
    given.aside.sort_unstable();
    given
}

#[test]
fn any_readers_go_on_where_others_stopped() {
    for seed in 0..600 {
        let mut random = Random(seed);
        let archive = random.percent(40);
        let files = random_files(&mut random, archive);
        let told = random.of(&[Told::Nothing, Told::Files, Told::Groups]);
        let memory = MemoryFiles::new(&files, archive, told);
        let name = |file: usize, group: usize, row: usize| match memory.files()[file].groups[group].rows {
            Some(_) | None if group == 0 => format!("file {file}.parquet, row {}", row + 1),
            Some(_) => format!("file {file}.parquet, row {}", row + 1),
            None => {
                let before: usize = files[file][..group].iter().map(Vec::len).sum();
                format!("file {file}.parquet, row group {}, row {}", group + 1, row - before + 1)
            }
        };
        let mut expected = expected(&files, archive, name);
        expected.ids.sort_unstable();
        let memory = Arc::new(memory);
        let plan = Arc::new(HistoryPlan::new(&spec(), memory.clone()).unwrap());
        let given = read_in_phases(&mut random, &plan);
        assert_eq!(given.ids, expected.ids, "seed {seed}");
        assert_eq!(given.aside, expected.aside, "seed {seed}");
        assert_eq!(given.removed, expected.removed, "seed {seed}");
        let silent = StreamSpec { bad_rows: BadRowPolicy::Skip, late: Late::Drop, ..spec() };
        let given = read_in_phases(&mut random, &Arc::new(HistoryPlan::new(&silent, memory).unwrap()));
        assert_eq!((given.ids, given.aside.len()), (expected.ids, 0), "seed {seed}");
        assert_eq!(given.removed, expected.removed, "seed {seed}, removed without a trace");
    }
}

#[test]
fn one_reader_gives_the_rows_as_a_sort_does() {
    for seed in 0..100 {
        let mut random = Random(seed);
        let files = random_files(&mut random, false);
        let rows: Vec<FileRow> = files.iter().flatten().flatten().filter(|row| row.at.is_some()).copied().collect();
        let batch = MemoryFiles::new(&[vec![rows]], false, Told::Nothing);
        let naive = Batch::clone(&all_rows(&batch)).sorted().unwrap();
        let told = random.of(&[Told::Nothing, Told::Files, Told::Groups]);
        let memory = random.of(&[1 << 12, 1 << 24]);
        let mut history = history(MemoryFiles::new(&files, false, told), room(memory), AtOnce);
        assert_eq!(read(&mut history).0, ids_of(&naive), "seed {seed}");
    }
}

/// The rows of the only row group of a set of files, with their times and orders, in the sequence of the file.
fn all_rows(files: &MemoryFiles) -> Batch {
    let layout = crate::layout::Layout::of(&spec(), "all", &files.schema()).unwrap();
    let mut rows = files.open(0, 0..1, &layout.columns, usize::MAX).unwrap();
    let stats = StreamStats::new("events", 0, 1);
    match rows.next() {
        Some(columns) => layout.place(&spec(), &stats, &columns.unwrap(), 0, &|_| String::new()).unwrap().0,
        None => Batch::empty(schema()),
    }
}

#[test]
fn row_groups_before_a_position_are_not_opened_again() {
    let files = in_groups(dealt(20_000, 2, |row| row / 10_000), 1_000);
    let first = MemoryFiles::new(&files, false, Told::Groups);
    let mut history = history(first, room(1 << 20), AtOnce);
    let mut rows = 0;
    while rows < 12_500 {
        rows += history.next(500, EventTime::MAX).unwrap().unwrap().rows();
    }
    let positions = history.positions();
    let again = MemoryFiles::new(&files, false, Told::Groups);
    let opened = again.opened.clone();
    let plan = Arc::new(HistoryPlan::new(&spec(), Arc::new(again)).unwrap());
    let stats = Arc::new(StreamStats::new("events", 20_000, 1));
    let mut history = History::new(plan, Arc::new(AtOnce), stats, room(1 << 20));
    history.add(positions).unwrap();
    assert_eq!(history.watermark(), EventTime(12_499 * 1_000 - 1));
    assert_eq!(read(&mut history).0, (12_500..20_000).collect::<Vec<_>>());
    let opened: BTreeSet<_> = opened.lock().unwrap().iter().map(|&(file, group, _)| (file, group)).collect();
    assert_eq!(opened, (2..10).map(|group| (1, group)).collect());
}

/// Takes the shares of a history up again with files of the same content.
fn again(history: &History, files: &[Vec<Vec<FileRow>>], room: HistoryRoom) -> History {
    let plan = HistoryPlan::new(&spec(), Arc::new(MemoryFiles::new(files, false, Told::Groups))).unwrap();
    let stats = Arc::new(StreamStats::new("events", 1, 1));
    let mut again = History::new(Arc::new(plan), Arc::new(AtOnce), stats, room);
    again.add(history.positions()).unwrap();
    again
}

#[test]
fn rows_without_a_time_are_read_though_all_others_of_their_row_group_were_given_out() {
    let first = (0..300).map(|id| row(id, id)).chain((300..500).map(|id| FileRow { at: None, ..row(id, 0) }));
    let files = vec![vec![first.collect(), (500..1_500).map(|id| row(id, id)).collect()]];
    let mut before = history(MemoryFiles::new(&files, false, Told::Groups), room(1 << 12), AtOnce);
    let (mut ids, mut names) = (Vec::new(), Vec::new());
    while ids.len() < 400 {
        ids.extend(before.next(50, EventTime::MAX).unwrap().iter().flat_map(ids_of));
        names.extend(names_of(before.take_removed().ports));
    }
    assert!(names.len() < 200, "all of them were read before");
    let mut after = again(&before, &files, room(1 << 12));
    while !after.is_finished() {
        ids.extend(after.next(50, EventTime::MAX).unwrap().iter().flat_map(ids_of));
        names.extend(names_of(after.take_removed().ports));
    }
    assert_eq!(ids, (0..300).chain(500..1_500).collect::<Vec<_>>());
    assert_eq!(names, (300..500).map(|id| format!("file 0.parquet, row {}", id + 1)).collect::<Vec<_>>());
}

#[test]
fn what_was_not_taken_comes_again() {
    let files = vec![vec![vec![row(1, 5), FileRow { at: None, ..row(2, 0) }], vec![row(3, 7)]]];
    let mut reading = history(MemoryFiles::new(&files, false, Told::Groups), room(1 << 20), AtOnce);
    while reading.current.rows.rows().rows() == 0 {
        reading.next(10, EventTime::MIN).unwrap();
    }
    // Without the dead letter that waits nothing is finished, and a position does not cover it.
    let mut after = again(&reading, &files, room(1 << 20));
    assert!(reading.next(10, EventTime::MAX).unwrap().is_some() && !reading.is_finished());
    let unfinished = again(&reading, &files, room(1 << 20));
    for mut history in [reading, unfinished] {
        history.add(vec![]).unwrap();
        let mut names = Vec::new();
        while !history.is_finished() {
            assert!(history.next(10, EventTime::MAX).unwrap().is_none());
            names.extend(names_of(history.take_removed().ports));
        }
        assert_eq!(names, ["file 0.parquet, row 2"]);
    }
    assert_eq!(read(&mut after).0, [1, 3]);
}

#[test]
fn another_history_is_refused_by_the_name_of_a_file() {
    let files = in_groups(dealt(20_000, 70, |row| row / 300), 100);
    let plan = |files: &[Vec<Vec<FileRow>>], spec: &crate::StreamSpec| {
        HistoryPlan::new(spec, Arc::new(MemoryFiles::new(files, false, Told::Groups))).unwrap()
    };
    let positions = plan(&files, &spec()).shares();
    let refusal = |files: &[Vec<Vec<FileRow>>], spec: &crate::StreamSpec| {
        let error = plan(files, spec).check(&positions).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        error.to_string()
    };
    plan(&files, &spec()).check(&positions).unwrap();
    let text = refusal(&files[..69], &spec());
    assert_eq!(
        text,
        "stream \"events\": history \"raw.events\" is not what it was when part of it was read: file \"69.parquet\" is \
         missing; bring it back as it was, or begin anew with --fresh"
    );
    let more = [files.clone(), dealt(5, 1, |_| 0)].concat();
    assert!(refusal(&more, &spec()).contains("file \"70.parquet\" is new"));
    let mut other = files.clone();
    other[3][0].pop();
    assert!(refusal(&other, &spec()).contains("file \"3.parquet\" has 2396 bytes, had 2404"));
    let delayed = crate::StreamSpec { delay: dataflow::Span(9), ..spec() };
    assert!(refusal(&files, &delayed).contains("its time column or its delay are others"));
    // One share alone may not know which file it was.
    for (share, position) in positions {
        let error = plan(&more, &spec()).check(&[(share, position)]).unwrap_err().to_string();
        let named = error.contains("file \"70.parquet\" is new");
        assert!(named || error.contains("it has 71 files of"), "{error}");
    }
}

#[test]
fn a_share_that_was_given_twice_is_refused() {
    let files = MemoryFiles::new(&dealt(10, 1, |_| 0), false, Told::Groups);
    let mut history = history(files, room(1 << 20), AtOnce);
    let again = history.positions();
    let error = history.add(again.clone()).unwrap_err().to_string();
    assert_eq!(error, "history \"raw.events\": share 0 was given to one reader twice");
    let error = history.add(vec![(64, again[0].1.clone())]).unwrap_err().to_string();
    assert_eq!(error, "history \"raw.events\": share 64 is none of 64");
    assert_eq!(read(&mut history).0, (0..10).collect::<Vec<_>>());
}

#[test]
fn a_position_that_names_row_groups_of_others_is_refused() {
    let files = MemoryFiles::new(&dealt(10, 2, |row| row % 2), false, Told::Groups);
    let mut history = history(files, room(1 << 20), AtOnce);
    let mut position = history.positions().remove(0).1;
    for group in [1, 64] {
        position.aside = BTreeMap::from([(group, 3)]);
        let error = history.add(vec![(0, position.clone())]).unwrap_err();
        let named = format!("the position of share 0 names row group {group}, which is none of its own");
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Corrupt, format!("history \"raw.events\": {named}")));
    }
}

#[test]
fn finished_shares_ask_for_no_files() {
    let files = MemoryFiles::new(&dealt(10, 1, |_| 0), false, Told::Groups);
    let mut first = history(files, room(1 << 20), AtOnce);
    read(&mut first);
    let positions = first.positions();
    assert!(positions.iter().all(|(_, position)| position.is_finished));
    let none = Arc::new(HistoryPlan::new(&spec(), Arc::new(MemoryFiles::new(&[], false, Told::Groups))).unwrap());
    let stats = Arc::new(StreamStats::new("events", 0, 1));
    let mut history = History::new(none, Arc::new(AtOnce), stats, room(1 << 20));
    history.add(positions.clone()).unwrap();
    assert!(history.is_finished());
    assert_eq!(history.positions(), positions);
}

/// Files on disk of a format, one row group each, as the folder connector reads them.
fn on_disk(folder: &Path, files: &[Vec<Vec<FileRow>>], format: &str) -> Arc<dyn TimedFiles> {
    use arrow::array::{Int64Array, RecordBatch, TimestampMicrosecondArray};
    for (index, file) in files.iter().enumerate() {
        let rows = file.concat();
        let path = folder.join(format!("{index}.{format}"));
        if format == "parquet" {
            let ids = Int64Array::from_iter_values(rows.iter().map(|row| row.id));
            let times = TimestampMicrosecondArray::from_iter(rows.iter().map(|row| row.at));
            let batch = RecordBatch::try_new(schema(), vec![Arc::new(ids), Arc::new(times)]).unwrap();
            connector_local::write_parquet(&path, schema(), Box::new(std::iter::once(Ok(batch)))).unwrap();
            continue;
        }
        let time = |at: i64| format!("\"1970-01-01T00:00:00.{at:06}\"");
        let line =
            |row: &FileRow| format!("{{\"id\": {}, \"at\": {}}}\n", row.id, row.at.map_or("null".to_owned(), time));
        std::fs::write(&path, rows.iter().map(line).collect::<String>()).unwrap();
    }
    let columns: Vec<_> =
        schema().fields().iter().map(|field| (vec![field.name().clone()], field.data_type().clone())).collect();
    let (pattern, encoding) = (format!("*.{format}"), Default::default());
    Arc::new(connector_local::Files::open(&pattern, folder, &columns, encoding).unwrap())
}

#[test]
fn text_and_parquet_files_on_disk_are_taken_up_again() {
    for seed in 0..60 {
        let mut random = Random(seed);
        let format = random.of(&["jsonl", "parquet"]);
        let mut files = random_files(&mut random, false);
        // Times of more than a second are not written here; a column without a value has no type.
        files.iter_mut().flatten().flatten().for_each(|row| row.at = row.at.map(|at| at % 1_000_000));
        files.push(vec![vec![row(-1, 7)]]);
        let folder = tempfile::tempdir().unwrap();
        let disk = on_disk(folder.path(), &files, format);
        let named = |file: usize, _: usize, row: usize| {
            let path = folder.path().join(format!("{file}.{format}"));
            format!("file {}, row {}", path.display(), row + 1)
        };
        let mut expected = expected(&files, false, named);
        expected.ids.sort_unstable();
        let plan = Arc::new(HistoryPlan::new(&spec(), disk).unwrap());
        let given = read_in_phases(&mut random, &plan);
        assert_eq!(given.ids, expected.ids, "seed {seed}, {format}");
        assert_eq!(given.aside, expected.aside, "seed {seed}, {format}");
    }
}
