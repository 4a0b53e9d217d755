//! The rows of a test as columns: those that go into streams, and those that should come out.

use crate::bind::syntax::{argument, object_name};
use crate::check::CheckedPlan;
use crate::diagnostic::{Diagnostic, Fault, Outcome, fault, place_of};
use crate::expression::{self, ColumnId, Compiled, Place, Scope, ScopeColumn, type_name};
use crate::source_file::SourceFile;
use crate::statement::{Expect, Expectation, Given, Name, Test};
use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, new_empty_array, new_null_array};
use arrow::compute::{concat, concat_batches};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use dataflow::{Batch, RowOrder, Scalar};
use sqlparser::ast::{Expr, Query, Select, SelectItem, SetExpr, TableFactor, TableFunctionArgs, Value};
use sqlparser::tokenizer::{Location, Span};
use std::sync::Arc;

/// A test with its rows as columns.
#[derive(Debug)]
pub struct BoundTest {
    /// Rows of streams.
    pub givens: Vec<GivenRows>,
    /// Models that give one score for every row.
    pub scores: Vec<(String, f64)>,
    /// What should come out.
    pub expects: Vec<BoundExpect>,
}

/// Rows that a test gives to a stream.
#[derive(Debug)]
pub struct GivenRows {
    /// The name of the stream.
    pub stream: String,
    /// Its decoded columns (those of `Stream::raw`).
    pub rows: RecordBatch,
    /// The line of the GIVEN, counted from 1.
    pub line: u64,
    /// Where in the line the stream is named, counted from 1.
    pub column: u64,
}

/// What should come out of an output of the plan.
#[derive(Debug)]
pub struct BoundExpect {
    /// The name of the output.
    pub target: String,
    /// The line of the EXPECT, counted from 1.
    pub line: u64,
    /// The rows.
    pub rows: ExpectedRows,
}

/// The rows that should come out.
#[derive(Debug)]
pub enum ExpectedRows {
    /// These are among the output, by the named columns.
    Among {
        /// The columns of the output that are compared.
        columns: Vec<usize>,
        /// Their values.
        rows: RecordBatch,
    },
    /// The output is these, in any order, by the named columns.
    Exactly {
        /// The columns of the output that are compared.
        columns: Vec<usize>,
        /// Their values.
        rows: RecordBatch,
    },
    /// No row of the output is so.
    None {
        /// The condition over the output, and its text; `None` when there is to be no row at all.
        condition: Option<(Arc<dyn Scalar>, String)>,
    },
}

impl CheckedPlan {
    /// Evaluates the rows of a test for the plan of its targets.
    pub fn bind_test(&self, test: &Test) -> Result<BoundTest, Vec<Diagnostic>> {
        let mut wrong = Vec::new();
        let unknown = SourceFile { path: test.path.clone(), text: String::new() };
        let file = self.files.get(test.file).unwrap_or(&unknown);
        let mut note = |fault: Box<Fault>| wrong.push(fault.within(test.span).in_file(file));
        let mut givens = Vec::new();
        for given in &test.givens {
            match self.bind_given(given, test.span) {
                Ok(rows) => givens.push(rows),
                Err(fault) => note(fault),
            }
        }
        let mut expects = Vec::new();
        for expect in &test.expects {
            match self.bind_expect(expect, test.span) {
                Ok(bound) => expects.push(bound),
                Err(fault) => note(fault),
            }
        }
        if test.expects.is_empty() {
            note(Box::new(
                Fault::new(test.span, "the test expects nothing").hint("add EXPECT view (columns) VALUES (..)"),
            ));
        }
        if wrong.is_empty() { Ok(BoundTest { givens, scores: test.scores.clone(), expects }) } else { Err(wrong) }
    }

    fn bind_given(&self, given: &Given, span: Span) -> Outcome<GivenRows> {
        let name = &given.stream;
        let found = self.streams.iter().find(|stream| stream.name.eq_ignore_ascii_case(&name.text));
        let stream = found.ok_or_else(|| {
            if self.declared.iter().any(|stream| stream.eq_ignore_ascii_case(&name.text)) {
                let message = format!("nothing that the test expects reads stream \"{}\"", name.text);
                let fault = Fault::new(name.span, message);
                return Box::new(
                    fault.hint(format!("leave the GIVEN out, or EXPECT rows of what reads {}", name.text)),
                );
            }
            let fault = Fault::new(name.span, format!("no stream is named \"{}\"", name.text));
            Box::new(fault.offer(&name.text, self.declared.iter().map(String::as_str)))
        })?;
        let columns = find_columns(given.columns.as_deref(), &stream.raw, name)?;
        let rows = rows(&given.query, &columns, &stream.raw, span)?;
        let arrays =
            (0..stream.raw.fields().len()).map(|index| match columns.iter().position(|column| *column == index) {
                Some(at) => rows.column(at).clone(),
                None => new_null_array(stream.raw.field(index).data_type(), rows.num_rows()),
            });
        let arrays: Vec<ArrayRef> = arrays.collect();
        let rows = batch(stream.raw.clone(), arrays, rows.num_rows(), name.span)?;
        let Location { line, column } = name.span.start;
        Ok(GivenRows { stream: stream.name.clone(), rows, line, column })
    }

    fn bind_expect(&self, expect: &Expect, span: Span) -> Outcome<BoundExpect> {
        let name = &expect.target;
        let found = self.outputs.iter().find(|output| output.name.eq_ignore_ascii_case(&name.text));
        let output = found.ok_or_else(|| {
            let known = self.outputs.iter().map(|output| output.name.as_str());
            Box::new(
                Fault::new(name.span, format!("no view or decision is named \"{}\"", name.text))
                    .offer(&name.text, known),
            )
        })?;
        let rows = match &expect.expectation {
            Expectation::Rows { columns, query, exactly } => {
                let columns = find_columns(columns.as_deref(), &output.schema, name)?;
                let rows = rows(query, &columns, &output.schema, span)?;
                if *exactly { ExpectedRows::Exactly { columns, rows } } else { ExpectedRows::Among { columns, rows } }
            }
            Expectation::NoRows(None) => ExpectedRows::None { condition: None },
            Expectation::NoRows(Some(condition)) => {
                let compiled = compile(condition, &scope(&output.schema), span)?;
                if compiled.data_type != DataType::Boolean {
                    let found = type_name(&compiled.data_type);
                    return Fault::new(place_of(condition, span), "a condition must be true or false")
                        .found(found)
                        .expected("BOOLEAN")
                        .err();
                }
                ExpectedRows::None { condition: Some((compiled.scalar, condition.to_string())) }
            }
        };
        Ok(BoundExpect { target: output.name.clone(), line: name.span.start.line, rows })
    }
}

fn find_columns(names: Option<&[Name]>, schema: &SchemaRef, of: &Name) -> Outcome<Vec<usize>> {
    let Some(names) = names else { return Ok((0..schema.fields().len()).collect()) };
    let find = |name: &Name| {
        let found = schema.fields().iter().position(|field| field.name().eq_ignore_ascii_case(&name.text));
        found.ok_or_else(|| {
            let known = schema.fields().iter().map(|field| field.name().as_str());
            let fault = Fault::new(name.span, format!("\"{}\" has no column \"{}\"", of.text, name.text));
            Box::new(fault.offer(&name.text, known))
        })
    };
    names.iter().map(find).collect()
}

/// The rows of VALUES, or of a SELECT over generate_series or nothing, as columns of some of a schema.
fn rows(query: &Query, columns: &[usize], schema: &SchemaRef, span: Span) -> Outcome<RecordBatch> {
    let fields: Vec<Field> = columns.iter().map(|&column| schema.field(column).clone().with_nullable(true)).collect();
    let fields: SchemaRef = Arc::new(Schema::new(fields));
    match query.body.as_ref() {
        SetExpr::Values(values) => {
            let one = one_row(span)?;
            let rows = values
                .rows
                .iter()
                .map(|row| evaluate(&row.content.iter().collect::<Vec<_>>(), &Scope::default(), &one, &fields, span));
            let rows = rows.collect::<Outcome<Vec<_>>>()?;
            concat_batches(&fields, &rows).map_err(|error| Box::new(Fault::new(span, error.to_string())))
        }
        SetExpr::Select(select) => {
            let (scope, input) = series(select, span)?;
            let items = select.projection.iter().map(|item| match item {
                SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Ok(expr),
                other => Fault::new(place_of(other, span), "write the columns out").found(other.to_string()).err(),
            });
            let items = items.collect::<Outcome<Vec<_>>>()?;
            evaluate(&items, &scope, &input, &fields, span)
        }
        _ => Fault::new(place_of(query, span), "rows of a test are VALUES, or a SELECT over generate_series").err(),
    }
}

/// The rows that a SELECT in a test reads: one without FROM, or the numbers of generate_series.
fn series(select: &Select, span: Span) -> Outcome<(Scope, Batch)> {
    let wrong =
        || Fault::new(span, "a SELECT in a test reads generate_series").expected("FROM generate_series(1, 60) AS g(i)");
    let factor = match select.from.as_slice() {
        [] => return Ok((Scope::default(), one_row(span)?)),
        [from] if from.joins.is_empty() => &from.relation,
        _ => return wrong().err(),
    };
    let TableFactor::Table { name, alias, args: Some(TableFunctionArgs { args, .. }), .. } = factor else {
        return wrong().err();
    };
    if select.selection.is_some() || !object_name(name).eq_ignore_ascii_case("generate_series") {
        return wrong().err();
    }
    let number = |expr: &Expr| {
        let compiled = compile(expr, &Scope::default(), span)?;
        let compiled = compiled.cast_to(&DataType::Int64).map_err(|problem| Box::new(fault(problem).within(span)))?;
        let value = compiled
            .scalar
            .evaluate(&one_row(span)?)
            .map_err(|error| Box::new(Fault::new(span, error.chain())))?
            .values;
        let value =
            value.as_any().downcast_ref::<Int64Array>().filter(|value| value.is_valid(0)).map(|value| value.value(0));
        value.ok_or_else(|| Box::new(Fault::new(place_of(expr, span), "generate_series takes numbers")))
    };
    let bounds = args.iter().filter_map(argument).map(number).collect::<Outcome<Vec<i64>>>()?;
    let (first, last, step) = match bounds[..] {
        [last] => (0, last, 1),
        [first, last] => (first, last, 1),
        [first, last, step] if step > 0 => (first, last, step),
        _ => return wrong().err(),
    };
    if last.saturating_sub(first) / step > ROWS_MAX {
        return Fault::new(span, "a test has too many rows").expected(format!("at most {ROWS_MAX}")).err();
    }
    let values: Vec<i64> = std::iter::successors(Some(first), |value| value.checked_add(step))
        .take_while(|value| *value <= last)
        .collect();
    let qualifier = alias.as_ref().map(|alias| alias.name.value.clone());
    let column = alias.as_ref().and_then(|alias| alias.columns.first()).map(|column| column.name.value.clone());
    let name = column.or_else(|| qualifier.clone()).unwrap_or_else(|| "generate_series".to_owned());
    let schema = Arc::new(Schema::new(vec![Field::new(&name, DataType::Int64, false)]));
    let rows = values.len();
    let columns = batch(schema, vec![Arc::new(Int64Array::from(values))], rows, span)?;
    let place = Place::Column(ColumnId(0));
    let column =
        ScopeColumn { qualifier, name, data_type: DataType::Int64, place, needs_qualifier: false, is_used: false };
    Ok((Scope::from_iter([column]), with_times(columns, span)?))
}

/// The most rows that generate_series gives.
const ROWS_MAX: i64 = 1_000_000;

/// The bytes that the rows of a SELECT in a test take at most.
const BYTES_MAX: usize = 256 << 20;

/// Values are computed for so many rows at a time, so that too many bytes are seen early.
const CHUNK_ROWS: usize = 1_024;

fn evaluate(items: &[&Expr], scope: &Scope, input: &Batch, fields: &SchemaRef, span: Span) -> Outcome<RecordBatch> {
    if items.len() != fields.fields().len() {
        let at = items.first().map_or(span, |item| place_of(*item, span));
        return Fault::new(at, "a row has another number of values")
            .found(format!("{} values", items.len()))
            .expected(format!(
                "{}: {}",
                fields.fields().len(),
                fields.fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>().join(", ")
            ))
            .err();
    }
    let (mut arrays, mut bytes) = (Vec::with_capacity(items.len()), 0);
    for (item, field) in items.iter().zip(fields.fields()) {
        let at = place_of(*item, span);
        if matches!(item, Expr::Value(value) if value.value == Value::Null) {
            arrays.push(new_null_array(field.data_type(), input.rows()));
            continue;
        }
        let compiled = compile(item, scope, span)?;
        let cast = compiled.cast_to(field.data_type()).map_err(|problem| {
            let fault = fault(problem).within(at);
            Box::new(if fault.found.is_none() {
                fault.found(format!("{item} for {} {}", field.name(), type_name(field.data_type())))
            } else {
                fault
            })
        })?;
        let wanted = format!("{} {}", field.name(), type_name(field.data_type()));
        let column = values(cast.scalar.as_ref(), input, &mut bytes)
            .map_err(|fault| Box::new(fault.within(at).found(item.to_string())))?;
        arrays
            .push(column.map_err(|failed| Box::new(Fault::new(at, failed).found(item.to_string()).expected(wanted)))?);
    }
    batch(fields.clone(), arrays, input.rows(), span)
}

/// The values of an expression for all rows; inside an error of a row.
fn values(scalar: &dyn Scalar, input: &Batch, bytes: &mut usize) -> Result<Result<ArrayRef, String>, Fault> {
    let internal = |error: dataflow::Error| Fault::new(Span::empty(), error.chain());
    let mut parts: Vec<ArrayRef> = Vec::new();
    for from in (0..input.rows()).step_by(CHUNK_ROWS) {
        let chunk = input.slice(from, CHUNK_ROWS.min(input.rows() - from));
        let evaluated = scalar.evaluate(&chunk).map_err(internal)?;
        if let Some((_, error)) = evaluated.failed.first() {
            return Ok(Err(error.chain()));
        }
        *bytes += evaluated.values.get_array_memory_size();
        if *bytes > BYTES_MAX {
            return Err(Fault::new(Span::empty(), "the rows of a test take too much memory")
                .expected(format!("at most {} MiB", BYTES_MAX >> 20)));
        }
        parts.push(evaluated.values);
    }
    let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
    if parts.is_empty() {
        return Ok(Ok(new_empty_array(&scalar.data_type())));
    }
    concat(&parts).map(Ok).map_err(|error| internal(error.into()))
}

fn compile(expr: &Expr, scope: &Scope, span: Span) -> Outcome<Compiled> {
    expression::compile(expr, scope).map_err(|problem| Box::new(fault(problem).within(place_of(expr, span))))
}

fn scope(schema: &SchemaRef) -> Scope {
    let column = |(index, field): (usize, &Arc<Field>)| ScopeColumn {
        qualifier: None,
        name: field.name().clone(),
        data_type: field.data_type().clone(),
        place: Place::Column(ColumnId(index)),
        needs_qualifier: false,
        is_used: false,
    };
    schema.fields().iter().enumerate().map(column).collect()
}

fn one_row(span: Span) -> Outcome<Batch> {
    with_times(batch(Arc::new(Schema::empty()), vec![], 1, span)?, span)
}

fn with_times(columns: RecordBatch, span: Span) -> Outcome<Batch> {
    let rows = columns.num_rows();
    let orders = (0..rows as u128).map(RowOrder).collect();
    Batch::new(columns, vec![0; rows], orders).map_err(|error| Box::new(Fault::new(span, error.chain())))
}

fn batch(schema: SchemaRef, columns: Vec<ArrayRef>, rows: usize, span: Span) -> Outcome<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, columns, &options)
        .map_err(|error| Box::new(Fault::new(span, error.to_string())))
}
