//! Values of a column as eight bytes each, so that logs and tables of every column type look the same.
//!
//! Numbers, booleans and times are their own bits. Text, binary, decimals and nested values are interned: equal ones
//! share one id, which is forgotten with the last row or entry that refers to it.

use crate::{Decoder, Encoder, KeyIndex, Keys};
use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Float64Array, Int64Array, StringArray, UInt64Array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type, UInt64Type};
use arrow::row::{RowConverter, SortField};
use dataflow::{Error, Result};
use std::cmp::Ordering;
use std::sync::Arc;

/// Turns the values of a column into eight bytes each and back, and owns what those refer to.
#[derive(Debug)]
pub struct Values {
    data_type: DataType,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Signed,
    Unsigned,
    Float,
    Text(KeyIndex),
    Binary(KeyIndex),
    // Anything else, in Arrow's row format, which compares as the values do.
    Rows(KeyIndex, RowConverter),
}

/// The interned values as they were.
#[derive(Clone, Debug)]
pub struct ValuesSnapshot(Option<Keys>);

impl ValuesSnapshot {
    /// Whether values are interned.
    pub(crate) fn is_interned(&self) -> bool {
        self.0.is_some()
    }

    /// The bytes of an interned value.
    pub(crate) fn bytes(&self, id: u32) -> Vec<u8> {
        self.0.as_ref().map(|keys| keys.raw(id).to_vec()).unwrap_or_default()
    }

    /// Writes a value.
    pub fn put(&self, bits: u64, out: &mut Encoder) {
        match &self.0 {
            None => out.u64(bits),
            Some(keys) => out.sized(keys.raw(bits as u32)),
        }
    }
}

impl Values {
    /// For columns of a type.
    pub fn new(data_type: &DataType) -> Result<Values> {
        use DataType::*;
        let interned = || KeyIndex::new(&[Binary], true);
        let kind = match data_type {
            UInt64 => Kind::Unsigned,
            Boolean | Timestamp(..) | Date32 | Date64 | Time32(_) | Time64(_) | Duration(_) => Kind::Signed,
            other if other.is_integer() => Kind::Signed,
            other if other.is_floating() => Kind::Float,
            Utf8 | LargeUtf8 | Utf8View => Kind::Text(interned()),
            Binary | LargeBinary | BinaryView => Kind::Binary(interned()),
            other => {
                let converter = RowConverter::new(vec![SortField::new(other.clone())])
                    .map_err(|error| unsupported(other).with_source(error))?;
                Kind::Rows(interned(), converter)
            }
        };
        Ok(Values { data_type: data_type.clone(), kind })
    }

    /// The type of the columns.
    pub fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// Appends the bits of each value, 0 for NULL, and whether it is there. Interned values count one reference each.
    pub fn encode(&mut self, column: &ArrayRef, bits: &mut Vec<u64>, there: &mut Vec<u8>) -> Result<()> {
        match column.nulls() {
            None => there.resize(there.len() + column.len(), 1),
            Some(nulls) => there.extend(nulls.iter().map(u8::from)),
        }
        let is_there = |row: usize| column.is_valid(row);
        match &mut self.kind {
            Kind::Signed => match column.as_primitive_opt::<Int32Type>() {
                // A cast would look at each value for whether it fits.
                Some(column) => bits.extend(column.values().iter().map(|&value| i64::from(value) as u64)),
                None => {
                    let column = cast_to(column, &DataType::Int64)?;
                    bits.extend(column.as_primitive::<Int64Type>().values().iter().map(|&value| value as u64));
                }
            },
            Kind::Unsigned => {
                let column = cast_to(column, &DataType::UInt64)?;
                bits.extend_from_slice(column.as_primitive::<UInt64Type>().values());
            }
            Kind::Float => {
                let column = cast_to(column, &DataType::Float64)?;
                bits.extend(column.as_primitive::<Float64Type>().values().iter().map(|value| value.to_bits()));
            }
            Kind::Text(index) => {
                let text = cast_to(column, &DataType::Utf8)?;
                let text = text.as_string::<i32>();
                intern(index, text.len(), is_there, |row| text.value(row).as_bytes(), bits)?;
            }
            Kind::Binary(index) => {
                let binary = cast_to(column, &DataType::Binary)?;
                let binary = binary.as_binary::<i32>();
                intern(index, binary.len(), is_there, |row| binary.value(row), bits)?;
            }
            Kind::Rows(index, converter) => {
                let rows = converter.convert_columns(std::slice::from_ref(column))?;
                for row in 0..column.len() {
                    bits.push(match is_there(row) {
                        true => u64::from(index.intern_raw(rows.row(row).as_ref())?),
                        false => 0,
                    });
                }
            }
        }
        Ok(())
    }

    /// How many bytes an interned value takes in a column; nothing for one that is as wide as all of its type.
    pub fn written_bytes(&self, bits: u64) -> usize {
        match &self.kind {
            Kind::Text(index) | Kind::Binary(index) | Kind::Rows(index, _) => index.raw(bits as u32).len(),
            Kind::Signed | Kind::Unsigned | Kind::Float => 0,
        }
    }

    /// The column of bits.
    pub fn decode(&self, bits: &[u64], there: &[u8]) -> Result<ArrayRef> {
        let present = || bits.iter().zip(there).map(|(&bits, &there)| (there != 0).then_some(bits));
        let array: ArrayRef = match &self.kind {
            Kind::Signed => Arc::new(Int64Array::new(bits.iter().map(|&bits| bits as i64).collect(), nulls(there))),
            Kind::Unsigned => Arc::new(UInt64Array::new(bits.to_vec().into(), nulls(there))),
            Kind::Float => {
                Arc::new(Float64Array::new(bits.iter().map(|&bits| f64::from_bits(bits)).collect(), nulls(there)))
            }
            Kind::Text(index) => {
                let texts = present()
                    .map(|bits| bits.map(|bits| std::str::from_utf8(index.raw(bits as u32))).transpose())
                    .collect::<std::result::Result<StringArray, _>>()
                    .map_err(|error| Error::corrupt("text in state is not UTF-8").with_source(error))?;
                Arc::new(texts)
            }
            Kind::Binary(index) => {
                Arc::new(present().map(|bits| bits.map(|bits| index.raw(bits as u32))).collect::<BinaryArray>())
            }
            Kind::Rows(index, converter) => self.decode_rows(index, converter, bits, there)?,
        };
        if *array.data_type() == self.data_type { Ok(array) } else { Ok(cast(&array, &self.data_type)?) }
    }

    fn decode_rows(&self, index: &KeyIndex, rows: &RowConverter, bits: &[u64], there: &[u8]) -> Result<ArrayRef> {
        let null = rows_of_null(rows, &self.data_type)?;
        let parser = rows.parser();
        let parsed = bits
            .iter()
            .zip(there)
            .map(|(&bits, &there)| parser.parse(if there != 0 { index.raw(bits as u32) } else { &null }));
        let mut columns = rows.convert_rows(parsed)?;
        columns.pop().ok_or_else(|| Error::internal("rows gave no column"))
    }

    /// Counts one reference more to a value that is there.
    pub fn retain(&mut self, bits: u64) {
        if let Some(index) = self.index_mut() {
            index.retain(bits as u32);
        }
    }

    /// Counts one reference less to a value that is there.
    #[inline]
    pub fn release(&mut self, bits: u64) {
        if let Some(index) = self.index_mut() {
            // Nothing of it is ever on disk, so that nothing fails.
            let _ = index.release(bits as u32);
        }
    }

    /// Whether values are interned, and so have references to count.
    pub fn is_interned(&self) -> bool {
        self.index().is_some()
    }

    /// The order of two values that are there, as SQL orders them: NaN above all numbers, text by its bytes.
    #[inline]
    pub fn compare(&self, left: u64, right: u64) -> Ordering {
        match &self.kind {
            Kind::Signed => (left as i64).cmp(&(right as i64)),
            Kind::Unsigned => left.cmp(&right),
            Kind::Float => {
                let (left, right) = (f64::from_bits(left), f64::from_bits(right));
                left.partial_cmp(&right).unwrap_or_else(|| left.is_nan().cmp(&right.is_nan()))
            }
            Kind::Text(index) | Kind::Binary(index) | Kind::Rows(index, _) => {
                if left == right {
                    return Ordering::Equal;
                }
                index.raw(left as u32).cmp(index.raw(right as u32))
            }
        }
    }

    /// The same bits for equal values: -0.0 is 0.0, and every NaN is the same.
    #[inline]
    pub fn canonical(&self, bits: u64) -> u64 {
        if let Kind::Float = self.kind {
            let value = f64::from_bits(bits);
            if value == 0.0 {
                return 0;
            } else if value.is_nan() {
                return f64::NAN.to_bits();
            }
        }
        bits
    }

    /// What is needed to write values later.
    pub fn snapshot(&mut self) -> ValuesSnapshot {
        ValuesSnapshot(self.index_mut().map(KeyIndex::snapshot))
    }

    /// Reads a value that [`ValuesSnapshot::put`] wrote, with one reference.
    pub fn get(&mut self, state: &mut Decoder) -> Result<u64> {
        match self.is_interned() {
            false => state.u64(),
            true => self.intern(state.sized()?),
        }
    }

    /// The bits of an interned value by its bytes, with one reference.
    pub fn intern(&mut self, bytes: &[u8]) -> Result<u64> {
        if matches!(self.kind, Kind::Text(_)) && std::str::from_utf8(bytes).is_err() {
            return Err(Error::corrupt("text in state is not UTF-8"));
        }
        match self.index_mut() {
            Some(index) => Ok(u64::from(index.intern_raw(bytes)?)),
            None => Err(Error::corrupt("a column of numbers has interned values in state")),
        }
    }

    /// The bytes that interned values take.
    pub fn size(&self) -> usize {
        self.index().map_or(0, KeyIndex::size)
    }

    fn index(&self) -> Option<&KeyIndex> {
        match &self.kind {
            Kind::Text(index) | Kind::Binary(index) | Kind::Rows(index, _) => Some(index),
            _ => None,
        }
    }

    fn index_mut(&mut self) -> Option<&mut KeyIndex> {
        match &mut self.kind {
            Kind::Text(index) | Kind::Binary(index) | Kind::Rows(index, _) => Some(index),
            _ => None,
        }
    }
}

/// Where values are there; `None` when all are.
fn nulls(there: &[u8]) -> Option<NullBuffer> {
    let is_there = |row: usize| there[row] != 0;
    there.contains(&0).then(|| NullBuffer::new(BooleanBuffer::collect_bool(there.len(), is_there)))
}

fn unsupported(data_type: &DataType) -> Error {
    Error::invalid(format!("a column of type {data_type} cannot be kept in state; cast it to another type"))
}

fn cast_to(column: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    if column.data_type() == data_type { Ok(column.clone()) } else { Ok(cast(column, data_type)?) }
}

fn intern<'a>(
    index: &mut KeyIndex,
    rows: usize,
    is_there: impl Fn(usize) -> bool,
    value: impl Fn(usize) -> &'a [u8],
    bits: &mut Vec<u64>,
) -> Result<()> {
    for row in 0..rows {
        bits.push(if is_there(row) { u64::from(index.intern_raw(value(row))?) } else { 0 });
    }
    Ok(())
}

fn rows_of_null(converter: &RowConverter, data_type: &DataType) -> Result<Vec<u8>> {
    let null = arrow::array::new_null_array(data_type, 1);
    let rows = converter.convert_columns(&[null])?;
    Ok(rows.row(0).as_ref().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{BooleanArray, Date32Array, Decimal128Array, Float32Array, Int32Array, LargeStringArray};

    fn columns() -> Vec<ArrayRef> {
        vec![
            Arc::new(Int32Array::from(vec![Some(-3), None, Some(7)])),
            Arc::new(UInt64Array::from(vec![Some(u64::MAX), None, Some(7)])),
            Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
            Arc::new(Date32Array::from(vec![Some(-3), None, Some(7)])),
            Arc::new(Float32Array::from(vec![Some(-0.5), None, Some(f32::INFINITY)])),
            Arc::new(LargeStringArray::from(vec![Some("b"), None, Some("")])),
            Arc::new(BinaryArray::from(vec![Some(&b"b"[..]), None, Some(&[0])])),
            Arc::new(Decimal128Array::from(vec![Some(-3), None, Some(7)])),
        ]
    }

    #[test]
    fn every_type_comes_back_also_from_state() {
        for column in columns() {
            let mut values = Values::new(column.data_type()).unwrap();
            let (mut bits, mut there) = (Vec::new(), Vec::new());
            values.encode(&column, &mut bits, &mut there).unwrap();
            assert_eq!(*values.decode(&bits, &there).unwrap(), *column, "{}", column.data_type());

            let mut stored = Encoder::default();
            values.snapshot().put(bits[0], &mut stored);
            let mut restored = Values::new(column.data_type()).unwrap();
            let again = restored.get(&mut Decoder::new(stored.bytes())).unwrap();
            assert_eq!(*restored.decode(&[again], &[1]).unwrap(), *column.slice(0, 1));
        }
    }

    #[test]
    fn nan_is_above_all_and_zeros_are_equal() {
        let values = Values::new(&DataType::Float64).unwrap();
        let compare = |left: f64, right: f64| values.compare(left.to_bits(), right.to_bits());
        assert_eq!(compare(f64::NAN, f64::INFINITY), Ordering::Greater);
        assert_eq!(compare(-0.0, 0.0), Ordering::Equal);
        assert_eq!(compare(f64::NAN, -f64::NAN), Ordering::Equal);
        assert_eq!(values.canonical((-0.0f64).to_bits()), 0);
    }

    #[test]
    fn decimals_compare_as_numbers() {
        let column: ArrayRef = Arc::new(Decimal128Array::from(vec![-300, 2, 10]));
        let mut values = Values::new(column.data_type()).unwrap();
        let (mut bits, mut there) = (Vec::new(), Vec::new());
        values.encode(&column, &mut bits, &mut there).unwrap();
        assert_eq!(values.compare(bits[0], bits[1]), Ordering::Less);
        assert_eq!(values.compare(bits[2], bits[1]), Ordering::Greater);
    }
}
