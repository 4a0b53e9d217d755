//! Bound expressions as what runs.

use super::bind::{Binder, RowAlone, micros};
use super::node::NodeRef;
use super::print::{print, quoted};
use super::scope::{ColumnId, Place, Problem, Scope};
use super::tree::Tree;
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use dataflow::{Batch, Evaluated, Scalar};
use sqlparser::ast::Expr;
use std::fmt;
use std::sync::Arc;

/// An expression that is ready to run, and its type.
#[derive(Clone)]
pub struct Compiled {
    /// Evaluates batches whose columns are those of the scope.
    pub scalar: Arc<dyn Scalar>,
    /// The type of the values.
    pub data_type: DataType,
    /// Whether NULL can come out.
    pub nullable: bool,
    /// Whether there can be rows on which it fails.
    pub can_fail: bool,
    tree: Tree,
}

impl fmt::Debug for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.tree, self.data_type)
    }
}

/// Two are equal when they are the same tree over the same columns.
impl PartialEq for Compiled {
    fn eq(&self, other: &Compiled) -> bool {
        self.tree == other.tree
    }
}

impl Compiled {
    /// The expression as SQL over the columns of a scope.
    pub fn text(&self, scope: &Scope) -> String {
        let name = |place: Place| {
            let column = scope.columns().iter().find(|column| column.place == place);
            column.map_or("?".to_owned(), |column| match &column.qualifier {
                Some(qualifier) => format!("{}.{}", quoted(qualifier), quoted(&column.name)),
                None => quoted(&column.name),
            })
        };
        print(&self.tree, &name)
    }

    /// Casts as a declared column does. The same type costs nothing.
    pub(crate) fn cast_to(&self, to: &DataType) -> Result<Compiled, Problem> {
        if self.data_type == *to { Ok(self.clone()) } else { finish(self.tree.cast_to(to)?) }
    }
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
        let values = self.node.evaluate(batch)?.into_column(batch.rows())?;
        let failed = values.failed.into_iter().map(|(row, message)| (row, dataflow::Error::data(&*message)));
        Ok(Evaluated { failed: failed.collect(), values: values.array })
    }
}

/// Compiles an expression over columns whose ids are their positions. A text literal or NULL whose type nothing decides
/// is TEXT or INTEGER.
pub fn compile(expr: &Expr, scope: &Scope) -> Result<Compiled, Problem> {
    finish(Binder::new(scope, &mut RowAlone).bind(expr)?)
}

/// What computes an expression over batches that have its columns at these positions.
pub(crate) fn scalar_over(
    tree: &Tree,
    position: &impl Fn(ColumnId) -> Option<usize>,
) -> Result<Arc<dyn Scalar>, Problem> {
    let (node, data_type) = tree.node_over(position)?;
    Ok(Arc::new(Expression { node, data_type }))
}

fn finish(tree: Tree) -> Result<Compiled, Problem> {
    let scalar = scalar_over(&tree, &|ColumnId(at)| Some(at))?;
    let (data_type, nullable, can_fail) = (tree.settled_type(), tree.nullable(), tree.can_fail());
    Ok(Compiled { scalar, data_type, nullable, can_fail, tree })
}

/// The value of an expression that names no column, as an array of one.
pub fn constant(expr: &Expr) -> Result<ArrayRef, Problem> {
    Binder::new(&Scope::default(), &mut RowAlone).bind(expr)?.constant()
}

/// The length of a constant interval in microseconds. Months have no length and are refused.
pub fn interval_micros(expr: &Expr) -> Result<i64, Problem> {
    micros(expr)
}
