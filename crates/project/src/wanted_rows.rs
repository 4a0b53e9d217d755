//! Which rows of a stream's history are wanted, by the columns of its table.

use crate::files_since::FilesSince;
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use dataflow::{ERROR_COLUMN, EventTime, FilterComparison, FilterValue, Output, RowFilter, Span, TimedFiles};
use seam::StreamInput;
use sql::{CheckedPlan, ColumnSource, LookBack, Stream};
use std::collections::BTreeMap;
use std::sync::Arc;
use values::find_name;

/// The column of an archive that holds the partition's clock.
const CLOCK: &str = "_clock";

/// Which rows of a stream's history are wanted.
#[derive(Clone, Debug, Default)]
pub struct WantedRows {
    /// What they fulfil, over the columns that the stream declares; everything where there is nothing.
    pub filter: Option<RowFilter>,
    /// The least row time.
    pub since: Option<EventTime>,
}

impl WantedRows {
    /// The same over the columns of the stream's table, as far as they are read as they are stored. Where rows have an
    /// arrival of their own their clocks come from all rows, and all of them are wanted.
    pub fn in_table(&self, stream: &Stream, stored: &SchemaRef) -> RowFilter {
        if stream.arrival.is_some() {
            return RowFilter::everything();
        }
        let filter = self.filter.as_ref().and_then(|filter| {
            Some(RowFilter::any(vec![
                filter.renamed(&|declared| stored_name(stream, stored, stream.schema.index_of(declared).ok()?)),
                bad_rows(stream, stored)?,
            ]))
        });
        let since = self.since.and_then(|since| since_filter(stream, stored, since));
        RowFilter::all(filter.into_iter().chain(since).collect())
    }
}

/// Which rows of each history are wanted: what outputs after an instant look back to, and of a query what its conditions
/// let pass. A job has outputs for rows that are bad or late, whatever its conditions say of them.
pub fn wanted_rows(checked: &CheckedPlan, from: Option<EventTime>) -> BTreeMap<String, WantedRows> {
    let is_query = checked.outputs.iter().all(|spec| matches!(spec.output, Output::Query(_)));
    let reach = checked.look_back().into_iter().map(|(name, reach)| {
        let since = match (from, reach) {
            (Some(from), LookBack::For(span)) => Some(from.minus(span)),
            _ => None,
        };
        (name, WantedRows { filter: None, since })
    });
    let mut wanted: BTreeMap<String, WantedRows> = BTreeMap::new();
    for (name, rows) in reach {
        // A stream that is read twice is wanted from the earlier instant on.
        let known = wanted.entry(name).or_insert_with(|| rows.clone());
        known.since = known.since.min(rows.since);
    }
    for (name, filter) in checked.wanted.iter().filter(|_| is_query) {
        wanted.entry(name.clone()).or_default().filter = Some(filter.clone());
    }
    wanted
}

/// Leaves out the files of each history that no output after an instant looks back to.
pub fn look_back(checked: &CheckedPlan, inputs: &mut [StreamInput], from: EventTime) {
    for (name, reach) in checked.look_back() {
        let LookBack::For(span) = reach else { continue };
        for input in inputs.iter_mut().filter(|input| input.spec.name == name) {
            let since = |files| Arc::new(FilesSince::new(files, &input.spec, from.minus(span))) as Arc<dyn TimedFiles>;
            input.history = input.history.take().map(since);
        }
    }
}

/// Rows that may be bad, which are told whatever a query asks for; `None` where that may be any row, since values are cast
/// or computed.
fn bad_rows(stream: &Stream, stored: &SchemaRef) -> Option<RowFilter> {
    let mut bad = Vec::new();
    for (index, declared) in stream.schema.fields().iter().enumerate() {
        let name = stored_name(stream, stored, index)?;
        if index == stream.time_column {
            // No watermark passes the ends of time.
            let end = |micros| RowFilter::compare(name.clone(), FilterComparison::Equal, FilterValue::Instant(micros));
            bad.extend([end(i64::MIN), end(i64::MAX)]);
        }
        if index == stream.time_column || !declared.is_nullable() {
            bad.push(RowFilter::IsNull(name));
        }
    }
    if stored.field_with_name(ERROR_COLUMN).is_ok() {
        bad.push(RowFilter::IsNotNull(ERROR_COLUMN.to_owned()));
    }
    Some(RowFilter::any(bad))
}

/// Rows whose time may be at or after an instant. A late row of an archive was moved up to its partition's clock less the
/// delay, so that counts too.
fn since_filter(stream: &Stream, stored: &SchemaRef, since: EventTime) -> Option<RowFilter> {
    let at_or_after = |column: &str, EventTime(micros): EventTime| {
        let after = RowFilter::compare(column, FilterComparison::GreaterOrEqual, FilterValue::Instant(micros));
        [after, RowFilter::IsNull(column.to_owned())]
    };
    let mut any = at_or_after(&stored_name(stream, stored, stream.time_column)?, since).to_vec();
    if let Ok(clock) = stored.field_with_name(CLOCK) {
        if *clock.data_type() != DataType::Timestamp(TimeUnit::Microsecond, None) {
            return None;
        }
        any.extend(at_or_after(CLOCK, since.minus(Span(stream.delay.0.saturating_neg()))));
    }
    Some(RowFilter::any(any))
}

/// The column of a table that a declared one is read from, where nothing is made of its values. An archive has declared
/// columns under their names, and other tables under those of their paths: where both are columns of the table, they are
/// the same.
fn stored_name(stream: &Stream, stored: &SchemaRef, index: usize) -> Option<String> {
    let ColumnSource::Path(path) = &stream.sources[index] else { return None };
    let declared = stream.schema.field(index);
    let find = |name: &str| find_name(stored.fields().iter().map(|field| field.name().as_str()), name);
    let found = match (find(declared.name()).ok()?, find(&path.join(".")).ok()?) {
        (Some(one), Some(other)) if one != other => return None,
        (one, other) => stored.field(one.or(other)?),
    };
    (found.data_type() == declared.data_type()).then(|| found.name().clone())
}
