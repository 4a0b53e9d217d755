//! Values of partitions whose columns have become wider since: whole numbers of 32 bits are of 64 now.

use iceberg::spec::{DataFile, DataFileBuilder, Literal, PrimitiveLiteral, PrimitiveType, Struct, StructType};
use iceberg::{Error, ErrorKind, Result};

/// A value as the widest type has it.
pub fn widest(value: Literal) -> Literal {
    match value {
        Literal::Primitive(PrimitiveLiteral::Int(value)) => Literal::long(value),
        Literal::Primitive(PrimitiveLiteral::Float(value)) => Literal::double(value.0),
        other => other,
    }
}

/// The values of a partition as the widest types have them.
pub fn widest_of(partition: &Struct) -> Vec<Option<Literal>> {
    partition.iter().map(|value| value.cloned().map(widest)).collect()
}

/// The file with values of its partition as the types of a spec's fields have them by now.
pub fn with_partition_of(file: &DataFile, fields: &StructType) -> Result<DataFile> {
    let widens = |value: Option<&Literal>, of: Option<&PrimitiveType>| {
        matches!(
            (value, of),
            (Some(Literal::Primitive(PrimitiveLiteral::Int(_))), Some(PrimitiveType::Long))
                | (Some(Literal::Primitive(PrimitiveLiteral::Float(_))), Some(PrimitiveType::Double))
        )
    };
    let types = || fields.fields().iter().map(|field| field.field_type.as_primitive_type());
    if !file.partition().iter().zip(types()).any(|(value, of)| widens(value, of)) {
        return Ok(file.clone());
    }
    let value = |(value, of): (Option<&Literal>, _)| {
        let is_wider = widens(value, of);
        value.cloned().map(|value| if is_wider { widest(value) } else { value })
    };
    let partition = Struct::from_iter(file.partition().iter().zip(types()).map(value));
    built(copy_of(file).partition(partition))
}

/// The file that a builder makes.
pub fn built(copy: &DataFileBuilder) -> Result<DataFile> {
    copy.build().map_err(|error| Error::new(ErrorKind::Unexpected, error.to_string()))
}

/// What makes a file the same once more.
pub fn copy_of(file: &DataFile) -> DataFileBuilder {
    let mut copy = DataFileBuilder::default();
    copy.content(file.content_type())
        .file_path(file.file_path().to_owned())
        .file_format(file.file_format())
        .partition(file.partition().clone())
        .record_count(file.record_count())
        .file_size_in_bytes(file.file_size_in_bytes())
        .column_sizes(file.column_sizes().clone())
        .value_counts(file.value_counts().clone())
        .null_value_counts(file.null_value_counts().clone())
        .nan_value_counts(file.nan_value_counts().clone())
        .lower_bounds(file.lower_bounds().clone())
        .upper_bounds(file.upper_bounds().clone())
        .key_metadata(file.key_metadata().map(<[u8]>::to_vec))
        .split_offsets(file.split_offsets().map(<[i64]>::to_vec))
        .equality_ids(file.equality_ids())
        .first_row_id(file.first_row_id())
        .referenced_data_file(file.referenced_data_file())
        .content_offset(file.content_offset())
        .content_size_in_bytes(file.content_size_in_bytes());
    if let Some(order) = file.sort_order_id() {
        copy.sort_order_id(order);
    }
    copy
}

#[cfg(test)]
mod tests {
    use super::*;
    use iceberg::spec::{DataContentType, DataFileFormat, NestedField, Type};
    use std::sync::Arc;

    #[test]
    fn a_partition_has_the_types_that_its_fields_have_by_now() {
        let of = |id, of| Arc::new(NestedField::optional(id, format!("p{id}"), Type::Primitive(of)));
        let fields = StructType::new(vec![
            of(1000, PrimitiveType::Long),
            of(1001, PrimitiveType::Int),
            of(1002, PrimitiveType::Double),
            of(1003, PrimitiveType::Long),
        ]);
        let values = [Some(Literal::int(1)), Some(Literal::int(2)), Some(Literal::float(0.5)), None];
        let mut file = DataFileBuilder::default();
        file.content(DataContentType::Data).file_path("a".to_owned()).file_format(DataFileFormat::Parquet);
        file.record_count(3).file_size_in_bytes(9).partition(Struct::from_iter(values));
        let file = with_partition_of(&built(&file).unwrap(), &fields).unwrap();
        let expected = [Some(Literal::long(1)), Some(Literal::int(2)), Some(Literal::double(0.5)), None];
        assert_eq!(file.partition(), &Struct::from_iter(expected));
        assert_eq!((file.record_count(), file.file_path()), (3, "a"));
    }
}
