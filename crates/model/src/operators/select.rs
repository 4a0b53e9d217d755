//! ArgMax, ArgMin and TopK: which numbers of a row are the greatest.

use super::elementwise::Real;
use super::operation::{Operation, one};
use crate::builder::Builder;
use crate::dims::{Dim, Dims};
use crate::node::Checked;
use crate::registers::{Number, Registers, Step};
use crate::value::{Cell, Element, Tensor, Value};
use std::cmp::Ordering;
use std::marker::PhantomData;

/// The registers along an axis, one list for each cell beside it.
fn lines(builder: &mut Builder, input: &Tensor, axis: usize) -> Checked<Vec<Vec<u32>>> {
    let registers = builder.all_registers(input)?;
    let (outer, size, inner) = input.dims.split(axis);
    let line =
        |before: usize, after: usize| (0..size).map(|at| registers[(before * size + at) * inner + after]).collect();
    Ok((0..outer).flat_map(|before| (0..inner).map(move |after| (before, after))).map(|(b, a)| line(b, a)).collect())
}

/// ArgMax and ArgMin.
pub fn arg(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 1)?;
    let node = operation.node(&["axis", "keepdims", "select_last_index"])?;
    let input = operation.tensor(builder, 0)?;
    let axis = input.dims.axis(node.int("axis")?.unwrap_or(0))?;
    let size = input.dims.fixed_axis(axis)?;
    if size == 0 {
        return Err(format!("of {} is not supported, expected at least one number", input.describe()));
    }
    let by: &[Dim] = if node.int("keepdims")?.unwrap_or(1) != 0 { &[Dim::Fixed(1)] } else { &[] };
    let dims = input.dims.with(axis, by)?;
    let (greatest, last) = (operation.proto.op_type == "ArgMax", node.int("select_last_index")?.unwrap_or(0) != 0);
    let lines = lines(builder, &input, axis)?;
    let (constant, form, cost) = (input.is_constant(), (Element::Int64, lines.len()), input.cells.len());
    let kind = PhantomData;
    let cells = match input.element {
        Element::Float => {
            builder.emit(constant, form, cost, |first| ArgStep::<f32> { greatest, last, lines, first, kind })?
        }
        Element::Double => builder.emit(constant, form, cost, |first| ArgStep::<f64> {
            greatest,
            last,
            lines,
            first,
            kind: PhantomData,
        })?,
        Element::Int64 | Element::Int32 => builder.emit(constant, form, cost, |first| ArgStep::<i64> {
            greatest,
            last,
            lines,
            first,
            kind: PhantomData,
        })?,
        _ => return Err(format!("of {} is not supported, expected numbers", input.describe())),
    };
    one(Tensor::new(Element::Int64, dims, cells))
}

#[derive(Debug)]
struct ArgStep<T> {
    greatest: bool,
    /// Whether the last of equal ones is meant.
    last: bool,
    lines: Vec<Vec<u32>>,
    first: u32,
    kind: PhantomData<T>,
}

impl<T: Number> Step for ArgStep<T> {
    fn run(&self, registers: &mut Registers, rows: usize) {
        for (at, line) in self.lines.iter().enumerate() {
            for row in 0..rows {
                let file = T::file(registers);
                let mut best = 0;
                for place in 1..line.len() {
                    let (found, new) = (file[line[best] as usize][row], file[line[place] as usize][row]);
                    let better = if self.greatest { new > found } else { new < found };
                    if better || (self.last && new == found) {
                        best = place;
                    }
                }
                registers.ints[self.first as usize + at][row] = best as i64;
            }
        }
    }
}

/// TopK along an axis, with a constant number of places.
pub fn top_k(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 2)?;
    let node = operation.node(&["axis", "largest", "sorted", "k"])?;
    let input = operation.tensor(builder, 0)?;
    let axis = input.dims.axis(node.int("axis")?.unwrap_or(-1))?;
    let size = input.dims.fixed_axis(axis)?;
    let count = match (node.int("k")?, operation.integers(builder, 1)?.as_deref()) {
        (Some(count), None) => count,
        (None, Some([count])) => *count,
        _ => return Err("does not say how many, expected one constant integer".to_string()),
    };
    let count = usize::try_from(count).ok().filter(|count| *count <= size && size > 0);
    let count = count.ok_or_else(|| format!("asks for more or less than there are, expected 0 to {size}"))?;
    let largest = node.int("largest")?.unwrap_or(1) != 0;
    let dims = input.dims.with(axis, &[Dim::Fixed(count)])?;
    let lines = lines(builder, &input, axis)?;
    let total = lines.len() * count;
    let values = builder.allocate(input.element, total)?;
    let places = builder.allocate(Element::Int64, total)?;
    let cost = lines.len() * size * size.ilog2().max(1) as usize * 4;
    match input.element {
        Element::Float => {
            builder.push(cost, TopStep::<f32> { largest, count, lines, values, places, kind: PhantomData })?
        }
        Element::Double => {
            builder.push(cost, TopStep::<f64> { largest, count, lines, values, places, kind: PhantomData })?
        }
        _ => return Err(format!("of {} is not supported, expected floats", input.describe())),
    }
    let (_, _, inner) = dims.split(axis);
    // The step writes line by line; the tensors lie in the order of their shape.
    let order: Vec<u32> = in_order(&dims, axis, count, inner);
    let cells = |first: u32| order.iter().map(|at| Cell::Register(first + at)).collect();
    let (values, places) = (cells(values), cells(places));
    Ok(vec![
        Value::Tensor(Tensor::new(input.element, dims.clone(), values)),
        Value::Tensor(Tensor::new(Element::Int64, dims, places)),
    ])
}

/// The place among the lines' results of each cell of a shape.
fn in_order(dims: &Dims, axis: usize, count: usize, inner: usize) -> Vec<u32> {
    let (outer, _, _) = dims.split(axis);
    let mut order = Vec::with_capacity(dims.cells());
    for before in 0..outer {
        for at in 0..count {
            for after in 0..inner {
                order.push(((before * inner + after) * count + at) as u32);
            }
        }
    }
    order
}

#[derive(Debug)]
struct TopStep<T> {
    largest: bool,
    count: usize,
    lines: Vec<Vec<u32>>,
    values: u32,
    places: u32,
    kind: PhantomData<T>,
}

impl<T: Real> Step for TopStep<T> {
    fn run(&self, registers: &mut Registers, rows: usize) {
        let mut sorted: Vec<(T, usize)> = Vec::new();
        for (at, line) in self.lines.iter().enumerate() {
            for row in 0..rows {
                let file = T::file(registers);
                sorted.clear();
                sorted.extend(line.iter().enumerate().map(|(place, register)| (file[*register as usize][row], place)));
                sorted.sort_by(|(x, _), (y, _)| {
                    let order = x.to_f64().partial_cmp(&y.to_f64()).unwrap_or_else(|| missing_last(*x, *y));
                    if self.largest { order.reverse() } else { order }
                });
                for (place, (value, index)) in sorted.iter().take(self.count).enumerate() {
                    let to = at * self.count + place;
                    T::file_mut(registers)[self.values as usize + to][row] = *value;
                    registers.ints[self.places as usize + to][row] = *index as i64;
                }
            }
        }
    }
}

/// Missing values are greater than all others, so that there is one order.
fn missing_last<T: Real>(x: T, y: T) -> Ordering {
    x.nan().cmp(&y.nan())
}
