//! Zip: puts rows that went two ways together again.

use crate::columns;
use crate::fingerprint::Fingerprint;
use crate::queue::{self, Queue};
use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use dataflow::{
    Batch, Context, Error, EventTime, Fate, Frozen, Input, Operator, Port, Progress, Result, StateReader, StateWriter,
};
use state::GroupBlobs;
use std::sync::Arc;

/// What is put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The key columns of the left input, by which its rows lie.
    pub left_keys: Vec<usize>,
    /// The same columns of the right input.
    pub right_keys: Vec<usize>,
    /// The right columns that are appended, with their names in the output.
    pub columns: Vec<(usize, String)>,
}

/// The left columns, then the appended right columns.
pub fn output_schema(left: &SchemaRef, right: &SchemaRef, spec: &Spec) -> Result<SchemaRef> {
    columns::check_keys("a zip", (left, &spec.left_keys), (right, &spec.right_keys))?;
    let mut fields = left.fields().to_vec();
    for (column, name) in &spec.columns {
        let found = columns::field(right, *column, "an appended column")?;
        fields.push(Arc::new(Field::new(name, found.data_type().clone(), found.is_nullable())));
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// Appends to each left row the columns of the right row at its place, (`_time`, `_ord`), in order and once the
/// watermark has reached it.
///
/// Both inputs hold the same rows: each place as often on one side as on the other, or it is an error. Rows that share a
/// place are equal, so either may stand for the other. Counted are left rows. State: rows above the watermark.
#[derive(Debug)]
pub struct Zip {
    left: Side,
    right: Side,
    output: SchemaRef,
    appended: Vec<usize>,
    watermark: EventTime,
    fingerprint: u64,
}

/// The rows of an input that wait for those of the other.
#[derive(Debug)]
struct Side {
    schema: SchemaRef,
    keys: Vec<usize>,
    rows: Queue,
}

const LEFT: u8 = 1;
const RIGHT: u8 = 2;

impl Zip {
    /// A zip of a left input and a right one.
    pub fn new(left: SchemaRef, right: SchemaRef, spec: Spec) -> Result<Zip> {
        let output = output_schema(&left, &right, &spec)?;
        let Spec { left_keys, right_keys, columns } = spec;
        let appended: Vec<usize> = columns.into_iter().map(|(column, _)| column).collect();
        let fingerprint = Fingerprint::of("zip").schema(&left)?.schema(&right)?;
        let fingerprint = fingerprint.columns(&left_keys).columns(&right_keys).columns(&appended).hash();
        let side = |schema, keys| Side { schema, keys, rows: Queue::default() };
        let (left, right) = (side(left, left_keys), side(right, right_keys));
        Ok(Zip { left, right, output, appended, watermark: EventTime::MIN, fingerprint })
    }

    /// The right rows at the places of left rows that are due.
    fn partners(&mut self, of: &Batch) -> Result<Batch> {
        let (mut pieces, mut missing) = (Vec::new(), of.rows());
        while let Some(piece) = self.right.rows.pop(missing) {
            missing -= piece.rows();
            pieces.push(piece);
        }
        let found = dataflow::concat(&self.right.schema, &pieces)?;
        if found.times() != of.times() || found.orders() != of.orders() {
            return Err(unpaired(of.times().first()));
        }
        Ok(found)
    }

    fn put_out(&mut self, batch: &Batch, cx: &mut Context) -> Result<()> {
        let partners = self.partners(batch)?;
        let mut columns = batch.columns().columns().to_vec();
        columns.extend(self.appended.iter().map(|&column| partners.column(column).clone()));
        let zipped = batch.with_columns(RecordBatch::try_new(self.output.clone(), columns)?)?;
        cx.release(batch.rows());
        cx.count(Fate::Out, zipped.rows());
        cx.emit(Port::MAIN, zipped);
        Ok(())
    }

    fn count_state(&self, cx: &mut Context) {
        cx.set_state_bytes(self.left.rows.size() + self.right.rows.size());
    }
}

fn unpaired(time: Option<&i64>) -> Error {
    let at = time.map_or(String::new(), |&time| format!(" at or after {}", EventTime(time)));
    Error::internal(format!("the two inputs of a zip hold other rows{at}; expected the same ones"))
}

impl Operator for Zip {
    fn process(&mut self, input: Input, batch: &Batch, cx: &mut Context) -> Result<Progress> {
        if input == Input(0) {
            self.left.rows.push_in_order(batch, "a zip")?;
            cx.count(Fate::In, batch.rows());
            cx.count(Fate::Held, batch.rows());
        } else {
            self.right.rows.push_in_order(batch, "a zip")?;
        }
        self.count_state(cx);
        Ok(Progress::Done)
    }

    fn advance(&mut self, watermark: EventTime, cx: &mut Context) -> Result<Progress> {
        self.watermark = self.watermark.max(watermark);
        while self.left.rows.first_time().is_some_and(|first| first <= watermark.0) {
            let Some(batch) = self.left.rows.pop_until(watermark.0, cx) else {
                self.count_state(cx);
                return Ok(Progress::More);
            };
            self.put_out(&batch, cx)?;
        }
        self.count_state(cx);
        match self.right.rows.first_time().filter(|&first| first <= watermark.0) {
            Some(first) => Err(unpaired(Some(&first))),
            None => Ok(Progress::Done),
        }
    }

    fn next_due(&self, above: EventTime) -> Option<EventTime> {
        self.left.rows.first_after(above)
    }

    fn freeze(&mut self) -> Result<Arc<dyn Frozen>> {
        let of = |side: &Side| (side.rows.freeze(), side.keys.clone());
        let (watermark, fingerprint) = (self.watermark, self.fingerprint);
        Ok(Arc::new(FrozenZip { left: of(&self.left), right: of(&self.right), watermark, fingerprint }))
    }

    fn restore(&mut self, state: &mut dyn StateReader, cx: &mut Context) -> Result<()> {
        let mut watermark = (self.watermark != EventTime::MIN).then_some(self.watermark);
        state::read_blobs(state, cx.groups(), self.fingerprint, &mut watermark, |tag, _, blob| match tag {
            LEFT => {
                let rows = state::get_rows(blob, &self.left.schema)?;
                cx.count(Fate::Held, rows.rows());
                self.left.rows.push(rows);
                Ok(())
            }
            RIGHT => {
                self.right.rows.push(state::get_rows(blob, &self.right.schema)?);
                Ok(())
            }
            other => Err(Error::corrupt(format!("a record in the state of a zip has the unknown tag {other}"))),
        })?;
        for side in [&mut self.left, &mut self.right] {
            side.rows.put_in_order(&side.schema)?;
        }
        self.watermark = watermark.unwrap_or(EventTime::MIN);
        self.count_state(cx);
        Ok(())
    }
}

struct FrozenZip {
    left: (Vec<Batch>, Vec<usize>),
    right: (Vec<Batch>, Vec<usize>),
    watermark: EventTime,
    fingerprint: u64,
}

impl Frozen for FrozenZip {
    fn write(&self, out: &mut dyn StateWriter) -> Result<()> {
        let mut blobs = GroupBlobs::default();
        for (tag, (rows, keys)) in [(LEFT, &self.left), (RIGHT, &self.right)] {
            queue::put_by_columns(&mut blobs, tag, rows, keys)?;
        }
        blobs.write(self.fingerprint, self.watermark, out)
    }
}
