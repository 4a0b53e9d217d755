//! Whether rows can lie in the files of a table as a statement says.

use super::properties;
use crate::diagnostic::{Fault, Outcome};
use crate::expression::type_name;
use crate::statement::{Layout, Name, PartitionColumn};
use arrow::datatypes::{DataType, Schema};
use dataflow::PartitionTransform;

/// Refuses a layout of columns that the rows do not have, or whose types do not allow it.
pub(crate) fn check(layout: &Layout, schema: &Schema) -> Outcome<()> {
    for (at, of) in layout.partition_by.iter().enumerate() {
        let data_type = column(&of.column, schema)?;
        let (expected, is_allowed) = allowed(of.transform, data_type);
        if !is_allowed {
            let what = format!("PARTITION BY {} is of a column of {}", of.field(), type_name(data_type));
            return Fault::new(of.column.span, what).expected(expected).err();
        }
        let is_again = |other: &PartitionColumn| {
            let times = is_of_time(of.transform) && is_of_time(other.transform);
            other.column.text.eq_ignore_ascii_case(&of.column.text) && (times || other.transform == of.transform)
        };
        if layout.partition_by[..at].iter().any(is_again) {
            let what = format!("\"{}\" cuts the table into partitions twice", of.column.text);
            return Fault::new(of.column.span, what).hint("leave one of them out: the finer one holds the other").err();
        }
    }
    for (at, of) in layout.sort_by.iter().enumerate() {
        let data_type = column(&of.column, schema)?;
        if data_type.is_nested() {
            let what = format!("SORT BY has a column of {}, whose values have no order", type_name(data_type));
            return Fault::new(of.column.span, what).err();
        }
        if layout.sort_by[..at].iter().any(|other| other.column.text.eq_ignore_ascii_case(&of.column.text)) {
            return Fault::new(of.column.span, format!("SORT BY has column \"{}\" twice", of.column.text)).err();
        }
    }
    for (at, of) in layout.properties.iter().enumerate() {
        if layout.properties[..at].iter().any(|other| other.name.text == of.name.text) {
            return Fault::new(of.name.span, format!("PROPERTIES has \"{}\" twice", of.name.text)).err();
        }
        properties::check(of, schema)?;
    }
    Ok(())
}

fn column<'s>(name: &Name, schema: &'s Schema) -> Outcome<&'s DataType> {
    let exact = schema.fields().iter().find(|field| *field.name() == name.text);
    let found = exact.or_else(|| schema.fields().iter().find(|field| field.name().eq_ignore_ascii_case(&name.text)));
    match found {
        Some(field) => Ok(field.data_type()),
        None => {
            let names = schema.fields().iter().map(|field| field.name().as_str());
            let fault =
                Fault::new(name.span, format!("there is no column \"{}\" among those that are written", name.text));
            fault.found(name.text.as_str()).offer(&name.text, names).err()
        }
    }
}

fn is_of_time(transform: PartitionTransform) -> bool {
    use PartitionTransform::{Day, Hour, Month, Year};
    matches!(transform, Year | Month | Day | Hour)
}

/// Which types a transform has, and whether one of them is that of a column.
fn allowed(transform: PartitionTransform, of: &DataType) -> (&'static str, bool) {
    use DataType::{Binary, Boolean, Date32, Int32, Int64, Timestamp, Utf8};
    match transform {
        PartitionTransform::Identity => (
            "a column of BIGINT, INTEGER, BOOLEAN, TEXT, BLOB, DATE or TIMESTAMP",
            matches!(of, Int32 | Int64 | Boolean | Utf8 | Binary | Date32 | Timestamp(..)),
        ),
        PartitionTransform::Bucket(_) => (
            "a column of BIGINT, INTEGER, TEXT, BLOB, DATE or TIMESTAMP",
            matches!(of, Int32 | Int64 | Utf8 | Binary | Date32 | Timestamp(..)),
        ),
        PartitionTransform::Truncate(_) => {
            ("a column of BIGINT, INTEGER, TEXT or BLOB", matches!(of, Int32 | Int64 | Utf8 | Binary))
        }
        PartitionTransform::Year | PartitionTransform::Month | PartitionTransform::Day => {
            ("a column of TIMESTAMP or DATE", matches!(of, Date32 | Timestamp(..)))
        }
        PartitionTransform::Hour => ("a column of TIMESTAMP", matches!(of, Timestamp(..))),
    }
}
