//! Operators that move numbers about: what they give is a list of the cells that they are given.

use super::operation::{Operation, one};
use crate::builder::Builder;
use crate::dims::{Dim, Dims, Extent};
use crate::node::{Checked, listed};
use crate::value::{Cell, Tensor, Value};
use std::sync::Arc;

/// Identity, and Dropout, which does nothing when a model scores.
pub fn identity(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 3)?;
    operation.node(&["seed", "ratio", "is_test"])?;
    Ok(vec![builder.value(operation.input(0)?)?.clone()])
}

/// Concat of tensors, or of shapes.
pub fn concat(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 1 << 16)?;
    let node = operation.node(&["axis"])?;
    let values: Vec<Value> =
        operation.proto.input.iter().map(|name| builder.value(name).cloned()).collect::<Checked<_>>()?;
    if values.iter().any(|value| matches!(value, Value::Shape(_))) {
        return concat_shapes(&values);
    }
    let tensors: Vec<Tensor> = (0..values.len()).map(|at| operation.tensor(builder, at)).collect::<Checked<_>>()?;
    one(join(&tensors, node.int("axis")?.unwrap_or(0))?)
}

fn concat_shapes(values: &[Value]) -> Checked<Vec<Value>> {
    let mut joined = Vec::new();
    for value in values {
        match value {
            Value::Shape(extents) => joined.extend_from_slice(extents),
            Value::Tensor(tensor) => match tensor.integers() {
                Some(known) => joined.extend(known.into_iter().map(Extent::Known)),
                None => return Err(format!("joins a shape and {}, expected constants", tensor.describe())),
            },
            other => return Err(format!("joins a shape and {}, expected constants", other.describe())),
        }
    }
    Ok(vec![Value::Shape(joined)])
}

/// Tensors side by side along an axis.
pub fn join(tensors: &[Tensor], axis: i64) -> Checked<Tensor> {
    let first = tensors.first().ok_or("has no inputs, expected at least 1")?;
    let axis = first.dims.axis(axis)?;
    let (outer, _, _) = first.dims.split(axis);
    let mut size: Option<Dim> = None;
    for tensor in tensors {
        let fits = tensor.dims.rank() == first.dims.rank()
            && (0..first.dims.rank()).all(|at| at == axis || tensor.dims.list()[at] == first.dims.list()[at]);
        if !fits || tensor.element != first.element {
            return Err(format!("joins {} and {}, which do not fit", first.describe(), tensor.describe()));
        }
        size = Some(match (size, tensor.dims.list()[axis]) {
            (None, dim) => dim,
            (Some(Dim::Fixed(sum)), Dim::Fixed(more)) => Dim::Fixed(sum.saturating_add(more)),
            // Blocks of rows, one after the other: the first cell counts the blocks.
            (Some(Dim::Rows { before, after }), Dim::Rows { before: more, after: same }) if after == same => {
                Dim::Rows { before: before.saturating_add(more), after }
            }
            _ => return Err(format!("joins {} and {}, which do not fit", first.describe(), tensor.describe())),
        });
    }
    let dims = first.dims.with(axis, &[size.unwrap_or(Dim::Fixed(0))])?;
    let mut cells = Vec::with_capacity(dims.cells());
    for at in 0..outer {
        for tensor in tensors {
            let part = tensor.cells.len() / outer;
            cells.extend_from_slice(&tensor.cells[at * part..(at + 1) * part]);
        }
    }
    Ok(Tensor::new(first.element, dims, cells))
}

/// Transpose of a tensor.
pub fn transpose(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 1)?;
    let node = operation.node(&["perm"])?;
    let input = operation.tensor(builder, 0)?;
    let rank = input.dims.rank();
    let order: Vec<usize> = match node.ints("perm")? {
        [] => (0..rank).rev().collect(),
        order => order.iter().map(|axis| input.dims.axis(*axis)).collect::<Checked<_>>()?,
    };
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if sorted != (0..rank).collect::<Vec<_>>() {
        return Err(format!("attribute \"perm\" is {}, expected each of the {rank} dimensions once", listed(&order)));
    }
    let list = input.dims.list();
    let dims = Dims::new(order.iter().map(|axis| list[*axis]).collect())?;
    let strides: Vec<usize> = (0..rank).map(|axis| input.dims.split(axis).2).collect();
    let mut cells = vec![Cell::Int(0); input.cells.len()];
    let sizes: Vec<usize> = dims.list().iter().map(|dim| dim.cells()).collect();
    let mut at = vec![0; rank];
    for cell in &mut cells {
        *cell = input.cells[order.iter().zip(&at).map(|(axis, at)| strides[*axis] * at).sum::<usize>()];
        for axis in (0..rank).rev() {
            at[axis] += 1;
            if at[axis] < sizes[axis] {
                break;
            }
            at[axis] = 0;
        }
    }
    one(Tensor::new(input.element, dims, cells))
}

/// The cells at some places along an axis.
pub fn pick(input: &Tensor, axis: usize, places: &[usize], by: &[Dim]) -> Checked<Tensor> {
    let (outer, size, inner) = input.dims.split(axis);
    let dims = input.dims.with(axis, by)?;
    let mut cells = Vec::with_capacity(dims.cells());
    for at in 0..outer {
        for place in places {
            let from = (at * size + place) * inner;
            cells.extend_from_slice(&input.cells[from..from + inner]);
        }
    }
    Ok(Tensor::new(input.element, dims, cells))
}

/// Slice along axes that do not count rows.
pub fn slice(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 5)?;
    let node = operation.node(&["starts", "ends", "axes"])?;
    let list = |at: usize, name: &str| -> Checked<Option<Vec<i64>>> {
        match node.ints(name)? {
            [] => operation.integers(builder, at),
            list => Ok(Some(list.to_vec())),
        }
    };
    let starts = list(1, "starts")?.ok_or("input 1 is missing, expected the starts")?;
    let ends = list(2, "ends")?.ok_or("input 2 is missing, expected the ends")?;
    let axes = list(3, "axes")?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = operation.integers(builder, 4)?.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()].iter().any(|length| *length != starts.len()) {
        return Err("has starts, ends, axes and steps of different lengths".to_string());
    }
    let mut value = builder.value(operation.input(0)?)?.clone();
    for (at, axis) in axes.iter().enumerate() {
        value = match value {
            Value::Tensor(tensor) => {
                let axis = tensor.dims.axis(*axis)?;
                let size = tensor.dims.fixed_axis(axis)?;
                let places = range(starts[at], ends[at], steps[at], size)?;
                Value::Tensor(pick(&tensor, axis, &places, &[Dim::Fixed(places.len())])?)
            }
            Value::Shape(extents) => {
                let places = range(starts[at], ends[at], steps[at], extents.len())?;
                Value::Shape(places.into_iter().map(|place| extents[place]).collect())
            }
            other => return Err(format!("of {} is not supported, expected a tensor", other.describe())),
        };
    }
    Ok(vec![value])
}

/// The places that a slice of an axis takes.
fn range(start: i64, end: i64, step: i64, size: usize) -> Checked<Vec<usize>> {
    let size = size as i64;
    let from_end = |place: i64| if place < 0 { place.saturating_add(size) } else { place };
    let (start, end) = (from_end(start), from_end(end));
    match step {
        1.. => Ok((start.clamp(0, size)..end.clamp(0, size)).step_by(step as usize).map(|at| at as usize).collect()),
        i64::MIN..0 => {
            let (last, end) = (start.clamp(-1, size - 1), end.clamp(-1, size - 1));
            let step = usize::try_from(step.unsigned_abs()).unwrap_or(usize::MAX);
            Ok((end + 1..=last).rev().step_by(step).map(|at| at as usize).collect())
        }
        0 => Err("has a step of 0, expected another".to_string()),
    }
}

/// Split along an axis that does not count rows.
pub fn split(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 2)?;
    let node = operation.node(&["axis", "split", "num_outputs"])?;
    let input = operation.tensor(builder, 0)?;
    let axis = input.dims.axis(node.int("axis")?.unwrap_or(0))?;
    let size = input.dims.fixed_axis(axis)?;
    let parts = operation.proto.output.len().max(1);
    let sizes = match (node.ints("split")?, operation.integers(builder, 1)?) {
        ([], None) => {
            let each = size.div_ceil(parts);
            (0..parts).map(|at| each.min(size.saturating_sub(at * each)) as i64).collect()
        }
        ([], Some(sizes)) => sizes,
        (sizes, _) => sizes.to_vec(),
    };
    let total = sizes.iter().try_fold(0i64, |sum, size| sum.checked_add((*size >= 0).then_some(*size)?));
    if sizes.len() != parts || total != Some(size as i64) {
        let sizes = &sizes[..sizes.len().min(8)];
        return Err(format!("splits {size} into {} for {parts} outputs, which do not fit", listed(sizes)));
    }
    let mut from = 0;
    let mut values = Vec::with_capacity(parts);
    for size in sizes {
        let places: Vec<usize> = (from..from + size as usize).collect();
        from += size as usize;
        values.push(Value::Tensor(pick(&input, axis, &places, &[Dim::Fixed(places.len())])?));
    }
    Ok(values)
}

/// A tensor's cells under another shape of as many.
pub fn regroup(input: Tensor, dims: Dims) -> Tensor {
    Tensor { dims, ..input }
}

/// A tensor whose every cell is the same.
pub fn filled(element: crate::value::Element, dims: Dims, cell: Cell) -> Tensor {
    let cells: Arc<[Cell]> = vec![cell; dims.cells()].into();
    Tensor { element, dims, cells, labels: None }
}
