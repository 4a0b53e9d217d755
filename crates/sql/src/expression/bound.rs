//! An expression with its type; what no column takes part in is computed at once.

use super::kernel::{Argument, Call, KernelResult};
use super::node::{Failing, Literal, Node, NodeRef, Reference, Values};
use super::scope::{Place, Problem};
use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{DataType, Schema};
use dataflow::{Batch, RowOrder};
use std::sync::Arc;

/// A literal whose type is not decided yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpenLiteral {
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
    pub(crate) open: Option<OpenLiteral>,
    /// The value, when it is the same for all rows.
    pub(crate) value: Option<ArrayRef>,
    /// Whether no column takes part.
    pub(crate) constant: bool,
    /// Whether there can be rows on which it fails.
    pub(crate) can_fail: bool,
}

impl Bound {
    pub(crate) fn literal(array: ArrayRef, open: Option<OpenLiteral>) -> Bound {
        Bound {
            node: Arc::new(Literal(array.clone())),
            data_type: array.data_type().clone(),
            nullable: array.is_null(0) || *array.data_type() == DataType::Null,
            open,
            value: Some(array),
            constant: true,
            can_fail: false,
        }
    }

    /// A column of the batch, or what stands beside its columns.
    pub(crate) fn reference(place: Place, data_type: DataType) -> Bound {
        let nullable = matches!(place, Place::Column(_));
        let node = Arc::new(Reference(place));
        Bound { node, data_type, nullable, open: None, value: None, constant: false, can_fail: false }
    }

    /// The literal NULL.
    pub(crate) fn null() -> Bound {
        Bound::literal(new_null_array(&DataType::Null, 1), Some(OpenLiteral::Null))
    }

    /// A node over other expressions, which fails where they do; computed now when no column takes part.
    pub(crate) fn over(node: NodeRef, data_type: DataType, nullable: bool, parts: &[&Bound]) -> Result<Bound, Problem> {
        let constant = parts.iter().all(|part| part.constant);
        let can_fail = parts.iter().any(|part| part.can_fail);
        let bound = Bound { node, data_type, nullable, open: None, value: None, constant, can_fail };
        if constant { bound.fold() } else { Ok(bound) }
    }

    fn fold(self) -> Result<Bound, Problem> {
        let values = on_one_row(&*self.node)?;
        if let Some(message) = values.failed.into_values().next() {
            let node = Arc::new(Failing { message, data_type: self.data_type.clone() });
            return Ok(Bound { node, nullable: true, can_fail: true, ..self });
        }
        Ok(Bound::literal(values.array, None))
    }

    /// The same with a type that is no longer open.
    pub(crate) fn settled(self) -> Bound {
        match self.open {
            Some(OpenLiteral::Null) => Bound::literal(new_null_array(&DataType::Int32, 1), None),
            _ => Bound { open: None, ..self },
        }
    }

    /// The value of a constant.
    pub(crate) fn constant(&self) -> Result<ArrayRef, Problem> {
        if let Some(value) = &self.value {
            return Ok(value.clone());
        }
        if self.constant {
            let failed = on_one_row(&*self.node)?.failed.into_values().next();
            return Err(Problem::new(failed.as_deref().unwrap_or("the constant cannot be computed")));
        }
        Err(Problem::new("a constant is needed here").expected("a literal, or literals put together"))
    }
}

fn on_one_row(node: &dyn Node) -> Result<Values, Problem> {
    let internal = |error: dataflow::Error| Problem::new(error.chain());
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options);
    let row = row.map_err(|error| internal(error.into()))?;
    let batch = Batch::new(row, vec![0], vec![RowOrder(0)]).map_err(internal)?;
    node.evaluate(&batch).map_err(internal)
}

/// A function of the values of other expressions that has a value for all of them.
pub(crate) fn total(
    name: &'static str,
    arguments: Vec<Bound>,
    data_type: DataType,
    nullable: bool,
    kernel: impl Fn(&[Argument], usize) -> KernelResult + Send + Sync + 'static,
) -> Result<Bound, Problem> {
    call(name, Fails::Never, arguments, data_type, nullable, kernel)
}

/// A function of the values of other expressions that fails on some.
pub(crate) fn partial(
    name: &'static str,
    arguments: Vec<Bound>,
    data_type: DataType,
    nullable: bool,
    kernel: impl Fn(&[Argument], usize) -> KernelResult + Send + Sync + 'static,
) -> Result<Bound, Problem> {
    call(name, Fails::OnSome, arguments, data_type, nullable, kernel)
}

/// Whether there are values on which a function fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fails {
    Never,
    OnSome,
}

impl Fails {
    pub(crate) fn when(fails: bool) -> Fails {
        if fails { Fails::OnSome } else { Fails::Never }
    }
}

/// A function of the values of other expressions.
pub(crate) fn call(
    name: &'static str,
    fails: Fails,
    arguments: Vec<Bound>,
    data_type: DataType,
    nullable: bool,
    kernel: impl Fn(&[Argument], usize) -> KernelResult + Send + Sync + 'static,
) -> Result<Bound, Problem> {
    let nodes = arguments.iter().map(|argument| argument.node.clone()).collect();
    let node = Arc::new(Call { name, kernel: Arc::new(kernel), arguments: nodes, data_type: data_type.clone() });
    let bound = Bound::over(node, data_type, nullable, &arguments.iter().collect::<Vec<_>>())?;
    let can_fail = bound.can_fail || (fails == Fails::OnSome && bound.value.is_none());
    Ok(Bound { can_fail, ..bound })
}
