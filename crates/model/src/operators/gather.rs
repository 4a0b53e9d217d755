//! Operators that look numbers up: at places that are known, or at places that a row says.

use super::layout::pick;
use super::operation::{Operation, one};
use crate::builder::Builder;
use crate::dims::{Dims, Extent};
use crate::labels::Labels;
use crate::node::Checked;
use crate::registers::{Number, Registers, Step};
use crate::value::{Cell, Element, Tensor, Value};
use std::marker::PhantomData;
use std::sync::Arc;

/// Gather along an axis.
pub fn gather(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(2, 2)?;
    let node = operation.node(&["axis"])?;
    let axis = node.int("axis")?.unwrap_or(0);
    let indices = operation.tensor(builder, 1)?;
    if let Value::Shape(extents) = builder.value(operation.input(0)?)? {
        let places = places(&indices, extents.len())?;
        let picked: Vec<Extent> = places.iter().map(|place| extents[*place]).collect();
        return Ok(vec![super::shape::settle(picked)?]);
    }
    let data = operation.tensor(builder, 0)?;
    let axis = data.dims.axis(axis)?;
    let size = data.dims.fixed_axis(axis)?;
    if indices.is_constant() {
        return one(pick(&data, axis, &places(&indices, size)?, indices.dims.list())?);
    }
    one(look_up(builder, &data, axis, &indices)?)
}

/// ArrayFeatureExtractor: Gather along the last dimension, with the places as a row.
pub fn array_feature_extractor(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(2, 2)?;
    operation.node(&[])?;
    let (data, indices) = (operation.tensor(builder, 0)?, operation.tensor(builder, 1)?);
    let data = match data.dims.rank() {
        0 => return Err("of a number is not supported, expected a tensor".to_string()),
        1 if data.dims.rows_axis().is_none() => Tensor { dims: Dims::fixed(&[1, data.cells.len()])?, ..data },
        _ => data,
    };
    let axis = data.dims.rank() - 1;
    let size = data.dims.fixed_axis(axis)?;
    let flat = indices.dims.reshape(&[Extent::Known(-1)], true)?;
    let indices = Tensor { dims: flat, ..indices };
    if indices.is_constant() {
        return one(pick(&data, axis, &places(&indices, size)?, indices.dims.list())?);
    }
    let labels = class_labels(builder, &data);
    one(look_up(builder, &data, axis, &indices)?.with_labels(labels))
}

/// The labels that a list of classes is, where a row chooses from it.
fn class_labels(builder: &Builder, data: &Tensor) -> Option<Arc<Labels>> {
    let numbers: Option<Vec<i64>> =
        data.cells.iter().map(|cell| if let Cell::Int(number) = cell { Some(*number) } else { None }).collect();
    let numbers = numbers?;
    let mut sorted = numbers.clone();
    sorted.sort_unstable();
    sorted.dedup();
    if sorted.len() < numbers.len() || numbers.len() > crate::labels::CLASSES_MAX {
        return None;
    }
    match data.element {
        Element::Text => Some(Arc::new(Labels::Texts(builder.text_list(&numbers)?))),
        element if element.is_integer() => Some(Arc::new(Labels::Ints(numbers))),
        _ => None,
    }
}

/// The places that constant indices name in a list of `size`.
fn places(indices: &Tensor, size: usize) -> Checked<Vec<usize>> {
    let Some(integers) = indices.integers() else {
        return Err(format!("of places that are {} is not supported, expected integers", indices.describe()));
    };
    let place = |index: i64| {
        let from_start = if index < 0 { index.saturating_add(size as i64) } else { index };
        usize::try_from(from_start)
            .ok()
            .filter(|place| *place < size)
            .ok_or_else(|| format!("index {index} is out of range, expected {} to {}", -(size as i64), size as i64 - 1))
    };
    integers.into_iter().map(place).collect()
}

/// Numbers at places that each row says.
fn look_up(builder: &mut Builder, data: &Tensor, axis: usize, indices: &Tensor) -> Checked<Tensor> {
    if !indices.element.is_integer() {
        return Err(format!("of places that are {} is not supported, expected integers", indices.describe()));
    }
    let (outer, size, inner) = data.dims.split(axis);
    let dims = data.dims.with(axis, indices.dims.list())?;
    let at = builder.all_registers(indices)?;
    let mut lookups = Vec::with_capacity(dims.cells());
    for before in 0..outer {
        for index in &at {
            for after in 0..inner {
                lookups.push((*index, before * size * inner + after));
            }
        }
    }
    let cells = choose(builder, data, lookups, (size, inner))?;
    Ok(Tensor::new(data.element, dims, cells))
}

/// For each pair of an index and a first cell, the cell that many strides further.
fn choose(
    builder: &mut Builder,
    data: &Tensor,
    lookups: Vec<(u32, usize)>,
    (size, stride): (usize, usize),
) -> Checked<Vec<Cell>> {
    let form = (data.element, lookups.len());
    if data.is_constant() {
        return match data.element {
            Element::Float => {
                let numbers =
                    builder.table(data, |cell| if let Cell::Float(number) = cell { Some(*number) } else { None })?;
                table(builder, form, lookups, (size, stride), numbers)
            }
            Element::Double => {
                let numbers =
                    builder.table(data, |cell| if let Cell::Double(number) = cell { Some(*number) } else { None })?;
                table(builder, form, lookups, (size, stride), numbers)
            }
            _ => {
                let numbers =
                    builder.table(data, |cell| if let Cell::Int(number) = cell { Some(*number) } else { None })?;
                table(builder, form, lookups, (size, stride), numbers)
            }
        };
    }
    let sources = builder.all_registers(data)?;
    match data.element {
        Element::Float => registers::<f32>(builder, form, lookups, (size, stride), sources),
        Element::Double => registers::<f64>(builder, form, lookups, (size, stride), sources),
        _ => registers::<i64>(builder, form, lookups, (size, stride), sources),
    }
}

fn table<T: Number>(
    builder: &mut Builder,
    form: (Element, usize),
    lookups: Vec<(u32, usize)>,
    (size, stride): (usize, usize),
    table: Arc<[T]>,
) -> Checked<Vec<Cell>> {
    builder.emit(false, form, 2 * form.1, |first| TableStep { lookups, size, stride, table, first })
}

fn registers<T: Number>(
    builder: &mut Builder,
    form: (Element, usize),
    lookups: Vec<(u32, usize)>,
    (size, stride): (usize, usize),
    sources: Vec<u32>,
) -> Checked<Vec<Cell>> {
    let kind = PhantomData::<T>;
    builder.emit(false, form, 4 * form.1, |first| ChoiceStep { lookups, size, stride, sources, first, kind })
}

/// The place that an index names, counted from the end if it is negative.
fn place(index: i64, size: usize) -> Option<usize> {
    let from_start = if index < 0 { index.checked_add(size as i64)? } else { index };
    usize::try_from(from_start).ok().filter(|place| *place < size)
}

/// Looks numbers up in a table; a row whose index is out of range fails.
#[derive(Debug)]
struct TableStep<T> {
    lookups: Vec<(u32, usize)>,
    size: usize,
    stride: usize,
    table: Arc<[T]>,
    first: u32,
}

impl<T: Number> Step for TableStep<T> {
    fn run(&self, registers: &mut Registers, rows: usize) {
        for (at, (index, from)) in self.lookups.iter().enumerate() {
            let indices = registers.ints[*index as usize];
            for (row, index) in indices.iter().take(rows).enumerate() {
                match place(*index, self.size) {
                    Some(place) => {
                        T::file_mut(registers)[self.first as usize + at][row] = self.table[from + place * self.stride];
                    }
                    None => registers.failed.insert(row),
                }
            }
        }
    }
}

/// Chooses among registers; a row whose index is out of range fails.
#[derive(Debug)]
struct ChoiceStep<T> {
    lookups: Vec<(u32, usize)>,
    size: usize,
    stride: usize,
    sources: Vec<u32>,
    first: u32,
    kind: PhantomData<T>,
}

impl<T: Number> Step for ChoiceStep<T> {
    fn run(&self, registers: &mut Registers, rows: usize) {
        for (at, (index, from)) in self.lookups.iter().enumerate() {
            let indices = registers.ints[*index as usize];
            for (row, index) in indices.iter().take(rows).enumerate() {
                match place(*index, self.size) {
                    Some(place) => {
                        let source = self.sources[from + place * self.stride] as usize;
                        let file = T::file_mut(registers);
                        file[self.first as usize + at][row] = file[source][row];
                    }
                    None => registers.failed.insert(row),
                }
            }
        }
    }
}

/// GatherElements: each number at a place of its own along an axis.
pub fn gather_elements(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(2, 2)?;
    let node = operation.node(&["axis"])?;
    let (data, indices) = (operation.tensor(builder, 0)?, operation.tensor(builder, 1)?);
    let axis = data.dims.axis(node.int("axis")?.unwrap_or(0))?;
    let size = data.dims.fixed_axis(axis)?;
    let others_fit = data.dims.rank() == indices.dims.rank()
        && (0..data.dims.rank()).all(|at| at == axis || data.dims.list()[at] == indices.dims.list()[at]);
    if !others_fit || !indices.element.is_integer() {
        return Err(format!(
            "of {} at {} is not supported, expected fitting shapes",
            data.describe(),
            indices.describe()
        ));
    }
    let (outer, count, inner) = indices.dims.split(axis);
    let at = builder.all_registers(&indices)?;
    let mut lookups = Vec::with_capacity(at.len());
    for before in 0..outer {
        for place in 0..count {
            for after in 0..inner {
                lookups.push((at[(before * count + place) * inner + after], before * size * inner + after));
            }
        }
    }
    let cells = choose(builder, &data, lookups, (size, inner))?;
    one(Tensor::new(data.element, indices.dims.clone(), cells))
}
