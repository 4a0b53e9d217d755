//! What tells an operator's state from that of another: its columns and its spec as bytes, hashed.

use crate::Aggregate;
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use dataflow::{ByteWriter, Error, Result, Span};

/// The version of the bytes. Another one makes all stored state that of another operator.
const VERSION: u8 = 2;

/// What an operator's state is of, field by field. Names of columns are no part of it: state does not depend on them.
pub(crate) struct Fingerprint(ByteWriter);

impl Fingerprint {
    /// Begins with the kind of the operator.
    pub fn of(operator: &str) -> Fingerprint {
        let mut out = ByteWriter::new(VERSION);
        out.bytes(operator.as_bytes());
        Fingerprint(out)
    }

    /// The types of an input's columns.
    pub fn schema(mut self, schema: &SchemaRef) -> Result<Fingerprint> {
        self.0.u64(schema.fields().len() as u64);
        for field in schema.fields() {
            self.data_type(field.data_type())?;
        }
        Ok(self)
    }

    /// Columns of an input, by their places in it.
    pub fn columns(mut self, columns: &[usize]) -> Fingerprint {
        self.0.u64(columns.len() as u64);
        columns.iter().for_each(|&column| self.0.u64(column as u64));
        self
    }

    /// A column of an input that need not be there.
    pub fn optional_column(mut self, column: Option<usize>) -> Fingerprint {
        self.0.option(column.map(|column| column as i64));
        self
    }

    /// How many of what comes next there are.
    pub fn count(mut self, count: usize) -> Fingerprint {
        self.0.u64(count as u64);
        self
    }

    /// A number of microseconds.
    pub fn micros(mut self, micros: i64) -> Fingerprint {
        self.0.i64(micros);
        self
    }

    /// A length of time that need not be there.
    pub fn optional_span(mut self, span: Option<Span>) -> Fingerprint {
        self.0.option(span.map(|span| span.0));
        self
    }

    /// Yes or no.
    pub fn flag(mut self, flag: bool) -> Fingerprint {
        self.0.u8(u8::from(flag));
        self
    }

    /// A name.
    pub fn name(mut self, name: &str) -> Fingerprint {
        self.0.bytes(name.as_bytes());
        self
    }

    /// What is computed. A number stands for one aggregate for ever.
    pub fn aggregate(mut self, aggregate: Aggregate) -> Fingerprint {
        let tag = match aggregate {
            Aggregate::Count => 1,
            Aggregate::CountDistinct => 2,
            Aggregate::Sum => 3,
            Aggregate::Avg => 4,
            Aggregate::Min => 5,
            Aggregate::Max => 6,
            Aggregate::StddevSamp => 7,
            Aggregate::StddevPop => 8,
            Aggregate::VarSamp => 9,
            Aggregate::VarPop => 10,
            Aggregate::Lag { .. } => 11,
        };
        self.0.tagged(tag, if let Aggregate::Lag { offset } = aggregate { offset as u64 } else { 0 });
        self
    }

    /// The hash of all that was written.
    pub fn hash(self) -> u64 {
        state::fingerprint(&self.0.finish())
    }

    /// A number stands for one type for ever.
    fn data_type(&mut self, data_type: &DataType) -> Result<()> {
        let tag = match data_type {
            DataType::Boolean => 1,
            DataType::Int8 => 2,
            DataType::Int16 => 3,
            DataType::Int32 => 4,
            DataType::Int64 => 5,
            DataType::UInt8 => 6,
            DataType::UInt16 => 7,
            DataType::UInt32 => 8,
            DataType::UInt64 => 9,
            DataType::Float32 => 10,
            DataType::Float64 => 11,
            DataType::Utf8 => 12,
            DataType::Binary => 13,
            DataType::Date32 => 14,
            DataType::Timestamp(TimeUnit::Microsecond, None) => 15,
            DataType::Interval(_) => 16,
            DataType::Null => 17,
            DataType::Dictionary(keys, values) => {
                self.0.u8(18);
                self.data_type(keys)?;
                return self.data_type(values);
            }
            DataType::List(item) => {
                self.0.u8(19);
                return self.data_type(item.data_type());
            }
            DataType::Struct(fields) => {
                self.0.u8(23);
                self.0.i64(fields.len() as i64);
                for field in fields {
                    self.0.bytes(field.name().as_bytes());
                    self.data_type(field.data_type())?;
                }
                return Ok(());
            }
            DataType::Decimal128(precision, scale) => {
                self.0.u8(20);
                self.0.u8(*precision);
                self.0.i64(i64::from(*scale));
                return Ok(());
            }
            DataType::Duration(TimeUnit::Microsecond) => 21,
            DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) => {
                self.0.u8(22);
                self.0.bytes(zone.as_bytes());
                return Ok(());
            }
            other => return Err(Error::internal(format!("an operator gets a column of type {other}"))),
        };
        self.0.u8(tag);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RangeFunction, as_of, decision, dedup, merge, range, window};
    use arrow::datatypes::{Field, Schema};
    use std::sync::Arc;

    fn schema() -> SchemaRef {
        let field = |name, data_type| Field::new(name, data_type, true);
        let at = DataType::Timestamp(TimeUnit::Microsecond, None);
        Arc::new(Schema::new(vec![field("id", DataType::Int64), field("name", DataType::Utf8), field("at", at)]))
    }

    #[test]
    fn the_bytes_are_a_version_then_field_by_field() {
        let found = Fingerprint::of("dedup").schema(&schema()).unwrap().columns(&[1]).micros(-2).flag(true);
        let found = found.optional_column(None).aggregate(Aggregate::Lag { offset: 3 }).0.finish();
        let word = |n: i64| n.to_le_bytes().to_vec();
        let text = |text: &str| [word(text.len() as i64), text.as_bytes().to_vec()].concat();
        let fields = vec![5, 12, 15];
        let spec = [word(1), word(1), word(-2), vec![1], vec![0], vec![11], word(3)].concat();
        assert_eq!(found, [vec![2], text("dedup"), word(3), fields, spec].concat());
    }

    /// State that was stored is found again only for as long as these numbers stay.
    #[test]
    fn stored_state_stays_that_of_its_operator() {
        let frame = window::Frame { from: Span::seconds(7), to: Span(1) };
        let function = |name: &str, aggregate| window::Function {
            name: name.to_owned(),
            aggregate,
            argument: Some(0),
            filter: None,
            frame,
            order: vec![1],
        };
        let functions = vec![function("sum", Aggregate::Sum), function("lag", Aggregate::Lag { offset: 2 })];
        let windows = window::Spec { partition_by: vec![1], functions };
        let counted = |name: &str| range::Function {
            name: name.to_owned(),
            computes: RangeFunction::Aggregate(Aggregate::CountDistinct),
            argument: Some(0),
            filter: None,
            from: -5,
            to: 9,
        };
        let exists = range::Function { computes: RangeFunction::Exists, argument: None, ..counted("exists") };
        let ranges =
            range::Spec { left_keys: vec![1], right_keys: vec![0], functions: vec![counted("n"), exists.clone()] };
        let join = as_of::Spec {
            left_keys: vec![0],
            right_keys: vec![0],
            columns: vec![(1, "name".to_owned())],
            behind: Span(4),
            strict: false,
            inner: true,
        };
        let rules = [("high", Some(Span::seconds(60))), ("low", None)];
        let found = [
            merge::fingerprint(&schema()).unwrap(),
            dedup::fingerprint(&schema(), &[0], Span::seconds(3)).unwrap(),
            window::fingerprint(&schema(), &windows).unwrap(),
            as_of::fingerprint((&schema(), &schema()), &join).unwrap(),
            range::fingerprint((&schema(), &schema()), &ranges).unwrap(),
            decision::fingerprint(&schema(), ("spam", 0), rules.into_iter()).unwrap(),
        ];
        let stored = [
            0x7e3d_9d4a_b180_949d,
            0x4ca8_9c73_778a_6e35,
            0xdc42_e4ef_b86a_4ae0,
            0x3117_230c_2950_7ac5,
            0x752a_6657_6dd4_c4dc,
            0xb6bb_50a9_6ee3_ddbe,
        ];
        assert_eq!(found, stored);

        let renamed = range::Spec { functions: vec![counted("other"), exists], ..ranges.clone() };
        assert_eq!(range::fingerprint((&schema(), &schema()), &renamed).unwrap(), found[4], "an alias is no state");
        let mut wider = ranges;
        wider.functions[0].to += 1;
        assert_ne!(range::fingerprint((&schema(), &schema()), &wider).unwrap(), found[4]);
    }
}
