//! How the stored state of windows lies, told by what columns hold, so that windows with other functions can read it.

use super::{Column, Computed, Spec};
use crate::sweep::mapped::LogMap;
use arrow::datatypes::SchemaRef;
use dataflow::{ByteReader, ByteWriter, Result, Span};

/// The version of the byte form.
const VERSION: u8 = 1;

/// How the stored state of windows lies. What columns hold is a number that stays the same whatever they are called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// The columns of values of the log.
    pub(super) values: Vec<ValueColumn>,
    /// The columns of flags: what the argument and the filter of functions hold for which a row counts.
    pub(super) flags: Vec<FlagColumn>,
    /// The functions that keep the last values of keys.
    pub(super) lags: Vec<LagColumn>,
    /// How far back the rows of the log go; nothing where no function has a frame.
    pub(super) reaches: Option<Span>,
}

/// What the argument and the filter hold, where there are some.
pub(super) type FlagHolds = (Option<u128>, Option<u128>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FlagColumn {
    pub holds: FlagHolds,
    /// How far back functions look that use it. Rows before that may be of a time when there was no such function, and say
    /// nothing then.
    pub reaches: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ValueColumn {
    pub holds: u128,
    pub is_interned: bool,
    /// The flag that says where a value is there.
    pub there: usize,
    /// As that of a flag.
    pub reaches: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LagColumn {
    pub holds: u128,
    pub is_interned: bool,
}

impl Layout {
    /// How the state of windows over rows of a schema is stored, given what its columns and the functions hold.
    pub fn of(input: &SchemaRef, spec: &Spec, columns: &[u128], functions: &[u128]) -> Result<Layout> {
        let computed = Computed::new(input, spec)?;
        let held = |column: usize| columns.get(column).copied().unwrap_or_default();
        let (values, flags) = computed.sweep.log_columns();
        let (value_reaches, flag_reaches) = computed.sweep.column_reaches();
        let value =
            |((column, is_interned, there), reaches)| ValueColumn { holds: held(column), is_interned, there, reaches };
        let flag = |((argument, filter), reaches): ((Option<usize>, Option<usize>), _)| FlagColumn {
            holds: (argument.map(held), filter.map(held)),
            reaches,
        };
        let mut lags = Vec::with_capacity(computed.lags.len());
        for (column, holds) in computed.columns.iter().zip(functions) {
            if let Column::Lag(index) = *column {
                lags.push(LagColumn { holds: *holds, is_interned: computed.lags[index].is_interned() });
            }
        }
        Ok(Layout {
            values: values.zip(value_reaches).map(value).collect(),
            flags: flags.zip(flag_reaches).map(flag).collect(),
            lags,
            reaches: computed.sweep.reaches(),
        })
    }

    /// Whether state that lies so holds all that state of another layout does.
    pub fn covers(&self, other: &Layout) -> bool {
        let has_value = |value: &ValueColumn| {
            self.values.iter().any(|own| own.holds == value.holds && own.reaches >= value.reaches)
        };
        let has_flag =
            |flag: &FlagColumn| self.flags.iter().any(|own| own.holds == flag.holds && own.reaches >= flag.reaches);
        let has_lag = |lag: &LagColumn| self.lags.iter().any(|own| own.holds == lag.holds);
        other.values.iter().all(has_value)
            && other.flags.iter().all(has_flag)
            && other.lags.iter().all(has_lag)
            && other.reaches.is_none_or(|reaches| self.reaches.is_some_and(|own| own >= reaches))
    }

    /// Whether no two columns and no two functions hold the same, so that each is found by what it holds.
    pub(super) fn tells_columns_apart(&self) -> bool {
        let is_first =
            |(at, value): (usize, &ValueColumn)| self.values[..at].iter().all(|one| one.holds != value.holds);
        let is_first_lag = |(at, lag): (usize, &LagColumn)| self.lags[..at].iter().all(|one| one.holds != lag.holds);
        self.values.iter().enumerate().all(is_first) && self.lags.iter().enumerate().all(is_first_lag)
    }

    /// Which columns of state that lies so those of another layout are.
    pub(super) fn log_map(&self, to: &Layout) -> LogMap {
        let value = |value: &ValueColumn| self.values.iter().position(|own| own.holds == value.holds);
        LogMap {
            values: to.values.iter().map(value).collect(),
            flags: to.flags.iter().map(|flag| self.flags.iter().position(|own| own.holds == flag.holds)).collect(),
            stored: self.values.iter().map(|value| (value.is_interned, value.there)).collect(),
            stored_flags: self.flags.len(),
        }
    }

    /// The place in another layout of each of the functions that keep the last values of keys, and whether these are
    /// interned.
    pub(super) fn lag_map(&self, to: &Layout) -> Vec<(Option<usize>, bool)> {
        let place = |lag: &LagColumn| to.lags.iter().position(|other| other.holds == lag.holds);
        self.lags.iter().map(|lag| (place(lag), lag.is_interned)).collect()
    }

    /// How far back rows are needed for what lies so; nothing where that is to the beginning.
    #[cfg(test)]
    pub(crate) fn look_back_us(&self) -> Option<i64> {
        self.lags.is_empty().then(|| self.reaches.map_or(0, |reaches| reaches.0))
    }

    /// The byte form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = ByteWriter::new(VERSION);
        let id = |out: &mut ByteWriter, id: u128| out.bytes(&id.to_le_bytes());
        out.u64(self.values.len() as u64);
        for value in &self.values {
            id(&mut out, value.holds);
            out.u8(u8::from(value.is_interned));
            out.u64(value.there as u64);
            out.i64(value.reaches.0);
        }
        out.u64(self.flags.len() as u64);
        for FlagColumn { holds: (argument, filter), reaches } in &self.flags {
            for held in [argument, filter] {
                out.u8(u8::from(held.is_some()));
                held.iter().for_each(|held| id(&mut out, *held));
            }
            out.i64(reaches.0);
        }
        out.u64(self.lags.len() as u64);
        for lag in &self.lags {
            id(&mut out, lag.holds);
            out.u8(u8::from(lag.is_interned));
        }
        out.option(self.reaches.map(|reaches| reaches.0));
        out.finish()
    }

    /// Reads the byte form.
    pub fn parse(bytes: &[u8]) -> Result<Layout> {
        let from = &mut ByteReader::new("how the state of windows lies", bytes, VERSION)?;
        let mut layout = Layout::default();
        for _ in 0..from.u64()? {
            let (holds, is_interned) = (id(from)?, from.u8()? != 0);
            let (there, reaches) = (from.u64()? as usize, Span(from.i64()?));
            layout.values.push(ValueColumn { holds, is_interned, there, reaches });
        }
        for _ in 0..from.u64()? {
            let holds = (optional_id(from)?, optional_id(from)?);
            layout.flags.push(FlagColumn { holds, reaches: Span(from.i64()?) });
        }
        for _ in 0..from.u64()? {
            layout.lags.push(LagColumn { holds: id(from)?, is_interned: from.u8()? != 0 });
        }
        layout.reaches = from.option()?.map(Span);
        from.end()?;
        match layout.values.iter().all(|value| value.there < layout.flags.len()) {
            true => Ok(layout),
            false => Err(from.corrupt("a column of values has no flag")),
        }
    }
}

fn id(from: &mut ByteReader) -> Result<u128> {
    let bytes = from.bytes()?;
    let bytes = bytes.try_into().map_err(|_| from.corrupt("a number in it has no 16 bytes"))?;
    Ok(u128::from_le_bytes(bytes))
}

fn optional_id(from: &mut ByteReader) -> Result<Option<u128>> {
    match from.u8()? {
        0 => Ok(None),
        _ => id(from).map(Some),
    }
}
