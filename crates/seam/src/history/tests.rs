//! Shares of files in time order: sorted, complete, within a memory bound, and taken up again by any readers.

mod arrivals;
mod files;
mod resume;

use super::*;
use crate::placing::Aside;
use dataflow::{AtOnce, ErrorKind, Port};
use files::*;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::task::Wake;

fn room(memory_bytes: usize) -> HistoryRoom {
    HistoryRoom { memory_bytes, readers: 1, spill_dir: std::env::temp_dir() }
}

fn history(files: MemoryFiles, room: HistoryRoom, background: impl Background + 'static) -> History {
    let plan = Arc::new(HistoryPlan::new(&spec(), Arc::new(files)).unwrap());
    let stats = Arc::new(StreamStats::new("events", 1, 1));
    let mut history = History::new(plan.clone(), Arc::new(background), stats, room);
    history.add(plan.shares()).unwrap();
    history
}

fn ids_of(batch: &Batch) -> Vec<i64> {
    use arrow::array::AsArray;
    batch.column(0).as_primitive::<arrow::datatypes::Int64Type>().values().to_vec()
}

/// Reads everything at once, and checks order and watermark.
fn read(history: &mut History) -> (Vec<i64>, usize) {
    let (mut ids, mut batches, mut last, mut given) = (Vec::new(), 0, None, EventTime::MIN);
    while !history.is_finished() {
        let batch = history.next(8_192, EventTime::MAX).unwrap();
        for batch in batch.iter() {
            for row in 0..batch.rows() {
                let place = (batch.time(row), batch.order(row));
                assert!(batch.time(row) > given && Some(place) >= last, "{place:?} after {last:?}, {given}");
                last = Some(place);
            }
            ids.extend(ids_of(batch));
            batches += 1;
        }
        history.take_removed();
        given = history.watermark();
    }
    assert_eq!(history.watermark(), EventTime::MAX);
    (ids, batches)
}

/// Rows `0 .. n` a millisecond apart, dealt to files by a function of the row, in the sequence of the row.
fn dealt(n: usize, files: usize, file_of: impl Fn(usize) -> usize) -> Vec<Vec<Vec<FileRow>>> {
    let mut cut = vec![vec![Vec::new()]; files];
    for index in 0..n {
        cut[file_of(index)][0].push(row(index as i64, index as i64 * 1_000));
    }
    cut
}

/// The same files, each cut into row groups of so many rows.
fn in_groups(files: Vec<Vec<Vec<FileRow>>>, rows: usize) -> Vec<Vec<Vec<FileRow>>> {
    files.into_iter().map(|file| file.concat().chunks(rows).map(<[_]>::to_vec).collect()).collect()
}

#[test]
fn files_in_any_shape_come_in_order() {
    let n = 200_000;
    let in_order: Vec<i64> = (0..n as i64).collect();
    let memory = 4 << 20;
    let by_shape = [
        ("in order", dealt(n, 20, |row| row * 20 / n)),
        ("each over the whole range", dealt(n, 200, |row| row % 200)),
        ("half over the whole range", dealt(n, 20, |row| if row % 2 == 0 { row * 10 / n } else { 10 + row % 10 })),
        ("one file", dealt(n, 1, |_| 0)),
        ("many row groups in order", in_groups(dealt(n, 2, |row| row * 2 / n), 5_000)),
        ("row groups that overlap", in_groups(dealt(n, 4, |row| row % 4), 5_000)),
    ];
    for (shape, cut) in by_shape {
        for told in [Told::Nothing, Told::Files, Told::Groups] {
            let mut history = history(MemoryFiles::new(&cut, false, told), room(memory), AtOnce);
            let (ids, batches) = read(&mut history);
            assert_eq!(ids, in_order, "{shape}, {told:?}");
            let counts = history.stats.counts();
            assert_eq!(counts.spilled_bytes, 0, "{shape}, {told:?}");
            assert_eq!((counts.history_rows, counts.in_history), (n as u64, false));
            assert!(counts.history_held_bytes_peak <= memory as u64, "{shape}, {told:?}: {counts:?}");
            assert_eq!(counts.history_held_bytes, 0, "{shape}, {told:?}");
            assert!(batches < n / 1_500, "{shape}, {told:?}: {batches} batches");
        }
    }
}

#[test]
fn more_row_groups_than_may_be_open_come_in_order() {
    let n = 300_000;
    let files = MemoryFiles::new(&dealt(n, 1000, |row| row % 1000), false, Told::Groups);
    let open = files.open.clone();
    let (ids, _) = read(&mut history(files, room(1 << 20), AtOnce));
    assert_eq!(ids, (0..n as i64).collect::<Vec<_>>());
    let (now, most) = *open.lock().unwrap();
    assert!(now == 0 && (150..=201).contains(&most), "{most} row groups were open at once");
}

#[test]
fn shuffled_files_beyond_the_memory_bound_are_spilled() {
    let (n, memory) = (200_000, 1 << 20);
    let mut random = Random(7);
    let mut all: Vec<FileRow> = (0..n).map(|id| row(id, id / 3 * 1_000)).collect();
    random.shuffle(&mut all);
    for files in [1, 4] {
        let cut: Vec<_> = all.chunks(all.len() / files).map(|rows| vec![rows.to_vec()]).collect();
        let mut history = history(MemoryFiles::new(&cut, false, Told::Groups), room(memory), AtOnce);
        let (mut ids, _) = read(&mut history);
        ids.sort_unstable();
        assert_eq!(ids, (0..n).collect::<Vec<_>>());
        let counts = history.stats.counts();
        assert!(counts.spilled_bytes > 1 << 20, "{counts:?}");
        // Runs are merged by chunks of their own, which come on top of the bound.
        assert!(counts.history_held_bytes_peak <= memory as u64 * 3, "{counts:?}");
    }
}

#[test]
fn readers_of_one_stream_share_the_memory_bound() {
    let (n, memory) = (200_000, 4 << 20);
    let files = MemoryFiles::new(&in_groups(dealt(n, 20, |row| row % 20), 2_000), false, Told::Groups);
    let plan = Arc::new(HistoryPlan::new(&spec(), Arc::new(files)).unwrap());
    let stats = Arc::new(StreamStats::new("events", n as u64, 1));
    let mut readers = Vec::new();
    for reader in 0..3 {
        let room = HistoryRoom { readers: 3, ..room(memory) };
        let mut history = History::new(plan.clone(), Arc::new(AtOnce), stats.clone(), room);
        let shares = plan.shares().into_iter().filter(|(share, _)| share % 3 == reader);
        history.add(shares.collect()).unwrap();
        readers.push(history);
    }
    let mut ids = Vec::new();
    while readers.iter().any(|reader| !reader.is_finished()) {
        assert!(stats.counts().in_history);
        for reader in &mut readers {
            ids.extend(reader.next(1_000, EventTime::MAX).unwrap().iter().flat_map(ids_of));
        }
    }
    ids.sort_unstable();
    assert_eq!(ids, (0..n as i64).collect::<Vec<_>>());
    let counts = stats.counts();
    assert!(counts.history_held_bytes_peak <= memory as u64 && !counts.in_history, "{counts:?}");
}

#[test]
fn the_ceiling_limits_what_is_given_out_and_not_what_is_read() {
    let files = MemoryFiles::new(&dealt(1000, 3, |row| row % 3), false, Told::Groups);
    let opened = files.opened.clone();
    let mut history = history(files, room(1 << 20), AtOnce);
    assert!(history.next(10_000, EventTime(-1)).unwrap().is_none());
    assert_eq!(opened.lock().unwrap().len(), 3);
    assert!(history.has_ready());
    assert_eq!(history.next(10_000, EventTime(99_000)).unwrap().map(|batch| batch.rows()), Some(100));
    assert_eq!(history.watermark(), EventTime(99_999));
    assert!(history.next(10_000, EventTime(99_000)).unwrap().is_none());
    assert_eq!(history.next(50, EventTime(500_000)).unwrap().map(|batch| batch.rows()), Some(50));
}

#[test]
fn an_error_comes_once_behind_the_rows_before_it() {
    for (fault, kind, text) in [
        (Fault::Fails, ErrorKind::Unavailable, "file 1 is not there"),
        (Fault::Panics, ErrorKind::Internal, "reading history \"raw.events\" ahead panicked: file 1 is cursed"),
    ] {
        let mut files = MemoryFiles::new(&dealt(60_000, 2, |row| row / 50_000), false, Told::Groups);
        files.faults = vec![(1, fault)];
        let mut history = history(files, room(1 << 20), AtOnce);
        let (mut rows, mut errors) = (0, Vec::new());
        for _ in 0..100 {
            match history.next(1_000, EventTime::MAX) {
                Ok(batch) => rows += batch.map_or(0, |batch| batch.rows()),
                Err(error) => errors.push((error.kind(), error.to_string(), rows)),
            }
        }
        let [(found, message, before)] = errors.as_slice() else { panic!("{errors:?}") };
        assert_eq!((*found, message.as_str()), (kind, text));
        assert!(*before > 0 && rows == *before, "{before} rows before, {rows} in all");
        assert!(!history.is_finished() && !history.has_ready() && history.watermark() < EventTime(50_000_000));
    }
}

#[test]
fn a_row_without_a_time_fails_the_job_where_the_stream_says_so() {
    let rows = [row(1, 5), FileRow { at: None, ..row(2, 0) }];
    let files = MemoryFiles::new(&[vec![vec![row(0, 1)], rows.to_vec()]], false, Told::Groups);
    let spec = crate::StreamSpec { bad_rows: dataflow::BadRowPolicy::Fail, ..spec() };
    let plan = Arc::new(HistoryPlan::new(&spec, Arc::new(files)).unwrap());
    let stats = Arc::new(StreamStats::new("events", 3, 1));
    let mut history = History::new(plan.clone(), Arc::new(AtOnce), stats, room(1 << 20));
    history.add(plan.shares()).unwrap();
    let error = (0..3).find_map(|_| history.next(10, EventTime::MAX).err()).unwrap();
    assert_eq!(
        error.to_string(),
        "stream \"events\": file 0.parquet, row 3: it has no event time: at is NULL; its id is 2; ON BAD ROW SKIP would count it and go on"
    );
}

#[test]
fn rows_are_read_on_other_threads_and_the_waker_is_called() {
    struct Bell(Mutex<Sender<()>>);
    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.lock().unwrap().send(()).unwrap();
        }
    }
    let n = 100_000;
    let files = MemoryFiles::new(&in_groups(dealt(n, 5, |row| row % 5), 3_000), false, Told::Groups);
    let opened = files.opened.clone();
    let mut history = history(files, room(1 << 20), Threads);
    let (bell, rings) = channel();
    history.wake(&Waker::from(Arc::new(Bell(Mutex::new(bell)))));
    let mut ids = Vec::new();
    while !history.is_finished() {
        match history.next(10_000, EventTime::MAX).unwrap() {
            Some(batch) => ids.extend(ids_of(&batch)),
            // Nothing is lost when it was called before this looked.
            None if history.has_ready() || history.is_finished() => {}
            None => rings.recv().unwrap(),
        }
    }
    assert_eq!(ids, (0..n as i64).collect::<Vec<_>>());
    let here = std::thread::current().id();
    assert!(opened.lock().unwrap().iter().all(|&(_, _, thread)| thread != here));
}

#[test]
fn nothing_is_read_when_a_history_was_dropped() {
    let files = MemoryFiles::new(&dealt(100_000, 4, |row| row % 4), false, Told::Groups);
    let opened = files.opened.clone();
    let later = Later::default();
    let mut history = history(files, room(1 << 20), later.clone());
    let (plan, stats) = (Arc::downgrade(&history.plan), history.stats.clone());
    assert!(history.next(10, EventTime::MAX).unwrap().is_none() && !history.has_ready());
    drop(history);
    while later.run_one() {}
    assert!(opened.lock().unwrap().is_empty());
    assert!(plan.upgrade().is_none(), "the work that was dropped keeps its files");
    assert_eq!(stats.counts().history_held_bytes, 0);
}

#[test]
fn what_is_ready_is_bounded_while_nothing_is_given_out() {
    let files = MemoryFiles::new(&in_groups(dealt(400_000, 4, |row| row * 4 / 400_000), 1_000), false, Told::Groups);
    let opened = files.opened.clone();
    let later = Later::default();
    let mut history = history(files, room(1 << 20), later.clone());
    for _ in 0..50 {
        assert!(history.next(10, EventTime::MIN).unwrap().is_none());
        while later.run_one() {}
    }
    let opened: BTreeSet<_> = opened.lock().unwrap().iter().map(|&(file, group, _)| (file, group)).collect();
    assert!(opened.len() < 100, "{} of 400 row groups were read", opened.len());
    assert!(history.stats.counts().history_held_bytes < 1 << 20);
}

#[test]
fn files_without_rows_are_finished_at_once() {
    for files in [vec![], vec![vec![vec![]]]] {
        let mut history = history(MemoryFiles::new(&files, false, Told::Groups), room(1 << 20), AtOnce);
        assert!(history.is_finished() && history.positions().is_empty() && !history.has_ready());
        assert!(history.next(10, EventTime::MAX).unwrap().is_none());
        assert_eq!(history.watermark(), EventTime::MAX);
    }
}

/// The places of dead letters, and the ids of late rows.
fn names_of(aside: Aside) -> Vec<String> {
    use arrow::array::AsArray;
    let mut names = Vec::new();
    for (port, batch) in aside {
        match port {
            Port::LATE => names.extend(ids_of(&batch).into_iter().map(|id| format!("late {id}"))),
            _ => names.extend(batch.column(3).as_string::<i32>().iter().flatten().map(str::to_owned)),
        }
    }
    names
}
