//! A column that is filled from cells.

use super::cell::Cell;
use arrow::array::{
    Array, ArrayRef, BooleanBuilder, Float64Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::compute::{CastOptions, can_cast_types, cast_with_options};
use arrow::datatypes::{DataType, Field};
use dataflow::{Error, Result};
use std::sync::Arc;

/// A column of the declared type, parsed as the nearest of five types and brought to its own when it is full.
pub(super) struct ColumnBuilder {
    field: Field,
    values: Values,
}

enum Values {
    Boolean(BooleanBuilder),
    Integer(Int64Builder),
    Double(Float64Builder),
    Timestamp(TimestampMicrosecondBuilder),
    Text(StringBuilder),
}

impl ColumnBuilder {
    /// An empty column.
    pub fn new(field: &Field) -> Result<ColumnBuilder> {
        use DataType::*;
        let values = match field.data_type() {
            Boolean => Values::Boolean(BooleanBuilder::new()),
            Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 => Values::Integer(Int64Builder::new()),
            Float16 | Float32 | Float64 => Values::Double(Float64Builder::new()),
            Timestamp(_, _) => Values::Timestamp(TimestampMicrosecondBuilder::new()),
            other if can_cast_types(&Utf8, other) && !other.is_nested() => Values::Text(StringBuilder::new()),
            other => {
                return Err(Error::invalid(format!(
                    "column \"{}\" has type {other}, which CSV and JSON lines cannot carry",
                    field.name()
                )));
            }
        };
        Ok(ColumnBuilder { field: field.clone(), values })
    }

    /// The column's name.
    pub fn name(&self) -> &str {
        self.field.name()
    }

    /// Appends a cell; says what is wrong with it.
    pub fn append(&mut self, cell: &Cell<'_>) -> std::result::Result<(), String> {
        if *cell == Cell::Null {
            self.append_null();
            return Ok(());
        }
        let wrong = |expected: &str| {
            let shown: String = cell.text().chars().take(60).collect();
            format!("column \"{}\" is \"{shown}\", expected {expected}", self.field.name())
        };
        match &mut self.values {
            Values::Boolean(values) => values.append_value(cell.boolean().ok_or_else(|| wrong("boolean"))?),
            Values::Integer(values) => values.append_value(cell.integer().ok_or_else(|| wrong("an integer"))?),
            Values::Double(values) => values.append_value(cell.double().ok_or_else(|| wrong("a number"))?),
            Values::Timestamp(values) => {
                let micros = cell.timestamp().or_else(|| cell.integer());
                values.append_value(micros.ok_or_else(|| wrong("timestamp"))?);
            }
            Values::Text(values) => values.append_value(cell.text()),
        }
        Ok(())
    }

    /// Appends NULL.
    pub fn append_null(&mut self) {
        match &mut self.values {
            Values::Boolean(values) => values.append_null(),
            Values::Integer(values) => values.append_null(),
            Values::Double(values) => values.append_null(),
            Values::Timestamp(values) => values.append_null(),
            Values::Text(values) => values.append_null(),
        }
    }

    /// The column's type.
    pub fn data_type(&self) -> &DataType {
        self.field.data_type()
    }

    /// The values since the last call, as the declared type.
    pub fn finish(&mut self) -> Result<ArrayRef> {
        let values = self.values();
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        cast_with_options(&values, self.field.data_type(), &strict).map_err(|e| {
            Error::data(format!("a value of column \"{}\" is no {}", self.field.name(), self.field.data_type()))
                .with_source(e)
        })
    }

    /// The same, with NULL for values that do not fit the declared type; their rows.
    pub fn finish_with_errors(&mut self) -> Result<(ArrayRef, Vec<usize>)> {
        let values = self.values();
        let cast = cast_with_options(&values, self.field.data_type(), &CastOptions::default())?;
        let lost = (0..values.len()).filter(|&row| values.is_valid(row) && cast.is_null(row)).collect();
        Ok((cast, lost))
    }

    /// The values since the last call, as they were parsed.
    fn values(&mut self) -> ArrayRef {
        match &mut self.values {
            Values::Boolean(values) => Arc::new(values.finish()),
            Values::Integer(values) => Arc::new(values.finish()),
            Values::Double(values) => Arc::new(values.finish()),
            Values::Timestamp(values) => Arc::new(values.finish()),
            Values::Text(values) => Arc::new(values.finish()),
        }
    }
}
