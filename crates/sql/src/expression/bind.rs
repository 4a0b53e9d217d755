//! Names, types and functions of a syntax tree become nodes.

use super::node::{Failing, Literal, NodeRef, Reference};
use super::scope::{Problem, Scope};
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Schema};
use dataflow::{Batch, RowOrder};
use datafusion_common::ScalarValue;
use datafusion_sql::sqlparser::ast::{Expr, Ident, Spanned, Value};
use std::sync::Arc;

/// A literal whose type is still open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Open {
    /// NULL: takes any type.
    Null,
    /// A text literal: takes any type that its text can be read as.
    Text,
    /// A whole number: takes any integer type that holds it.
    Integer,
}

/// An expression with its type.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    pub(crate) node: NodeRef,
    pub(crate) data_type: DataType,
    pub(crate) nullable: bool,
    pub(crate) open: Option<Open>,
    /// The value, when it is the same for all rows.
    pub(crate) value: Option<ArrayRef>,
    /// Whether no column takes part.
    pub(crate) constant: bool,
}

impl Bound {
    pub(crate) fn literal(array: ArrayRef, open: Option<Open>) -> Bound {
        Bound {
            node: Arc::new(Literal(array.clone())),
            data_type: array.data_type().clone(),
            nullable: array.is_null(0) || *array.data_type() == DataType::Null,
            open,
            value: Some(array),
            constant: true,
        }
    }

    /// A node over other expressions; computed now when no column takes part.
    pub(crate) fn over(node: NodeRef, data_type: DataType, nullable: bool, parts: &[&Bound]) -> Result<Bound, Problem> {
        let constant = parts.iter().all(|part| part.constant);
        let bound = Bound { node, data_type, nullable, open: None, value: None, constant };
        if constant { bound.fold() } else { Ok(bound) }
    }

    fn fold(self) -> Result<Bound, Problem> {
        let internal = |error: dataflow::Error| Problem::new(error.chain());
        let options = RecordBatchOptions::new().with_row_count(Some(1));
        let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options);
        let row = row.map_err(|error| internal(error.into()))?;
        let batch = Batch::new(row, vec![0], vec![RowOrder(0)]).map_err(internal)?;
        let values = self.node.evaluate(&batch).map_err(internal)?;
        if let Some(message) = values.failed.into_values().next() {
            let node = Arc::new(Failing { message, data_type: self.data_type.clone() });
            return Ok(Bound { node, nullable: true, ..self });
        }
        Ok(Bound::literal(values.array, None))
    }

    /// The same with a type that is no longer open.
    pub(crate) fn settled(self) -> Bound {
        match self.open {
            Some(Open::Null) => Bound::literal(arrow::array::new_null_array(&DataType::Int32, 1), None),
            _ => Bound { open: None, ..self },
        }
    }

    /// The value of a constant.
    pub(crate) fn constant(&self) -> Result<ScalarValue, Problem> {
        match &self.value {
            Some(value) => ScalarValue::try_from_array(value, 0).map_err(|error| Problem::new(error.to_string())),
            None => {
                Err(Problem::new("a constant is needed here, and this cannot be computed before the rows are there"))
            }
        }
    }
}

/// Binds expressions over the columns of a scope.
pub(crate) struct Binder<'a> {
    scope: &'a Scope,
}

impl<'a> Binder<'a> {
    pub(crate) fn new(scope: &'a Scope) -> Self {
        Binder { scope }
    }

    /// An expression with its type; a problem carries the narrowest place known.
    pub(crate) fn bind(&self, expr: &Expr) -> Result<Bound, Problem> {
        self.bind_here(expr).map_err(|problem| problem.at(expr.span()))
    }

    fn bind_here(&self, expr: &Expr) -> Result<Bound, Problem> {
        match expr {
            Expr::Identifier(name) => self.column(None, name),
            Expr::CompoundIdentifier(path) => match &path[..] {
                [table, name] => self.column(Some(table), name),
                _ => Err(Problem::new(format!("\"{expr}\" is not a column")).expected("column or stream.column")),
            },
            Expr::Nested(inner) => self.bind(inner),
            Expr::Value(value) => literal(&value.value),
            other => Err(Problem::new(format!("{other} cannot stand here"))),
        }
    }

    fn column(&self, table: Option<&Ident>, name: &Ident) -> Result<Bound, Problem> {
        let column = self.scope.resolve(table, name)?;
        Ok(Bound {
            node: Arc::new(Reference(column.place)),
            data_type: column.data_type.clone(),
            nullable: true,
            open: None,
            value: None,
            constant: false,
        })
    }
}

fn literal(value: &Value) -> Result<Bound, Problem> {
    let (value, open) = match value {
        Value::Null => (ScalarValue::Null, Some(Open::Null)),
        Value::Boolean(value) => (ScalarValue::Boolean(Some(*value)), None),
        Value::SingleQuotedString(text) => (ScalarValue::Utf8(Some(text.clone())), Some(Open::Text)),
        Value::Number(text, _) => match (text.parse::<i32>(), text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(value), ..) => (ScalarValue::Int32(Some(value)), Some(Open::Integer)),
            (_, Ok(value), _) => (ScalarValue::Int64(Some(value)), Some(Open::Integer)),
            (.., Ok(value)) => (ScalarValue::Float64(Some(value)), None),
            _ => return Err(Problem::new(format!("{text} is not a number"))),
        },
        other => return Err(Problem::new(format!("the literal {other} is not known"))),
    };
    Ok(Bound::literal(value.to_array().map_err(|error| Problem::new(error.to_string()))?, open))
}

/// Casts an expression.
pub(crate) fn cast_to(bound: Bound, to: &DataType) -> Result<Bound, Problem> {
    if bound.data_type == *to {
        return Ok(bound.settled());
    }
    Err(Problem::new(format!("no cast from {} to {to}", bound.data_type)))
}

/// The length of a constant interval.
pub(crate) fn micros(expr: &Expr) -> Result<i64, Problem> {
    let scope = Scope::default();
    let bound = Binder::new(&scope).bind(expr)?;
    match bound.constant()? {
        ScalarValue::DurationMicrosecond(Some(micros)) => Ok(micros),
        _ => Err(Problem::new("a constant interval is needed here").at(expr.span()).expected("e.g. INTERVAL '1' DAY")),
    }
}
