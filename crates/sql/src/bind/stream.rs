//! A declared stream to a planned one: types, inferred columns, computed columns, the time column.

use super::syntax::cast;
use super::{queue, removed_rows};
use crate::catalog::Catalog;
use crate::diagnostic::{Fault, Outcome, fault, span_of};
use crate::expression::{self, ColumnId, Place, Scope, ScopeColumn, TIMESTAMP, type_name};
use crate::nearest::did_you_mean;
use crate::statement::{self, Name, StreamColumn, StreamColumnSource};
use crate::stream::{ColumnSource, Dedup, History, Stream};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use dataflow::{ErrorKind, Quiet, Span as Length};
use sqlparser::ast::DataType as SqlType;
use sqlparser::tokenizer::Span;
use std::collections::HashSet;
use std::sync::Arc;

const TYPES: &str = "BIGINT, INTEGER, SMALLINT, DOUBLE, FLOAT, BOOLEAN, TEXT, TIMESTAMP or DATE";
const TYPE_NAMES: [&str; 12] = [
    "BIGINT",
    "INTEGER",
    "INT",
    "SMALLINT",
    "DOUBLE",
    "FLOAT",
    "BOOLEAN",
    "TEXT",
    "VARCHAR",
    "STRING",
    "TIMESTAMP",
    "DATE",
];

pub(crate) fn bind(declared: &statement::Stream, catalog: &dyn Catalog, span: Span) -> Outcome<Stream> {
    let name = &declared.name;
    let columns = if declared.columns.is_empty() { infer(declared, catalog)? } else { typed(declared)? };
    let raw: Vec<Field> = columns.iter().filter_map(|column| column.raw.clone()).collect();
    let raw: SchemaRef = Arc::new(Schema::new(raw));
    let paths: Vec<String> = columns.iter().filter(|column| column.raw.is_some()).map(BoundColumn::path_text).collect();
    let (mut fields, mut sources, mut origins) = (Vec::new(), Vec::new(), Vec::new());
    for column in columns {
        let (field, source, origin) = column.bind(&raw, &paths, span)?;
        fields.push(field);
        sources.push(source);
        origins.push(origin);
    }
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let (time_column, arrival) = time_columns(declared, &schema)?;
    let dedup = match &declared.dedup {
        None => None,
        Some((keys, within)) => {
            let keys = keys.iter().map(|key| find(&schema, key, &name.text)).collect::<Outcome<Vec<_>>>()?;
            Some(Dedup { keys, within: *within })
        }
    };
    if declared.history.is_none() && declared.live.is_none() {
        return Fault::new(name.span, format!("stream \"{}\" has no rows: neither HISTORY nor LIVE", name.text))
            .hint(format!(
                "add HISTORY raw.{0}, HISTORY FILES 'data/{0}*.parquet' or LIVE {0} after the columns",
                name.text
            ))
            .err();
    }
    if let (Some(statement::History::Files(..)), Some(topic)) = (&declared.history, &declared.live) {
        return Fault::new(topic.span, format!("stream \"{}\" cannot go on live where files end", name.text))
            .found("HISTORY FILES and LIVE")
            .expected("HISTORY that is a table of ARCHIVE, which says where it ends on the topic")
            .hint(format!("leave out LIVE, or write HISTORY raw.{0} LIVE {1} and ARCHIVE {0}", name.text, topic.text))
            .err();
    }
    let watermark = declared.watermark.as_ref().ok_or_else(|| Box::new(Fault::reported()))?;
    removed_rows::check(declared, watermark)?;
    queue::check(declared, watermark)?;
    let tags = declared.columns.iter().filter(|column| !column.tags.is_empty());
    Ok(Stream {
        name: name.text.clone(),
        schema,
        sources,
        raw,
        time_column,
        delay: watermark.delay,
        // A queue waits for nobody.
        quiet: declared.queue.map_or(watermark.quiet, |_| Quiet::After(Length::ZERO)),
        arrival,
        late: watermark.late,
        late_rows: watermark.late_rows.as_ref().map(|to| to.output.clone()),
        dedup,
        history: declared.history.as_ref().map(|history| match history {
            statement::History::Table(table) => History::Table(table.text.clone()),
            statement::History::Files(pattern, encoding) => History::Files(pattern.text.clone(), *encoding),
        }),
        live: declared.live.as_ref().map(|topic| topic.text.clone()),
        queue: declared.queue.map(|(sharing, _)| sharing),
        bad_rows: declared.bad_rows,
        dead_letters: declared.dead_letters.as_ref().map(|to| to.output.clone()),
        tags: tags.map(|column| (column.name.text.clone(), column.tags.clone())).collect(),
        origins,
    })
}

/// A declared column: decoded, or computed from decoded ones.
struct BoundColumn {
    name: String,
    raw: Option<Field>,
    source: StreamColumnSource,
    data_type: Option<SqlType>,
    declared: Option<DataType>,
}

impl BoundColumn {
    /// The path of its value; parts are told apart by their lengths.
    fn path_text(&self) -> String {
        let part = |part: &String| format!("{}.{part}", part.len());
        match &self.source {
            StreamColumnSource::Path(path) => path.iter().map(part).collect(),
            _ => part(&self.name),
        }
    }

    /// The column, where its values come from, and what they are whatever the column is called.
    fn bind(self, raw: &SchemaRef, paths: &[String], span: Span) -> Outcome<(Field, ColumnSource, String)> {
        let path_text = self.path_text();
        match (self.raw, self.source) {
            (Some(field), StreamColumnSource::Path(path)) => Ok((field, ColumnSource::Path(path), path_text)),
            (Some(field), _) => Ok((field, ColumnSource::Path(vec![self.name]), path_text)),
            (None, StreamColumnSource::Computed(expr)) => {
                let expr = match self.data_type {
                    Some(data_type) => cast(expr, data_type),
                    None => expr,
                };
                let compiled =
                    expression::compile(&expr, &scope(raw.fields().iter().map(|field| (field.name(), field))));
                let compiled = compiled.map_err(|problem| Box::new(fault(problem).within(span)))?;
                if let Some(declared) = self.declared.filter(|declared| *declared != compiled.data_type) {
                    return Fault::new(span_of(&expr), format!("column \"{}\" is not of its declared type", self.name))
                        .found(type_name(&compiled.data_type))
                        .expected(type_name(&declared))
                        .within(span)
                        .err();
                }
                let text = compiled.text(&scope(raw.fields().iter().zip(paths).map(|(field, path)| (path, field))));
                let field = Field::new(&self.name, compiled.data_type, compiled.nullable);
                Ok((field, ColumnSource::Computed(compiled.scalar), text))
            }
            _ => Fault::new(span, format!("column \"{}\" has no source", self.name)).err(),
        }
    }
}

fn scope<'f>(raw: impl Iterator<Item = (&'f String, &'f Arc<Field>)>) -> Scope {
    let column = |(index, (name, field)): (usize, (&String, &Arc<Field>))| ScopeColumn {
        qualifier: None,
        name: name.clone(),
        data_type: field.data_type().clone(),
        place: Place::Column(ColumnId(index)),
        needs_qualifier: false,
        is_used: false,
    };
    raw.enumerate().map(column).collect()
}

fn typed(declared: &statement::Stream) -> Outcome<Vec<BoundColumn>> {
    let (mut columns, mut names): (Vec<BoundColumn>, HashSet<String>) = (Vec::new(), HashSet::new());
    for column in &declared.columns {
        if !names.insert(column.name.text.to_ascii_lowercase()) {
            let message = format!("stream \"{}\" has two columns \"{}\"", declared.name.text, column.name.text);
            return Fault::new(column.name.span, message).hint("give one of them another name").err();
        }
        if column.name.text.starts_with('_') {
            return Fault::new(column.name.span, format!("column \"{}\" has a reserved name", column.name.text))
                .hint("names that begin with _ are reserved for hidden columns; rename it with a FROM path")
                .err();
        }
        columns.push(typed_column(column)?);
    }
    Ok(columns)
}

fn typed_column(column: &StreamColumn) -> Outcome<BoundColumn> {
    let data_type = column.data_type.as_ref().map(|data_type| arrow_type(column, data_type)).transpose()?;
    let computed = matches!(column.source, StreamColumnSource::Computed(_));
    let raw = match (&data_type, computed) {
        (_, true) => None,
        (Some(data_type), false) => Some(Field::new(&column.name.text, data_type.clone(), true)),
        (None, false) => {
            return Fault::new(column.name.span, format!("column \"{}\" has no type", column.name.text))
                .expected(TYPES)
                .err();
        }
    };
    Ok(BoundColumn {
        name: column.name.text.clone(),
        raw,
        source: column.source.clone(),
        data_type: column.data_type.clone(),
        declared: data_type,
    })
}

fn arrow_type(column: &StreamColumn, data_type: &SqlType) -> Outcome<DataType> {
    use sqlparser::ast::{ExactNumberInfo, TimezoneInfo};
    Ok(match data_type {
        SqlType::BigInt(None) | SqlType::Int8(None) | SqlType::Int64 => DataType::Int64,
        SqlType::Int(None) | SqlType::Integer(None) | SqlType::Int4(None) | SqlType::Int32 => DataType::Int32,
        SqlType::SmallInt(None) | SqlType::Int2(None) | SqlType::Int16 => DataType::Int16,
        SqlType::Double(ExactNumberInfo::None) | SqlType::DoublePrecision | SqlType::Float8 | SqlType::Float64 => {
            DataType::Float64
        }
        SqlType::Float(ExactNumberInfo::None) | SqlType::Real | SqlType::Float4 | SqlType::Float32 => DataType::Float32,
        SqlType::Boolean | SqlType::Bool => DataType::Boolean,
        SqlType::Text | SqlType::Varchar(None) | SqlType::String(None) => DataType::Utf8,
        SqlType::Timestamp(None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => TIMESTAMP,
        SqlType::Date => DataType::Date32,
        other => {
            let fault = Fault::new(
                column.type_span,
                format!("column \"{}\" has a type that streams do not have", column.name.text),
            )
            .found(other.to_string())
            .expected(TYPES);
            let hint = match other {
                SqlType::Timestamp(..) | SqlType::Datetime(_) => "write TIMESTAMP: it is UTC, to the microsecond",
                SqlType::Decimal(_) | SqlType::Numeric(_) => "write DOUBLE, or BIGINT of the smallest unit",
                SqlType::Varchar(_) | SqlType::Char(_) => "write TEXT: it has no length",
                _ => "write one of these types, or leave the column out",
            };
            let near = did_you_mean(&other.to_string(), TYPE_NAMES.into_iter());
            return fault.hint(near.unwrap_or_else(|| hint.to_owned())).err();
        }
    })
}

/// The columns of the table or files of HISTORY.
fn infer(declared: &statement::Stream, catalog: &dyn Catalog) -> Outcome<Vec<BoundColumn>> {
    let (place, schema) = match &declared.history {
        Some(statement::History::Table(table)) => (table, catalog.table_schema(&table.text)),
        Some(statement::History::Files(pattern, encoding)) => (pattern, catalog.files_schema(&pattern.text, *encoding)),
        None => {
            return Fault::new(declared.name.span, format!("stream \"{}\" declares no columns", declared.name.text))
                .hint("declare them, or name a table or files that have them with HISTORY")
                .err();
        }
    };
    let schema = schema.map_err(|error| {
        let fault = Fault::new(place.span, error.chain());
        // What is there and damaged has columns, which nobody can know.
        Box::new(match error.kind() {
            ErrorKind::Corrupt => fault,
            // Files have to be there; a table may come later.
            _ if matches!(declared.history, Some(statement::History::Files(..))) => fault,
            _ => fault.hint("declare the columns of the stream if its history does not exist yet"),
        })
    })?;
    let fields = schema.fields().iter().filter(|field| !field.name().starts_with('_'));
    let names: Vec<&String> = schema.fields().iter().map(|field| field.name()).collect();
    // Where a step would have no name, or be a value in one column and an object in another, the dots are letters.
    let is_below = |name: &str, outer: &str| name.strip_prefix(outer).is_some_and(|rest| rest.starts_with('.'));
    let is_path = |field: &Field| {
        let name = field.name();
        !field.metadata().contains_key(values::WHOLE_NAME)
            && !name.split('.').any(str::is_empty)
            && !names.iter().any(|&other| is_below(name, other) || is_below(other, name))
    };
    let column = |field: &Arc<Field>| {
        let Some(data_type) = inferred_type(field.data_type()) else {
            return Fault::new(place.span, format!("column \"{}\" has a type that streams do not have", field.name()))
                .found(type_name(field.data_type()))
                .expected(TYPES)
                .hint("declare the columns that are needed; TEXT takes every type")
                .err();
        };
        let raw = Some(Field::new(field.name(), data_type, true));
        let name = field.name().clone();
        // Fields of nested objects of files have their path in their name.
        let source = match &declared.history {
            Some(statement::History::Files(..)) => {
                let steps = if is_path(field) { name.split('.').collect() } else { vec![name.as_str()] };
                StreamColumnSource::Path(steps.into_iter().map(str::to_owned).collect())
            }
            _ => StreamColumnSource::Named,
        };
        Ok(BoundColumn { name, raw, source, data_type: None, declared: None })
    };
    fields.map(column).collect()
}

fn inferred_type(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => DataType::Int16,
        DataType::UInt16 | DataType::Int32 => DataType::Int32,
        DataType::UInt32 | DataType::Int64 => DataType::Int64,
        DataType::Float16 | DataType::Float32 => DataType::Float32,
        DataType::Float64 => DataType::Float64,
        DataType::Boolean => DataType::Boolean,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Timestamp(_, _) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Date32 | DataType::Date64 => DataType::Date32,
        DataType::Dictionary(_, values) => return inferred_type(values),
        _ => return None,
    })
}

/// The columns that WATERMARK FOR and ARRIVAL name.
fn time_columns(declared: &statement::Stream, schema: &SchemaRef) -> Outcome<(usize, Option<usize>)> {
    let stream = &declared.name;
    let Some(watermark) = &declared.watermark else {
        let timestamps = schema.fields().iter().find(|field| *field.data_type() == TIMESTAMP);
        let column = timestamps.map_or("time_column", |field| field.name());
        return Fault::new(stream.span, format!("stream \"{}\" has no watermark", stream.text))
            .expected("WATERMARK FOR <timestamp column> AS <that column> - INTERVAL ..")
            .hint(format!(
                "add WATERMARK FOR {column} AS {column} - INTERVAL '5' SECOND, or as far as rows are out of order"
            ))
            .err();
    };
    let timestamp = |name: &Name, what: &str, example: &str| {
        let index = find(schema, name, &stream.text)?;
        if *schema.field(index).data_type() == TIMESTAMP {
            return Ok(index);
        }
        Fault::new(name.span, format!("{what} is a TIMESTAMP"))
            .found(format!("{} {}", name.text, type_name(schema.field(index).data_type())))
            .expected("TIMESTAMP")
            .hint(match (schema.field(index).data_type(), declared.columns.is_empty()) {
                (DataType::Utf8, false) => format!("declare {} TIMESTAMP: text is read as one", name.text),
                (DataType::Utf8, true) => {
                    format!(
                        "declare the columns that you need, among them {} TIMESTAMP: text is read as one",
                        name.text
                    )
                }
                _ => format!("compute one, e.g. {example} TIMESTAMP AS epoch_ms({})", name.text),
            })
            .err()
    };
    let time_column = timestamp(&watermark.column, "the column of a watermark", "happened_at")?;
    let arrival = watermark.arrival.as_ref().map(|name| timestamp(name, "the column of ARRIVAL", "arrived_at"));
    Ok((time_column, arrival.transpose()?))
}

fn find(schema: &SchemaRef, name: &Name, stream: &str) -> Outcome<usize> {
    let found = schema.fields().iter().position(|field| field.name().eq_ignore_ascii_case(&name.text));
    found.ok_or_else(|| {
        let fault = Fault::new(name.span, format!("stream \"{stream}\" has no column \"{}\"", name.text));
        if schema.fields().is_empty() {
            return Box::new(fault.hint(format!(
                "its history holds nothing that shows columns: declare them, among them {} TIMESTAMP",
                name.text
            )));
        }
        Box::new(fault.offer(&name.text, schema.fields().iter().map(|field| field.name().as_str())))
    })
}
