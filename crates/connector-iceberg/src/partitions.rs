//! Rows cut by the partition spec of a table, whoever has made it.

use crate::name::TableName;
use arrow::array::{Array, ArrayRef, AsArray, Int32Array, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType,
};
use arrow::row::{RowConverter, SortField};
use dataflow::{Error, Result};
use iceberg::spec::{Literal, PartitionField, PrimitiveLiteral, PrimitiveType, Struct, TableMetadata, Transform, Type};
use iceberg::transform::{BoxedTransformFunction, create_transform_function};
use std::collections::HashMap;
use std::sync::Arc;
use values::calendar;
use xxhash_rust::xxh3::xxh3_64;

/// How much of a value the name of a folder shows.
const SHOWN_BYTES_MAX: usize = 100;

/// Cuts rows by the partition spec of a table.
pub struct Partitions {
    fields: Vec<Field>,
}

/// A field of the spec.
struct Field {
    name: String,
    transform: Transform,
    // Index of its column in the table's; `None` where the partition is NULL whatever the column holds.
    source: Option<(usize, BoxedTransformFunction)>,
    result: Type,
}

/// A partition, as one of the values of all fields.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionId(Box<[u8]>);

/// Rows of one partition, in the sequence in which they came.
pub struct PartitionRows {
    pub id: PartitionId,
    pub values: Struct,
    pub rows: RecordBatch,
}

impl Partitions {
    /// By the default spec of a table. A column that is gone or inside of another one, and a transform that is not known,
    /// are errors.
    pub fn of(table: &TableName, metadata: &TableMetadata) -> Result<Partitions> {
        let schema = metadata.current_schema();
        let results = metadata.default_partition_type().fields();
        let field = |(field, result): (&PartitionField, &iceberg::spec::NestedFieldRef)| {
            let source = match field.transform {
                Transform::Void => None,
                transform => {
                    let column = schema.as_struct().fields().iter().position(|column| column.id == field.source_id);
                    let column =
                        column.ok_or_else(|| no_column(table, field, schema.name_by_field_id(field.source_id)))?;
                    let function = create_transform_function(&transform).map_err(|_| unknown(table, field))?;
                    Some((column, function))
                }
            };
            let result = (*result.field_type).clone();
            // A committable has values of partitions as JSON, in which these do not come back as they were.
            if field.transform != Transform::Void
                && let Some(PrimitiveType::Float | PrimitiveType::Double | PrimitiveType::Decimal { .. }) =
                    result.as_primitive_type()
            {
                return Err(Error::invalid(format!(
                    "table \"{table}\" is cut into partitions by \"{}\" of type {result}, and nothing is written to such a \
                     table here",
                    field.name
                )));
            }
            Ok(Field { name: field.name.clone(), transform: field.transform, source, result })
        };
        let fields = metadata.default_partition_spec().fields().iter().zip(results).map(field);
        Ok(Partitions { fields: fields.collect::<Result<_>>()? })
    }

    /// Whether the table is one whole.
    pub fn is_none(&self) -> bool {
        self.fields.is_empty()
    }

    /// The rows of each partition, in the sequence in which partitions first appear.
    pub fn cut(&self, table: &TableName, rows: RecordBatch) -> Result<Vec<PartitionRows>> {
        if self.fields.is_empty() {
            return Ok(vec![PartitionRows { id: PartitionId(Box::default()), values: Struct::empty(), rows }]);
        }
        let made = self.fields.iter().map(|field| field.made_of(table, &rows)).collect::<Result<Vec<_>>>()?;
        let present: Vec<ArrayRef> = made.iter().flatten().cloned().collect();
        let types = present.iter().map(|column| SortField::new(column.data_type().clone())).collect();
        let keys = RowConverter::new(types)?.convert_columns(&present)?;
        // Without a column all rows are of one partition.
        let key = |row: usize| if present.is_empty() { &[][..] } else { keys.row(row).data() };
        let (mut at, mut parts) = (HashMap::new(), Vec::<(u32, Vec<u32>)>::new());
        let mut last: Option<(&[u8], usize)> = None;
        for row in 0..rows.num_rows() {
            let key = key(row);
            let part = match last {
                Some((before, part)) if before == key => part,
                _ => *at.entry(key).or_insert(parts.len()),
            };
            if part == parts.len() {
                parts.push((row as u32, Vec::new()));
            }
            parts[part].1.push(row as u32);
            last = Some((key, part));
        }
        let whole = parts.len() == 1;
        let part = |(first, indexes): (u32, Vec<u32>)| {
            let values = self.values(table, &made, first as usize)?;
            let id = key(first as usize).into();
            let rows = if whole { rows.clone() } else { take_record_batch(&rows, &UInt32Array::from(indexes))? };
            Ok(PartitionRows { id: PartitionId(id), values, rows })
        };
        parts.into_iter().map(part).collect()
    }

    fn values(&self, table: &TableName, made: &[Option<ArrayRef>], row: usize) -> Result<Struct> {
        let value = |(field, made): (&Field, &Option<ArrayRef>)| {
            let Some(made) = made.as_ref().filter(|made| made.is_valid(row)) else { return Ok(None) };
            literal(made, row).map(Some).ok_or_else(|| field.no_value(table, made.data_type()))
        };
        Ok(Struct::from_iter(self.fields.iter().zip(made).map(value).collect::<Result<Vec<_>>>()?))
    }

    /// The folders of a partition below that of the data, for people: readers go by the manifest. Values are written so
    /// that no part of them is taken for a folder, and long ones are cut.
    pub fn folder(&self, values: &Struct) -> String {
        let folder = |(field, value): (&Field, Option<&Literal>)| {
            let shown = escaped(&field.shown(value));
            let shown = match shown.len() > SHOWN_BYTES_MAX {
                true => format!("{}~{:016x}", &shown[..SHOWN_BYTES_MAX], xxh3_64(shown.as_bytes())),
                false => shown,
            };
            format!("{}={shown}", escaped(&field.name))
        };
        self.fields.iter().zip(values.iter()).map(folder).collect::<Vec<_>>().join("/")
    }
}

impl Field {
    /// The values of the field for rows; `None` where all are NULL.
    fn made_of(&self, table: &TableName, rows: &RecordBatch) -> Result<Option<ArrayRef>> {
        let Some((column, function)) = &self.source else { return Ok(None) };
        let values = rows.column(*column);
        let own = match self.transform {
            Transform::Truncate(width) => truncated(values, width),
            Transform::Year | Transform::Month | Transform::Day | Transform::Hour => units(values, self.transform),
            _ => None,
        };
        let made = match own {
            Some(made) => made,
            None => {
                let failed = |error| self.no_value(table, values.data_type()).with_source(error);
                function.transform(values.clone()).map_err(failed)?
            }
        };
        if made.null_count() > values.null_count() {
            return Err(Error::invalid(format!(
                "table \"{table}\": a time has no partition \"{}\", since it is too far from 1970",
                self.name
            )));
        }
        Ok(Some(with_one_zero_and_nan(&made)))
    }

    /// A value of the field as people know it.
    fn shown(&self, value: Option<&Literal>) -> String {
        let Some(Literal::Primitive(value)) = value else { return "null".to_owned() };
        let of = self.result.as_primitive_type();
        match (value, self.transform) {
            (PrimitiveLiteral::Int(year), Transform::Year) => format!("{:04}", 1970 + i64::from(*year)),
            (PrimitiveLiteral::Int(month), Transform::Month) => {
                format!("{:04}-{:02}", 1970 + i64::from(month.div_euclid(12)), month.rem_euclid(12) + 1)
            }
            (PrimitiveLiteral::Int(hour), Transform::Hour) => {
                format!("{}-{:02}", calendar::write_date(i64::from(hour.div_euclid(24))), hour.rem_euclid(24))
            }
            (PrimitiveLiteral::Int(day), _) if of == Some(&PrimitiveType::Date) => {
                calendar::write_date(i64::from(*day))
            }
            (PrimitiveLiteral::Long(micros), _) if of != Some(&PrimitiveType::Long) => {
                calendar::write_timestamp(*micros)
            }
            (PrimitiveLiteral::Boolean(value), _) => value.to_string(),
            (PrimitiveLiteral::Int(value), _) => value.to_string(),
            (PrimitiveLiteral::Long(value), _) => value.to_string(),
            (PrimitiveLiteral::Float(value), _) => value.to_string(),
            (PrimitiveLiteral::Double(value), _) => value.to_string(),
            (PrimitiveLiteral::String(value), _) => value.clone(),
            (PrimitiveLiteral::Binary(value), _) => value.iter().map(|byte| format!("{byte:02x}")).collect(),
            (PrimitiveLiteral::Int128(value), _) => value.to_string(),
            _ => "other".to_owned(),
        }
    }

    fn no_value(&self, table: &TableName, column: &DataType) -> Error {
        Error::invalid(format!(
            "table \"{table}\": partition \"{}\" is {} of a column of {}, which is not written; write it with the engine \
             that has made the table, or change its partition spec",
            self.name,
            self.transform,
            values::name(column)
        ))
    }
}

fn no_column(table: &TableName, field: &PartitionField, nested: Option<&str>) -> Error {
    Error::invalid(match nested {
        Some(column) => format!(
            "table \"{table}\": partition \"{}\" is of column \"{column}\", which lies inside of another one, and such tables \
             are not written; change the partition spec",
            field.name
        ),
        None => {
            format!("table \"{table}\": the column of partition \"{}\" is gone; change the partition spec", field.name)
        }
    })
}

fn unknown(table: &TableName, field: &PartitionField) -> Error {
    Error::invalid(format!(
        "table \"{table}\": partition \"{}\" has the transform {}, which is not known here, and such tables are not written",
        field.name, field.transform
    ))
}

/// Whole numbers down to a multiple of a width; `None` for other types. The least of all numbers wraps, as in other
/// engines.
fn truncated(values: &ArrayRef, width: u32) -> Option<ArrayRef> {
    let (narrow, wide) = (i32::try_from(width).ok()?, i64::from(width));
    Some(match values.data_type() {
        DataType::Int32 => {
            Arc::new(values.as_primitive::<Int32Type>().unary::<_, Int32Type>(|v| v.wrapping_sub(v.rem_euclid(narrow))))
        }
        DataType::Int64 => {
            Arc::new(values.as_primitive::<Int64Type>().unary::<_, Int64Type>(|v| v.wrapping_sub(v.rem_euclid(wide))))
        }
        _ => return None,
    })
}

/// Years, months, days or hours since 1970, NULL where there are too many of them; `None` for types without time. The
/// library's have fewer years than a timestamp.
fn units(values: &ArrayRef, transform: Transform) -> Option<ArrayRef> {
    let unit = move |micros: i64| {
        let days = micros.div_euclid(calendar::DAY);
        let (year, month, _) = calendar::date(days);
        i32::try_from(match transform {
            Transform::Year => year - 1970,
            Transform::Month => (year - 1970) * 12 + month - 1,
            Transform::Day => days,
            _ => micros.div_euclid(calendar::HOUR),
        })
        .ok()
    };
    let of_days = move |days: i32| {
        let (year, month, _) = calendar::date(i64::from(days));
        i32::try_from(match transform {
            Transform::Year => year - 1970,
            Transform::Month => (year - 1970) * 12 + month - 1,
            _ => i64::from(days),
        })
        .ok()
    };
    let made: Int32Array = match values.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            values.as_primitive::<TimestampMicrosecondType>().unary_opt(unit)
        }
        DataType::Date32 if transform != Transform::Hour => values.as_primitive::<Date32Type>().unary_opt(of_days),
        _ => return None,
    };
    Some(match transform {
        Transform::Day => Arc::new(made.reinterpret_cast::<Date32Type>()),
        _ => Arc::new(made),
    })
}

/// Numbers that are the same are one partition.
fn with_one_zero_and_nan(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Float32 => Arc::new(
            column
                .as_primitive::<Float32Type>()
                .unary::<_, Float32Type>(|value| if value.is_nan() { f32::NAN } else { value + 0.0 }),
        ),
        DataType::Float64 => Arc::new(
            column
                .as_primitive::<Float64Type>()
                .unary::<_, Float64Type>(|value| if value.is_nan() { f64::NAN } else { value + 0.0 }),
        ),
        _ => column.clone(),
    }
}

fn literal(values: &ArrayRef, row: usize) -> Option<Literal> {
    Some(match values.data_type() {
        DataType::Boolean => Literal::bool(values.as_boolean().value(row)),
        DataType::Int32 => Literal::int(values.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => Literal::long(values.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => Literal::float(values.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => Literal::double(values.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => Literal::string(values.as_string::<i32>().value(row)),
        DataType::Binary => Literal::binary(values.as_binary::<i32>().value(row).to_vec()),
        DataType::Date32 => Literal::date(values.as_primitive::<Date32Type>().value(row)),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Literal::Primitive(PrimitiveLiteral::Long(values.as_primitive::<TimestampMicrosecondType>().value(row)))
        }
        DataType::Decimal128(..) => {
            Literal::Primitive(PrimitiveLiteral::Int128(values.as_primitive::<Decimal128Type>().value(row)))
        }
        _ => return None,
    })
}

/// Text in which nothing but letters, digits and a few signs stands for itself.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => escaped.push(char::from(byte)),
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}
