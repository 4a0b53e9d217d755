//! Relations: the columns that a SELECT can name, and the node that puts them out.

use crate::diagnostic::{Fault, Outcome, fault};
use crate::expression::{self, Compiled, Place, Scope, ScopeColumn};
use crate::plan::Plan;
use crate::rewrite::any;
use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use dataflow::{Batch, Evaluated, Scalar};
use sqlparser::ast::Expr;
use sqlparser::tokenizer::Span;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The name of the hidden column of row times.
pub(crate) const TIME: &str = "_time";

/// Rows that a SELECT reads or puts out.
#[derive(Clone, Debug)]
pub(crate) struct Relation {
    /// The node that puts the rows out.
    pub node: usize,
    /// The columns of the node, in its order.
    pub columns: Vec<RelationColumn>,
    /// The models that scored the rows, with their versions.
    pub models: BTreeMap<String, String>,
    /// How much later `_time` is than the time columns, in microseconds: the reach of aggregates with a forward bound.
    pub shift: i64,
}

/// A column of a relation.
#[derive(Clone, Debug)]
pub(crate) struct RelationColumn {
    pub qualifier: Option<String>,
    pub name: String,
    pub data_type: DataType,
    pub nullable: bool,
    /// Whether it holds the stream's time column as it came in.
    pub time: bool,
    /// Whether a model's score went into it.
    pub scored: bool,
    /// Whether it was made by the planner and cannot be named.
    pub generated: bool,
}

impl Relation {
    /// The same rows under another name.
    pub fn named(mut self, qualifier: &str) -> Relation {
        for column in &mut self.columns {
            column.qualifier = Some(qualifier.to_owned());
        }
        self
    }

    /// Columns of another input, made by a step, are appended.
    pub fn append(&mut self, name: &str, data_type: DataType, nullable: bool) -> usize {
        let name = name.to_owned();
        self.columns.push(RelationColumn {
            qualifier: None,
            name,
            data_type,
            nullable,
            time: false,
            scored: false,
            generated: true,
        });
        self.columns.len() - 1
    }

    /// What expressions over the relation can name.
    pub fn scope(&self) -> Scope {
        let column = |(index, column): (usize, &RelationColumn)| ScopeColumn {
            qualifier: column.qualifier.clone(),
            name: column.name.clone(),
            data_type: column.data_type.clone(),
            place: Place::Column(index),
        };
        let mut columns: Vec<ScopeColumn> = self.columns.iter().enumerate().map(column).collect();
        let hidden = [(TIME, timestamp(), Place::Time), ("_late", DataType::Boolean, Place::Late)];
        for (name, data_type, place) in hidden {
            if !self.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name)) {
                let qualifier = self.columns.first().and_then(|column| column.qualifier.clone());
                columns.push(ScopeColumn { qualifier, name: name.to_owned(), data_type, place });
            }
        }
        Scope { columns }
    }

    pub fn compile(&self, expr: &Expr, within: Span) -> Outcome<Compiled> {
        expression::compile(expr, &self.scope()).map_err(|problem| Box::new(fault(problem).within(within)))
    }

    /// A condition: BOOLEAN.
    pub fn condition(&self, expr: &Expr, within: Span) -> Outcome<Compiled> {
        let compiled = self.compile(expr, within)?;
        if compiled.data_type == DataType::Boolean {
            return Ok(compiled);
        }
        Fault::new(crate::diagnostic::span_of(expr), "a condition is true or false")
            .found(format!("{expr}, which is {}", type_name(&compiled.data_type)))
            .expected("BOOLEAN")
            .within(within)
            .err()
    }

    /// The column that an expression is: `m.sent_at`, `(sent_at)`. `None` for others and for names that mean nothing
    /// here. `_time` gives no column.
    pub fn plain_column(&self, expr: &Expr) -> Option<usize> {
        match self.place(expr)? {
            Place::Column(index) => Some(index),
            _ => None,
        }
    }

    /// Whether a model's score goes into an expression.
    pub fn is_scored(&self, expr: &Expr) -> bool {
        any(expr, |part| self.plain_column(part).is_some_and(|column| self.columns[column].scored))
    }

    /// Where the value of a plain column is.
    pub fn place(&self, expr: &Expr) -> Option<Place> {
        let scope = self.scope();
        let found = match expr {
            Expr::Nested(inner) => return self.place(inner),
            Expr::Identifier(name) => scope.resolve(None, name),
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [qualifier, name] => scope.resolve(Some(qualifier), name),
                _ => return None,
            },
            _ => return None,
        };
        found.ok().map(|column| column.place)
    }

    /// Whether an expression means the row's time: the stream's time column, or `_time`. Where rows wait for a
    /// forward bound, `_time` alone does.
    pub fn is_time(&self, expr: &Expr) -> bool {
        match self.place(expr) {
            Some(Place::Time) => true,
            Some(Place::Column(index)) => self.columns[index].time && self.shift == 0,
            _ => false,
        }
    }

    /// The names of time columns, for messages.
    pub fn time_names(&self) -> String {
        let names: Vec<String> =
            self.columns.iter().filter(|column| column.time).map(RelationColumn::full_name).collect();
        if names.is_empty() || self.shift != 0 { TIME.to_owned() } else { names.join(" or ") }
    }

    pub fn schema(&self) -> SchemaRef {
        let mut fields: Vec<Field> = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            let mut name = column.name.clone();
            if let (true, Some(qualifier)) = (fields.iter().any(|field| *field.name() == name), &column.qualifier) {
                name = format!("{qualifier}.{name}");
            }
            while fields.iter().any(|field| *field.name() == name) {
                name.push('_');
            }
            fields.push(Field::new(name, column.data_type.clone(), column.nullable));
        }
        Arc::new(Schema::new(fields))
    }

    /// Keeps some columns and adds computed ones, by one projection.
    pub fn project(
        &self,
        plan: &mut Plan,
        name: String,
        kept: &[usize],
        added: Vec<(RelationColumn, Arc<dyn Scalar>)>,
        describe: String,
    ) -> Relation {
        let mut columns: Vec<RelationColumn> = kept.iter().map(|&index| self.columns[index].clone()).collect();
        let mut scalars: Vec<Arc<dyn Scalar>> = kept.iter().map(|&index| self.pick(index)).collect();
        for (column, scalar) in added {
            columns.push(column);
            scalars.push(scalar);
        }
        let mut relation = Relation { node: self.node, columns, models: self.models.clone(), shift: self.shift };
        let position = |index: usize| kept.iter().position(|&old| old == index);
        relation.node = plan.project(self.node, name, relation.schema(), scalars, describe, position);
        relation
    }

    /// A column as an expression.
    pub fn pick(&self, index: usize) -> Arc<dyn Scalar> {
        Arc::new(Pick { index, data_type: self.columns[index].data_type.clone() })
    }
}

impl RelationColumn {
    pub fn full_name(&self) -> String {
        match &self.qualifier {
            Some(qualifier) => format!("{qualifier}.{}", self.name),
            None => self.name.clone(),
        }
    }
}

/// A column of the batch.
#[derive(Debug)]
struct Pick {
    index: usize,
    data_type: DataType,
}

impl Scalar for Pick {
    fn data_type(&self) -> DataType {
        self.data_type.clone()
    }

    fn evaluate(&self, batch: &Batch) -> dataflow::Result<Evaluated> {
        let values: ArrayRef = batch.column(self.index).clone();
        Ok(values.into())
    }
}

pub(crate) fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

/// A type as SQL names it.
pub(crate) fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Int16 => "SMALLINT".to_owned(),
        DataType::Int32 => "INTEGER".to_owned(),
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::Float32 => "FLOAT".to_owned(),
        DataType::Float64 => "DOUBLE".to_owned(),
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Utf8 => "TEXT".to_owned(),
        DataType::Timestamp(TimeUnit::Microsecond, None) => "TIMESTAMP".to_owned(),
        DataType::Date32 => "DATE".to_owned(),
        DataType::Duration(_) | DataType::Interval(_) => "INTERVAL".to_owned(),
        other => other.to_string(),
    }
}
