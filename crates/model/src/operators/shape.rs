//! Operators on shapes, and those that give a tensor another one.

use super::layout::{filled, regroup};
use super::operation::{Operation, one};
use crate::builder::Builder;
use crate::dims::{Dim, Dims, Extent, broadcast, spread};
use crate::node::{Checked, listed, shown};
use crate::value::{Cell, Element, Tensor, Value};

/// The shape at an input: one that the graph looked at, or constant integers.
fn extents(builder: &Builder, operation: &Operation, at: usize) -> Checked<Vec<Extent>> {
    let name = operation.input(at)?;
    match builder.value(name)? {
        Value::Shape(extents) => Ok(extents.clone()),
        Value::Tensor(tensor) => match tensor.integers() {
            Some(known) => Ok(known.into_iter().map(Extent::Known).collect()),
            None => Err(format!("input {} is {}, expected a shape", shown(name), tensor.describe())),
        },
        other => Err(format!("input {} is {}, expected a shape", shown(name), other.describe())),
    }
}

/// The dimensions that a shape asks for.
fn dims_of(extents: &[Extent]) -> Checked<Dims> {
    let dim = |extent: &Extent| match *extent {
        Extent::Rows { before, after } => Ok(Dim::Rows { before, after }),
        Extent::Known(size) => match usize::try_from(size) {
            Ok(size) => Ok(Dim::Fixed(size)),
            Err(_) => Err(format!("a dimension is {size}, expected a size")),
        },
    };
    Dims::new(extents.iter().map(dim).collect::<Checked<_>>()?)
}

/// Shape of a tensor.
pub fn shape(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 1)?;
    let node = operation.node(&["start", "end"])?;
    let input = operation.tensor(builder, 0)?;
    let rank = input.dims.rank() as i64;
    let place = |at: i64| (if at < 0 { at.saturating_add(rank) } else { at }).clamp(0, rank) as usize;
    let (start, end) = (place(node.int("start")?.unwrap_or(0)), place(node.int("end")?.unwrap_or(rank)));
    let extents: Vec<Extent> = input.dims.list()[start.min(end)..end].iter().map(|dim| Extent::from(*dim)).collect();
    Ok(vec![settle(extents)?])
}

/// A shape that counts no rows is a constant like any other.
pub fn settle(extents: Vec<Extent>) -> Checked<Value> {
    let known = |extent: &Extent| match extent {
        Extent::Known(size) => Some(Cell::Int(*size)),
        Extent::Rows { .. } => None,
    };
    match extents.iter().map(known).collect::<Option<Vec<Cell>>>() {
        Some(cells) => Ok(Value::Tensor(Tensor::new(Element::Int64, Dims::fixed(&[cells.len()])?, cells))),
        None => Ok(Value::Shape(extents)),
    }
}

/// Arithmetic on shapes, number by number: a count of rows may be multiplied, and divided by what it was multiplied with.
pub fn arithmetic(builder: &Builder, operation: &Operation) -> Checked<Vec<Value>> {
    let (x, y) = (extents(builder, operation, 0)?, extents(builder, operation, 1)?);
    let count = x.len().max(y.len());
    if [x.len(), y.len()].iter().any(|length| *length != count && *length != 1) {
        return Err(format!("combines shapes of {} and {} dimensions, which do not fit", x.len(), y.len()));
    }
    let op = operation.proto.op_type.as_str();
    let at = |list: &[Extent], at: usize| if list.len() == 1 { list[0] } else { list[at] };
    let results = (0..count).map(|place| calculated(op, at(&x, place), at(&y, place)));
    Ok(vec![settle(results.collect::<Checked<_>>()?)?])
}

fn calculated(op: &str, x: Extent, y: Extent) -> Checked<Extent> {
    let odd = || "calculates something else than a product of the sizes of shapes".to_owned();
    let by = |number: i64| usize::try_from(number).ok().filter(|number| *number > 0).ok_or_else(odd);
    Ok(match (op, x, y) {
        ("Add", Extent::Known(x), Extent::Known(y)) => Extent::Known(x.checked_add(y).ok_or_else(odd)?),
        ("Sub", Extent::Known(x), Extent::Known(y)) => Extent::Known(x.checked_sub(y).ok_or_else(odd)?),
        ("Mul", Extent::Known(x), Extent::Known(y)) => Extent::Known(x.checked_mul(y).ok_or_else(odd)?),
        ("Div", Extent::Known(x), Extent::Known(y)) => Extent::Known(x.checked_div(y).ok_or_else(odd)?),
        ("Mul", Extent::Rows { before, after }, Extent::Known(number))
        | ("Mul", Extent::Known(number), Extent::Rows { before, after }) => {
            Extent::Rows { before, after: after.checked_mul(by(number)?).ok_or_else(odd)? }
        }
        ("Div", Extent::Rows { before, after }, Extent::Known(number)) if after.is_multiple_of(by(number)?) => {
            Extent::Rows { before, after: after / by(number)? }
        }
        _ => return Err(odd()),
    })
}

/// Reshape to a shape that is known when the model is loaded, but for the number of rows.
pub fn reshape(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 2)?;
    let node = operation.node(&["allowzero", "shape"])?;
    let target = match node.ints("shape")? {
        [] => match builder.value(operation.input(0)?)?.clone() {
            // A shape is one-dimensional already; exporters flatten it to be sure.
            shape @ Value::Shape(_) => return Ok(vec![shape]),
            _ => extents(builder, operation, 1)?,
        },
        shape => shape.iter().map(|size| Extent::Known(*size)).collect(),
    };
    let input = operation.tensor(builder, 0)?;
    let dims = input.dims.reshape(&target, node.int("allowzero")?.unwrap_or(0) == 0)?;
    one(regroup(input, dims))
}

/// Flatten to two dimensions.
pub fn flatten(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 1)?;
    let node = operation.node(&["axis"])?;
    let input = operation.tensor(builder, 0)?;
    let rank = input.dims.rank() as i64;
    let axis = match node.int("axis")?.unwrap_or(1) {
        axis if axis == rank => rank as usize,
        axis => input.dims.axis(axis)?,
    };
    let (first, second) = input.dims.list().split_at(axis);
    let dims = Dims::new(vec![merged(first), merged(second)])?;
    one(regroup(input, dims))
}

/// Several dimensions as one.
fn merged(dims: &[Dim]) -> Dim {
    dims.iter().fold(Dim::Fixed(1), |merged, dim| match (merged, *dim) {
        (Dim::Fixed(size), Dim::Fixed(more)) => Dim::Fixed(size * more),
        (Dim::Fixed(size), Dim::Rows { before, after }) => Dim::Rows { before: size * before, after },
        (Dim::Rows { before, after }, Dim::Fixed(more)) => Dim::Rows { before, after: after * more },
        (rows, Dim::Rows { .. }) => rows,
    })
}

/// The axes of Squeeze and Unsqueeze: an attribute, or from version 13 on an input.
fn axes(builder: &Builder, operation: &Operation) -> Checked<Option<Vec<i64>>> {
    let node = operation.node(&["axes"])?;
    match node.ints("axes")? {
        [] => operation.integers(builder, 1),
        axes => Ok(Some(axes.to_vec())),
    }
}

/// Squeeze: dimensions of 1 go.
pub fn squeeze(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 2)?;
    let axes = axes(builder, operation)?;
    let input = match builder.value(operation.input(0)?)?.clone() {
        shape @ Value::Shape(_) => return Ok(vec![shape]),
        _ => operation.tensor(builder, 0)?,
    };
    let list = input.dims.list();
    let gone: Vec<usize> = match axes {
        Some(axes) => axes.iter().map(|axis| input.dims.axis(*axis)).collect::<Checked<_>>()?,
        None => (0..list.len()).filter(|at| list[*at] == Dim::Fixed(1)).collect(),
    };
    if let Some(wrong) = gone.iter().find(|axis| list[**axis] != Dim::Fixed(1)) {
        return Err(format!("removes dimension {wrong} of {}, expected a dimension of 1", input.describe()));
    }
    let kept = list.iter().enumerate().filter(|(at, _)| !gone.contains(at)).map(|(_, dim)| *dim).collect();
    one(regroup(input.clone(), Dims::new(kept)?))
}

/// Unsqueeze: dimensions of 1 come in.
pub fn unsqueeze(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 2)?;
    let axes = axes(builder, operation)?.ok_or("does not say which dimensions to add, expected axes")?;
    let input = match builder.value(operation.input(0)?)?.clone() {
        shape @ Value::Shape(_) => return Ok(vec![shape]),
        _ => operation.tensor(builder, 0)?,
    };
    let rank = (input.dims.rank() + axes.len()) as i64;
    let mut added: Vec<i64> =
        axes.iter().map(|axis| if *axis < 0 { axis.saturating_add(rank) } else { *axis }).collect();
    added.sort_unstable();
    added.dedup();
    if added.len() != axes.len() || added.iter().any(|axis| *axis < 0 || *axis >= rank) {
        return Err(format!("adds dimensions {} to {}, which do not fit", listed(&axes), input.describe()));
    }
    let mut dims = input.dims.list().to_vec();
    for axis in added {
        dims.insert((axis as usize).min(dims.len()), Dim::Fixed(1));
    }
    one(regroup(input, Dims::new(dims)?))
}

/// Expand to a shape that is known when the model is loaded, but for the number of rows.
pub fn expand(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(2, 2)?;
    operation.node(&[])?;
    let input = operation.tensor(builder, 0)?;
    let dims = broadcast(&[&input.dims, &dims_of(&extents(builder, operation, 1)?)?])?;
    let cells = spread(&input.dims, &dims).into_iter().map(|at| input.cells[at]).collect();
    one(Tensor::new(input.element, dims, cells))
}

/// ConstantOfShape.
pub fn constant_of_shape(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 1)?;
    let node = operation.node(&["value"])?;
    let (element, cell) = match node.tensor("value")? {
        Some(value) => {
            let value = builder.constant(value)?;
            let [cell] = *value.cells else {
                return Err(format!("attribute \"value\" has {} numbers, expected 1", value.cells.len()));
            };
            (value.element, cell)
        }
        None => (Element::Float, Cell::Float(0.0)),
    };
    one(filled(element, dims_of(&extents(builder, operation, 0)?)?, cell))
}

/// Constant.
pub fn constant(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(0, 0)?;
    let node = operation.node(&["value", "value_float", "value_floats", "value_int", "value_ints"])?;
    if let Some(value) = node.tensor("value")? {
        return one(builder.constant(value)?);
    }
    if let Some(number) = node.float("value_float")? {
        return one(Tensor::new(Element::Float, Dims::fixed(&[])?, vec![Cell::Float(number)]));
    }
    if let Some(number) = node.int("value_int")? {
        return one(Tensor::new(Element::Int64, Dims::fixed(&[])?, vec![Cell::Int(number)]));
    }
    let (floats, ints) = (node.any_floats("value_floats")?, node.ints("value_ints")?);
    let (element, cells): (Element, Vec<Cell>) = match floats {
        [] => (Element::Int64, ints.iter().copied().map(Cell::Int).collect()),
        floats => (Element::Float, floats.iter().copied().map(Cell::Float).collect()),
    };
    one(Tensor::new(element, Dims::fixed(&[cells.len()])?, cells))
}
