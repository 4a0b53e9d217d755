//! SQL expressions with DuckDB's answers: a syntax tree and the columns in scope in, a [`dataflow::Scalar`] out.
//!
//! ```text
//! sqlparser Expr --bind--> Bound (node, type, constant?) --fold--> Compiled
//!                            |
//!                            nodes: values and the rows that failed, a batch at a time
//! ```
//!
//! Every node gives one value per row and the rows on which it failed. A failure in a branch that a row does not take
//! (CASE, AND, OR, COALESCE) is dropped there, so what fails depends on the row alone and never on batch cuts.

mod arithmetic;
mod bind;
mod bound;
mod calendar;
mod cast;
mod compare;
mod functions;
mod interval;
mod interval_literal;
mod kernel;
mod math;
mod node;
mod operator;
mod pairs;
mod scope;
mod sql_type;
mod text;
mod time;
mod time_arithmetic;

pub use scope::{Place, Problem, Scope, ScopeColumn};

use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::nullif;
use arrow::datatypes::DataType;
use dataflow::{Batch, Evaluated, Scalar};
use node::NodeRef;
use sqlparser::ast::Expr;
use std::sync::Arc;

/// An expression that is ready to run, and its type.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// Evaluates batches whose columns are those of the scope.
    pub scalar: Arc<dyn Scalar>,
    /// The type of the values.
    pub data_type: DataType,
    /// Whether NULL can come out.
    pub nullable: bool,
    bound: bound::Bound,
}

#[derive(Debug)]
struct Expression {
    node: NodeRef,
    data_type: DataType,
}

impl Scalar for Expression {
    fn data_type(&self) -> DataType {
        self.data_type.clone()
    }

    fn evaluate(&self, batch: &Batch) -> dataflow::Result<Evaluated> {
        let mut values = self.node.evaluate(batch)?.into_column(batch.rows())?;
        if !values.failed.is_empty() {
            let failed: BooleanArray = (0..batch.rows()).map(|row| Some(values.failed.contains_key(&row))).collect();
            values.array = nullif(&values.array, &failed)?;
        }
        let failed = values.failed.into_iter().map(|(row, message)| (row, dataflow::Error::data(&*message)));
        Ok(Evaluated { failed: failed.collect(), values: values.array })
    }
}

/// Compiles an expression. A text literal or NULL whose type nothing decides is TEXT or INTEGER.
pub fn compile(expr: &Expr, scope: &Scope) -> Result<Compiled, Problem> {
    bind::Binder::new(scope).bind(expr).map(finish)
}

/// Casts what was compiled, as an INSERT or a declared column does. The same type costs nothing.
pub fn scalar_cast(compiled: &Compiled, to: &DataType) -> Result<Compiled, Problem> {
    if compiled.data_type == *to {
        return Ok(compiled.clone());
    }
    cast::cast_to(compiled.bound.clone(), to).map(finish)
}

/// The value of an expression that names no column, as an array of one.
pub fn constant(expr: &Expr) -> Result<ArrayRef, Problem> {
    let scope = Scope::default();
    let bound = bind::Binder::new(&scope).bind(expr)?;
    bound.constant()
}

/// The length of a constant interval in microseconds. Months have no length and are refused.
pub fn interval_micros(expr: &Expr) -> Result<i64, Problem> {
    bind::micros(expr)
}

fn finish(bound: bound::Bound) -> Compiled {
    let bound = bound.settled();
    let data_type = bound.data_type.clone();
    let scalar = Arc::new(Expression { node: bound.node.clone(), data_type: data_type.clone() });
    Compiled { scalar, data_type, nullable: bound.nullable, bound }
}
