//! Drops repeated deliveries of a row.

use crate::columns;
use crate::fingerprint::Fingerprint;
use crate::restored_rows::RestoredRows;
use arrow::datatypes::SchemaRef;
use dataflow::{
    Batch, Context, Error, EventTime, Fate, Frozen, Input, Operator, Port, Progress, Result, Span, StateReader,
    StateWriter,
};
use state::{GroupBlobs, KeyIndex, Keys, Log, Shape};
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
    // By key id; NEVER for ids without a key.
    last: Vec<i64>,
    log: Log,
    staged: RestoredRows,
    watermark: EventTime,
    fingerprint: u64,
}

const NEVER: i64 = i64::MIN;
const DELIVERY: u8 = 1;

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
            last: Vec::new(),
            log: Log::new(Shape::default()),
            staged: RestoredRows::default(),
            watermark: EventTime::MIN,
            fingerprint,
        })
    }

    /// Forgets the deliveries that no row at or after a time repeats.
    fn forget_before(&mut self, next: i64) -> Result<()> {
        let passed = next.saturating_sub(self.within.0).saturating_sub(1);
        let end = self.log.first_above(self.log.start(), passed)?;
        let (keys, last) = (&mut self.keys, &mut self.last);
        self.log.drop_before(end, |page, from, to| {
            for &key in &page.keys[from..to] {
                if keys.release(key) {
                    last[key as usize] = NEVER;
                }
            }
        })?;
        self.log.fit(std::iter::empty()).map(drop)
    }

    /// Takes up restored deliveries.
    fn settle(&mut self) -> Result<()> {
        self.staged.append_to(&mut self.log)
    }

    fn count_state(&self, cx: &mut Context) {
        cx.set_state(self.keys.size() + self.last.capacity() * 8, self.log.size(), self.log.spilled());
    }
}

impl Operator for Dedup {
    fn process(&mut self, _: Input, batch: &Batch, cx: &mut Context) -> Result<Progress> {
        self.log.share(cx.memory());
        self.settle()?;
        let Some(&newest) = batch.times().last() else { return Ok(Progress::Done) };
        if !batch.times().is_sorted() || self.log.last_time().is_some_and(|last| batch.times()[0] < last) {
            return Err(Error::internal("rows came to a dedup out of order; it stands after a merge"));
        }
        let mut keys = Vec::new();
        self.keys.intern(batch, &self.key_columns, &mut keys)?;
        self.last.resize(self.keys.ids(), NEVER);
        let mut kept = Vec::with_capacity(batch.rows());
        for (row, (&key, &time)) in keys.iter().zip(batch.times().iter()).enumerate() {
            let last = std::mem::replace(&mut self.last[key as usize], time);
            if last == NEVER || time.saturating_sub(last) > self.within.0 {
                kept.push(row as u32);
            }
        }
        self.log.append(batch.times(), &keys, &[], &[]);
        self.forget_before(newest)?;
        cx.count(Fate::In, batch.rows());
        cx.count(Fate::Out, kept.len());
        cx.count(Fate::Deduplicated, batch.rows() - kept.len());
        cx.emit(Port::MAIN, if kept.len() == batch.rows() { batch.clone() } else { batch.take(&kept)? });
        self.count_state(cx);
        Ok(Progress::Done)
    }

    fn advance(&mut self, watermark: EventTime, cx: &mut Context) -> Result<Progress> {
        self.log.share(cx.memory());
        self.settle()?;
        self.watermark = self.watermark.max(watermark);
        self.forget_before(watermark.0.saturating_add(1))?;
        self.count_state(cx);
        Ok(Progress::Done)
    }

    fn next_due(&self, _: EventTime) -> Option<EventTime> {
        None
    }

    fn freeze(&mut self) -> Result<Arc<dyn Frozen>> {
        Ok(Arc::new(FrozenDedup {
            keys: self.keys.keys().clone(),
            last: self.last.clone(),
            watermark: self.watermark,
            fingerprint: self.fingerprint,
        }))
    }

    fn restore(&mut self, state: &mut dyn StateReader, cx: &mut Context) -> Result<()> {
        let mut watermark = (self.watermark != EventTime::MIN).then_some(self.watermark);
        state::read_blobs(state, cx.groups(), self.fingerprint, &mut watermark, |tag, keys, blob| {
            if tag != DELIVERY {
                return Err(Error::corrupt(format!("a record in the state of a dedup has the unknown tag {tag}")));
            }
            let key = self.keys.intern_canonical(keys.get(blob)?)?;
            let time = blob.i64()?;
            self.last.resize(self.keys.ids(), NEVER);
            self.last[key as usize] = time;
            self.staged.records.keys.push(key);
            self.staged.records.times.push(time);
            Ok(())
        })?;
        self.watermark = watermark.unwrap_or(EventTime::MIN);
        self.count_state(cx);
        Ok(())
    }
}

struct FrozenDedup {
    keys: Keys,
    last: Vec<i64>,
    watermark: EventTime,
    fingerprint: u64,
}

impl Frozen for FrozenDedup {
    fn write(&self, out: &mut dyn StateWriter) -> Result<()> {
        let mut blobs = GroupBlobs::default();
        for (key, &time) in self.last.iter().enumerate().filter(|(_, time)| **time != NEVER) {
            blobs.record(DELIVERY, &self.keys, key as u32).i64(time);
        }
        blobs.write(self.fingerprint, self.watermark, out)
    }
}
