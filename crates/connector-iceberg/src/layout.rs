//! How rows lie in the files of a table, between what a statement says and Iceberg's partition specs and sort orders.

use crate::failure;
use crate::name::TableName;
use crate::partition_names::avro_name;
use dataflow::{Error, PartitionField, PartitionTransform, Result, SortField, TableLayout};
use iceberg::spec::{
    NullOrder, PartitionSpecRef, Schema, SortDirection, SortField as IcebergSortField, SortOrder, SortOrderRef,
    TableMetadata, Transform, UnboundPartitionSpec,
};
use std::collections::HashSet;

/// The partition spec that a layout asks for. A column that is not there, or whose type has no such partitions, is an
/// error.
pub fn partition_spec(name: &TableName, schema: &Schema, layout: &TableLayout) -> Result<UnboundPartitionSpec> {
    let wrong = |error| failure::iceberg(format!("table \"{name}\" cannot be made"), error);
    let (mut spec, mut taken) = (UnboundPartitionSpec::builder(), HashSet::new());
    for field in &layout.partition_by {
        let (id, transform) = (column(name, schema, &field.column, "PARTITION BY")?, transform(field.transform));
        let as_there = schema.name_by_field_id(id).unwrap_or(&field.column);
        let field = &PartitionField { column: as_there.to_owned(), transform: field.transform };
        let of = schema.field_by_id(id).map(|column| transform.result_type(&column.field_type));
        if let Some(Err(error)) = of {
            return Err(failure::iceberg(format!("table \"{name}\": PARTITION BY {field} cannot be"), error));
        }
        let mut own = field_name(field);
        let is_of_column = |own: &str| {
            let is_itself = field.transform == PartitionTransform::Identity && own == field.column;
            schema.field_by_name_case_insensitive(own).is_some() && !is_itself
        };
        while is_of_column(&own) || taken.contains(&own) {
            own.push('_');
        }
        spec = spec.add_partition_field(id, own.clone(), transform).map_err(wrong)?;
        taken.insert(own);
    }
    Ok(spec.build())
}

/// The sort order that a layout asks for.
pub fn sort_order(name: &TableName, schema: &Schema, layout: &TableLayout) -> Result<SortOrder> {
    let mut fields = Vec::with_capacity(layout.sort_by.len());
    for field in &layout.sort_by {
        fields.push(
            IcebergSortField::builder()
                .source_id(column(name, schema, &field.column, "SORT BY")?)
                .transform(Transform::Identity)
                .direction(if field.descending { SortDirection::Descending } else { SortDirection::Ascending })
                .null_order(if field.nulls_first { NullOrder::First } else { NullOrder::Last })
                .build(),
        );
    }
    if fields.is_empty() {
        return Ok(SortOrder::unsorted_order());
    }
    let order = SortOrder::builder().with_order_id(1).with_fields(fields).build(schema);
    order.map_err(|error| failure::iceberg(format!("table \"{name}\" cannot be made"), error))
}

fn column(name: &TableName, schema: &Schema, column: &str, clause: &str) -> Result<i32> {
    let fields = || schema.as_struct().fields().iter();
    let field = fields().find(|field| field.name == column);
    let field = field.or_else(|| fields().find(|field| field.name.eq_ignore_ascii_case(column)));
    let names = || schema.as_struct().fields().iter().map(|field| field.name.as_str()).collect::<Vec<_>>().join(", ");
    let field = field.ok_or_else(|| {
        Error::invalid(format!("table \"{name}\": {clause} names column \"{column}\", and its columns are {}", names()))
    })?;
    match field.field_type.is_primitive() {
        true => Ok(field.id),
        false => Err(Error::invalid(format!(
            "table \"{name}\": {clause} names column \"{column}\", which has type {}; name one whose values have an order",
            field.field_type
        ))),
    }
}

/// The name of a field of the spec, as other engines give it.
fn field_name(PartitionField { column, transform }: &PartitionField) -> String {
    let end = match transform {
        PartitionTransform::Identity => return avro_name(column),
        PartitionTransform::Bucket(_) => "bucket",
        PartitionTransform::Truncate(_) => "trunc",
        PartitionTransform::Year => "year",
        PartitionTransform::Month => "month",
        PartitionTransform::Day => "day",
        PartitionTransform::Hour => "hour",
    };
    format!("{}_{end}", avro_name(column))
}

fn transform(of: PartitionTransform) -> Transform {
    match of {
        PartitionTransform::Identity => Transform::Identity,
        PartitionTransform::Bucket(count) => Transform::Bucket(count),
        PartitionTransform::Truncate(width) => Transform::Truncate(width),
        PartitionTransform::Year => Transform::Year,
        PartitionTransform::Month => Transform::Month,
        PartitionTransform::Day => Transform::Day,
        PartitionTransform::Hour => Transform::Hour,
    }
}

/// Refuses a table that is there with other partitions or another order than a statement says. One that says nothing
/// takes the table as it is. `otherwise` is what else can be done than to change the statement.
pub fn check_layout(name: &TableName, metadata: &TableMetadata, layout: &TableLayout, otherwise: &str) -> Result<()> {
    let schema = metadata.current_schema();
    let differs = |clause: &str, is: String, wanted: String| {
        let is = if is.is_empty() { format!("no {clause}") } else { format!("{clause} {is}") };
        Error::invalid(format!(
            "table \"{name}\" has {is}, and the statement says {clause} {wanted}: write what the table has, or leave the \
             clause out; {otherwise}"
        ))
    };
    let column_name = |id: i32| schema.name_by_field_id(id).unwrap_or("?").to_owned();
    let wanted: Vec<String> = layout.partition_by.iter().map(PartitionField::to_string).collect();
    let is = partitions_of(metadata.default_partition_spec(), &column_name);
    if !wanted.is_empty() && !are_same(&is, &wanted) {
        return Err(differs("PARTITION BY", is.join(", "), wanted.join(", ")));
    }
    let wanted: Vec<String> = layout.sort_by.iter().map(SortField::to_string).collect();
    let is = order_of(metadata.default_sort_order(), &column_name);
    if !wanted.is_empty() && !are_same(&is, &wanted) {
        return Err(differs("SORT BY", is.join(", "), wanted.join(", ")));
    }
    Ok(())
}

/// Names of columns match without regard to case.
fn are_same(fields: &[String], others: &[String]) -> bool {
    fields.len() == others.len() && fields.iter().zip(others).all(|(one, other)| one.eq_ignore_ascii_case(other))
}

/// The fields of a spec as PARTITION BY has them.
fn partitions_of(spec: &PartitionSpecRef, column_name: &dyn Fn(i32) -> String) -> Vec<String> {
    let fields = spec.fields().iter().filter(|field| field.transform != Transform::Void);
    let text = |field: &iceberg::spec::PartitionField| {
        let column = column_name(field.source_id);
        match field.transform {
            Transform::Identity => column,
            Transform::Bucket(count) => format!("bucket({count}, {column})"),
            Transform::Truncate(width) => format!("truncate({width}, {column})"),
            other => format!("{other}({column})"),
        }
    };
    fields.map(text).collect()
}

/// The fields of an order as SORT BY has them.
fn order_of(order: &SortOrderRef, column_name: &dyn Fn(i32) -> String) -> Vec<String> {
    let text = |field: &IcebergSortField| {
        let column = column_name(field.source_id);
        let column = match field.transform {
            Transform::Identity => column,
            other => format!("{other}({column})"),
        };
        let (descending, nulls_first) =
            (field.direction == SortDirection::Descending, field.null_order == NullOrder::First);
        SortField { column, descending, nulls_first }.to_string()
    };
    order.fields.iter().map(text).collect()
}
