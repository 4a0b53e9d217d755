//! Drops repeated deliveries of a row.

use crate::columns;
use crate::fingerprint::Fingerprint;
use crate::restored_rows::RestoredRows;
use arrow::datatypes::SchemaRef;
use dataflow::{
    Batch, Context, Error, EventTime, Fate, Frozen, Input, Operator, Port, Progress, Result, Span, StateReader,
    StateWriter,
};
use state::{Encoder, KeyIndex, Keys, Log, Shape, Table, TablePage};
use std::sync::Arc;

/// Puts rows out at once and in order, but for those whose key was delivered before, at most `within` ago, that bound
/// included. A dropped delivery counts as a delivery for those after it.
///
/// NULL keys are equal to each other. State: the time of the last delivery of each key, forgotten when `within` has
/// passed, and the deliveries of that time in a log.
#[derive(Debug)]
pub struct Dedup {
    key_columns: Vec<usize>,
    within: Span,
    keys: KeyIndex,
    // By key id. That of an id without a key is one that was forgotten, or NEVER.
    last: Table<i64>,
    // By chunk of it, the greatest time that was set there since it was emptied.
    newest: Vec<i64>,
    // Deliveries up to this time are forgotten.
    forgotten: i64,
    log: Log,
    staged: RestoredRows,
    watermark: EventTime,
    fingerprint: u64,
}

const NEVER: i64 = i64::MIN;
const DELIVERY: u8 = 1;

/// So many deliveries are forgotten before it is looked whether memory is short, where keys are on disk.
const FORGOTTEN_AT_ONCE: u64 = 1 << 20;

/// So many entries are restored before it is looked whether memory is short.
const ENTRIES_AT_ONCE: usize = 4096;

/// What the state of a dedup is of.
pub(crate) fn fingerprint(schema: &SchemaRef, keys: &[usize], within: Span) -> Result<u64> {
    Ok(Fingerprint::of("dedup").schema(schema)?.columns(keys).micros(within.0).hash())
}

impl Dedup {
    /// Drops rows of a schema with equal keys that lie within a span of each other.
    pub fn new(schema: SchemaRef, keys: Vec<usize>, within: Span) -> Result<Dedup> {
        let types = columns::types(&schema, &keys, "a DEDUP key")?;
        if within.0 < 0 {
            return Err(Error::invalid(format!("DEDUP WITHIN is {} us, expected 0 or more", within.0)));
        }
        let fingerprint = fingerprint(&schema, &keys, within)?;
        Ok(Dedup {
            key_columns: keys,
            within,
            keys: KeyIndex::new(&types, true),
            last: Table::new(1, NEVER),
            newest: Vec::new(),
            forgotten: NEVER,
            log: Log::new(Shape::default()),
            staged: RestoredRows::default(),
            watermark: EventTime::MIN,
            fingerprint,
        })
    }

    /// Forgets the deliveries that no row at or after a time repeats. The last time of a key that is forgotten stays where it
    /// is, which may be on disk: it lies so far back that whoever gets the id next is new all the same. A chunk of such times
    /// alone goes without being read.
    fn forget_before(&mut self, next: i64, cx: &mut Context) -> Result<()> {
        let passed = next.saturating_sub(self.within.0).saturating_sub(1);
        let end = self.log.first_above(self.log.start(), passed)?;
        self.forgotten = self.forgotten.max(passed);
        while self.log.start() < end {
            let to = end.min(self.log.start() + FORGOTTEN_AT_ONCE);
            let (keys, mut unheld) = (&mut self.keys, Vec::new());
            self.log.drop_before(to, |page, from, to| keys.unreference(&page.keys[from..to], &mut unheld))?;
            if self.keys.spilled() > 0 {
                unheld.sort_unstable();
            }
            while !unheld.is_empty() {
                self.keys.forget_last(&mut unheld)?;
                if self.keys.spilled() > 0 && cx.memory().is_short() {
                    self.fit(cx)?;
                }
            }
        }
        for (chunk, newest) in self.newest.iter_mut().enumerate() {
            if *newest != NEVER && *newest <= self.forgotten {
                self.last.clear_chunk(chunk);
                *newest = NEVER;
            }
        }
        Ok(())
    }

    /// Sets the last delivery of a key whose entry is in memory; gives the one before.
    fn deliver(&mut self, key: u32, time: i64) -> i64 {
        let chunk = key as usize / self.last.chunk_rows();
        if self.newest.len() <= chunk {
            self.newest.resize(chunk + 1, NEVER);
        }
        self.newest[chunk] = self.newest[chunk].max(time);
        std::mem::replace(&mut self.last.row_mut(key)[0], time)
    }

    /// Shares memory with other steps.
    fn share(&mut self, cx: &Context) {
        self.log.share(cx.memory());
        self.keys.spill_to(cx.memory());
        self.last.spill_to(cx.memory());
    }

    /// Puts state aside where memory is short.
    fn fit(&mut self, cx: &mut Context) -> Result<()> {
        self.count_state(cx);
        self.log.fit(std::iter::empty())?;
        state::fit(cx.memory(), &mut [&mut self.keys, &mut self.last])?;
        self.count_state(cx);
        Ok(())
    }

    /// Takes up restored deliveries.
    fn settle(&mut self) -> Result<()> {
        self.staged.append_to(&mut self.log)
    }

    /// What its state is of: 64 bits that stand in every piece of it.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    fn count_state(&self, cx: &mut Context) {
        let spilled = self.log.spilled() + self.keys.spilled() + self.last.spilled();
        cx.set_state(self.keys.size() + self.last.size(), self.log.size(), spilled);
    }
}

impl Operator for Dedup {
    fn process(&mut self, _: Input, batch: &Batch, cx: &mut Context) -> Result<Progress> {
        self.share(cx);
        self.settle()?;
        let Some(&newest) = batch.times().last() else { return Ok(Progress::Done) };
        if !batch.times().is_sorted() || self.log.last_time().is_some_and(|last| batch.times()[0] < last) {
            return Err(Error::internal("rows came to a dedup out of order; it stands after a merge"));
        }
        let mut keys = Vec::new();
        self.keys.intern(batch, &self.key_columns, &mut keys)?;
        self.last.load(keys.iter().copied())?;
        let mut kept = Vec::with_capacity(batch.rows());
        for (row, (&key, &time)) in keys.iter().zip(batch.times().iter()).enumerate() {
            let last = self.deliver(key, time);
            if last == NEVER || time.saturating_sub(last) > self.within.0 {
                kept.push(row as u32);
            }
        }
        self.log.append(batch.times(), &keys, &[], &[]);
        self.forget_before(newest, cx)?;
        cx.count(Fate::In, batch.rows());
        cx.count(Fate::Out, kept.len());
        cx.count(Fate::Deduplicated, batch.rows() - kept.len());
        cx.emit(Port::MAIN, if kept.len() == batch.rows() { batch.clone() } else { batch.take(&kept)? });
        self.fit(cx)?;
        Ok(Progress::Done)
    }

    fn advance(&mut self, watermark: EventTime, cx: &mut Context) -> Result<Progress> {
        self.share(cx);
        self.settle()?;
        self.watermark = self.watermark.max(watermark);
        self.forget_before(watermark.0.saturating_add(1), cx)?;
        self.fit(cx)?;
        Ok(Progress::Done)
    }

    fn next_due(&self, _: EventTime) -> Option<EventTime> {
        None
    }

    fn freeze(&mut self) -> Result<Arc<dyn Frozen>> {
        self.last.share();
        Ok(Arc::new(FrozenDedup {
            keys: self.keys.snapshot(),
            last: self.last.clone(),
            forgotten: self.forgotten,
            watermark: self.watermark,
            fingerprint: self.fingerprint,
        }))
    }

    fn restore(&mut self, state: &mut dyn StateReader, cx: &mut Context) -> Result<()> {
        let mut watermark = (self.watermark != EventTime::MIN).then_some(self.watermark);
        self.share(cx);
        let mut entries = 0;
        state::read_blobs(state, cx.groups(), self.fingerprint, &mut watermark, |tag, keys, blob| {
            if tag != DELIVERY {
                return Err(Error::corrupt(format!("a record in the state of a dedup has the unknown tag {tag}")));
            }
            let key = self.keys.intern_canonical(keys.get(blob)?)?;
            let time = blob.i64()?;
            self.last.load_one(key)?;
            // A key that was forgotten, and came again, may be there twice: with the time that was forgotten, too.
            let before = self.deliver(key, time);
            self.deliver(key, before.max(time));
            self.staged.records.keys.push(key);
            self.staged.records.times.push(time);
            entries += 1;
            if entries % ENTRIES_AT_ONCE == 0 { self.fit(cx) } else { Ok(()) }
        })?;
        self.watermark = watermark.unwrap_or(EventTime::MIN);
        self.fit(cx)
    }
}

struct FrozenDedup {
    keys: Keys,
    last: Table<i64>,
    forgotten: i64,
    watermark: EventTime,
    fingerprint: u64,
}

impl Frozen for FrozenDedup {
    fn write(&self, out: &mut dyn StateWriter) -> Result<()> {
        let record = |row: &[i64], out: &mut Encoder| {
            out.i64(row[0]);
            // Also of ids without a key: NEVER is before all that is forgotten.
            row[0] > self.forgotten
        };
        let page = TablePage { tag: DELIVERY, fingerprint: self.fingerprint };
        self.last.put(&self.keys, page, self.watermark, &record, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::{Row, Value, batch, rows, schema};
    use dataflow::{KeyGroups, Snapshot, SpillInMemory, StateMemory};
    use state::GroupBlobs;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    fn row(time: i64, key: i64) -> Row {
        let values =
            vec![Value::Integer(key), Value::Integer(1), Value::Float(0.5), Value::text("word"), Value::Boolean(true)];
        Row { time, order: time as u128, values }
    }

    /// Before tables had chunks, their entries were records in the blob of their key's group.
    #[test]
    fn entries_that_are_records_of_their_group_are_read() {
        let make = || Dedup::new(schema(), vec![0], Span(10)).unwrap();
        let (mut blobs, mut keys) = (GroupBlobs::default(), KeyIndex::new(&[arrow::datatypes::DataType::Int64], true));
        for key in 0..40i64 {
            let id = keys.intern_canonical(&[&[1][..], &key.to_le_bytes()].concat()).unwrap();
            blobs.record(DELIVERY, &keys.snapshot(), id).unwrap().i64(100 + key % 2);
        }
        let (mut stored, mut restored) = (Snapshot::default(), make());
        blobs.write(restored.fingerprint, EventTime(101), &mut stored).unwrap();
        let mut cx = Context::new(KeyGroups::ALL);
        restored.restore(&mut stored, &mut cx).unwrap();
        cx.set_room(100, usize::MAX);
        // Of times 100 and 101 the first is forgotten at 111.
        let again: Vec<Row> = (0..40).map(|key| row(111, key)).collect();
        restored.process(Input(0), &batch(&schema(), &again), &mut cx).unwrap();
        let out = cx.take_emitted();
        let passed: Vec<Row> = out.iter().flat_map(|(_, batch)| rows(batch)).collect();
        let even: Vec<Row> = (0..40).filter(|key| key % 2 == 0).map(|key| row(111, key)).collect();
        assert_eq!(format!("{passed:?}"), format!("{even:?}"));
    }

    /// A disk in memory that notes how many bytes of state there were when something was read from it.
    struct Watched(Arc<Peak>);

    #[derive(Default)]
    struct Peak {
        memory: std::sync::OnceLock<std::sync::Weak<StateMemory>>,
        most: AtomicUsize,
        reads: AtomicUsize,
    }

    struct Piece(Box<dyn dataflow::SpilledPiece>, Arc<Peak>);

    impl dataflow::SpillStore for Watched {
        fn file(&self) -> Box<dyn dataflow::SpillFile> {
            Box::new(Watched(self.0.clone()))
        }
    }

    impl dataflow::SpillFile for Watched {
        fn write(&self, bytes: Vec<u8>) -> Result<Box<dyn dataflow::SpilledPiece>> {
            self.0.look();
            Ok(Box::new(Piece(dataflow::SpillStore::file(&SpillInMemory).write(bytes)?, self.0.clone())))
        }
    }

    impl dataflow::SpilledPiece for Piece {
        fn fetch(&self) {}

        fn read(&self) -> Result<Vec<u8>> {
            self.1.reads.fetch_add(1, Relaxed);
            self.1.look();
            self.0.read()
        }
    }

    impl Peak {
        fn look(&self) {
            let used = self.memory.get().and_then(std::sync::Weak::upgrade).map_or(0, |memory| memory.used());
            self.most.fetch_max(used, Relaxed);
        }
    }

    /// Ten thousand keys that are all forgotten at once, from a state of which most is on disk.
    #[test]
    fn keys_that_are_forgotten_at_once_are_not_brought_back_at_once() {
        let (peak, limit) = (Arc::new(Peak::default()), 500_000);
        let memory = StateMemory::with_pages_of(64, limit, Box::new(Watched(peak.clone())));
        peak.memory.set(Arc::downgrade(&memory)).unwrap();
        let mut cx = Context::with_memory(KeyGroups::ALL, memory.clone());
        // Text keys, whose bytes are what is on disk.
        let mut dedup = Dedup::new(schema(), vec![3], Span(100)).unwrap();
        let text = |key: i64| Value::Text(format!("a key with the number {key}, which is not a short one"));
        let keyed = |time: i64, key: i64| {
            let mut row = row(time, key);
            row.values[3] = text(key);
            row
        };
        let put = |dedup: &mut Dedup, cx: &mut Context, time: i64, keys: std::ops::Range<i64>| {
            let rows: Vec<Row> = keys.map(|key| keyed(time, key)).collect();
            cx.set_room(rows.len(), usize::MAX);
            dedup.process(Input(0), &batch(&schema(), &rows), cx).unwrap();
            cx.take_emitted().iter().map(|(_, batch)| batch.rows()).sum::<usize>()
        };
        for hundred in 0..100 {
            assert_eq!(put(&mut dedup, &mut cx, 1, hundred * 100..hundred * 100 + 100), 100);
        }
        assert!(dedup.keys.spilled() > 0 && dedup.last.spilled() > 0, "nothing is on disk");
        peak.most.store(0, Relaxed);
        peak.reads.store(0, Relaxed);
        dedup.advance(EventTime(1_000), &mut cx).unwrap();
        assert!(dedup.keys.is_empty());
        let most = peak.most.load(Relaxed);
        assert!(most > 0 && most < limit + limit / 10, "{most} bytes of {limit}");
        assert_eq!(dedup.last.spilled(), 0, "times that are forgotten stay on disk");
        // Those that come again are new, and so are others that get their ids.
        assert_eq!(put(&mut dedup, &mut cx, 1_001, 5_000..5_100), 100);
        assert_eq!(put(&mut dedup, &mut cx, 1_002, 5_050..5_150), 50);
        let mut stored = Snapshot::default();
        dedup.freeze().unwrap().write(&mut stored).unwrap();
        let mut again = Dedup::new(schema(), vec![3], Span(100)).unwrap();
        again.restore(&mut stored, &mut cx).unwrap();
        assert_eq!(again.keys.len(), 150);
        assert_eq!(put(&mut again, &mut cx, 1_003, 5_100..5_200), 50);
    }
}
